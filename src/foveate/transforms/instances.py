"""Random training transforms of an image together with its objects.

Images are (C, H, W), layers of object numbers (L, H, W); both move alike, and boxes and masks are read from the layers
afterwards.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foveate.deferred import functional as F
from foveate.deferred import tv_tensors, v2
from foveate.errors import ConfigError
from foveate.records import InstanceSample
from foveate.transforms.variations import blurred, elastic, quarter_turn, upside_down


@dataclass(frozen=True)
class InstanceAugment:
    """Random scale, crop, flips, turns, deformation, blur and colour jitter of an image and its objects.

    scale: (low, high), range of the resize factor, drawn log-uniformly; usually 0.75 to 1.5.
    crop: (height, width) in pixels, at least 32 each, of the window cut at a random place, smaller where the image is;
        () keeps the whole image.
    flip: mirror left-right with probability 0.5; usually true.
    flip_vertical: mirror top-bottom with probability 0.5; true for images without an up: microscopy, aerial.
    quarter_turns: turn by 0, 90, 180 or 270 degrees; true for images without an up.
    elastic: largest displacement of a smooth random deformation, in pixels, 0 to 32; usually 0; 4 to 12 for cells.
    blur: largest sigma of a Gaussian blur, in pixels, 0 to 10, applied to half of the images; usually 0 to 1.5.
    color: strength of brightness, contrast, saturation and hue jitter, 0 (none) to 1; usually 0.3; hue changes a
        fifth as much; saturation and hue only where an image has 3 channels.
    stain: largest change of each channel's density, 0 to 1: each channel c becomes 1 - (1 - c)^g with g drawn in
        1 - stain .. 1 + stain; usually 0; 0.2 for stained tissue, whose dyes vary from slide to slide.
    """

    scale: tuple[float, float] = (0.75, 1.5)
    crop: tuple[int, ...] = (384, 384)
    flip: bool = True
    flip_vertical: bool = False
    quarter_turns: bool = False
    elastic: float = 0.0
    blur: float = 0.0
    color: float = 0.3
    stain: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"augment.scale {self.scale} is not a range; expected 0 < low <= high, e.g. 0.5,2.0")
        if len(self.crop) not in (0, 2) or any(side < 32 for side in self.crop):
            raise ConfigError(f"augment.crop {self.crop} is not a window; expected height,width of at least 32 each")
        within = 0 <= self.color <= 1 and 0 <= self.stain < 1 and 0 <= self.elastic <= 32 and 0 <= self.blur <= 10
        if not within:
            raise ConfigError(
                f"augment.color {self.color}, stain {self.stain}, elastic {self.elastic} and blur {self.blur} are out "
                "of range; expected 0..1, 0 up to below 1, 0..32 and 0..10"
            )

    def build(self, tables: Mapping[str, Any], preprocessing: Any) -> Callable[[InstanceSample], InstanceSample]:
        """Return the transform of one sample.

        tables, preprocessing: not used.
        The transform draws from torch's global generator, which the caller seeds for each sample.
        """
        return functools.partial(_apply, self)


def _apply(augment: InstanceAugment, sample: InstanceSample) -> InstanceSample:
    image, layers = sample["image"].as_subclass(Tensor), sample["layers"].as_subclass(Tensor)
    image, layers = _scale_and_crop(augment, image, layers)
    if augment.flip and torch.rand(()) < 0.5:
        image, layers = image.flip(-1), layers.flip(-1)
    if augment.flip_vertical:
        image, layers = upside_down(image, layers)
    if augment.quarter_turns:
        image, layers = quarter_turn(image, layers)
    if augment.elastic:
        image, layers = elastic(image, layers, augment.elastic, outside=0)
    if augment.stain:
        power = 1 + augment.stain * (2 * torch.rand(image.shape[0], 1, 1) - 1)
        image = _as_before(1 - (1 - _unit(image)).clamp(0, 1) ** power, image)
    if augment.blur and torch.rand(()) < 0.5:
        image = blurred(image, augment.blur)
    if augment.color:
        jitter = augment.color, augment.color
        image = (
            v2.ColorJitter(*jitter, augment.color, augment.color / 5)(image)
            if len(image) == 3
            else _shade(image, *jitter)
        )
    changed = {"image": tv_tensors.Image(image.contiguous()), "layers": tv_tensors.Mask(layers.contiguous())}
    return sample | changed  # type: ignore[return-value]


def _scale_and_crop(augment: InstanceAugment, image: Tensor, layers: Tensor) -> tuple[Tensor, Tensor]:
    """Crop a window and resize it by a random factor."""
    low, high = augment.scale
    factor = low * (high / low) ** float(torch.rand(()))
    height, width = image.shape[-2:]
    crop = augment.crop or (round(height * factor), round(width * factor))
    window = [min(side, max(1, round(out / factor))) for side, out in zip((height, width), crop, strict=True)]
    top = int(torch.randint(height - window[0] + 1, ()))
    left = int(torch.randint(width - window[1] + 1, ()))
    size = [min(out, max(1, round(side * factor))) for side, out in zip(window, crop, strict=True)]
    image = F.resized_crop(image, top, left, *window, size, v2.InterpolationMode.BILINEAR, antialias=True)
    return image, F.resized_crop(layers, top, left, *window, size, v2.InterpolationMode.NEAREST_EXACT)


def _shade(image: Tensor, brightness: float, contrast: float) -> Tensor:
    """Change brightness and contrast of an image of any number of channels."""
    values = _unit(image)
    values = values * (1 + brightness * (2 * float(torch.rand(())) - 1))
    mean = values.mean()
    values = mean + (values - mean) * (1 + contrast * (2 * float(torch.rand(())) - 1))
    return _as_before(values, image)


def _unit(image: Tensor) -> Tensor:
    return image if image.is_floating_point() else image.float() / 255


def _as_before(values: Tensor, image: Tensor) -> Tensor:
    values = values.clamp(0, 1)
    return values if image.is_floating_point() else (values * 255).round().to(image.dtype)
