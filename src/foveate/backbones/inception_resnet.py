"""Inception-ResNet-v2's trunk (Szegedy, Ioffe, Vanhoucke, Alemi 2016, section 3.2), as released and as printed.

Map sizes for 299 pixels and valid convolutions; in brackets the channels:

                 as released                                        as printed
    stem         149 (32), 147 (64), 73 (80), 71 (192)              as Inception-v4's: 71 (192)    stride 4
    a            35 (320): 10 x Inception-ResNet-A                  35 (384): 5 x                  stride 8
    b            17 (1088): Reduction-A, 20 x Inception-ResNet-B    17 (1152): 10 x                stride 16
    c            8 (2080), 10 x Inception-ResNet-C; 8 (1536)        8 (2144): 5 x                  stride 32

The release (inception_resnet_v2_2016_08_30, whose weights are the public ones) differs from the figures: the stem is
Inception-v3's with a wider first module, there are twice as many blocks, the last one is neither scaled nor activated,
and a 1x1 convolution to 1536 channels ends it.

The figures are not consistent: 17 and 19 print linear convolutions to 1154 and 2048 channels, which are added to maps
of 1152 and 2144. Here they have as many channels as the maps that they are added to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from foveate.backbones.inception import (
    AVERAGE,
    MAX,
    Builder,
    Chain,
    Conv,
    InceptionPyramid,
    Residual,
    fork,
    initialise_xavier,
)
from foveate.backbones.inception_v4 import STEM as STEM_V4
from foveate.backbones.inception_v4 import STEM_END as STEM_END_V4
from foveate.errors import ConfigError

Variant = Literal["released", "paper"]

# As released: Inception-v3's stem, up to its second pooling, and a first module instead of the figures' fork.
STEM: Chain = (
    Conv(32, 3, 2, valid=True),
    Conv(32, 3, valid=True),
    Conv(64, 3),
    MAX,
    Conv(80),
    Conv(192, 3, valid=True),
)
FIRST_MODULE = fork(
    (Conv(96),),
    (Conv(48), Conv(64, 5)),
    (Conv(64), Conv(96, 3), Conv(96, 3)),
    (AVERAGE, Conv(64)),
)
LAST: Chain = (Conv(1536),)

# Figure 16, for the 35x35 grid.
INCEPTION_RESNET_A = fork(
    (Conv(32),),
    (Conv(32), Conv(32, 3)),
    (Conv(32), Conv(48, 3), Conv(64, 3)),
)
# Figure 7 with k, l, m, n = 256, 256, 384, 384 (table 1).
REDUCTION_A = fork(
    (Conv(384, 3, 2, valid=True),),
    (Conv(256), Conv(256, 3), Conv(384, 3, 2, valid=True)),
    (MAX,),
)
# Figure 17, for the 17x17 grid.
INCEPTION_RESNET_B = fork(
    (Conv(192),),
    (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))),
)
# Figure 18.
REDUCTION_B = fork(
    (Conv(256), Conv(384, 3, 2, valid=True)),
    (Conv(256), Conv(288, 3, 2, valid=True)),
    (Conv(256), Conv(288, 3), Conv(320, 3, 2, valid=True)),
    (MAX,),
)
# Figure 19, for the 8x8 grid.
INCEPTION_RESNET_C = fork(
    (Conv(192),),
    (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))),
)
MODULES: dict[str, tuple[int, int, int]] = {"released": (10, 20, 10), "paper": (5, 10, 5)}


class InceptionResNetPyramid(InceptionPyramid):
    """Inception-ResNet-v2 without its classifier; features are those before each halving and the last.

    in_channels: C, the number of channels of the images.
    pretrained: start from timm's ImageNet weights, of the released variant at width 1 only.
    variant: 'released' or 'paper', see above.
    width: factor on the number of channels of every layer, rounded to multiples of 8.
    modules: numbers of Inception-ResNet-A, -B and -C blocks; () for the variant's own.
    scaling: factor on the residuals of each of the three (section 3.3: 0.1 to 0.3 keep wide networks stable).
    valid: leave the layers that the paper marks V unpadded, as published, for images of at least 75 pixels a side. As a
        pyramid they are padded, so that features are aligned with their strides: the same weights see the same
        neighbours, except at the maps' borders.
    momentum: of the batch norms' running statistics; the release's 0.0003 suits millions of steps.
    """

    timm_name = "inception_resnet_v2"
    published = MODULES["released"]

    def __init__(
        self,
        in_channels: int = 3,
        pretrained: bool = False,
        variant: Variant = "released",
        width: float = 1.0,
        modules: tuple[int, ...] = (),
        scaling: tuple[float, float, float] = (0.17, 0.10, 0.20),
        valid: bool = False,
        momentum: float = 0.1,
    ) -> None:
        if variant not in MODULES:
            raise ConfigError(f"variant is '{variant}'; expected released or paper")
        self.variant = variant
        modules = modules or MODULES[variant]
        a, b, c = modules if len(modules) == 3 else (0, 0, 0)
        blocks_a = [Residual(INCEPTION_RESNET_A, scaling[0])] * a
        blocks_b = [Residual(INCEPTION_RESNET_B, scaling[1])] * b
        blocks_c = [Residual(INCEPTION_RESNET_C, scaling[2])] * c
        stages: tuple[Chain, Chain, Chain, Chain]
        if variant == "released":
            blocks_c[-1:] = [Residual(INCEPTION_RESNET_C, 1.0, relu=False)]
            stages = (
                STEM,
                (MAX, FIRST_MODULE, *blocks_a),
                (REDUCTION_A, *blocks_b),
                (REDUCTION_B, *blocks_c, *LAST),
            )
        else:
            stages = (STEM_V4, (STEM_END_V4, *blocks_a), (REDUCTION_A, *blocks_b), (REDUCTION_B, *blocks_c))
        super().__init__(in_channels, stages, Builder(width, valid, momentum), modules)
        initialise_xavier(self)
        if pretrained:
            self.load_timm(self.imagenet_weights())

    def imagenet_weights(self) -> dict[str, Tensor]:
        """Return timm's ImageNet weights; see `InceptionPyramid`. Raises ConfigError for the paper's variant, too."""
        if self.variant != "released":
            raise ConfigError("the paper's variant has no public weights; set variant to released, or drop pretrained")
        return super().imagenet_weights()

    def from_timm(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename timm's tensors, which keep the release's names: 'mixed_5b', 'repeat.0', 'repeat_1.0' and so on."""
        c = self.modules_a_stage[2]
        targets = {
            "conv2d_1a": "stem.0", "conv2d_2a": "stem.1", "conv2d_2b": "stem.2",
            "conv2d_3b": "stem.4", "conv2d_4a": "stem.5",
            "mixed_5b": "a.1", "mixed_6a": "b.0", "mixed_7a": "c.0", "block8": f"c.{c}", "conv2d_7b": f"c.{1 + c}",
        }  # fmt: skip
        repeats = {"repeat": ("a", 2), "repeat_1": ("b", 1), "repeat_2": ("c", 1)}
        renamed = {}
        for key, tensor in state.items():
            if key.startswith("classif."):
                continue
            found = re.fullmatch(r"(repeat\w*)\.(\d+)\.(.+)", key)
            if found is not None and found[1] in repeats:
                stage, first = repeats[found[1]]
                target, inner = f"{stage}.{first + int(found[2])}", found[3]
            else:
                name, _, inner = key.partition(".")
                target = targets.get(name, name)
            if found is not None or key.startswith("block8."):
                inner = re.sub(r"^branch", "branches.branch", inner)
                inner = re.sub(r"^conv2d\.", "up.", inner)
            inner = re.sub(r"branch(\d)\.", r"\1.", inner)
            inner = re.sub(r"\bbn\.", "norm.", inner)
            renamed[f"{target}.{inner}"] = tensor
        return renamed
