"""The layers of one mask file: whole numbers or colours, the palette, and the alpha channel.

H x W pixels; a colour is one number, 0xRRGGBB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate import pictures
from foveate.datasets.classes import Color
from foveate.errors import DataError

UNDECIDED = np.iinfo(np.int64).min  # the value of pixels without a number: not a number, or infinite
_CHUNK = 2**22  # pixels that are counted at once, since counting takes eight bytes a pixel
_ROUNDED = 4  # at most, between the channels of a grey pixel in a lossy file
_EXACT = 2.0**53  # floats below are exact whole numbers
_LOSSY = {".webp": "lossy WebP"} | dict.fromkeys((".jp2", ".j2k", ".jpx"), "lossy JPEG 2000")
_FORMATS = {".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG"}


@dataclass(frozen=True)
class Layers:
    """Content of a mask file.

    values: (H, W) whole numbers, grey values or a palette's indices; None for colours.
    colors: (H, W) int32; None for grey and palette files.
    palette: (N,) int32, the colours of the indices; None without a palette, or where it is grey in order.
    alpha: (H, W); None without an alpha channel.
    nodata: the value that the file declares to be no data. lossy: stored as JPEG or lossy WebP.
    channels: 3 for grey values that were stored as colours.
    white_is_zero: the file is displayed inverted, which the values are not.
    step: the values are this many times those that the file stores, in 2 or 4 bits.
    """

    path: Path
    values: np.ndarray | None
    colors: np.ndarray | None
    palette: np.ndarray | None = None
    alpha: np.ndarray | None = None
    nodata: int | None = None
    lossy: bool = False
    channels: int = 1
    white_is_zero: bool = False
    step: int = 1

    @property
    def form(self) -> str:
        """'PNG', 'TIFF' and so on, after the file's suffix."""
        return _FORMATS.get(self.path.suffix.lower(), self.path.suffix[1:].upper())


def only_roughly(path: Path) -> str:
    """The complaint about labels in a file whose compression changes values."""
    kind = _LOSSY.get(path.suffix.lower(), "JPEG")
    return f"{path}: a {kind} keeps labels only roughly; save masks as PNG"


def read_layers(path: Path) -> Layers:
    """Decode a mask file. Raises DataError: undecodable, fractions, or a number of channels that masks do not have."""
    raw = pictures.read_raw(path)
    values, channels = raw.values, 1
    if values.ndim == 3 and (_nearly_grey(values) if raw.lossy else (values == values[:, :, :1]).all()):
        values, channels = values[:, :, 0], 3
    if values.ndim == 3:
        if values.shape[2] != 3:
            raise DataError(
                f"{path}: {values.shape[2]} channels that differ; a mask has one channel of labels, or three of colour"
            )
        return Layers(path, None, pack(_integers(path, values)), None, raw.alpha, None, raw.lossy, 3)
    known = raw.nodata is not None and abs(raw.nodata) < _EXACT and raw.nodata == round(raw.nodata)
    nodata = int(raw.nodata) if known and raw.nodata is not None else None  # others are UNDECIDED anyway
    palette = None if raw.palette is None else pack(raw.palette[:, None])[:, 0]
    if palette is not None and (palette == np.arange(len(palette)) * 0x10101).all():
        palette = None  # its colours are the indices themselves
    whole = _integers(path, values)
    return Layers(path, whole, None, palette, raw.alpha, nodata, raw.lossy, channels, raw.white_is_zero, raw.step)


def _nearly_grey(values: np.ndarray) -> bool:
    """True for three channels that are equal but for a lossy codec's rounding of colours."""
    spread = values.max(axis=2).astype(np.int32) - values.min(axis=2)
    return values.shape[2] == 3 and int(spread.max(initial=0)) <= _ROUNDED


def _integers(path: Path, values: np.ndarray) -> np.ndarray:
    """Whole numbers of any type as integers; UNDECIDED where a float is none. Raises DataError for fractions."""
    if values.dtype.kind in "ub" or values.dtype.kind == "i":
        return values.astype(np.uint8) if values.dtype.kind == "b" else values
    if values.dtype.kind != "f":
        raise DataError(f"{path}: values of type {values.dtype}; expected labels, as whole numbers")
    known = np.isfinite(values) & (np.abs(values) < _EXACT)
    whole = np.where(known, values, 0)
    fractions = whole != np.rint(whole)
    if fractions.any():
        raise DataError(
            f"{path}: holds fractions such as {whole[fractions][0]:.4g}, which are no labels (probabilities?); "
            "save the number of the class of each pixel"
        )
    return np.where(known, whole.astype(np.int64), UNDECIDED)


def pack(values: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W) 0xRRGGBB; colours of 16 bits keep their upper 8, unless all are below 256."""
    wide = values.dtype.itemsize > 1 and values.size > 0 and int(values.max()) > 255
    rgb = (values >> 8 if wide else values).astype(np.int32)
    return rgb[:, :, 0] << 16 | rgb[:, :, 1] << 8 | rgb[:, :, 2]


def pack_color(color: Color) -> int:
    """(red, green, blue) -> 0xRRGGBB."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack(code: int) -> Color:
    """0xRRGGBB -> (red, green, blue)."""
    return code >> 16, code >> 8 & 255, code & 255


def distinct(plane: np.ndarray) -> np.ndarray:
    """The values of a plane, sorted: of its runs rather than of its pixels, which are many times as many."""
    flat = plane.ravel()
    found = [_distinct(flat[start : start + _CHUNK]) for start in range(0, max(flat.size, 1), _CHUNK)]
    return np.unique(np.concatenate(found))


def _distinct(flat: np.ndarray) -> np.ndarray:
    if flat.dtype == np.uint8:
        return np.flatnonzero(np.bincount(flat, minlength=256))
    return np.unique(flat[np.flatnonzero(np.diff(flat, prepend=~flat[:1]))]) if flat.size else flat
