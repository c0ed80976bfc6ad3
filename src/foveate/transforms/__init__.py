"""Random training transforms of an image together with its label, built on torchvision's v2 transforms.

Each augmentation is a frozen dataclass used in a recipe. Its `build` returns a function from sample to sample.
Images are (C, H, W), masks (H, W).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy import ndimage

from foveate.deferred import functional as F
from foveate.deferred import tv_tensors, v2
from foveate.errors import ConfigError
from foveate.records import ClassificationSample, Preprocessing, SemanticSample
from foveate.text import split_words
from foveate.transforms.variations import blurred, elastic, place_rare, quarter_turn, rescaled, toned, upside_down

MARGIN = 1.2  # side of an object crop relative to the object's box, the paper's value
MIN_CROP = 16  # pixels: the shortest side of an object crop
SemanticTransform = Callable[[SemanticSample], SemanticSample]
ClassificationTransform = Callable[[ClassificationSample], ClassificationSample]


@dataclass(frozen=True)
class CaptionAugment:
    """Random mirroring of a captioned image, or of its cached features.

    The features of a mirrored image are only approximately the mirrored features of the image.

    flip: mirror left-right with probability 0.5, except where the caption has a word that begins with "left" or
        "right"; usually true.
    """

    flip: bool = True

    def build(self, tables: Mapping[str, Any], preprocessing: Preprocessing) -> Callable[[Any], Any]:
        """Return the transform of one sample.

        tables: table name -> table; "text", the vocabulary that decodes captions, is used.
        preprocessing: not used.
        The transform draws from torch's global generator, which the caller seeds for each sample.
        """
        return functools.partial(self._apply, table=tables["text"])

    def _apply(self, sample: Any, table: Any) -> Any:
        if not self.flip or torch.rand(()) < 0.5:
            return sample
        caption = split_words(" ".join(word for word, _ in table.words(sample["tokens"].tolist())))
        if any(word.startswith(("left", "right")) for word in caption):
            return sample
        return sample | {key: sample[key].flip(-1) for key in ("image", "features") if key in sample}


@dataclass(frozen=True)
class SemanticAugment:
    """Random scale, crop, flip, rotation, colour jitter and further changes of an image and its mask.

    scale: (low, high), range of the resize factor, drawn log-uniformly; usually 0.5 to 2; used only with `crop`.
    crop: (height, width) in pixels, at least 32 each, of the window cut at a random place; the image is padded with
        zeros and the mask with the ignore value where the window is larger; () neither resizes nor crops.
    flip: mirror left-right with probability 0.5; usually true.
    rotate: largest rotation to either side, in degrees, 0 to 180; usually 0; corners become black and ignored.
    color: strength of brightness, contrast, saturation and hue jitter, 0 (none) to 1; usually 0.3; hue changes a
        fifth as much; only images of 3 channels are changed.
    flip_vertical: mirror top to bottom with probability 0.5; for images without up and down, as those of microscopes
        and satellites.
    quarter_turns: turn by 0, 90, 180 or 270 degrees before the crop; for such images, too.
    elastic: largest displacement of a smooth deformation, in pixels, 0 (none) to 32; 2 to 8 for cells and tissue.
    blur: largest sigma of a Gaussian blur, in pixels, 0 (none) to 10; usually 0 to 2; the mask stays.
    brightness: strength of one factor on all values, 0 (none) to 1; usually 0.2; for any number of channels.
    gamma: strength of a power of all values, 0 (none) to 2; usually 0.5: from 1 / 1.5 to 1.5; for light that the
        training images do not show.
    rare: share of crops that hold a pixel of a class drawn uniformly from those of the image, 0 (none) to 1; usually
        0.5, for small or rare classes; used only with `crop`.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    crop: tuple[int, ...] = (384, 384)
    flip: bool = True
    rotate: float = 0.0
    color: float = 0.3
    flip_vertical: bool = False
    quarter_turns: bool = False
    elastic: float = 0.0
    blur: float = 0.0
    brightness: float = 0.0
    gamma: float = 0.0
    rare: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("elastic", 32.0), ("blur", 10.0), ("brightness", 1.0), ("gamma", 2.0), ("rare", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"augment.{name} is {getattr(self, name)}; expected 0 to {most:g}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"augment.scale {self.scale} is not a range; expected 0 < low <= high, e.g. 0.5,2.0")
        if not 0 <= self.rotate <= 180 or not 0 <= self.color <= 1:
            raise ConfigError(
                f"augment.rotate {self.rotate} and augment.color {self.color} are out of range; "
                "expected 0..180 and 0..1"
            )
        if len(self.crop) not in (0, 2) or any(side < 32 for side in self.crop):
            raise ConfigError(f"augment.crop {self.crop} is not a window; expected height,width of at least 32 each")

    def build(self, tables: Mapping[str, Any], preprocessing: Preprocessing) -> SemanticTransform:
        """Return the transform of one sample.

        tables: table name -> table; the ignore index of "classes" is used.
        preprocessing: not used.
        The transform draws from torch's global generator, which the caller seeds for each sample.
        """
        # Unlike a closure, a partial can be pickled.
        return functools.partial(self._apply, ignore=tables["classes"].ignore_index)

    def _apply(self, sample: SemanticSample, ignore: int) -> SemanticSample:
        image, mask = sample["image"], sample["mask"]
        if self.quarter_turns:
            image, mask = quarter_turn(image, mask)
        if self.crop:
            image, mask = self._scale_and_crop(image, mask, ignore)
        if self.rotate:
            angle = float(torch.empty(()).uniform_(-self.rotate, self.rotate))
            image = F.rotate(image, angle, v2.InterpolationMode.BILINEAR, fill=[0.0])
            mask = F.rotate(tv_tensors.Mask(mask), angle, fill=ignore)
        if self.elastic:
            image, mask = elastic(image, mask, self.elastic, ignore)
        if self.flip_vertical:
            image, mask = upside_down(image, mask)
        if self.blur:
            image = blurred(image, self.blur)
        if self.brightness:
            image = rescaled(image, self.brightness)
        if self.gamma:
            image = toned(image, self.gamma)
        image, mask = _flip_and_color(image, mask, self.flip, self.color)
        return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask), "name": sample["name"]}

    def _scale_and_crop(
        self, image: torch.Tensor, mask: torch.Tensor, ignore: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Crop first and resize the crop: the same result as the other order, at the cost of the crop alone."""
        low, high = self.scale
        factor = low * (high / low) ** float(torch.rand(()))
        height, width = image.shape[-2:]
        out_h, out_w = self.crop
        # The window in source coordinates, clipped to the image.
        src_h, src_w = max(1, round(out_h / factor)), max(1, round(out_w / factor))
        size = [
            out_h if src_h <= height else min(out_h, max(1, round(height * factor))),
            out_w if src_w <= width else min(out_w, max(1, round(width * factor))),
        ]
        src_h, src_w = min(src_h, height), min(src_w, width)
        if self.rare and torch.rand(()) < self.rare:
            top, left = place_rare(mask, (src_h, src_w), ignore)
        else:
            top = int(torch.randint(height - src_h + 1, ()))
            left = int(torch.randint(width - src_w + 1, ()))
        image = F.resized_crop(image, top, left, src_h, src_w, size, v2.InterpolationMode.BILINEAR, antialias=True)
        # As a plain tensor: for a Mask torchvision picks another nearest pixel than the one bilinear is centred on.
        plane = mask.as_subclass(torch.Tensor)[None]
        mask = F.resized_crop(plane, top, left, src_h, src_w, size, v2.InterpolationMode.NEAREST_EXACT)[0]
        if size != [out_h, out_w]:  # smaller than the window: pad around a random position; padding is ignored
            down, right = out_h - size[0], out_w - size[1]
            up, before = int(torch.randint(down + 1, ())), int(torch.randint(right + 1, ()))
            padding = [before, up, right - before, down - up]
            image = F.pad(image, padding, fill=[0.0] * image.shape[0])
            mask = F.pad(mask[None], padding, fill=ignore)[0]
        return image, mask


@dataclass(frozen=True)
class ObjectCrops:
    """Crops around single objects, as DeconvNet is trained (Noh, Hong and Han 2015, section 4.2).

    An object is a connected region of one class. The class is drawn first, uniformly over the classes present in the
    image, so that rare classes are sampled as often as common ones. The paper draws crops beforehand, repeats those of
    rare classes, and takes those of its second stage from object proposals.

    stage: 'easy' centres the object in a crop 1.2 times its size (the paper's first stage); 'hard' places it anywhere
        in a crop of 1.2 to `zoom` times its size, as object proposals would (the paper's second stage).
    size: (height, width) in pixels, at least 32 each, that every crop is resized to; usually (224, 224).
    zoom: largest size of a 'hard' crop relative to the object, at least 1.2; usually 4; larger shows more context.
    square: True makes windows squares, as in the paper, where the image is large enough.
    others: 'keep' leaves everything else in the crop its label; 'background' labels it as class 0, as the paper's
        first stage does, void excepted.
    spare: pixels by which a crop is resized above `size`, of which a random part is taken; 26 in the authors' code.
    flip: mirror left-right with probability 0.5; usually true.
    color: strength of brightness, contrast, saturation and hue jitter, 0 (none) to 1; usually 0.3; hue changes a
        fifth as much; only images of 3 channels are changed.
    """

    stage: Literal["easy", "hard"] = "easy"
    size: tuple[int, int] = (224, 224)
    zoom: float = 4.0
    square: bool = False
    others: Literal["keep", "background"] = "keep"
    spare: int = 0
    flip: bool = True
    color: float = 0.3

    def __post_init__(self) -> None:
        if self.zoom < MARGIN or not 0 <= self.color <= 1 or min(self.size) < 32:
            raise ConfigError(
                f"augment.zoom {self.zoom}, color {self.color} and size {self.size} are out of range; expected "
                f"at least {MARGIN}, 0..1 and sides of at least 32"
            )
        if self.others not in ("keep", "background") or self.spare < 0:
            raise ConfigError(
                f"augment.others '{self.others}' and spare {self.spare}; expected keep or background, and 0 or more"
            )

    def build(self, tables: Mapping[str, Any], preprocessing: Preprocessing) -> SemanticTransform:
        """Return the transform of one sample.

        tables: table name -> table; the ignore index of "classes" is used.
        preprocessing: not used.
        The transform draws from torch's global generator, which the caller seeds for each sample.
        """
        return functools.partial(self._apply, ignore=tables["classes"].ignore_index)

    def _apply(self, sample: SemanticSample, ignore: int) -> SemanticSample:
        image, plane = sample["image"], sample["mask"].as_subclass(torch.Tensor)
        (top, left, height, width), region = self._window(plane, ignore)
        if self.others == "background":
            plane = plane.masked_fill(~region & (plane != ignore), 0)
        size = [side + self.spare for side in self.size]
        image = F.resized_crop(image, top, left, height, width, size, v2.InterpolationMode.BILINEAR, antialias=True)
        mask = F.resized_crop(plane[None], top, left, height, width, size, v2.InterpolationMode.NEAREST_EXACT)[0]
        if self.spare:
            down, across = (int(v) for v in torch.randint(self.spare + 1, (2,)))
            image, mask = (x[..., down : down + self.size[0], across : across + self.size[1]] for x in (image, mask))
        image, mask = _flip_and_color(image, mask, self.flip, self.color)
        return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask), "name": sample["name"]}

    def _window(self, mask: torch.Tensor, ignore: int) -> tuple[tuple[int, int, int, int], torch.Tensor]:
        """Return a window around a randomly drawn object, clipped to the image, and the object's pixels.

        The window is (top, left, height, width); the pixels are (H, W) bool.
        """
        full = (0, 0, mask.shape[0], mask.shape[1])
        present = [int(c) for c in mask.unique() if c != ignore]
        if not present:
            return full, torch.zeros_like(mask, dtype=torch.bool)
        chosen = mask == present[int(torch.randint(len(present), ()))]
        regions, _ = ndimage.label(chosen.numpy())
        pixels = chosen.nonzero()
        row, column = pixels[int(torch.randint(len(pixels), ()))].tolist()
        region = regions == regions[row, column]
        rows, columns = ndimage.find_objects(region.astype(np.uint8))[0]
        longer = max(s.stop - s.start for s in (rows, columns))
        factor = MARGIN if self.stage == "easy" else float(torch.empty(()).uniform_(MARGIN, self.zoom))
        spans = [
            self._span(s.start, s.stop, factor * (longer if self.square else s.stop - s.start), side)
            for s, side in zip((rows, columns), full[2:], strict=True)
        ]
        return (spans[0][0], spans[1][0], spans[0][1], spans[1][1]), torch.from_numpy(region)

    def _span(self, start: int, stop: int, wanted: float, side: int) -> tuple[int, int]:
        """Return start and length, along one axis, of a window of a wanted length, clipped to 0..side."""
        length = min(side, max(MIN_CROP, round(wanted)))
        spare = length - (stop - start)
        before = spare / 2 if self.stage == "easy" else float(torch.rand(())) * spare
        return min(max(0, round(start - before)), side - length), length


@dataclass(frozen=True)
class ClassificationAugment:
    """Random resized crop, flip, rotation and colour jitter of an image with one class label.

    The crop follows Szegedy et al., "Going deeper with convolutions" (2015), section 6.

    scale: (low, high), range of the crop's share of the image's area, drawn uniformly; at most 1; usually 0.35 to 1;
        a lower bound shows smaller parts.
    ratio: (low, high), range of the crop's width / height relative to that of the network's input, drawn
        log-uniformly; usually 0.75 to 1.333; a wider range distorts more.
    flip: mirror left-right with probability 0.5; usually true.
    rotate: largest rotation to either side, in degrees, 0 to 180; usually 0; uncovered corners become black.
    color: strength of brightness, contrast, saturation and hue jitter, 0 (none) to 1; usually 0.3; hue changes a
        fifth as much; only images of 3 channels are changed.
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
                f"augment.scale {self.scale}, rotate {self.rotate} and color {self.color} are out of range; expected "
                "shares of at most 1, 0..180 and 0..1"
            )

    def build(self, tables: Mapping[str, Any], preprocessing: Preprocessing) -> ClassificationTransform:
        """Return the transform of one sample.

        tables: not used.
        preprocessing: its size becomes the size of the transformed image; where it is () the image keeps its own.
        The transform draws from torch's global generator, which the caller seeds for each sample.
        """
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
