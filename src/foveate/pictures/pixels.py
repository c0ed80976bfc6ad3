"""Small conversions of pixel arrays, (H, W, C) uint8 or uint16 throughout."""

from __future__ import annotations

import numpy as np


def three_channels(array: np.ndarray) -> np.ndarray:
    """Grey (H, W) or (H, W, 1), grey + alpha, RGB or RGBA -> RGB; alpha is laid on white."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] in (2, 4):
        array = over_white(array)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def over_white(array: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """(H, W, C + 1), alpha last -> (H, W, C): c * a + white * (1 - a), or c + white * (1 - a) if premultiplied."""
    color, alpha = array[:, :, :-1], array[:, :, -1:]
    white = np.iinfo(array.dtype).max
    if (alpha == white).all():
        return np.ascontiguousarray(color)
    share = alpha.astype(np.float32) / white
    front = color.astype(np.float32) if premultiplied else color * share
    return np.rint(np.clip(front + white * (1 - share), 0, white)).astype(array.dtype)


def cmyk_to_rgb(array: np.ndarray) -> np.ndarray:
    """(H, W, 4) ink amounts -> RGB: (1 - ink) * (1 - black), without a colour profile."""
    full = np.iinfo(array.dtype).max
    light = full - array.astype(np.float32)
    return np.rint(light[:, :, :3] * light[:, :, 3:] / full).astype(array.dtype)


def orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture (H, W, ...) upright, from EXIF orientation 1..8."""
    if orientation >= 5:  # 5 to 8 are stored with rows and columns exchanged
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
