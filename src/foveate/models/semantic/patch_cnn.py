"""Patch CNN: a small network that names the pixel in the middle of a patch, slid over the whole picture.

The approach of Ciresan et al., "Deep Neural Networks Segment Neuronal Membranes in Electron Microscopy Images" (2012):
classify a window around each pixel. Run convolutionally as in Sermanet et al., "OverFeat" (2014), section 3.3.

Shapes: B pictures, C channels, H x W pixels, K classes; N patches of R x R pixels; f the stride of the network.

    training     N centres, as many of each class -> patches (N, C, R, R) -> logits (N, K)
    prediction   the same weights over the whole picture, padded by a patch -> an answer at every f-th pixel, and
                 either interpolated in between, or computed there as well ("atrous", exactly the sliding window)

Every layer is valid (nothing is padded inside), so that a patch cut out and a patch within a picture get one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.dense import atrous
from foveate.ops.losses import pixel_cross_entropy
from foveate.records import IGNORE, Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model
from foveate.values import require_choices


@dataclass(frozen=True)
class Config:
    """What makes one patch CNN. No paper fixes the sizes; these see 60 pixels and train on a CPU.

    num_classes: K.
    in_channels: C of the pictures.
    widths: channels of the convolutions; each has batch norm and ReLU, and is pooled by two: f = 2^len(widths).
    kernels: their sizes.
    fc_kernel: h of the h x h map that is left of a patch, over which the fully connected layer runs.
    hidden: width of that layer.
    dropout: after it.
    patches: centres drawn from each picture of a training batch.
    prior: 0 keeps what balanced sampling taught, that all classes are equally likely; 1 corrects it to the shares that
        the training pictures have; in between, in between.
    dense: how the pixels between every f-th get their answer: 'upsampled' or 'atrous' (f^2 times the work).
    """

    num_classes: int = 21
    in_channels: int = 3
    widths: tuple[int, ...] = (16, 48, 96)
    kernels: tuple[int, ...] = (5, 5, 3)
    fc_kernel: int = 5
    hidden: int = 256
    dropout: float = 0.5
    patches: int = 32
    prior: float = 1.0
    dense: Literal["upsampled", "atrous"] = "upsampled"

    def __post_init__(self) -> None:
        require_choices(self)
        if len(self.widths) != len(self.kernels) or not self.widths or min(self.widths + self.kernels) < 1:
            raise ConfigError(f"widths {self.widths} and kernels {self.kernels}: give one of each a layer, 1 or more")
        if min(self.num_classes, self.in_channels, self.fc_kernel, self.hidden, self.patches) < 1:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels}, fc_kernel {self.fc_kernel}, hidden "
                f"{self.hidden} and patches {self.patches} must be at least 1"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; expected 0 or more, under 1")
        if not 0 <= self.prior <= 1:
            raise ConfigError(f"prior is {self.prior}; expected 0 (balanced) to 1 (as frequent as in training)")

    @property
    def stride(self) -> int:
        """F, how many pixels apart two answers of the network stand."""
        return 2 ** len(self.widths)

    @property
    def patch(self) -> int:
        """R, the side of the square that one answer sees, and of a training patch."""
        side = self.fc_kernel
        for kernel in reversed(self.kernels):
            side = 2 * side + kernel - 1
        return side


@model("patch_cnn")
class PatchCNN(nn.Module):
    """Patch CNN: names the centre of a patch, patch by patch or over the whole picture at once."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = Preprocessing.centred(config.in_channels)
        layers: list[nn.Module] = []
        width = config.in_channels
        for out, kernel in zip(config.widths, config.kernels, strict=True):
            layers += [nn.Conv2d(width, out, kernel, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
            width = out
        # The fully connected layers, written as the convolutions that they are (OverFeat, section 3.3).
        layers += [nn.Conv2d(width, config.hidden, config.fc_kernel, bias=False), nn.BatchNorm2d(config.hidden)]
        layers += [nn.ReLU(), nn.Dropout(config.dropout), nn.Conv2d(config.hidden, config.num_classes, 1)]
        self.network = nn.Sequential(*layers)
        self.shares: Tensor  # (K,) of the classes among the training pixels, a running mean
        self.register_buffer("shares", torch.full((config.num_classes,), 1 / config.num_classes))

    def forward(self, image: Tensor) -> SemanticOutput:
        """(B, C, H, W), normalised -> logits (B, K, H, W). H and W are free; beyond the border all is mean grey."""
        height, width = image.shape[-2:]
        if self.config.dense == "atrous":
            logits = atrous(self.network, self._padded(image, 0, 0))
        else:
            f = self.config.stride
            down, right = -(height - 1) % f, -(width - 1) % f  # so that the last answer is at the last pixel or beyond
            coarse = self.network(self._padded(image, down, right))
            # Answers stand on pixels 0, f, 2 f ...: corners, not middles, keep their place.
            size = (height + down, width + right)
            logits = F.interpolate(coarse, size, mode="bilinear", align_corners=True)[..., :height, :width]
        # p(k | x) is proportional to p_balanced(k | x) p(k), with p_balanced(k) = 1 / K.
        prior = self.config.prior * self.shares.clamp_min(1e-6).log()
        return SemanticOutput(logits + prior[:, None, None])

    def classify(self, patches: Tensor) -> Tensor:
        """(N, C, R, R) -> logits (N, K) of the pixels in row and column R // 2, all classes taken as equally likely.

        Raises ConfigError for patches of another size.
        """
        side = self.config.patch
        if tuple(patches.shape[-2:]) != (side, side):
            raise ConfigError(f"patches of {tuple(patches.shape[-2:])}; this network sees {side}x{side}")
        logits: Tensor = self.network(patches)
        return logits[..., 0, 0]

    def cut(self, image: Tensor, picture: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The patches around N pixels of (B, C, H, W), given by three index vectors (N,): (N, C, R, R)."""
        side = self.config.patch
        windows = self._padded(image, 0, 0).unfold(2, side, 1).unfold(3, side, 1)  # (B, C, H, W, R, R), a view
        return windows[picture, :, row, column]

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """Cross-entropy of the centres of patches, drawn so that each class of the batch has as many."""
        image, mask = batch["image"], batch["mask"]
        centres = balanced_centres(mask, self.config.patches * len(mask))
        if self.training:
            self._count(mask)
        logits = self.classify(self.cut(image, *centres))
        labels = mask[centres][:, None, None]
        return {"loss": pixel_cross_entropy(logits[..., None, None], labels, batch.get("class_weights"))}

    @torch.no_grad()
    def _count(self, mask: Tensor) -> None:
        valid = mask[mask != IGNORE]
        if len(valid):
            shares = torch.bincount(valid, minlength=len(self.shares)) / len(valid)
            self.shares.lerp_(shares.to(self.shares), 0.01)

    def _padded(self, image: Tensor, down: int, right: int) -> Tensor:
        """So that there is a patch around every pixel: R - 1 more rows and columns, and some more at the end."""
        before = self.config.patch // 2
        after = self.config.patch - 1 - before
        return F.pad(image, (before, after + right, before, after + down))


def balanced_centres(mask: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """`count` labelled pixels of (B, H, W), as many of each class that is there: picture, row, column, (count,) each.

    Where no pixel is labelled, they are ignored ones.
    """
    flat = mask.flatten()
    classes = flat[flat != IGNORE].unique().tolist() or [IGNORE]
    drawn = []
    for i, label in enumerate(classes):
        places = (flat == label).nonzero()[:, 0]
        share = count * (i + 1) // len(classes) - count * i // len(classes)
        drawn.append(places[torch.randint(len(places), (share,), device=places.device)])
    picture, row, column = torch.unravel_index(torch.cat(drawn), mask.shape)
    return picture, row, column
