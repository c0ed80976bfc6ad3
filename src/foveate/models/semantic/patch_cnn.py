"""Patch CNN: a small network that classifies the central pixel of a patch, applied as a sliding window.

The approach of Ciresan et al., "Deep Neural Networks Segment Neuronal Membranes in Electron Microscopy Images" (2012):
classify a window around each pixel. Run convolutionally as in Sermanet et al., "OverFeat" (2014), section 3.3.

Shapes: B images, C channels, H x W pixels, K classes; N patches of R x R pixels; f the stride of the network.

    training     N centres, as many of each class -> patches (N, C, R, R) -> logits (N, K)
    prediction   the same weights over the whole image, padded by a patch -> logits at every f-th pixel; those in
                 between are interpolated, or computed as well ("atrous", which equals the sliding window exactly)

Every layer is valid (without padding), so that a patch gets the same logits cut out as within an image.

Departures from the papers:

- The network is ours: the approach is theirs, not their sizes, and it has batch norm and ReLU.
- Balanced sampling is corrected by the frequencies of the classes (`prior`), where Ciresan et al. calibrate the outputs
  on training images.
- One network predicts; Ciresan et al. average several, on rotated images too (`--scales` and `--flip` average views).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.dense import atrous
from foveate.ops.losses import pixel_cross_entropy
from foveate.records import IGNORE, Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model
from foveate.values import require_choices

OLD_WEIGHT = 0.01  # of a batch in the class frequencies of version 0.1.0


@dataclass(frozen=True)
class Config:
    """Configuration of the patch CNN.

    No paper fixes the sizes; these have a receptive field of 60 pixels and train on a CPU.

    num_classes: K, the number of classes; 21 for Pascal VOC. The data decides it in training.
    in_channels: C, the number of channels of the images; 3 for RGB. The data decides it in training.
    widths: number of channels of each convolution, usually 2 to 4 of 16 to 96. Each is followed by batch norm, ReLU and
        2x2 pooling: f = 2^len(widths). More layers enlarge the patch, and coarsen the logits.
    kernels: kernel side of each convolution in pixels, usually 3 or 5; as many values as `widths`. Larger ones enlarge
        the patch.
    fc_kernel: side h of the h x h map to which a patch is reduced, and the kernel of the fully connected layer; usually
        3 to 7. A larger one enlarges the patch.
    hidden: number of units of that layer, usually 128 to 512; more cost more at every pixel.
    dropout: probability of dropping a unit after that layer, 0 or more and below 1; 0 to 0.5 is usual, more against
        overfitting.
    patches: number of patches sampled per image of a training batch, usually 16 to 64; more make a step less noisy, and
        slower.
    prior: how far logits are corrected from balanced sampling to the class frequencies of the training images: 0 treats
        all classes as equally likely, 1 uses the full prior, values in between a part of it.
    dense: how the logits between every f-th pixel are obtained: 'upsampled' (interpolated), or 'atrous' (computed, at
        f^2 times the cost).
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
            raise ConfigError(
                f"widths {self.widths} and kernels {self.kernels}; expected one value of each per layer, all 1 or more"
            )
        if min(self.num_classes, self.in_channels, self.fc_kernel, self.hidden, self.patches) < 1:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels}, fc_kernel {self.fc_kernel}, hidden "
                f"{self.hidden} and patches {self.patches} must be at least 1"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; expected 0 or more and below 1")
        if not 0 <= self.prior <= 1:
            raise ConfigError(f"prior is {self.prior}; expected 0 (balanced classes) to 1 (training frequencies)")

    @property
    def stride(self) -> int:
        """Return f, the distance in pixels between neighbouring outputs of the network."""
        return 2 ** len(self.widths)

    @property
    def patch(self) -> int:
        """Return R, the side in pixels of the receptive field and of a training patch."""
        side = self.fc_kernel
        for kernel in reversed(self.kernels):
            side = 2 * side + kernel - 1
        return side


