"""LabelMe's list of shapes <-> the two layers that the page edits.

PAINT is a map (H, W) of object numbers, 0 for undecided pixels; OUTLINES are drawn over it in their order. Shapes of
LabelMe are painted in the file's order, later over earlier, so a shape belongs to the outlines only if no mask, and
nothing that was counted to the paint for this reason, covers a part of it. A shape that nobody touched is written back
as it was read; one that was painted on becomes a mask of its visible pixels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from PIL import Image

from foveate.datasets.labelme.json_files import read_shapes
from foveate.datasets.labelme.shapes import Shape, rasterise
from foveate.studio.tiles import HIGHEST, tile_box

OWN = "foveate"  # key of what only the labelling page reads
Box = tuple[int, int, int, int]  # top, left, bottom, right; the latter two exclusive


@dataclass(frozen=True)
class Painted:
    """A shape that is part of the paint. entry: its object in the file. hides: a part of it lies under others."""

    entry: dict[str, Any]
    hides: bool = False


@dataclass(frozen=True)
class Layers:
    """Shapes of one file as layers.

    paint: (H, W) uint16. counts: pixels of each number, (65536,). objects: number -> its shape, in the file's order.
    outlines: key -> the shape's object in the file, in the order of painting.
    """

    paint: np.ndarray
    counts: np.ndarray
    objects: Mapping[int, Painted] = field(default_factory=dict)
    outlines: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return int(self.paint.shape[0]), int(self.paint.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays; of a small image `counts` is the larger one."""
        return int(self.paint.nbytes + self.counts.nbytes)

    def shapes(self) -> list[dict[str, Any]]:
        """The list of shapes that a file of these layers has: the paint, then the outlines over it."""
        painted = [_marked(one.entry, "number", number) for number, one in self.objects.items()]
        return painted + [_marked(entry, "key", key) for key, entry in self.outlines.items()]


def empty(height: int, width: int) -> Layers:
    """Layers without a shape."""
    counts = np.zeros(HIGHEST + 1, np.int64)
    counts[0] = height * width
    return Layers(np.zeros((height, width), np.uint16), counts)


def layers_of(file: Path, entries: list[Any], height: int, width: int) -> Layers:
    """The layers of a file's shapes. Raises DataError as the reader of LabelMe files does."""
    shapes = list(read_shapes(file, entries))
    in_paint = _in_paint(file, shapes, height, width)
    numbers = _kept(entries, "number", in_paint)
    keys = _kept(entries, "key", [not one for one in in_paint])
    free = (number for number in range(1, HIGHEST + 1) if number not in set(numbers))
    spare = (f"o{place}" for place in range(1, len(shapes) + len(keys) + 2) if f"o{place}" not in set(keys))
    paint = np.zeros((height, width), np.uint16)
    placed: dict[int, tuple[dict[str, Any], int]] = {}
    outlines: dict[str, dict[str, Any]] = {}
    for place, (entry, shape) in enumerate(zip(entries, shapes, strict=True)):
        if not in_paint[place]:
            outlines[keys[place] or next(spare)] = entry
        else:
            number = numbers[place] or next(free)
            full = rasterise(shape, height, width, _name(file, place, shape))
            paint[full] = number
            placed[number] = (entry, int(full.sum()))
    counts = np.bincount(paint.reshape(-1), minlength=HIGHEST + 1)
    objects = {n: Painted(entry, size > counts[n]) for n, (entry, size) in placed.items()}
    return Layers(paint, counts, objects, outlines)


def _in_paint(file: Path, shapes: Sequence[Shape], height: int, width: int) -> list[bool]:
    """The shapes that belong to the paint: masks, and outlines that a later one of these covers in part."""
    found = [shape.kind == "mask" for shape in shapes]
    above = np.zeros((height, width), bool)
    first = found.index(False) if False in found else len(found)  # what lies below all outlines covers none
    for place in reversed(range(first, len(shapes))):
        mask = rasterise(shapes[place], height, width, _name(file, place, shapes[place]))
        found[place] = found[place] or bool((above & mask).any())
        if found[place]:
            above |= mask
    return found


def _name(file: Path, place: int, shape: Shape) -> str:
    return f"{file}: shape {place + 1} ('{shape.label}')"


def _kept(entries: Sequence[Any], name: str, wanted: Sequence[bool]) -> list[Any]:
    """The number or key that each wanted shape has in the file; None where it has none, or one that is taken."""
    found: list[Any] = []
    for entry, is_wanted in zip(entries, wanted, strict=True):
        own = entry.get(OWN)
        value = own.get(name) if isinstance(own, dict) and is_wanted else None
        fits = type(value) is int and 0 < value <= HIGHEST if name == "number" else is_key(value)
        found.append(value if fits and value not in found else None)
    return found


