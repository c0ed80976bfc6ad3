"""Outlines of masks as polygons, and polygons as masks, in the two conventions of annotation files.

Through the middles of the outermost pixels: LabelMe and YOLO. A pixel is a point with whole coordinates, and the drawn
line belongs to the object. Along the edges of pixels: COCO and CVAT. Pixel x covers x to x + 1.

Shapes: a mask of H x W pixels; polygons are lists of (x, y).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from faster_coco_eval.core import mask as mask_api
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from foveate.labels.rings import polygons_of

NEARLY_ONE = 0.999  # the level whose contour runs through the middles of the outermost pixels
Polygon = list[tuple[float, float]]


def centre_outlines(mask: np.ndarray) -> list[Polygon]:
    """Outlines of the parts of a mask (H, W) bool through the middles of their outermost pixels, without holes.

    Pixels that touch at a corner are of one part. A polygon has three corners at least.
    """
    if not mask.any():
        return []
    found = []
    for line in find_contours(np.pad(mask, 1).astype(float), NEARLY_ONE, fully_connected="high"):
        if _signed_area(line[:, 1], line[:, 0]) <= 0:  # holes run the other way
            continue
        corners = [(float(x), float(y)) for y, x in np.round(line - 1)]
        polygon = _without_middles([one for one, before in zip(corners[1:], corners, strict=False) if one != before])
        polygon = polygon or corners[:1]
        found.append(polygon + polygon[:1] * (3 - len(polygon)))
    return found


def fill_centres(polygons: Sequence[Polygon], height: int, width: int) -> np.ndarray:
    """Mask (H, W) bool of polygons through the middles of pixels; the lines belong to it."""
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        draw.polygon(polygon, outline=1, fill=1)
    return np.array(image, bool)


def edge_outlines(mask: np.ndarray) -> tuple[list[Polygon], list[Polygon]]:
    """(outlines, holes) of a mask (H, W) bool along the edges of its pixels; both have whole coordinates.

    Pixels that touch at a corner alone are of two parts.
    """
    parts = [[[(float(x), float(y)) for x, y in ring] for ring in rings] for rings in polygons_of(mask)]
    return [outline for outline, *_ in parts], [hole for _, *holes in parts for hole in holes]


def fill_edges(polygons: Sequence[Polygon], height: int, width: int) -> np.ndarray:
    """Mask (H, W) bool of polygons along the edges of pixels, by COCO's own routine."""
    flat = [[value for point in polygon for value in point] for polygon in polygons]
    if not flat:
        return np.zeros((height, width), bool)
    return np.asarray(mask_api.decode(mask_api.merge(mask_api.frPyObjects(flat, height, width))), bool)


def _without_middles(corners: list[tuple[float, float]]) -> Polygon:
    """A closed polygon without the points on a straight line between their neighbours."""
    if len(corners) < 3:
        return corners
    points = np.array(corners)
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (turns == 0) & ((before * after).sum(1) > 0)
    return [(float(x), float(y)) for x, y in points[~straight]]


def _signed_area(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
