"""Outlines of masks along the edges of their pixels, as polygons with holes.

A pixel in column x and row y is the square from (x, y) to (x + 1, y + 1).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

Ring = list[tuple[int, int]]  # corners (x, y), not closed
RIGHT, DOWN, LEFT, UP = (1, 0), (0, 1), (-1, 0), (0, -1)


def polygons_of(mask: np.ndarray) -> list[list[Ring]]:
    """Return the polygons of a mask (H, W) bool, one a part: its outline first, then those of its holes.

    Pixels of one part share sides; parts that meet at a corner alone are polygons of their own. Rings touch neither
    themselves nor each other but at single corners. Seen with y downwards, outlines run clockwise and holes
    anticlockwise. Together the polygons have exactly the area of the mask.
    """
    parts, count = ndimage.label(mask)
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts, count), 1):
        rings = _rings(parts[rows, columns] == number)
        rings.sort(key=signed_area, reverse=True)  # the outline is the only one that runs clockwise
        found.append([[(x + columns.start, y + rows.start) for x, y in ring] for ring in rings])
    return found


def signed_area(ring: Ring) -> float:
    """Return the area inside a ring: above 0 for one that runs clockwise, seen with y downwards."""
    x, y = np.array(ring, np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def _rings(part: np.ndarray) -> list[Ring]:
    """All rings of a part whose pixels share sides. The part is to the right of each."""
    padded = np.pad(part, 1)
    sides = {
        RIGHT: padded[1:-1, 1:-1] & ~padded[:-2, 1:-1],  # along the top of a pixel
        DOWN: padded[1:-1, 1:-1] & ~padded[1:-1, 2:],
        LEFT: padded[1:-1, 1:-1] & ~padded[2:, 1:-1],
        UP: padded[1:-1, 1:-1] & ~padded[1:-1, :-2],
    }
    begins = {RIGHT: (0, 0), DOWN: (1, 0), LEFT: (1, 1), UP: (0, 1)}
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}  # corner -> directions of the sides that leave it
    for direction, places in sides.items():
        dx, dy = begins[direction]
        for y, x in zip(*(axis.tolist() for axis in np.nonzero(places)), strict=True):
            ways.setdefault((x + dx, y + dy), []).append(direction)
    found = []
    while ways:
        start = corner = next(iter(ways))
        direction = before = ways[start][0]
        ring: Ring = []
        while True:
            leaving = ways[corner]
            # Where two pixels meet at a corner alone, turn left, to the other one, so that the ring stays simple.
            direction = (before[1], -before[0]) if len(leaving) > 1 and ring else leaving[0]
            leaving.remove(direction)
            if not leaving:
                del ways[corner]
            if not ring or direction != before:
                ring.append(corner)
            corner, before = (corner[0] + direction[0], corner[1] + direction[1]), direction
            if corner == start:
                break
        found.append(ring[1:] if len(ring) > 1 and _straight(ring) else ring)
    return found


def _straight(ring: Ring) -> bool:
    """True if the first corner of a ring lies on a straight line between the last and the second."""
    (x, y), (x_after, y_after), (x_before, y_before) = ring[0], ring[1], ring[-1]
    return x == x_after == x_before or y == y_after == y_before
