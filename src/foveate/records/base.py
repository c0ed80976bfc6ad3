"""Records that every family shares: class tables, preprocessing, spatial transformers.

Shapes: B images of C channels, H x W pixels.
"""

from __future__ import annotations

import colorsys
import dataclasses
import itertools
import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, counted

# The label of a pixel that no loss sees, inside a batch. It is torch's own default; on disk and in samples
# the class table's `ignore_index` (255 unless it says otherwise) plays this part.
IGNORE = -100


def _distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Golden-angle hues with alternating lightness: neighbours in the table never look alike."""
    colors = []
    for i in range(count):
        rgb = colorsys.hls_to_rgb((0.58 + i * 0.381966) % 1.0, (0.45, 0.62, 0.33)[i % 3], 0.75)
        colors.append((round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255)))
    return tuple(colors)


def unused_label(classes: int) -> int:
    """The label value of pixels that are not scored: 255, or 65535 where 255 is the label of a class."""
    return 255 if classes <= 255 else 65535


# Names of the background and of the object in masks of two values without a class list.
UNNAMED_PAIR = ("background", "foreground")


@dataclass(frozen=True)
class ClassTable:
    """Names and colours of the classes, in label order; it travels into run folders and exported files.

    names: label i is called names[i].
    colors: RGB, 0..255, one a class; drawn from a fixed palette if empty.
    ignore_index: the label value that is neither trained on nor scored.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not self.names:
            raise ConfigError("a class table needs at least one class name; got none")
        if len(set(self.names)) != len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise ConfigError(f"class names must differ; repeated: {', '.join(twice)}")
        if 0 <= self.ignore_index < len(self.names):
            raise ConfigError(
                f"ignore value {self.ignore_index} is also the label of class '{self.names[self.ignore_index]}'; "
                f"choose a value of {len(self.names)} or more"
            )
        if not self.colors:
            object.__setattr__(self, "colors", _distinct_colors(len(self.names)))
        if len(self.colors) != len(self.names):
            raise ConfigError(
                f"{counted(len(self.names), 'class name')} but {counted(len(self.colors), 'colour')}; "
                "give one colour a class"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_guessed(self) -> bool:
        """True if the names were made up for values or colours that no class list names: 'class_0' and so on."""
        return all(re.fullmatch(r"class_\d+", name) for name in self.names)

    @property
    def earlier(self) -> ClassTable:
        """The table as an earlier version named it: the two classes of masks of 0 and 1 were class_0 and class_1."""
        return dataclasses.replace(self, names=("class_0", "class_1")) if self.names == UNNAMED_PAIR else self

    @property
    def background(self) -> int | None:
        """The label 0, if it is called background; None for a table without such a class."""
        return 0 if self.names[0].strip().strip("_").lower() in ("background", "bg") else None

    @property
    def has_own_colors(self) -> bool:
        """True if the colours are the data's own, rather than drawn from the fixed palette."""
        return self.colors != _distinct_colors(len(self.names))

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {"names": list(self.names), "colors": [list(c) for c in self.colors], "ignore_index": self.ignore_index}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ClassTable:
        """The inverse of `to_json`."""
        colors = tuple((int(r), int(g), int(b)) for r, g, b in data.get("colors", ()))
        return cls(tuple(data["names"]), colors, int(data.get("ignore_index", 255)))


class Table(Protocol):
    """Names of the numbers that a model takes or gives: the classes of a ClassTable, the tokens of a text's table."""

    @property
    def names(self) -> tuple[str, ...]:
        """One a number."""
        ...

    def __len__(self) -> int: ...

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        ...


@dataclass(frozen=True)
class Preprocessing:
    """Transformation of an image into the network's input: intensities to 0..1, then (x - mean) / std in each channel.

    size: (height, width) that images are resized to, for a network with a fixed input size: the middle of the image, of
        this shape, `crop` of the largest such window a side. () keeps an image's own size.
    stretch: resize the whole image instead, whatever its shape.
    window: (low, high) of each channel, in the values that the files hold, which become 0 and 1; what lies beyond is
        cut. () is the full range of the files' type: 0..255, 0..65535, and 0..1 of floats.
    values: the type that the window, or (), was chosen for: uint8, uint16, float32, ...; '' for any, and for models of
        before there were windows.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    size: tuple[int, ...] = ()
    crop: float = 1.0
    stretch: bool = False
    window: tuple[tuple[float, float], ...] = ()
    values: str = ""

    @classmethod
    def centred(cls, channels: int) -> Preprocessing:
        """0..1 -> -2..2 in every channel alike: for networks that start from nothing."""
        return cls((0.5,) * channels, (0.25,) * channels)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        tuples = {name: list(getattr(self, name)) for name in ("mean", "std", "size")}
        return dataclasses.asdict(self) | tuples | {"window": [list(bounds) for bounds in self.window]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_json`. Raises ConfigError for numbers that normalise no image."""
        size, crop = tuple(data.get("size", ())), data.get("crop", 1.0)
        window = tuple((float(low), float(high)) for low, high in data.get("window", ()))
        stretch, values = data.get("stretch", False), data.get("values", "")
        mean, std = (tuple(map(float, data[name])) for name in ("mean", "std"))
        fits = len(mean) == len(std) > 0 and len(size) in (0, 2) and len(window) in (0, len(mean))
        known = all(map(math.isfinite, (*mean, *std, *itertools.chain(*window)))) and min(std, default=0.0) > 0
        sides = all(type(side) is int and 0 < side < 1 << 16 for side in size)
        if not (fits and known and sides and type(crop) in (int, float) and 0 < crop <= 1 and isinstance(values, str)):
            raise ConfigError(
                f"preprocessing has mean {mean}, std {std}, size {size}, crop {crop}, window {window} and values "
                f"{values!r}; expected as many finite means, positive deviations and windows, and a size of two sides"
            )
        return cls(mean, std, size, crop, stretch, window, values)

    def __call__(self, image: Tensor) -> Tensor:
        """(..., C, H, W) uint8, or float in 0..1 to which the window was applied -> float32, normalised."""
        mean = torch.tensor(self.mean, device=image.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=image.device).view(-1, 1, 1)
        scale = 255.0 if image.dtype == torch.uint8 else 1.0
        return (image.float() - mean * scale) / (std * scale)


class TransformerOutput(NamedTuple):
    """Output of a spatial transformer on a map (B, C, H, W)."""

    theta: Tensor  # (B, P): the parameters of its transformation
    grid: Tensor  # (B, h, w, 2): x and y, in -1..1 over the map's edges, where each output pixel was read
    output: Tensor  # (B, C, h, w)


@dataclass
class TransformView:
    """Sampling grid and output of one spatial transformer on one image.

    grid: (h, w, 2) float32, x and y in -1..1 over the edges of its input.
    output: (h, w, C) float32 in 0..1 where its input is the image itself, else None.
    """

    grid: np.ndarray
    output: np.ndarray | None
