"""Labelled areas that annotation tools draw along the edges of pixels -> label maps and objects: CVAT, Label Studio.

A later shape lies on top. Class 0 is "background", every pixel without a shape; the label `__ignore__` is not scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate.datasets.files import Pair
from foveate.datasets.objects import Objects
from foveate.errors import DataError
from foveate.labels.outlines import fill_edges
from foveate.records import ClassTable

BACKGROUND, IGNORE_LABEL = "background", "__ignore__"
_CORNERS = 64  # of the polygon that stands for an ellipse


@dataclass(frozen=True)
class Polygon:
    """The area inside of corners (P, 2) float64, in pixels, along their edges."""

    corners: np.ndarray

    def mask(self, height: int, width: int) -> np.ndarray:
        """(height, width) bool, by COCO's routine."""
        return fill_edges([[(x, y) for x, y in self.corners.tolist()]], height, width)


@dataclass(frozen=True)
class Runs:
    """An area in a box, as lengths of runs of pixels row by row, the first of them outside of it.

    lengths: (R,) integers. box: left, top, width and height in pixels.
    """

    lengths: np.ndarray
    box: tuple[int, int, int, int]

    def mask(self, height: int, width: int) -> np.ndarray:
        """(height, width) bool. Raises ValueError for runs that do not fit."""
        left, top, wide, high = self.box
        lengths = self.lengths.tolist()  # Python's integers, whose sum does not overflow
        total, outside = sum(lengths), left < 0 or top < 0 or left + wide > width or top + high > height
        if total != wide * high or outside or min(lengths, default=0) < 0:
            raise ValueError(f"a mask of {total} pixels in a box of {wide}x{high} at ({left}, {top})")
        inside = np.arange(len(self.lengths)) % 2 == 1
        found = np.zeros((height, width), bool)
        found[top : top + high, left : left + wide] = np.repeat(inside, self.lengths).reshape(high, wide)
        return found


@dataclass(frozen=True)
class Shape:
    """A labelled area. group: shapes of one label and one group are one object; 0 for none."""

    label: str
    area: Polygon | Runs
    group: int = 0


@dataclass(frozen=True)
class Annotation:
    """The shapes of one image, bottom first. size: (height, width)."""

    file: Path
    size: tuple[int, int]
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class ShapeLabels:
    """Paints shapes, by class or by object."""

    classes: ClassTable

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices, the ignore value under `__ignore__`. Raises DataError."""
        label = np.zeros((height, width), np.uint8 if self.classes.ignore_index <= 255 else np.int32)
        for shape, mask in self._masks(pair, height, width):
            label[mask] = self._value(shape.label)
        return label

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """Each object with all of its pixels, also where another covers it. Raises DataError."""
        masks: dict[tuple[str, int, int], np.ndarray] = {}
        unscored = np.zeros((height, width), bool)
        for place, (shape, mask) in enumerate(self._masks(pair, height, width)):
            if shape.label == IGNORE_LABEL:
                unscored |= mask
            elif shape.label != BACKGROUND:
                key = (shape.label, shape.group, 0) if shape.group else (shape.label, 0, place + 1)
                masks[key] = masks[key] | mask if key in masks else mask
        covered = np.any(list(masks.values()), axis=0) if masks else np.zeros((height, width), bool)
        return Objects(
            np.stack(list(masks.values())) if masks else np.zeros((0, height, width), bool),
            [self._value(label) for label, _, _ in masks],
            unscored=unscored & ~covered,
        )

    def _value(self, label: str) -> int:
        return self.classes.ignore_index if label == IGNORE_LABEL else self.classes.names.index(label)

    def _masks(self, pair: Pair, height: int, width: int) -> Iterator[tuple[Shape, np.ndarray]]:
        annotation: Annotation = pair.label
        if annotation.size != (height, width):
            raise DataError(
                f"{pair.picture}: the picture is {width}x{height}, but {annotation.file} says "
                f"{annotation.size[1]}x{annotation.size[0]}; they must be of one size"
            )
        for number, shape in enumerate(annotation.shapes, 1):
            try:
                yield shape, shape.area.mask(height, width)
            except ValueError as error:
                where = f"{annotation.file}: {pair.picture.name}, shape {number} ('{shape.label}')"
                raise DataError(f"{where}: {error} of a picture of {width}x{height}; they must fit") from error


def ellipse(radius_x: float, radius_y: float) -> np.ndarray:
    """Corners (64, 2) of the polygon that stands for an ellipse about the origin."""
    angles = np.arange(_CORNERS) * 2 * math.pi / _CORNERS
    return np.stack([radius_x * np.cos(angles), radius_y * np.sin(angles)], 1)


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points (P, 2), turned clockwise about the origin, as seen where y points down."""
    angle = math.radians(degrees)
    # (x, y) -> (x cos a - y sin a, x sin a + y cos a), of rows
    return points @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
