"""Joint image-and-label transforms, on torchvision's v2 so that picture and mask move together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy import ndimage
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from foveate.errors import ConfigError
from foveate.records import ClassificationSample, ClassTable, Preprocessing, SemanticSample
from foveate.text import split_words

MARGIN = 1.2  # of a box around an object, as the paper has it
LEAST = 16  # pixels: no crop is smaller than this
SemanticTransform = Callable[[SemanticSample], SemanticSample]
ClassificationTransform = Callable[[ClassificationSample], ClassificationSample]


@dataclass(frozen=True)
class CaptionAugment:
    """How a picture with a sentence is varied; on kept features, which follow a mirrored picture nearly.

    flip: mirror left-right half of the time, where the sentence is not about left and right.
    """

    flip: bool = True

    def build(self, table: Any, preprocessing: Preprocessing | None = None) -> Callable[[Any], Any]:
        """The transform; its randomness is torch's global generator, which the caller seeds for each sample."""
        return functools.partial(self._apply, table=table)

    def _apply(self, sample: Any, table: Any) -> Any:
        if not self.flip or torch.rand(()) < 0.5:
            return sample
        said = split_words(" ".join(word for word, _ in table.words(sample["tokens"].tolist())))
        if any(word.startswith(("left", "right")) for word in said):
            return sample
        return sample | {key: sample[key].flip(-1) for key in ("image", "features") if key in sample}


@dataclass(frozen=True)
class SemanticAugment:
    """How a training picture is varied.

    scale: the picture is resized by a factor drawn log-uniformly from this range ...
    crop: ... and a window of (height, width) is cut at a random place, padded with the ignore value; () does neither.
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
        if not 0 <= self.rotate <= 180 or not 0 <= self.color <= 1:
            raise ConfigError(
                f"augment.rotate {self.rotate} and augment.color {self.color} do not fit; expected 0..180 and 0..1"
            )
        if len(self.crop) not in (0, 2) or any(side < 32 for side in self.crop):
            raise ConfigError(f"augment.crop {self.crop} is not a window; expected height,width of at least 32 each")

    def build(self, classes: ClassTable, preprocessing: Preprocessing | None = None) -> SemanticTransform:
        """The transform; its randomness is torch's global generator, which the caller seeds for each sample."""
        return functools.partial(self._apply, ignore=classes.ignore_index)  # unlike a closure, it can be pickled

    def _apply(self, sample: SemanticSample, ignore: int) -> SemanticSample:
        image, mask = sample["image"], sample["mask"]
        if self.crop:
            image, mask = self._scale_and_crop(image, mask, ignore)
        if self.rotate:
            angle = float(torch.empty(()).uniform_(-self.rotate, self.rotate))
            image = F.rotate(image, angle, v2.InterpolationMode.BILINEAR, fill=[0.0])
            mask = F.rotate(tv_tensors.Mask(mask), angle, fill=ignore)
        image, mask = _flip_and_color(image, mask, self.flip, self.color)
        return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask), "name": sample["name"]}

    def _scale_and_crop(
        self, image: torch.Tensor, mask: torch.Tensor, ignore: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut the window out first and resize it after: the same picture, at the cost of the window alone."""
        low, high = self.scale
        factor = low * (high / low) ** float(torch.rand(()))
        height, width = image.shape[-2:]
        out_h, out_w = self.crop
        # The window in the coordinates of the source picture; where the picture is smaller, all of it.
        src_h, src_w = max(1, round(out_h / factor)), max(1, round(out_w / factor))
        size = [
            out_h if src_h <= height else min(out_h, max(1, round(height * factor))),
            out_w if src_w <= width else min(out_w, max(1, round(width * factor))),
        ]
        src_h, src_w = min(src_h, height), min(src_w, width)
        top = int(torch.randint(height - src_h + 1, ()))
        left = int(torch.randint(width - src_w + 1, ()))
        image = F.resized_crop(image, top, left, src_h, src_w, size, v2.InterpolationMode.BILINEAR, antialias=True)
        # As a plain tensor: for a Mask torchvision takes another nearest pixel than the one bilinear centres on.
        plane = mask.as_subclass(torch.Tensor)[None]
        mask = F.resized_crop(plane, top, left, src_h, src_w, size, v2.InterpolationMode.NEAREST_EXACT)[0]
        if size != [out_h, out_w]:  # smaller than the window: pad at a random side, scored nowhere
            down, right = out_h - size[0], out_w - size[1]
            up, before = int(torch.randint(down + 1, ())), int(torch.randint(right + 1, ()))
            padding = [before, up, right - before, down - up]
            image = F.pad(image, padding, fill=[0.0] * image.shape[0])
            mask = F.pad(mask[None], padding, fill=ignore)[0]
        return image, mask


@dataclass(frozen=True)
class ObjectCrops:
    """Crops around single objects, as DeconvNet is trained (Noh, Hong and Han 2015, section 4.2).

    An object is a connected region of one class. Its class is drawn first, from all that the picture has alike: rare
    classes come as often as common ones.

    stage: 'easy' shows the object in the middle with a fifth more around it (the paper's first stage). 'hard' shows it
        anywhere in a window of up to `zoom` times its size, as object proposals would (its second stage). Unlike in the
        paper, whatever else is in the crop keeps its label.
    size: height and width that every crop is resized to.
    zoom: see above.
    flip: mirror left-right half of the time.
    color: strength of brightness, contrast, saturation and hue jitter (0: none; hue moves a fifth as far).
    """

    stage: Literal["easy", "hard"] = "easy"
    size: tuple[int, int] = (224, 224)
    zoom: float = 4.0
    flip: bool = True
    color: float = 0.3

    def __post_init__(self) -> None:
        if self.zoom < MARGIN or not 0 <= self.color <= 1 or min(self.size) < 32:
            raise ConfigError(
                f"augment.zoom {self.zoom}, color {self.color} and size {self.size} do not fit; expected at least "
                f"{MARGIN}, 0..1 and sides of at least 32"
            )

    def build(self, classes: ClassTable, preprocessing: Preprocessing | None = None) -> SemanticTransform:
        """The transform; its randomness is torch's global generator, which the caller seeds for each sample."""
        return functools.partial(self._apply, ignore=classes.ignore_index)

    def _apply(self, sample: SemanticSample, ignore: int) -> SemanticSample:
        image, plane = sample["image"], sample["mask"].as_subclass(torch.Tensor)
        top, left, height, width = self._window(plane, ignore)
        size = list(self.size)
        image = F.resized_crop(image, top, left, height, width, size, v2.InterpolationMode.BILINEAR, antialias=True)
        mask = F.resized_crop(plane[None], top, left, height, width, size, v2.InterpolationMode.NEAREST_EXACT)[0]
        image, mask = _flip_and_color(image, mask, self.flip, self.color)
        return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask), "name": sample["name"]}

    def _window(self, mask: torch.Tensor, ignore: int) -> tuple[int, int, int, int]:
        """top, left, height, width of a window with a drawn object in it, cut to the picture."""
        full = (0, 0, mask.shape[0], mask.shape[1])
        present = [int(c) for c in mask.unique() if c != ignore]
        if not present:
            return full
        chosen = mask == present[int(torch.randint(len(present), ()))]
        regions, _ = ndimage.label(chosen.numpy())
        places = chosen.nonzero()
        row, column = places[int(torch.randint(len(places), ()))].tolist()
        rows, columns = ndimage.find_objects((regions == regions[row, column]).astype(np.uint8))[0]
        factor = MARGIN if self.stage == "easy" else float(torch.empty(()).uniform_(MARGIN, self.zoom))
        spans = [self._span(s.start, s.stop, factor, side) for s, side in zip((rows, columns), full[2:], strict=True)]
        return spans[0][0], spans[1][0], spans[0][1], spans[1][1]

    def _span(self, start: int, stop: int, factor: float, side: int) -> tuple[int, int]:
        """Start and length, along one axis, of a window `factor` times the object, inside 0..side."""
        length = min(side, max(LEAST, round(factor * (stop - start))))
        spare = length - (stop - start)
        before = spare / 2 if self.stage == "easy" else float(torch.rand(())) * spare
        return min(max(0, round(start - before)), side - length), length


