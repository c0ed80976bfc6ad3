"""Anything that a predictor looks at, under one interface: files, PIL images, arrays, tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from foveate.errors import DataError
from foveate.pictures import Windows, open_windows
from foveate.pictures.pixels import over_white, three_channels

Picture = str | Path | np.ndarray | Tensor | Image.Image | Windows


class _Held:
    """A picture in memory, (H, W, C), under the interface of `pictures.open_windows`."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.height, self.width, self.channels = pixels.shape

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        return self._pixels[top : top + height, left : left + width]

    def close(self) -> None:
        pass


def open_picture(picture: Picture, channels: int = 3, max_pixels: int | None = None) -> Windows:
    """Anything `Predictor.predict` takes, as a picture that is read piece by piece. Raises DataError.

    channels: what the model takes; a grey array becomes that many equal channels.
    """
    if isinstance(picture, (str, Path)):
        return open_windows(Path(picture), max_pixels=max_pixels)
    if isinstance(picture, np.ndarray):
        return _Held(_checked(picture, channels))
    if isinstance(picture, Tensor):
        if picture.ndim != 3:
            raise DataError(f"the tensor has shape {tuple(picture.shape)}; expected one picture, (C, H, W)")
        return _Held(_checked(picture.detach().cpu().permute(1, 2, 0).numpy(), channels))
    if isinstance(picture, Image.Image):
        return _Held(_pil_pixels(picture))
    if hasattr(picture, "read") and hasattr(picture, "channels"):
        return picture
    raise DataError(f"a {type(picture).__name__} came as picture; expected a path, PIL image, array or tensor")


def name_of(picture: Picture, name: str | None) -> str:
    """What a prediction is called: the name that was given, else the file's own."""
    if name is None:
        name = str(picture) if isinstance(picture, (str, Path)) else ""
    return Path(name).name


def luminance(image: Tensor) -> Tensor:
    """(3, H, W) -> (1, H, W) of the same dtype, after ITU-R BT.601."""
    grey = (image.float() * image.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32)[:, None, None]).sum(0)[None]
    return grey if image.is_floating_point() else grey.round().to(image.dtype)


def _pil_pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, uint16 from 16-bit grey; turned upright, transparent pixels laid on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return three_channels(np.asarray(image).astype(np.uint16))
    if image.has_transparency_data:
        return over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _checked(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], channels, axis=2)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise DataError(f"the array has shape {pixels.shape}; expected (H, W) or (H, W, C) with at least one pixel")
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(f"the array holds {pixels.dtype}; expected uint8, uint16, or float in 0..1")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise DataError(f"the float array holds {low:g} to {high:g}; expected 0..1 (or give uint8 in 0..255)")
    return pixels.astype(np.float32, copy=False)
