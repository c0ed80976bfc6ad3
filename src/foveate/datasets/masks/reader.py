"""Reading of single masks, after the meaning of the whole set is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from foveate.datasets.classes import CLASSES_FILE, Color, hex_color
from foveate.datasets.files import Pair
from foveate.datasets.masks.few_bits import values_of
from foveate.datasets.masks.layers import Layers, read_layers, unpack
from foveate.errors import DataError, counted
from foveate.records import ClassTable

MaskKind = Literal["palette", "index", "binary", "rgb", "objects"]
Plane = Literal["values", "colors", "alpha"]
_TABLE = 65536  # values below are looked up in a table, others searched


@dataclass(frozen=True)
class MaskReader:
    """Reads the masks of one set; a `ReadLabel`.

    codes: the stored values, or the colours as 0xRRGGBB, with the label of each, in rising order.
    remark: the recognised encoding, in one clause.
    plane: the layer of a file that holds the labels. A palette's indices are values; under 'colors' they are turned
        into the palette's colours.
    threshold: of smoothed binary masks, the least value of class 1.
    background: of object numbers, the value or colour that is no object.
    advice: what to do about a value that has no label. refused: the complaint about the first file with such values.
    step: of grey masks of 2 or 4 bits, by which decoded values are divided (see `few_bits`).
    file: the class list's name in messages. notes: sentences on what the values may mean otherwise.
    """

    kind: MaskKind
    classes: ClassTable
    codes: tuple[tuple[int, int], ...] = ()
    remark: str = ""
    plane: Plane = "values"
    threshold: float | None = None
    background: int = 0
    advice: str = ""
    refused: str = ""
    file: str = CLASSES_FILE
    notes: tuple[str, ...] = ()
    step: int = 1

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(H, W) labels of the mask file `pair.label`. Raises DataError."""
        layers = read_layers(pair.label)
        plane = self._plane_of(layers)
        if self.threshold is not None:
            return (plane >= self.threshold).astype(np.uint8)
        if self.kind == "objects":
            labels = (self.numbers(plane) != 0).astype(np.uint8)
            for code, label in self.codes:
                labels[plane == code] = label
            return labels
        return self._look_up(layers, plane)

    def numbers(self, plane: np.ndarray) -> np.ndarray:
        """(H, W) values of a file of object numbers -> the same with 0 for the background and unscored pixels."""
        numbers = plane.astype(np.int64)
        unnumbered = int(numbers.max(initial=0)) + 1  # 0 is a colour that an object may have
        none = np.isin(numbers, [self.background, *(code for code, _ in self.codes)])
        return np.where(none, 0, np.where(numbers == 0, unnumbered, numbers))

    def objects(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Return the objects in the mask file `pair.label`, and its unscored pixels.

        (H, W) int32 numbers, 1 to N without gaps, and (H, W) bool. Raises DataError.
        """
        plane = self._plane_of(read_layers(pair.label))
        numbers = self.numbers(plane)
        found, renumbered = np.unique(numbers, return_inverse=True)
        unscored = np.isin(plane, [code for code, label in self.codes if label == self.classes.ignore_index])
        return renumbered.reshape(plane.shape).astype(np.int32) + (0 if found[0] == 0 else 1), unscored

    def _plane_of(self, layers: Layers) -> np.ndarray:
        if self.plane == "alpha":
            if layers.alpha is None:
                raise DataError(f"{layers.path}: has no alpha channel, which holds the other masks; save all alike")
            return layers.alpha
        if self.plane == "values":
            if layers.values is None:
                raise DataError(f"{layers.path}: holds colours, but the other masks hold indices; save all masks alike")
            return values_of(layers, self.step)
        return colors_of(layers)

    def _look_up(self, layers: Layers, plane: np.ndarray) -> np.ndarray:
        known, labels = self._arrays
        if plane.size and (plane.dtype.kind == "u" or plane.min() >= 0) and plane.max() < _TABLE:
            found, unknown = self._table[plane], ~self._is_known[plane]
        else:
            place = np.minimum(np.searchsorted(known, plane), len(known) - 1)
            found, unknown = labels[place], known[place] != plane
        if unknown.any():
            raise DataError(f"{layers.path}: {self._complaint(layers, np.unique(plane[unknown]).tolist())}")
        return found

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        known, labels = (np.array(column, np.int64) for column in zip(*self.codes, strict=True))
        return known, labels.astype(np.uint8 if labels.max() <= 255 else np.int32)

    @cached_property
    def _table(self) -> np.ndarray:
        known, labels = self._arrays
        small = (known >= 0) & (known < _TABLE)
        table = np.zeros(_TABLE, labels.dtype)
        table[known[small]] = labels[small]
        return table

    @cached_property
    def _is_known(self) -> np.ndarray:
        known = self._arrays[0]
        table = np.zeros(_TABLE, bool)
        table[known[(known >= 0) & (known < _TABLE)]] = True
        return table

    def _complaint(self, layers: Layers, unknown: list[int]) -> str:
        if self.plane == "colors" and layers.colors is None and layers.palette is None and layers.channels == 1:
            return "holds indices, but the other masks hold colours; save all masks alike"
        if self.plane == "colors":
            return self._unknown_colors(unknown)
        size = len(self.classes)
        listing = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        first = self.codes[0][0] if size == 1 else min(c for c, label in self.codes if label < size)
        last = max(c for c, label in self.codes if label < size)
        return (
            f"label value{'s' if len(unknown) > 1 else ''} {listing} outside the class table of "
            f"{counted(size, 'class')} "
            f"({first}..{last}, ignore {self._ignored()}); {self.advice}"
        )

    def _ignored(self) -> str:
        unscored = [str(c) for c, label in self.codes if label == self.classes.ignore_index and abs(c) < 2**53]
        return ", ".join(unscored) or str(self.classes.ignore_index)

    def _unknown_colors(self, codes: list[int]) -> str:
        worst = unpack(codes[0])
        near = min(self.codes, key=lambda c: sum((a - b) ** 2 for a, b in zip(unpack(c[0]), worst, strict=True)))
        label = near[1]
        name = self.classes.names[label] if label < len(self.classes) else "ignore"
        more = f" (and {counted(len(codes) - 1, 'other unknown colour')})" if len(codes) > 1 else ""
        remedy = f"add it to {self.file}, with a name" + (
            f" or as 'ignore: {hex_color(worst)}'" if self.file.endswith(CLASSES_FILE) else ""
        )
        return (
            f"colour {hex_color(worst)}{more} is no class's; the nearest is '{name}' {hex_color(unpack(near[0]))}; "
            f"{self.advice or remedy}"
        )


def colors_of(layers: Layers) -> np.ndarray:
    """(H, W) colours of a file, 0xRRGGBB: of a palette's indices their colours, of grey values three equal channels.

    Raises DataError for an index that the palette does not have.
    """
    if layers.colors is not None:
        return layers.colors
    values = layers.values
    assert values is not None
    if layers.palette is None:
        return values.astype(np.int64) * 0x10101
    if values.size and int(values.max()) >= len(layers.palette):
        raise DataError(
            f"{layers.path}: index {values.max()} is not in its palette of {counted(len(layers.palette), 'colour')}"
        )
    found: np.ndarray = layers.palette[values]
    return found


def color_reader(
    classes: ClassTable, labels: Iterable[tuple[Color, int]], remark: str = "RGB colours", advice: str = ""
) -> MaskReader:
    """A reader of rgb masks; several colours may share a label. advice: what to do about another colour."""
    codes = sorted((r << 16 | g << 8 | b, label) for (r, g, b), label in labels)
    return MaskReader("rgb", classes, tuple(codes), remark, "colors", advice=advice)