def is_key(value: Any) -> TypeGuard[str]:
    """True for what may name an outline."""
    return isinstance(value, str) and 0 < len(value) <= 40


def _marked(entry: dict[str, Any], name: str, value: int | str) -> dict[str, Any]:
    """The shape's object with its number or key, and with whatever else it has."""
    own = entry.get(OWN)
    kept = {k: v for k, v in own.items() if k not in ("number", "key")} if isinstance(own, dict) else {}
    return {**entry, OWN: {**kept, name: value}}


# Editing


def repaint(
    layers: Layers, objects: Mapping[int, dict[str, Any]], tiles: Mapping[tuple[int, int], np.ndarray]
) -> Layers:
    """Layers with some tiles of the paint replaced.

    objects: number -> the object in the file, of all objects; those of known numbers are the file's own, with changes.
    Objects that lose their last pixel are dropped; every number in the paint must be one of `objects`.
    """
    height, width = layers.size
    paint, counts = layers.paint.copy(), layers.counts.copy()
    touched: set[int] = set()
    changed: list[tuple[tuple[slice, slice], np.ndarray]] = []
    for (x, y), tile in tiles.items():
        box = tile_box(x, y, height, width)
        differs = paint[box] != tile
        if not differs.any():
            continue
        changed.append((box, differs))
        touched.update(np.unique(paint[box][differs]).tolist(), np.unique(tile[differs]).tolist())
        counts += np.bincount(tile.reshape(-1), minlength=HIGHEST + 1)
        counts -= np.bincount(paint[box].reshape(-1), minlength=HIGHEST + 1)
        paint[box] = tile
    for number, old in layers.objects.items():
        if number not in touched and old.hides and _lies_under(old.entry, changed, height, width):
            touched.add(number)
    order = [n for n in layers.objects if n in objects] + [n for n in objects if n not in layers.objects]
    edited: dict[int, Painted] = {}
    for number in order:
        known = layers.objects.get(number)
        if number in touched or known is None:
            if counts[number]:
                edited[number] = Painted(as_mask(objects[number], *cut_out(paint, number)))
        else:
            edited[number] = Painted(objects[number], known.hides)
    return replace(layers, paint=paint, counts=counts, objects=edited)


def _lies_under(
    entry: dict[str, Any], changed: Iterable[tuple[tuple[slice, slice], np.ndarray]], height: int, width: int
) -> bool:
    """True if a shape reaches under changed pixels, where it is hidden by others."""
    (shape,) = read_shapes(Path("labels"), [entry])
    mask = rasterise(shape, height, width, "labels")
    return any(bool((mask[box] & differs).any()) for box, differs in changed)


def cut_out(paint: np.ndarray, number: int) -> tuple[np.ndarray, Box]:
    """The pixels of a number inside their box, and the box. The number must have pixels."""
    found = paint == number
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    box = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    return found[box[0] : box[2], box[1] : box[3]], box


def as_mask(entry: dict[str, Any], mask: np.ndarray, box: Box) -> dict[str, Any]:
    """A shape's object as one of type mask: everything else of it is kept."""
    top, left, bottom, right = box
    points = [[float(left), float(top)], [float(right - 1), float(bottom - 1)]]
    return {**entry, "points": points, "shape_type": "mask", "mask": encode_mask(mask)}


def encode_mask(mask: np.ndarray) -> str:
    """(h, w) bool -> base64 of a PNG of one bit a pixel."""
    packed = np.packbits(mask, axis=1)
    buffer = io.BytesIO()
    Image.frombytes("1", (mask.shape[1], mask.shape[0]), packed.tobytes()).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def flatten(shapes: Mapping[str, Shape], touch: set[str], height: int, width: int) -> dict[str, np.ndarray]:
    """The outlines that must become paint before the touched ones can be painted over, with their pixels.

    These are the touched ones and, as the paint lies below all outlines, those below them that overlap one of these.
    shapes: all outlines in the order of painting. -> key -> (H, W) bool, in this order. Raises DataError.
    """
    above = np.zeros((height, width), bool)
    found: dict[str, np.ndarray] = {}
    for key, shape in reversed(list(shapes.items())):
        mask = rasterise(shape, height, width, f"outline '{key}'")
        if key in touch or (above & mask).any():
            above |= mask
            found[key] = mask
    return dict(reversed(list(found.items())))
