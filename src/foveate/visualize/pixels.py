"""Shared helpers for drawings: strips of rows, colours for labels, contours.

Shapes: images are (H, W), (H, W, 1) or (H, W, C); masks (H, W) integers; K classes. Images are processed one strip of
rows at a time, so that temporary arrays stay small.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveate.errors import DataError
from foveate.records import ClassTable

STRIP_PIXELS = 1 << 20


def strips(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows that cover 0..height, of about a million pixels each."""
    rows = max(1, STRIP_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def check_pair(image: np.ndarray, mask: np.ndarray, what: str = "mask") -> tuple[int, int]:
    """Return (height, width) of an image and its label map. Raises DataError if their sizes differ."""
    if image.ndim not in (2, 3) or image.size == 0:
        raise DataError(f"a picture of shape {image.shape} cannot be drawn; give (height, width, channels)")
    if mask.ndim != 2 or mask.shape != image.shape[:2]:
        raise DataError(
            f"a {what} of shape {mask.shape} does not fit a picture of {image.shape[0]}x{image.shape[1]} pixels "
            "(height x width); give one label a pixel"
        )
    return int(image.shape[0]), int(image.shape[1])


def rgb8(image: np.ndarray) -> np.ndarray:
    """Convert (H, W[, C]) uint8, uint16 or float in 0..1 to (H, W, 3) uint8; returns a view if nothing has to change.

    Of more than 3 channels the first three are used; of one or two channels the first, as grey.
    """
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :3] if image.shape[2] >= 3 else np.broadcast_to(image[..., :1], (*image.shape[:2], 3))
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def slots(mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Map labels (H, W) to intp in 0..K, where K replaces every value that is not a class."""
    labels = mask.astype(np.intp)
    return np.where((labels >= 0) & (labels < len(classes)), labels, len(classes))


def palette(classes: ClassTable, unlabelled: tuple[int, int, int]) -> np.ndarray:
    """Return the colours (K + 1, 3) uint8 of the values of `slots`."""
    return np.array([*classes.colors, unlabelled], np.uint8)


def contours(labels: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Return a mask (H, W) of the pixels with another label within `thickness` pixels to the right or below.

    Only one side of each border is marked, so that lines have the given thickness.
    """
    edge = np.zeros(labels.shape, bool)
    for step in range(1, thickness + 1):
        edge[:-step] |= labels[:-step] != labels[step:]
        edge[:, :-step] |= labels[:, :-step] != labels[:, step:]
    return edge