@dataclass(frozen=True)
class ClassificationAugment:
    """How a training picture of one class is varied: a random window, brought to the network's size.

    scale: the window's share of the picture's area is drawn from this range ...
    ratio: ... and its width / height, log-uniformly, from this one (Szegedy et al., "Going deeper with convolutions",
        2015, section 6). Both are of the window after it has the network's shape.
    flip: mirror left-right half of the time.
    rotate: largest rotation to either side, in degrees; what comes in from outside is black.
    color: strength of brightness, contrast, saturation and hue jitter (0: none; hue moves a fifth as far).
    """

    scale: tuple[float, float] = (0.35, 1.0)
    ratio: tuple[float, float] = (0.75, 1.333)
    flip: bool = True
    rotate: float = 0.0
    color: float = 0.3

    def __post_init__(self) -> None:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high:
                raise ConfigError(f"augment.{name} {low},{high} is not a range; expected 0 < low <= high")
        if self.scale[1] > 1 or not 0 <= self.rotate <= 180 or not 0 <= self.color <= 1:
            raise ConfigError(
                f"augment.scale {self.scale}, rotate {self.rotate} and color {self.color} do not fit; expected "
                "shares of at most 1, 0..180 and 0..1"
            )

    def build(self, classes: ClassTable, preprocessing: Preprocessing) -> ClassificationTransform:
        """The transform; its randomness is torch's global generator, which the caller seeds for each sample."""
        return functools.partial(self._apply, size=preprocessing.size)

    def _apply(self, sample: ClassificationSample, size: tuple[int, ...]) -> ClassificationSample:
        image: torch.Tensor = sample["image"]
        height, width = image.shape[-2:]
        target = size or (height, width)
        if self.rotate:
            angle = float(torch.empty(()).uniform_(-self.rotate, self.rotate))
            image = F.rotate(image, angle, v2.InterpolationMode.BILINEAR, fill=[0.0])
        area = height * width * float(torch.empty(()).uniform_(*self.scale))
        low, high = self.ratio
        ratio = target[1] / target[0] * low * (high / low) ** float(torch.rand(()))
        window_h = min(height, max(1, round((area / ratio) ** 0.5)))
        window_w = min(width, max(1, round((area * ratio) ** 0.5)))
        top = int(torch.randint(height - window_h + 1, ()))
        left = int(torch.randint(width - window_w + 1, ()))
        image = F.resized_crop(
            image, top, left, window_h, window_w, list(target), v2.InterpolationMode.BILINEAR, antialias=True
        )
        if self.flip and torch.rand(()) < 0.5:
            image = F.horizontal_flip(image)
        if self.color and image.shape[0] == 3:
            image = v2.ColorJitter(self.color, self.color, self.color, self.color / 5)(image)
        return {"image": tv_tensors.Image(image), "label": sample["label"], "name": sample["name"]}


def _flip_and_color(
    image: torch.Tensor, mask: torch.Tensor, flip: bool, color: float
) -> tuple[torch.Tensor, torch.Tensor]:
    if flip and torch.rand(()) < 0.5:
        image, mask = F.horizontal_flip(image), F.horizontal_flip(mask)
    if color and image.shape[0] == 3:
        image = v2.ColorJitter(color, color, color, color / 5)(image)
    return image, mask
