"""Images that a caller hands in, under one interface: files, PIL images, arrays, tensors.

Shapes: H x W pixels of C channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveate.errors import DataError, counted
from foveate.pictures import open_windows, to_tensor
from foveate.pictures.exif import orientation_of
from foveate.pictures.intensities import Window, kind_of, to_unit, window_text
from foveate.pictures.pixels import orient, require_visible, three_channels
from foveate.pictures.windows import ArrayWindows, Windows
from foveate.records import Preprocessing

Picture = str | Path | bytes | np.ndarray | Tensor | Image.Image | Windows
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, after ITU-R BT.601


class _Converted:
    """An image whose values are converted as they are read; by default they stay."""

    def __init__(self, windows: Windows, channels: int = 0, note: str = "") -> None:
        self._windows, self._note = windows, note
        self.height, self.width, self.channels = windows.height, windows.width, channels or windows.channels
        self.ground = getattr(windows, "ground", None)

    @property
    def note(self) -> str:
        """See `note_of`."""
        return self._note or note_of(self._windows)

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        return self.convert(self._windows.read(top, left, height, width))

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, C) -> (h, w, C')."""
        return pixels

    def close(self) -> None:
        self._windows.close()


class _Luminance(_Converted):
    """A colour image read as grey."""

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        grey = (pixels.astype(np.float32) * LUMINANCE).sum(2, keepdims=True)
        return grey if pixels.dtype.kind == "f" else grey.round().astype(pixels.dtype)


class _Repeated(_Converted):
    """A grey image read as equal channels."""

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        return np.repeat(pixels, self.channels, axis=2)


class _Windowed(_Converted):
    """An image of stored values, read as float32 in 0..1 by the window of each channel."""

    def __init__(self, windows: Windows, window: Window, model: str) -> None:
        super().__init__(windows)
        self.window, self.model = window, model
        self.cut = self.seen = 0  # values that lay beyond the window, and all that were read

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        low, high = np.array(self.window).T
        self.cut += int(((pixels < low) | (pixels > high)).sum())
        self.seen += pixels.size
        return to_unit(pixels, self.window)

    @property
    def note(self) -> str:
        """Remark that most values lie beyond the window, by what was read so far."""
        if 2 * self.cut <= self.seen:
            return super().note
        return (
            f"most values lie beyond {window_text(self.window)}, which {self.model} takes for black to white: the "
            "picture is much darker or brighter than those of the training, or was stored with another depth"
        )


class _FullRange(_Converted):
    """An image of floats, of which 0..1 is the full range."""

    def __init__(self, windows: Windows, called: str, model: str) -> None:
        super().__init__(windows)
        self.called, self.model = called, model

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # also false for NaN
            raise DataError(
                f"{self.called} holds floats of {low:g} to {high:g}; {self.model} takes the full range of a type, "
                "which is 0..1 for floats: convert the picture"
            )
        return pixels


def open_for(
    picture: Picture, preprocessing: Preprocessing, model: str, name: str = "", max_pixels: int | None = None
) -> Windows:
    """An image with the channels and the intensities that a model takes, read window by window.

    A model of grey images takes coloured ones by their luminance. What is read is uint8 or uint16 of the full range, or
    float in 0..1, to which the model's intensity window was applied. model, name: those of model and image, in
    messages. `note_of` the result, once it was read, says what a user should know of how its values were taken.
    Raises DataError for an image that cannot be read, or has other channels or values.
    """
    windows = open_picture(picture, len(preprocessing.mean), max_pixels, bool(preprocessing.window), name)
    layout = ""
    if isinstance(picture, np.ndarray):
        layout = f" (an array is (H, W, C); this one is {picture.shape})"
    elif isinstance(picture, Tensor):
        layout = f" (a tensor is (C, H, W); this one is {tuple(picture.shape)})"
    called = name or (str(picture) if isinstance(picture, (str, Path)) else "the picture")
    try:
        return _suited(windows, preprocessing, model, called, layout)
    except BaseException:
        windows.close()
        raise


def suit(image: Tensor, preprocessing: Preprocessing, model: str, name: str) -> tuple[Tensor, str]:
    """A data set's image (C, H, W), of stored values, as a tensor with what `open_for` reads; and the note.

    Raises DataError as `open_for` does.
    """
    windows = ArrayWindows(image.as_subclass(Tensor).permute(1, 2, 0).numpy())
    suited = _suited(windows, preprocessing, model, name)
    result = image if suited is windows and image.dtype != torch.uint16 else read_all(suited)
    return result, note_of(suited)


def note_of(windows: Any) -> str:
    """The note on an image that `open_for` gave; '' for none."""
    return str(getattr(windows, "note", ""))


