"""Images that are read a window at a time, and the place on the ground that such an image may have.

Shapes: H x W pixels of C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np


class Ground(NamedTuple):
    """Place of an image on the ground, as GeoTIFF states it.

    tags: (code, type, count, value) of the tags. nodata: the value of pixels without data, if the file names one.
    missing: (top, left, height, width) -> pixels without data, (height, width) booleans.
    """

    tags: list[tuple[int, int, int, Any]]
    nodata: float | None
    missing: Callable[[int, int, int, int], np.ndarray]


class Windows(Protocol):
    """Protocol of an image that is read a window at a time, with the same values as `read_picture`.

    It may have `dtype`, of the values, and `ground`, a `Ground` or None.
    """

    height: int
    width: int
    channels: int

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return a window (height, width, C), which must lie inside the image."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class ArrayWindows:
    """An image in memory, (H, W, C). note: what a user should know of how its file was read; '' for nothing."""

    def __init__(self, array: np.ndarray, ground: Ground | None = None, note: str = "") -> None:
        self.array, self.ground, self.dtype, self.note = array, ground, array.dtype, note
        self.height, self.width, self.channels = array.shape

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return a window (height, width, C), a view of the image."""
        return self.array[top : top + height, left : left + width]

    def close(self) -> None:
        """Do nothing: there is no file."""
