"""Checks of the outlines and run lengths that annotation files give in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from faster_coco_eval.core import mask as mask_api

from foveate.errors import DataError

_TINY = 1e-9  # of an outline's extent: a distance from a line that is rounding alone


def require_pixels(corners: np.ndarray, height: int, width: int, where: str) -> None:
    """Raise DataError for corners (P, 2) that look like shares of the image's size; `where` opens the message.

    They do if all lie in 0..1 and one is no whole number: whole ones may be the first pixel's corners.
    """
    if max(height, width) > 2 and corners.min() >= 0 and corners.max() <= 1 and (corners != np.rint(corners)).any():
        raise DataError(
            f"{where}: all coordinates lie in 0..1 and look like shares of the size of the picture of "
            f"{width}x{height}; expected pixels, so multiply x by its width and y by its height"
        )


def is_flat(polygon: np.ndarray) -> bool:
    """True if all corners (P, 2) lie on one line or point, so that the polygon encloses nothing."""
    away = polygon - polygon[0]
    far = away[np.abs(away).max(axis=1).argmax()]
    extent = float(np.abs(far).max())
    return extent == 0 or bool((np.abs(away[:, 0] * far[1] - away[:, 1] * far[0]) <= _TINY * extent**2).all())


def is_stray(box: Any, parts: tuple[np.ndarray, ...] | dict[str, Any]) -> bool:
    """True if a box [x, y, width, height] is stated that has no point in common with the polygons, or no inside."""
    if isinstance(parts, dict) or not isinstance(box, list) or len(box) != 4:
        return False
    if not all(type(n) in (int, float) and abs(n) < 1e300 for n in box):
        return True
    start, end = np.array(box[:2], float), np.array(box[:2], float) + box[2:]
    corners = np.concatenate(parts)
    return bool(min(box[2:]) < 0 or (end < corners.min(0)).any() or (start > corners.max(0)).any())


def runs_by_rows(box: Any, parts: tuple[np.ndarray, ...] | dict[str, Any]) -> bool:
    """True if run lengths of an object have the stated box [x, y, width, height] only when x and y are exchanged.

    Of pictures that are as high as wide, since others would show it in the size.
    """
    if not isinstance(parts, dict) or parts["size"][:1] != parts["size"][1:] or not isinstance(parts["counts"], list):
        return False
    try:
        own = np.array(mask_api.toBbox([mask_api.frPyObjects(parts, *parts["size"])])[0], float)
        stated = np.array(box, float)
    except (ValueError, RuntimeError, TypeError, OverflowError):  # reading them says so
        return False
    if stated.shape != (4,) or not np.isfinite(stated).all():
        return False
    apart, exchanged = (np.abs(one - stated).max() for one in (own, own[[1, 0, 3, 2]]))
    return bool(exchanged <= 2 < apart)


def is_nested(parts: tuple[np.ndarray, ...]) -> bool:
    """True if one of several polygons (P, 2) lies within another, as a hole would."""
    return any(_is_within(inner, outer) for inner in parts for outer in parts if inner is not outer)


def _is_within(inner: np.ndarray, outer: np.ndarray) -> bool:
    if (inner.min(0) < outer.min(0)).any() or (inner.max(0) > outer.max(0)).any():
        return False
    # A corner is inside if a ray to the right crosses the outer polygon an odd number of times.
    (x0, y0), (x1, y1) = outer.T, np.roll(outer, -1, axis=0).T
    x, y = inner[:, :1], inner[:, 1:]
    spans = (y0 > y) != (y1 > y)
    rise = np.where(y1 == y0, 1, y1 - y0)
    return bool(((spans & (x < x0 + (y - y0) * (x1 - x0) / rise)).sum(axis=1) % 2 == 1).all())