def _suited(windows: Any, preprocessing: Preprocessing, model: str, called: str, layout: str = "") -> Windows:
    """An image of stored values -> one with the model's channels and intensities."""
    channels = len(preprocessing.mean)
    dtype = getattr(windows, "dtype", None) or windows.read(0, 0, 1, 1).dtype
    if windows.channels != channels:
        if (windows.channels, channels) == (3, 1):
            windows = _Luminance(windows, 1)
        elif (windows.channels, channels) == (1, 3):
            windows = _Repeated(windows, 3)
        else:
            raise DataError(
                f"{called} has {counted(windows.channels, 'channel')}; {model} was trained on {channels}{layout}"
            )
    if note := _compare_values(dtype.name, preprocessing, model, called):
        windows = _Converted(windows, note=note)
    if preprocessing.window:
        return _Windowed(windows, preprocessing.window, model)
    return _FullRange(windows, called, model) if dtype.kind == "f" else windows


def _compare_values(values: str, preprocessing: Preprocessing, model: str, called: str) -> str:
    """'' or a note on values of another depth than a model's. Raises DataError if they cannot be brought to it."""
    kind, expected = kind_of(values), kind_of(preprocessing.values or "uint8")
    if preprocessing.window:
        if kind != expected:
            raise DataError(
                f"{called} holds {kind} ({values}); {model} was trained on {expected} ({preprocessing.values}), and "
                f"takes their values {window_text(preprocessing.window)} for black to white: give it such files"
            )
        return ""
    if kind == "floats":  # 0..1
        return ""
    if values not in ("uint8", "uint16"):
        raise DataError(f"{called} holds values of type {values}; {model} takes 8 or 16 bits, unsigned: convert it")
    if preprocessing.values and kind != expected:
        return (
            f"{kind} ({values}), but {model} was trained on {expected}: the full range of the type was taken for black "
            "to white, which is dark where a camera fills only a part of it"
        )
    return ""


def read_all(image: Tensor | Windows) -> Tensor:
    """A whole image as a tensor (C, H, W): uint8, or float in 0..1."""
    if isinstance(image, Tensor):
        return image.as_subclass(Tensor)
    return to_tensor(image.read(0, 0, image.height, image.width))


def as_windows(image: Tensor | Windows) -> Windows:
    """The inverse of `read_all`: a tensor (C, H, W) under the interface of `pictures.open_windows`."""
    return ArrayWindows(image.permute(1, 2, 0).cpu().numpy()) if isinstance(image, Tensor) else image


def open_picture(
    picture: Picture, channels: int = 3, max_pixels: int | None = None, stored: bool = False, name: str = ""
) -> Windows:
    """Anything `Predictor.predict` takes as an image, read window by window. Raises DataError.

    channels: of the model; a grey array becomes that many equal channels. stored: an array holds the values of a file,
    of any type, rather than uint8, uint16 or float in 0..1. name: of the bytes of a file, in messages.
    """
    if isinstance(picture, (str, Path)):
        return open_windows(Path(picture), max_pixels=max_pixels, channels=channels)
    if isinstance(picture, bytes):
        return open_windows(picture, max_pixels, channels, name)
    if isinstance(picture, np.ndarray):
        return ArrayWindows(_checked(picture, channels, stored))
    if isinstance(picture, Tensor):
        if picture.ndim != 3:
            raise DataError(f"the tensor has shape {tuple(picture.shape)}; expected one picture, (C, H, W)")
        return ArrayWindows(_checked(picture.detach().cpu().permute(1, 2, 0).numpy(), channels, stored))
    if isinstance(picture, Image.Image):
        return ArrayWindows(_pil_pixels(picture))
    if hasattr(picture, "read") and hasattr(picture, "channels"):
        return picture
    several = "; predict_many takes several" if isinstance(picture, (list, tuple)) else ""
    raise DataError(f"a {type(picture).__name__} came as picture; expected a path, PIL image, array or tensor{several}")


def _pil_pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, uint16 from 16-bit grey, float32; turned upright, transparent pixels laid on white."""
    if image.mode.startswith(("I", "F")):
        array = np.asarray(image)
        fits = image.mode != "F" and array.min(initial=0) >= 0 and array.max(initial=0) <= 65535
        pixels = three_channels(array.astype(np.uint16) if fits else array)
    elif image.has_transparency_data:
        array = np.asarray(image.convert("RGBA"))
        require_visible("the image", array)
        pixels = three_channels(array)
    else:
        pixels = np.asarray(image.convert("RGB"))
    return orient(pixels, orientation_of(image))


def _checked(pixels: np.ndarray, channels: int, stored: bool) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], channels, axis=2)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise DataError(f"the array has shape {pixels.shape}; expected (H, W) or (H, W, C) with at least one pixel")
    if pixels.dtype in (np.uint8, np.uint16) or (stored and pixels.dtype in (np.int16, np.int32, np.uint32)):
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(f"the array holds {pixels.dtype}; expected uint8, uint16, or float in 0..1")
    if not stored:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # also false for NaN
            raise DataError(f"the float array holds {low:g} to {high:g}; expected 0..1 (or give uint8 in 0..255)")
    return pixels.astype(np.float32, copy=False)
