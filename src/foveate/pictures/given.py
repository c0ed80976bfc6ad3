"""Images that a caller hands in, under one interface: files, PIL images, arrays, tensors.

Shapes: H x W pixels of C channels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from foveate.errors import DataError
from foveate.pictures import Windows, open_windows, to_tensor
from foveate.pictures.pixels import over_white, three_channels

Picture = str | Path | np.ndarray | Tensor | Image.Image | Windows


class _Held:
    """An image in memory, (H, W, C), under the interface of `pictures.open_windows`."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.height, self.width, self.channels = pixels.shape

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        return self._pixels[top : top + height, left : left + width]

    def close(self) -> None:
        pass


class _Luminance:
    """A colour image read as grey, after ITU-R BT.601."""

    channels = 1

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self.height, self.width = windows.height, windows.width

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        pixels = self._windows.read(top, left, height, width)
        grey = (pixels.astype(np.float32) * np.array([0.299, 0.587, 0.114], np.float32)).sum(2, keepdims=True)
        return grey if pixels.dtype.kind == "f" else grey.round().astype(pixels.dtype)

    def close(self) -> None:
        self._windows.close()


def open_for(picture: Picture, channels: int, model: str, name: str = "", max_pixels: int | None = None) -> Windows:
    """An image with the channels that a model takes, read window by window.

    A model of grey images takes coloured ones by their luminance. model, name: those of model and image, in messages.
    Raises DataError for an image that cannot be read or has another number of channels.
    """
    windows = open_picture(picture, channels, max_pixels)
    if windows.channels == channels:
        return windows
    if channels == 1 and windows.channels == 3:
        return _Luminance(windows)
    layout = ""
    if isinstance(picture, np.ndarray):
        layout = f" (an array is (H, W, C); this one is {picture.shape})"
    elif isinstance(picture, Tensor):
        layout = f" (a tensor is (C, H, W); this one is {tuple(picture.shape)})"
    called = name or (str(picture) if isinstance(picture, (str, Path)) else "the picture")
    raise DataError(f"{called} has {windows.channels} channels; {model} was trained on {channels}{layout}")


def read_all(image: Tensor | Windows) -> Tensor:
    """A whole image as a tensor (C, H, W): uint8, or float in 0..1."""
    if isinstance(image, Tensor):
        return image.as_subclass(Tensor)
    return to_tensor(image.read(0, 0, image.height, image.width))


def as_windows(image: Tensor | Windows) -> Windows:
    """The inverse of `read_all`: a tensor (C, H, W) under the interface of `pictures.open_windows`."""
    return _Held(image.permute(1, 2, 0).cpu().numpy()) if isinstance(image, Tensor) else image


def open_picture(picture: Picture, channels: int = 3, max_pixels: int | None = None) -> Windows:
    """Anything `Predictor.predict` takes as an image, read window by window. Raises DataError.

    channels: of the model; a grey array becomes that many equal channels.
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
