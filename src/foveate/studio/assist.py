"""Tools that look at the image: box-cut, scribble-fill, and outlines that become paint."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from foveate.errors import DataError, counted
from foveate.studio.app import Answer, Ask
from foveate.studio.cut import cut
from foveate.studio.document import RefusedError, shape_of
from foveate.studio.fill import Scribble, fill
from foveate.studio.layers import Box, flatten, is_key
from foveate.studio.tiles import HIGHEST, tiles_to_json

MOST_CLICKS, MOST_SCRIBBLES, MOST_POINTS = 1000, 1000, 200_000


def cut_answer(ask: Ask, pixels: np.ndarray) -> Answer:
    """Cut the object in a box."""
    given = ask.object()
    size = int(pixels.shape[0]), int(pixels.shape[1])
    box = _box(given.get("box"), size)
    if box[2] - box[0] < 3 or box[3] - box[1] < 3:
        raise RefusedError("box", f"the box is {box[3] - box[1]}x{box[2] - box[0]} pixels; expected 3x3 or more")
    add, remove = (_clicks(given.get(name, []), name, size) for name in ("add", "remove"))
    found = cut(pixels, box, add, remove)
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    around = None
    if rows.size:
        around = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    return Answer({"tiles": tiles_to_json(found.astype(np.uint16)), "box": around, "area": int(found.sum())})


def fill_answer(ask: Ask, pixels: np.ndarray) -> Answer:
    """Fill the image, or a box of it, from scribbles."""
    begin = time.perf_counter()
    given = ask.object()
    size = int(pixels.shape[0]), int(pixels.shape[1])
    box = _box(given.get("box"), size) if given.get("box") is not None else (0, 0, *size)
    scribbles = _scribbles(given.get("scribbles"))
    try:
        found = fill(pixels, scribbles, box)
    except DataError as error:
        raise RefusedError("scribbles", str(error)) from error
    whole = np.zeros(size, np.uint16)
    whole[box[0] : box[2], box[1] : box[3]] = found
    return Answer({"tiles": tiles_to_json(whole), "seconds": round(time.perf_counter() - begin, 3)})


def flatten_answer(ask: Ask, size: tuple[int, int]) -> Answer:
    """The pixels of outlines that are about to be painted over."""
    given = ask.object()
    outlines, touch = given.get("outlines"), given.get("touch")
    if not isinstance(outlines, list) or not isinstance(touch, list) or not all(map(is_key, touch)):
        raise RefusedError(
            "outline", "expected outlines, all in the order of painting, and touch, a list of their keys"
        )
    shapes = {}
    for one in outlines:
        key = one.get("key") if isinstance(one, dict) else None
        if not is_key(key) or key in shapes:
            raise RefusedError("outline", f"an outline has the key {key!r:.60}; expected a text that no other one has")
        shapes[key] = shape_of(key, one)
    if unknown := [key for key in touch if key not in shapes]:
        raise RefusedError("outline", f"touch names '{unknown[0]}', which is none of the outlines")
    try:
        found = flatten(shapes, set(touch), *size)
    except DataError as error:
        raise RefusedError("outline", str(error)) from error
    tiles = {key: tiles_to_json(mask.astype(np.uint16)) for key, mask in found.items()}
    return Answer({"flattened": list(found), "tiles": tiles})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _box(value: Any, size: tuple[int, int]) -> Box:
    """[x0, y0, x1, y1] -> top, left, bottom, right, cut to the image. Raises RefusedError."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        raise RefusedError("box", f"box is {value!r:.60}; expected [x0, y0, x1, y1]")
    x0, y0, x1, y1 = (math.floor(v) for v in value)
    box = max(0, y0), max(0, x0), min(size[0], y1), min(size[1], x1)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise RefusedError("box", f"the box {value} holds no pixel of the picture of {size[1]}x{size[0]}")
    return box


def _clicks(value: Any, name: str, size: tuple[int, int]) -> list[tuple[int, int]]:
    if not isinstance(value, list) or len(value) > MOST_CLICKS or not all(map(_is_point, value)):
        raise RefusedError("box", f"{name} must be a list of at most {MOST_CLICKS} points [x, y]")
    points = [(int(x), int(y)) for x, y in value]
    for x, y in points:
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            raise RefusedError("box", f"{name} holds [{x}, {y}], outside of the picture of {size[1]}x{size[0]}")
    return points


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and max(map(abs, value)) < 1e6


def _scribbles(value: Any) -> list[Scribble]:
    if not isinstance(value, list) or not value:
        raise RefusedError("scribbles", "scribbles must be a list of lines with a number each")
    if len(value) > MOST_SCRIBBLES:
        came = counted(len(value), "scribble")
        raise RefusedError(
            "scribbles", f"{came} at once; expected at most {MOST_SCRIBBLES:,}: take the fill, then draw on"
        )
    found = []
    for one in value:
        number = one.get("number") if isinstance(one, dict) else None
        if type(number) is not int or not 0 < number <= HIGHEST:
            raise RefusedError("scribbles", f"a scribble has the number {number!r:.40}; expected 1 to {HIGHEST}")
        points, width = one.get("points"), one.get("width", 1)
        if not isinstance(points, list) or not points or not all(map(_is_point, points)):
            raise RefusedError("scribbles", f"the points of scribble {number} are none; expected a list of [x, y]")
        if not _is_number(width) or not 1 <= width <= 10_000:
            raise RefusedError("scribbles", f"scribble {number} has the width {width!r:.40}; expected 1 or more pixels")
        found.append(Scribble(number, [(float(x), float(y)) for x, y in points], float(width)))
    if sum(len(one.points) for one in found) > MOST_POINTS:
        raise RefusedError("scribbles", f"the scribbles have more than {MOST_POINTS:,} points; draw fewer at once")
    return found
