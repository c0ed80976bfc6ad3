"""Multi-scale CNN: one network applied to every level of an image pyramid, the features of all levels concatenated.

Farabet, Couprie, Najman and LeCun, "Learning Hierarchical Features for Scene Labeling", PAMI 2013.

Shapes: B images, C channels, H x W pixels, K classes, S scales, D features a scale.

    image (B, C, H, W) -> YUV -> Laplacian pyramid X_1 ... X_S, locally normalised        (section 3.1)
    f_s = f(X_s; theta), the same theta for every scale                                   (section 3.1)
    F = [f_1, u(f_2), ... u(f_S)], upsampled to f_1's grid, concatenated (B, S D, h, w)   (section 3.1)
    logits = W_2 tanh(W_1 F + b_1) + b_2                                                  (section 4.1)

`Config()` has the paper's sizes: D = 256, S = 3, 768 features. The paper's post-processing, superpixels and the
optimal-purity cover, is in `ops.superpixels`, for any model.

Departures from the paper:

- f and the two-layer classifier are trained together, where the paper first trains f with a linear classifier.
- The tables that connect only some maps of one layer with those of the next, which saved time, are full.
- Convolutions are padded to keep their size, and logits are interpolated to the image's size.
- With a `backbone`, a timm network sees plain Gaussian levels instead of f (ours; off by default).
- The optimal-purity cover takes each node's mean prediction, where the paper trains a classifier of nodes, and there is
  no CRF over superpixels (`--crf` has one over pixels).
- The recipes train narrower networks, by AdamW with averaged weights instead of stochastic gradients, with
  the classes as frequent as they are; the paper also trains with balanced ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import create_backbone
from foveate.errors import ConfigError
from foveate.ops.pyramid import laplacian, normalize_locally, rgb_to_yuv, shrink
from foveate.ops.region_losses import PixelLoss, of_a_set, pixel_loss
from foveate.records import Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """Configuration of the multi-scale CNN. The defaults are the paper's sizes.

    num_classes: K, the number of classes; 21 for Pascal VOC. The data decides it in training.
    in_channels: C, the number of channels of the images; 3 are taken to be RGB and converted to YUV. The data decides
        it in training.
    scales: S, the number of pyramid levels, each half the size of the one before; 3 in the paper.
    widths: number of channels of f's three stages; (16, 64, 256) in the paper. More distinguish more textures, and cost
        more.
    kernel: side of their filters in pixels, an odd number; 7 in the paper.
    hidden: number of units of the classifier's hidden layer, usually 128 to 1024, 1024 in the paper; more costs more at
        every pixel.
    dropout: probability of dropping a feature before the classifier, 0 or more and below 1; 0 to 0.5 is usual, more
        against overfitting.
    backbone: '' is the paper's f. A timm network receives the unnormalised images of a Gaussian pyramid instead, and
        its features at strides 8 and 16 are used (ours: ImageNet features for the same architecture).
    pretrained: start that backbone from ImageNet weights, as is usual; without effect on the paper's f.
    loss: the loss of a training: cross_entropy is the paper's; dice, tversky and focal are for classes of very
        different size, and cross_entropy+dice adds two (`ops.region_losses`).
    """

    num_classes: int = 21
    in_channels: int = 3
    scales: int = 3
    widths: tuple[int, int, int] = (16, 64, 256)
    kernel: int = 7
    hidden: int = 1024
    dropout: float = 0.0
    backbone: str = ""
    pretrained: bool = False
    loss: PixelLoss = "cross_entropy"

    def __post_init__(self) -> None:
        require_choices(self)
        if min(self.scales, self.num_classes, self.in_channels, self.hidden) < 1:
            raise ConfigError(
                f"scales {self.scales}, num_classes {self.num_classes}, in_channels {self.in_channels} and hidden "
                f"{self.hidden} must be at least 1"
            )
        if len(self.widths) != 3 or min(self.widths) < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(
                f"widths {self.widths} and kernel {self.kernel}; expected three widths of 1 or more and an odd kernel"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; expected 0 or more and below 1")
        if self.pretrained and not self.backbone:
            raise ConfigError("the paper's network has no ImageNet weights; set --config.backbone, or drop pretrained")


@model("multiscale_cnn")
class MultiScaleCNN(nn.Module):
    """Multi-scale CNN: shared weights on every level of a pyramid, features concatenated."""

    task: ClassVar[str] = "semantic"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.losses_of_a_set = of_a_set(config.loss)
        if config.backbone:
            self.backbone = create_backbone(config.backbone, config.in_channels, config.pretrained)
            self.preprocessing: Preprocessing = self.backbone.preprocessing
            features, self.stride = self.backbone.channels[1] + self.backbone.channels[2], 8
        else:
            self.f = _stages(config)
            # One scale for all channels, so that the conversion to YUV holds; local normalisation does the rest.
            self.preprocessing = Preprocessing.centred(config.in_channels)
            features, self.stride = config.widths[2], 4
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Conv2d(config.scales * features, config.hidden, 1),
            nn.Tanh(),
            nn.Conv2d(config.hidden, config.num_classes, 1),
        )
        for module in [*self.classifier, *(() if config.backbone else self.f)]:
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, nn.init.calculate_gain("tanh"))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> SemanticOutput:
        """Return logits (B, K, H, W) for images (B, C, H, W), normalised. H and W are arbitrary."""
        height, width = image.shape[-2:]
        cell = (32 if self.config.backbone else self.stride) * 2 ** (self.config.scales - 1)
        x = F.pad(image, (0, -width % cell, 0, -height % cell), mode="replicate")  # whole cells at every scale
        maps = [self._features(level) for level in self._pyramid(x)]
        size = (maps[0].shape[-2], maps[0].shape[-1])
        upsampled = [maps[0], *(F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps[1:])]
        coarse = self.classifier(torch.cat(upsampled, 1))
        logits = F.interpolate(coarse, (x.shape[-2], x.shape[-1]), mode="bilinear", align_corners=False)
        return SemanticOutput(logits[..., :height, :width])

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        """Build the pyramid that f sees, finest first: Laplacian levels, or plain Gaussian ones for a backbone."""
        if self.config.backbone:
            levels = [x]
            for _ in range(self.config.scales - 1):
                levels.append(shrink(levels[-1]))
            return levels
        colours = rgb_to_yuv(x) if self.config.in_channels == 3 else x
        return [normalize_locally(level) for level in laplacian(colours, self.config.scales)]

    def _features(self, level: Tensor) -> Tensor:
        """Compute the features of one pyramid level, (B, D, h, w)."""
        if not self.config.backbone:
            features: Tensor = self.f(level)
            return features
        _, fine, coarse, _ = self.backbone(level)
        size = (fine.shape[-2], fine.shape[-1])
        return torch.cat([fine, F.interpolate(coarse, size, mode="bilinear", align_corners=False)], 1)

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """Return the pixel-wise loss, cross-entropy in the paper (section 4.1) as 'loss'."""
        logits = self(batch["image"]).logits
        return {"loss": pixel_loss(self.config.loss, logits, batch["mask"], batch.get("class_weights"))}


def _stages(config: Config) -> nn.Sequential:
    """Build f: filters, tanh and pooling twice, then filters alone (section 5.1)."""
    first, second, third = config.widths
    same = config.kernel // 2
    return nn.Sequential(
        nn.Conv2d(config.in_channels, first, config.kernel, padding=same), nn.Tanh(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, config.kernel, padding=same), nn.Tanh(), nn.MaxPool2d(2),
        nn.Conv2d(second, third, config.kernel, padding=same),
    )  # fmt: skip
