"""Pixels near a contour: those that have a pixel of another class within some rows and columns.

Shapes: label maps of H x W pixels.
"""

from __future__ import annotations

import numpy as np


def near_contour(labels: np.ndarray, width: int, void: int, *, edge: bool = False) -> np.ndarray:
    """Mask (H, W) of the pixels with another class at most `width` rows and columns away.

    This is each class's mask minus its erosion by a square of 2 * width + 1 pixels, for all classes at once: the square
    around a pixel contains another class exactly if its highest or its lowest label differs from the pixel's label.

    labels: (H, W) integers from 0. void: the label of pixels that are not scored, which neither have nor form a
    contour. edge: treat the image's edge as a contour of the other pixels.
    """
    least, most = 0, np.iinfo(labels.dtype).max
    scored = labels != void
    highest = _slide(np.maximum, np.where(scored, labels, least), width, outside=least)
    lowest = _slide(np.minimum, np.where(scored, labels, most), width, outside=most)
    near = (highest > labels) | (lowest < labels)
    if edge:
        near[:width] = near[-width:] = near[:, :width] = near[:, -width:] = True
    return near & scored


def _slide(extreme: np.ufunc, values: np.ndarray, radius: int, outside: int) -> np.ndarray:
    """Compute the minimum or maximum over the square of 2 * radius + 1 around each pixel; (H, W) -> (H, W)."""
    values = np.pad(values, radius, constant_values=outside)
    window = 2 * radius + 1
    for _ in range(2):  # rows, then columns as the rows of the transpose
        reach = 1  # number of rows that each value already covers; doubling it takes log2(window) passes
        while reach < window:
            step = min(reach, window - reach)
            values = extreme(values[:-step], values[step:])
            reach += step
        values = values.T
    return values