@model("patch_cnn")
class PatchCNN(nn.Module):
    """Patch CNN: classifies the central pixel of patches, or every pixel of an image in one pass."""

    task: ClassVar[str] = "semantic"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = Preprocessing.centred(config.in_channels)
        layers: list[nn.Module] = []
        width = config.in_channels
        for out, kernel in zip(config.widths, config.kernels, strict=True):
            layers += [nn.Conv2d(width, out, kernel, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
            width = out
        # The fully connected layers, written as convolutions (OverFeat, section 3.3).
        layers += [nn.Conv2d(width, config.hidden, config.fc_kernel, bias=False), nn.BatchNorm2d(config.hidden)]
        layers += [nn.ReLU(), nn.Dropout(config.dropout), nn.Conv2d(config.hidden, config.num_classes, 1)]
        self.network = nn.Sequential(*layers)
        self.shares: Tensor  # (K,) frequencies of the classes among the pixels of all training batches
        self.pixels: Tensor  # () number of these pixels
        self.register_buffer("shares", torch.full((config.num_classes,), 1 / config.num_classes))
        self.register_buffer("pixels", torch.zeros((), dtype=torch.float64))
        self.register_load_state_dict_pre_hook(_add_pixels)

    def forward(self, image: Tensor) -> SemanticOutput:
        """Return logits (B, K, H, W) for images (B, C, H, W), normalised.

        H and W are arbitrary; the border is padded with grey.
        """
        height, width = image.shape[-2:]
        if self.config.dense == "atrous":
            logits = atrous(self.network, self._padded(image, 0, 0))
        else:
            f = self.config.stride
            bottom, right = -(height - 1) % f, -(width - 1) % f  # the last output is at the last pixel or beyond
            coarse = self.network(self._padded(image, bottom, right))
            # Outputs are at pixels 0, f, 2 f ..., so that corners are aligned.
            size = (height + bottom, width + right)
            logits = F.interpolate(coarse, size, mode="bilinear", align_corners=True)[..., :height, :width]
        # p(k | x) is proportional to p_balanced(k | x) p(k), with p_balanced(k) = 1 / K.
        prior = self.config.prior * self.shares.clamp_min(1e-6).log()
        return SemanticOutput(logits + prior[:, None, None])

    def classify(self, patches: Tensor) -> Tensor:
        """Return logits (N, K) of the pixels in row and column R // 2 of patches (N, C, R, R), without a prior.

        Raises ConfigError for patches of another size.
        """
        side = self.config.patch
        if tuple(patches.shape[-2:]) != (side, side):
            raise ConfigError(
                f"patches of {tuple(patches.shape[-2:])} pixels; this network takes {side}x{side}: get them from `cut`"
            )
        logits: Tensor = self.network(patches)
        return logits[..., 0, 0]

    def cut(self, image: Tensor, index: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Cut the patches around N pixels of images (B, C, H, W): (N, C, R, R).

        index, row, column: (N,) int64 each, the image and the position of each pixel.
        """
        side = self.config.patch
        windows = self._padded(image, 0, 0).unfold(2, side, 1).unfold(3, side, 1)  # (B, C, H, W, R, R), a view
        return windows[index, :, row, column]

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """Return the cross-entropy of patches' centres, sampled so that each class of the batch is equally frequent."""
        image, mask = batch["image"], batch["mask"]
        centres = balanced_centres(mask, self.config.patches * len(mask))
        if self.training:
            self._count(mask)
        logits = self.classify(self.cut(image, *centres))
        labels = mask[centres][:, None, None]
        return {"loss": pixel_cross_entropy(logits[..., None, None], labels, batch.get("class_weights"))}

    @torch.no_grad()
    def _count(self, mask: Tensor) -> None:
        """Take the pixels of a batch's masks (B, H, W) into the class frequencies."""
        valid = mask[mask != IGNORE]
        if len(valid):
            shares = torch.bincount(valid, minlength=len(self.shares)) / len(valid)
            self.pixels += len(valid)
            weight = len(valid) / self.pixels
            self.shares.lerp_(shares.to(self.shares), torch.where(weight.isnan(), OLD_WEIGHT, weight).to(self.shares))

    def _padded(self, image: Tensor, bottom: int, right: int) -> Tensor:
        """Pad so that every pixel has a patch around it: by R - 1 in total, plus `bottom` and `right`."""
        before = self.config.patch // 2
        after = self.config.patch - 1 - before
        return F.pad(image, (before, after + right, before, after + bottom))


def _add_pixels(model: nn.Module, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Give weights of version 0.1.0, whose frequencies are a running mean, a count that is not known: they go on so."""
    state.setdefault(f"{prefix}pixels", torch.full((), torch.nan, dtype=torch.float64))


def balanced_centres(mask: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sample `count` labelled pixels of (B, H, W), as many of each class: image, row, column, (count,) each.

    Ignored pixels are sampled if none is labelled.
    """
    flat = mask.flatten()
    classes = flat[flat != IGNORE].unique().tolist() or [IGNORE]
    sampled = []
    for i, label in enumerate(classes):
        positions = (flat == label).nonzero()[:, 0]
        share = count * (i + 1) // len(classes) - count * i // len(classes)
        sampled.append(positions[torch.randint(len(positions), (share,), device=positions.device)])
    image, row, column = torch.unravel_index(torch.cat(sampled), mask.shape)
    return image, row, column
