"""Inception-ResNet-v2: an image classifier of Inception modules with residual connections.

Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning"
(2016), sections 3.2 and 3.3. The trunk, figures 15 to 20, is `backbones.inception_resnet`.

Shapes: B images, C channels, H x W pixels, K classes, h x w = 8 x 8 for 299 x 299 pixels.

    image (B, C, H, W) -> trunk (B, 1536, h, w) -> mean over h, w -> dropout -> linear (B, K)

`Config()` is the network that the authors released: 55,843,464 parameters for 1000 classes, 175 convolutions and a
linear layer deep. `variant="paper"` is the one drawn in the paper's figures: 32,433,928 parameters, 95 convolutions
deep, with a trunk that ends in 2144 channels; no weights of it are public. The softmax is part of the loss.

Departures from the paper:

- The auxiliary classifier, which the authors' training code attaches to the 17 x 17 maps and no figure shows, is left
  out.
- Ours, and off by default: padded layers for small images (`valid` False), fewer channels and modules (`width`,
  `modules`), and batch norms whose statistics follow a short training (`norm_momentum`).
- The recipes train such slim networks by AdamW with a falling learning rate, where the paper has RMSProp on ImageNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from foveate.backbones import InceptionResNetPyramid
from foveate.backbones.inception import RELEASED_MOMENTUM, initialise_xavier, load_classifier, require_classifier
from foveate.backbones.inception_resnet import Variant
from foveate.ops.losses import label_cross_entropy
from foveate.records import ClassificationBatch, ClassificationOutput, Preprocessing
from foveate.registry import model


@dataclass(frozen=True)
class Config:
    """Configuration of Inception-ResNet-v2. The defaults are the released network's.

    num_classes: K, the number of classes; 1000 for ImageNet. The data decides it in training.
    in_channels: C, the number of channels of the images; 3 for RGB. The data decides it in training.
    variant: 'released' (the authors' code), or 'paper' as in the figures.
    width: factor on the number of channels of every layer, rounded to multiples of 8; 1 is the published network, 0.25
        trains on a CPU.
    modules: numbers of Inception-ResNet-A, -B and -C blocks; () is the variant's own, (10, 20, 10) or (5, 10, 5).
    scaling: factor on the output of each of the three kinds of block before it is added to the input, except for the
        released network's last block, which has 1. The paper recommends 0.1 to 0.3; these are the release's.
    valid: leave the layers that the paper marks V unpadded, as published; images then need 75 pixels a side. False pads
        every layer (ours, for small images: of 96 pixels a side, valid layers leave one position, padded ones nine).
    dropout: probability of dropping a feature before the classifier, 0 or more and below 1; 0 to 0.5 is usual, more
        against overfitting.
    label_smoothing: share of each label that is spread over all classes, 0 or more and below 1; 0.1 as the authors
        train Inception-v3 (Szegedy et al. 2015, section 7), which this paper does not mention.
    norm_momentum: momentum of the batch norms' running statistics, 0..1. The release's 0.0003 averages over thousands
        of steps; a short training needs more, e.g. 0.1.
    image_size: (height, width) in pixels to which images are resized, after a central crop of this aspect ratio; (299,
        299) in the paper, 96 a side for slim networks. Larger images show more, and cost more.
    crop: share of the shorter side that the central crop keeps, above 0 and at most 1; 0.875 as published. The margin
        of a photograph is seldom its subject; 1 where the class depends on the whole image.
    pretrained: start from timm's ImageNet weights (the released variant at width 1 only): the trunk, and the classifier
        if there are 1000 classes.
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
    crop: float = 0.875
    pretrained: bool = False

    def __post_init__(self) -> None:
        require_classifier(self)


@model("inception_resnet_v2")
class InceptionResNetV2(nn.Module):
    """Inception-ResNet-v2: Inception modules whose scaled output is added to their input."""

    task: ClassVar[str] = "classification"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = InceptionResNetPyramid(
            config.in_channels, False, config.variant, config.width, config.modules, config.scaling, config.valid,
            config.norm_momentum,
        )  # fmt: skip
        self.preprocessing = Preprocessing(
            (0.5,) * config.in_channels, (0.5,) * config.in_channels, config.image_size, crop=config.crop
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.backbone.channels[-1], config.num_classes)
        initialise_xavier(self.head)
        if config.pretrained:
            self.load_foreign(self.backbone.imagenet_weights())

    def forward(self, image: Tensor) -> ClassificationOutput:
        """Return logits (B, K) for images (B, C, H, W), normalised. H and W are arbitrary, from 75 up if valid."""
        features = self.backbone(image)[-1].mean((2, 3))
        return ClassificationOutput(self.head(self.dropout(features)))

    def loss(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        """Return the cross-entropy with smoothed labels, weighted by class if the batch has class weights."""
        logits, weights = self(batch["image"]).logits, batch.get("class_weights")
        return {"loss": label_cross_entropy(logits, batch["label"], weights, self.config.label_smoothing)}

    def load_foreign(self, state: Mapping[str, Tensor]) -> str:
        """Load timm's state dict of inception_resnet_v2: the trunk and, for as many classes, the classifier.

        Returns a description of what was loaded. Raises ModelError if the network, its width or number of modules
        differs.
        """
        self.backbone.load_timm(state)
        return load_classifier(self.head, state, "classif", "timm's inception_resnet_v2")
