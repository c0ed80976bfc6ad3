"""Bodies built of limbs: each thing of a scene becomes a list of parts, far parts first.

A part is a straight limb with a radius at either end, or an ellipse (a limb without length), optionally flattened
across its axis. It has a colour, a second colour laid on through a noise tile (patches, leaves, stripes), a ragged or
soft edge, and shading. Shapes are drawn in their own units (their size is 1, feet on y = 0, facing right), then moved
into place.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from foveate.datasets.pasture.dice import heading
from foveate.datasets.pasture.scene import RGB, Thing
from foveate.datasets.pasture.texture import TILE

Point = tuple[float, float]

# Columns of a table of parts.
CX, CY, UX, UY, LENGTH, RA, RB, FLAT, ROUGH, SOFT, OPACITY = range(11)
TEXTURE, SCALE, TX, TY, COVER, HARD, SHADE = range(11, 18)
FIRST, SECOND = slice(18, 21), slice(21, 24)


class Paint(NamedTuple):
    """The surface of a part."""

    color: RGB
    second: RGB = (0.0, 0.0, 0.0)
    cover: float = -1.0  # share of the surface in the second colour; below 0: none
    texture: str = "grain"
    scale: float = 1.0  # tiles per unit of the body
    hard: float = 6.0  # how sharply the colours part
    shade: float = 0.3  # how much light and shadow sides differ
    rough: float = 0.0  # depth of the edge's irregularity, in units of the body
    opacity: float = 1.0
    soft: float = 0.0  # width of the edge's blur, in units of the body; 0: one pixel

    def darker(self, factor: float) -> Paint:
        """The same surface with less light on it."""
        (r, g, b), (x, y, z) = self.color, self.second
        first, second = (r * factor, g * factor, b * factor), (x * factor, y * factor, z * factor)
        return self._replace(color=first, second=second)


class Body:
    """Collects the parts of one thing, in the thing's own units."""

    def __init__(self, thing: Thing, thin: float) -> None:
        """thin: the least radius of a limb, in image widths."""
        self.thing = thing
        self.thin = thin / thing.size
        self.rows: list[tuple[float, ...]] = []

    def limb(self, a: Point, b: Point, ra: float, rb: float, paint: Paint, flat: float = 1.0) -> None:
        """A tapered limb from a to b."""
        dx, dy = b[0] - a[0], b[1] - a[1]
        length = math.sqrt(dx * dx + dy * dy)
        axis = (dx / length, dy / length) if length > 1e-6 else (1.0, 0.0)
        self._add(a, axis, length, max(ra, self.thin), max(rb, self.thin), flat, paint)

    def ball(self, center: Point, rx: float, ry: float, paint: Paint, turn: float = 0.0) -> None:
        """An ellipse with half axes rx and ry, the first turned by `turn` degrees (clockwise in the image)."""
        if rx < ry:
            rx, ry, turn = ry, rx, turn + 90
        self._add(center, heading(turn), 0.0, rx, rx, rx / ry, paint)

    def _add(self, c: Point, u: Point, length: float, ra: float, rb: float, flat: float, p: Paint) -> None:
        place = (c[0], c[1], u[0], u[1], length, ra, rb, flat, p.rough, p.soft, p.opacity)
        cloth = (TILE[p.texture], p.scale, self.thing.pose[-1], self.thing.pose[-2], p.cover, p.hard, p.shade)
        self.rows.append((*place, *cloth, *p.color, *p.second))

    def placed(self, fit: bool = False) -> np.ndarray:
        """(P, 24) float32 in image widths. With `fit`, its box is made exactly `size` wide and centred at (x, y)."""
        table = np.array(self.rows, np.float32)
        if fit:
            left, top, right, bottom = outline(table)
            table[:, CX] -= np.float32((left + right) / 2)
            table[:, CY] -= np.float32((top + bottom) / 2)
            _zoom(table, 1 / np.float32(right - left))
        _zoom(table, np.float32(self.thing.size))
        if self.thing.facing < 0:
            table[:, CX] *= -1
            table[:, UX] *= -1
        table[:, CX] += np.float32(self.thing.x)
        table[:, CY] += np.float32(self.thing.y)
        table[:, TX] -= np.float32(self.thing.x) * table[:, SCALE]  # cloth hangs on the thing, not on the image
        table[:, TY] -= np.float32(self.thing.y) * table[:, SCALE]
        return table


def _zoom(table: np.ndarray, factor: np.float32) -> None:
    table[:, [CX, CY, LENGTH, RA, RB, ROUGH, SOFT]] *= factor
    table[:, SCALE] /= factor


def boxes(table: np.ndarray) -> np.ndarray:
    """(P, 4) float32: left, top, right, bottom of each part, without blur."""
    ux, uy = table[:, UX], table[:, UY]
    ends = table[:, [CX, CY]] + table[:, [UX, UY]] * table[:, [LENGTH]]
    grow = table[:, ROUGH] / 2
    thin = 1 / table[:, FLAT]
    wide, high = np.sqrt(ux * ux + uy * uy * thin * thin), np.sqrt(uy * uy + ux * ux * thin * thin)
    ra, rb = table[:, RA] + grow, table[:, RB] + grow
    left = np.minimum(table[:, CX] - ra * wide, ends[:, 0] - rb * wide)
    right = np.maximum(table[:, CX] + ra * wide, ends[:, 0] + rb * wide)
    top = np.minimum(table[:, CY] - ra * high, ends[:, 1] - rb * high)
    bottom = np.maximum(table[:, CY] + ra * high, ends[:, 1] + rb * high)
    return np.stack((left, top, right, bottom), axis=1)


def outline(table: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the whole."""
    edges = boxes(table)
    low, high = edges.min(axis=0), edges.max(axis=0)
    return float(low[0]), float(low[1]), float(high[2]), float(high[3])


def step(start: Point, degrees: float, length: float) -> Point:
    """End of a limb that leaves `start` in a direction (0 ahead, 90 down)."""
    c, s = heading(degrees)
    return start[0] + c * length, start[1] + s * length
