"""Conversions of pixel arrays; all are (H, W, C) uint8 or uint16."""

from __future__ import annotations

import numpy as np

from foveate.errors import DataError


def three_channels(array: np.ndarray) -> np.ndarray:
    """Convert grey (H, W) or (H, W, 1), grey + alpha, RGB or RGBA to RGB; alpha is blended with white."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] in (2, 4):
        array = over_white(array)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def over_white(array: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """Blend with white: (H, W, C + 1), alpha last -> (H, W, C).

    The result is c * a + white * (1 - a), or c + white * (1 - a) if premultiplied.
    """
    color, alpha = array[:, :, :-1], array[:, :, -1:]
    white = np.iinfo(array.dtype).max
    if (alpha == white).all():
        return np.ascontiguousarray(color)
    opacity = alpha.astype(np.float32) / white
    foreground = color.astype(np.float32) if premultiplied else color * opacity
    return np.rint(np.clip(foreground + white * (1 - opacity), 0, white)).astype(array.dtype)


def require_visible(name: str, array: np.ndarray) -> None:
    """Raise DataError for an image (H, W, C) with alpha of which every pixel is transparent, over colours that differ.

    The alpha channel is then likely an error, and without it there is a picture.
    """
    if array.ndim == 3 and array.shape[2] in (2, 4):
        color, alpha = array[:, :, :-1], array[:, :, -1]
        if not alpha.any() and (color != color[:1, :1]).any():
            raise DataError(
                f"{name}: every pixel is transparent, though colours differ beneath; save it without alpha channel"
            )


def cmyk_to_rgb(array: np.ndarray) -> np.ndarray:
    """Convert CMYK (H, W, 4) ink amounts to RGB: (1 - ink) * (1 - black), without a colour profile."""
    highest = np.iinfo(array.dtype).max
    light = highest - array.astype(np.float32)
    return np.rint(light[:, :, :3] * light[:, :, 3:] / highest).astype(array.dtype)


def orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and flip an image (H, W, ...) upright, given its EXIF orientation 1..8."""
    if orientation >= 5:  # 5 to 8 are stored with rows and columns exchanged
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
