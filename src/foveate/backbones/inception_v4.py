"""Inception-v4's trunk (Szegedy, Ioffe, Vanhoucke, Alemi 2016, figures 3 to 9).

Map sizes for 299 pixels and valid convolutions; in brackets the channels:

    stem         149 (32), 147 (32), 147 (64), 73 (160), 71 (192)      feature at stride 4
    a            35 (384): the stem's last fork, 4 x Inception-A       feature at stride 8
    b            17 (1024): Reduction-A, 7 x Inception-B               feature at stride 16
    c            8 (1536): Reduction-B, 3 x Inception-C                feature at stride 32

Pairs of asymmetric filters stand in the order of the authors' release, whose weights are to load. Figures 3, 5 and 6,
going by what others built after them, have most pairs the other way round, and figure 5 two 1x7 in its short branch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from foveate.backbones.inception import (
    AVERAGE,
    MAX,
    Builder,
    Chain,
    Conv,
    InceptionPyramid,
    fork,
    initialise_he,
)

# Figure 3, the stem. Where it halves the map, a strided convolution and a pooling do so side by side. Its last fork
# begins the next stage here.
STEM: Chain = (
    Conv(32, 3, 2, valid=True),
    Conv(32, 3, valid=True),
    Conv(64, 3),
    fork((MAX,), (Conv(96, 3, 2, valid=True),)),
    fork(
        (Conv(64), Conv(96, 3, valid=True)),
        (Conv(64), Conv(64, (1, 7)), Conv(64, (7, 1)), Conv(96, 3, valid=True)),
    ),
)
STEM_END = fork((Conv(192, 3, 2, valid=True),), (MAX,))

# Figure 4, for the 35x35 grid.
INCEPTION_A = fork(
    (Conv(96),),
    (Conv(64), Conv(96, 3)),
    (Conv(64), Conv(96, 3), Conv(96, 3)),
    (AVERAGE, Conv(96)),
)
# Figure 7 with k, l, m, n = 192, 224, 256, 384 (table 1).
REDUCTION_A = fork(
    (Conv(384, 3, 2, valid=True),),
    (Conv(192), Conv(224, 3), Conv(256, 3, 2, valid=True)),
    (MAX,),
)
# Figure 5, for the 17x17 grid.
INCEPTION_B = fork(
    (Conv(384),),
    (Conv(192), Conv(224, (1, 7)), Conv(256, (7, 1))),
    (Conv(192), Conv(192, (7, 1)), Conv(224, (1, 7)), Conv(224, (7, 1)), Conv(256, (1, 7))),
    (AVERAGE, Conv(128)),
)
# Figure 8.
REDUCTION_B = fork(
    (Conv(192), Conv(192, 3, 2, valid=True)),
    (Conv(256), Conv(256, (1, 7)), Conv(320, (7, 1)), Conv(320, 3, 2, valid=True)),
    (MAX,),
)
# Figure 6, for the 8x8 grid.
INCEPTION_C = fork(
    (Conv(256),),
    (Conv(384), fork((Conv(256, (1, 3)),), (Conv(256, (3, 1)),))),
    (Conv(384), Conv(448, (3, 1)), Conv(512, (1, 3)), fork((Conv(256, (1, 3)),), (Conv(256, (3, 1)),))),
    (AVERAGE, Conv(256)),
)


class InceptionV4Pyramid(InceptionPyramid):
    """Inception-v4 without its classifier; features are those before each halving and the last.

    in_channels: C, the number of channels of the images.
    pretrained: start from timm's ImageNet weights, of width 1 and the paper's modules only.
    width: factor on the number of channels of every layer, rounded to multiples of 8.
    modules: numbers of Inception-A, -B and -C modules.
    valid: leave the layers that the paper marks V unpadded, as published, for images of at least 75 pixels a side. As a
        pyramid they are padded, so that features are aligned with their strides: the same weights see the same
        neighbours, except at the maps' borders.
    momentum: of the batch norms' running statistics; the release's 0.0003 suits millions of steps.
    """

    timm_name = "inception_v4"
    published = (4, 7, 3)

    def __init__(
        self,
        in_channels: int = 3,
        pretrained: bool = False,
        width: float = 1.0,
        modules: tuple[int, ...] = published,
        valid: bool = False,
        momentum: float = 0.1,
    ) -> None:
        a, b, c = modules if len(modules) == 3 else (0, 0, 0)
        stages = (
            STEM,
            (STEM_END, *[INCEPTION_A] * a),
            (REDUCTION_A, *[INCEPTION_B] * b),
            (REDUCTION_B, *[INCEPTION_C] * c),
        )
        super().__init__(in_channels, stages, Builder(width, valid, momentum), modules)
        initialise_he(self)
        if pretrained:
            self.load_timm(self.imagenet_weights())

    def from_timm(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename timm's tensors: modules are numbered 'features.0' to 'features.21', and their branches have names."""
        a, b, c = self.modules_a_stage
        targets = [
            f"{stage}.{i}"
            for stage, count in (("stem", len(STEM)), ("a", 1 + a), ("b", 1 + b), ("c", 1 + c))
            for i in range(count)
        ]
        renamed = {}
        for key, tensor in state.items():
            found = re.fullmatch(r"features\.(\d+)\.(.+)", key)
            if found is None:
                continue
            number, inner = int(found[1]), found[2]
            # The only convolution of a fork with a pooling: the stem's first, and its last with the pooling behind.
            inner = re.sub(r"^conv\.(?=conv|bn)", "1." if number == 3 else "0.", inner)
            # Inception-C's chains end in forks: branch1_0, branch1_1a, branch1_1b.
            inner = re.sub(r"branch(\d)_(\d)\.", r"\1.\2.", inner)
            inner = re.sub(r"branch(\d)_(\d)a\.", r"\1.\2.0.", inner)
            inner = re.sub(r"branch(\d)_(\d)b\.", r"\1.\2.1.", inner)
            inner = re.sub(r"branch(\d)\.", r"\1.", inner)
            inner = re.sub(r"\bbn\.", "norm.", inner)
            target = targets[number] if number < len(targets) else f"features.{number}"
            renamed[f"{target}.{inner}"] = tensor
        return renamed
