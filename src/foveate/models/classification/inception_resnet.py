"""Inception-ResNet-v2: Inception modules that add to their input instead of replacing it.

Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning"
(2016), sections 3.2 and 3.3. The trunk, figures 15 to 20, is `backbones.inception_resnet`.

Shapes: B pictures, C channels, H x W pixels, K classes, h x w = 8 x 8 for 299 x 299 pixels.

    image (B, C, H, W) -> trunk (B, 1536, h, w) -> mean over h, w -> dropout -> linear (B, K)

`Config()` is the network that the authors released: 55,843,464 parameters for 1000 classes, 175 convolutions and a
linear layer deep. `variant="paper"` is the one that the paper draws, 32,433,928 parameters, 95 convolutions deep, whose
trunk ends in 2144 channels; no weights of it are public. The softmax is the loss's. The auxiliary classifier, which
the authors' training code hangs onto the 17 x 17 maps and no figure shows, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from foveate.backbones import InceptionResNetPyramid
from foveate.backbones.inception import LEAST, RELEASED_MOMENTUM, initialise_xavier, load_classifier
from foveate.backbones.inception_resnet import Variant
from foveate.errors import ConfigError
from foveate.ops.losses import label_cross_entropy
from foveate.records import ClassificationBatch, ClassificationOutput, Preprocessing
from foveate.registry import model


@dataclass(frozen=True)
class Config:
    """What makes one Inception-ResNet-v2. The defaults are the released network's.

    num_classes: K.
    in_channels: C of the pictures.
    variant: 'released', or 'paper' as its figures have it.
    width: factor on all channels, which are rounded to multiples of 8.
    modules: how many Inception-ResNet-A, -B and -C blocks; () for the variant's own, 10, 20, 10 or 5, 10, 5.
    scaling: factor on what each of the three kinds of block adds, but for the released network's last block, which
        has 1. The paper says 0.1 to 0.3; these are the release's.
    valid: the layers that the paper marks V are unpadded, as published, and a picture needs 75 pixels a side. Otherwise
        every layer is padded (ours, for small pictures: of 96 pixels a side valid layers leave one position, padded
        ones nine).
    dropout: share of the features that is dropped before the classifier.
    label_smoothing: share of each label that is spread over all classes: 0.1 as the authors train Inception-v3 (Szegedy
        et al. 2015, section 7); this paper does not come back to it.
    norm_momentum: of the batch norms' running statistics. The release's 0.0003 forgets over thousands of steps; a
        short training needs more, e.g. 0.1.
    image_size: height and width that pictures are brought to.
    pretrained: start from timm's ImageNet weights (the released variant at width 1): the trunk, and for 1000 classes
        the classifier.
    """

    num_classes: int = 1000
    in_channels: int = 3
    variant: Variant = "released"
    width: float = 1.0
    modules: tuple[int, ...] = ()
    scaling: tuple[float, float, float] = (0.17, 0.10, 0.20)
    valid: bool = True
    dropout: float = 0.2
    label_smoothing: float = 0.1
    norm_momentum: float = RELEASED_MOMENTUM
    image_size: tuple[int, int] = (299, 299)
    pretrained: bool = False

    def __post_init__(self) -> None:
        if self.num_classes < 1 or not 0 <= self.dropout < 1 or not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"num_classes {self.num_classes} must be at least 1, dropout {self.dropout:g} and label_smoothing "
                f"{self.label_smoothing:g} at least 0 and below 1"
            )
        if self.in_channels < 1 or not 0 <= self.norm_momentum <= 1:
            raise ConfigError(
                f"in_channels {self.in_channels} must be at least 1, norm_momentum {self.norm_momentum:g} in 0..1"
            )
        least = LEAST if self.valid else 1
        if len(self.image_size) != 2 or min(self.image_size) < least:
            raise ConfigError(
                f"image_size {self.image_size}: give a height and a width of at least {least}"
                + (", or valid false, which pads every convolution" if self.valid else "")
            )


@model("inception_resnet_v2")
class InceptionResNetV2(nn.Module):
    """Inception-ResNet-v2: Inception modules whose scaled output is added to their input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = InceptionResNetPyramid(
            config.in_channels, False, config.variant, config.width, config.modules, config.scaling, config.valid,
            config.norm_momentum,
        )  # fmt: skip
        self.preprocessing = Preprocessing(
            (0.5,) * config.in_channels, (0.5,) * config.in_channels, config.image_size, crop=0.875
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.backbone.channels[-1], config.num_classes)
        initialise_xavier(self.head)
        if config.pretrained:
            self.load_foreign(self.backbone.imagenet_weights())

    def forward(self, image: Tensor) -> ClassificationOutput:
        """(B, C, H, W), normalised -> logits (B, K). H and W are free, from 75 up if valid."""
        features = self.backbone(image)[-1].mean((2, 3))
        return ClassificationOutput(self.head(self.dropout(features)))

    def loss(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        """Cross-entropy against smoothed labels, weighted by class if weights are given."""
        logits, weights = self(batch["image"]).logits, batch.get("class_weights")
        return {"loss": label_cross_entropy(logits, batch["label"], weights, self.config.label_smoothing)}

    def load_foreign(self, state: Mapping[str, Tensor]) -> str:
        """Take timm's state dict of inception_resnet_v2: the trunk and, of as many classes, the classifier.

        Returns what was taken, in words. Raises ModelError if it is of another network, width or number of modules.
        """
        self.backbone.load_timm(state)
        return load_classifier(self.head, state, "classif", "timm's inception_resnet_v2")
