"""Joint image-and-label transforms, on torchvision's v2 so that picture and mask move together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from foveate.errors import ConfigError
from foveate.records import ClassTable, SemanticSample

SemanticTransform = Callable[[SemanticSample], SemanticSample]


@dataclass(frozen=True)
class SemanticAugment:
    """How a training picture is varied.

    scale: the picture is resized by a factor drawn log-uniformly from this range ...
    crop: ... and a window of (height, width) is cut at a random place, padded with the ignore value; () keeps the picture.
    flip: mirror left-right half of the time.
    rotate: largest rotation to either side, in degrees.
    color: strength of brightness, contrast, saturation and hue jitter (0: none; hue moves a fifth as far).
    """

    scale: tuple[float, float] = (0.5, 2.0)
    crop: tuple[int, ...] = (384, 384)
    flip: bool = True
    rotate: float = 0.0
    color: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"augment.scale {self.scale} is not a range; expected 0 < low <= high, e.g. 0.5,2.0")
        if len(self.crop) not in (0, 2) or any(side < 32 for side in self.crop):
            raise ConfigError(f"augment.crop {self.crop} is not a window; expected height,width of at least 32 each")

    def build(self, classes: ClassTable) -> SemanticTransform:
        """The transform; its randomness is torch's global generator, which the caller seeds for each sample."""
        jitter = v2.ColorJitter(self.color, self.color, self.color, self.color / 5) if self.color else None

        def apply(sample: SemanticSample) -> SemanticSample:
            image, mask = sample["image"], sample["mask"]
            if self.crop:
                image, mask = self._scale_and_crop(image, mask, classes.ignore_index)
            if self.rotate:
                angle = float(torch.empty(()).uniform_(-self.rotate, self.rotate))
                image = F.rotate(image, angle, v2.InterpolationMode.BILINEAR, fill=[0.0])
                mask = F.rotate(mask, angle, v2.InterpolationMode.NEAREST, fill=[float(classes.ignore_index)])
            if self.flip and torch.rand(()) < 0.5:
                image, mask = F.horizontal_flip(image), F.horizontal_flip(mask)
            if jitter is not None and image.shape[0] == 3:
                image = jitter(image)
            return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask), "name": sample["name"]}

        return apply

    def _scale_and_crop(
        self, image: torch.Tensor, mask: torch.Tensor, ignore: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut the window out first and resize it after: the same picture, at the cost of the window alone."""
        low, high = self.scale
        factor = low * (high / low) ** float(torch.rand(()))
        height, width = image.shape[-2:]
        out_h, out_w = self.crop
        # The window in the coordinates of the source picture.
        src_h, src_w = min(round(out_h / factor), height), min(round(out_w / factor), width)
        top = int(torch.randint(height - src_h + 1, ()))
        left = int(torch.randint(width - src_w + 1, ()))
        size = [min(out_h, max(1, round(src_h * factor))), min(out_w, max(1, round(src_w * factor)))]
        image = F.resized_crop(image, top, left, src_h, src_w, size, v2.InterpolationMode.BILINEAR, antialias=True)
        mask = F.resized_crop(mask, top, left, src_h, src_w, size, v2.InterpolationMode.NEAREST)
        if size != [out_h, out_w]:  # smaller than the window: pad at a random side, scored nowhere
            down, right = out_h - size[0], out_w - size[1]
            up, before = int(torch.randint(down + 1, ())), int(torch.randint(right + 1, ()))
            padding = [before, up, right - before, down - up]
            image = F.pad(image, padding, fill=[0.0] * image.shape[0])
            mask = F.pad(mask, padding, fill=float(ignore))
        return image, mask
