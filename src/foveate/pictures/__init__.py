"""Decoding of image files into arrays.

Images have H x W pixels and C channels. Pillow decodes most formats; tifffile reads TIFF (any number of channels, by
windows); imagecodecs reads 16-bit PNG, which Pillow reduces to 8 bits in colour.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveate.disk import atomic_write as atomic_write  # exported here too, as most results are images
from foveate.disk import is_hidden
from foveate.errors import DataError, counted
from foveate.pictures.exif import orientation_of
from foveate.pictures.limits import DEFAULT_MAX_PIXELS as DEFAULT_MAX_PIXELS
from foveate.pictures.limits import check_size, limit_of
from foveate.pictures.limits import get_max_pixels as get_max_pixels
from foveate.pictures.limits import set_max_pixels as set_max_pixels
from foveate.pictures.lossy import is_lossy
from foveate.pictures.opening import called, decoding, open_file
from foveate.pictures.pam import stated_nodata
from foveate.pictures.pixels import orient, require_visible, three_channels
from foveate.pictures.png import decode_png16, grey_step, is_png16
from foveate.pictures.tiff import TiffPicture
from foveate.pictures.types import PictureInfo, PictureTags, RawPicture
from foveate.pictures.windows import ArrayWindows, Ground
from foveate.pictures.windows import Windows as Windows

PICTURE_SUFFIXES = frozenset({
    ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip
TIFF_SUFFIXES = (".tif", ".tiff")
_LOOKED_AT = 64  # masks of transparency of a set that are decoded, before the others are taken for such, too
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ANIMATED = (b"GIF8", b"RIFF", b"\x89PNG")  # beginnings of formats that may hold an animation
_opening = threading.Lock()


def list_pictures(folder: str | Path) -> list[Path]:
    """Return the image files directly inside a folder, sorted by name, without hidden files.

    Raises DataError if the folder cannot be listed.
    """
    try:
        files = list(Path(folder).iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); expected a folder of pictures") from error
    return sorted(p for p in files if p.suffix.lower() in PICTURE_SUFFIXES and not is_hidden(p.name) and p.is_file())


def read_picture(path: str | Path, *, channels: int | None = None, max_pixels: int | None = None) -> np.ndarray:
    """Read an image file as (H, W, C) uint8, or the type that the file holds: uint16, int16, int32, uint32, float32.

    C is 3 except for TIFF files with another number of channels, which are kept unchanged, whatever they are tagged as.
    Grey becomes three equal channels, palettes and CMYK become RGB, transparent pixels are blended with white, and the
    EXIF orientation is applied.

    channels: the required C; by default any. A TIFF's band that is tagged as alpha is kept if that makes C.
    max_pixels: the largest H x W to decode; by default the process's limit.
    Raises DataError, naming the file, if it is missing, not an image, truncated, too large, or has another number of
    channels.
    """
    path = Path(path)
    with open_file(path) as file:
        return _read(file, str(path), channels, max_pixels)


def decode_picture(data: bytes, name: str, *, channels: int | None = None, max_pixels: int | None = None) -> np.ndarray:
    """Decode the bytes of a file as `read_picture` does; `name` replaces the path in messages."""
    return _read(io.BytesIO(data), name, channels, max_pixels)


def read_raw(path: str | Path, *, max_pixels: int | None = None) -> RawPicture:
    """Read a file's stored values (palette indices, grey values, colours), as label masks need them.

    Of a TIFF, values of any integer or floating-point type. Greys of a PNG of 2 or 4 bits are stretched over 0..255, as
    its standard has it; `step` takes that back. Raises DataError as `read_picture` does.
    """
    path = Path(path)
    stated = stated_nodata(path)  # before the file's own, as in GDAL
    with open_file(path) as file, decoding(str(path)):
        head = _head(file, str(path))
        if head.startswith(_TIFF_MAGIC):
            with TiffPicture(file, any_type=True) as tiff:
                check_size(str(path), tiff.height, tiff.width, max_pixels)
                stored, alpha = tiff.raw(), tiff.raw_alpha()
                nodata = tiff.nodata if stated is None else stated
                return RawPicture(stored, tiff.palette, tiff.lossy, alpha, nodata, tiff.white_is_zero)
        image = _pillow(file)
        check_size(str(path), image.height, image.width, max_pixels)
        palette = None
        alpha = np.array(image.getchannel("A")) if "A" in image.getbands() else None
        if is_png16(head):
            values = decode_png16(file)
            if values.ndim == 3 and values.shape[2] in (2, 4):
                values, alpha = values[:, :, slice(3) if values.shape[2] == 4 else 0], values[:, :, -1]
        elif image.mode in ("P", "PA"):
            palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
            values = np.array(image.getchannel(0) if image.mode == "PA" else image)
        elif image.mode in ("L", "LA", "La", "I", "I;16", "I;16B", "I;16L"):
            values = np.array(image.getchannel(0) if len(image.getbands()) > 1 else image)
        elif image.mode == "1":
            values = np.array(image).astype(np.uint8)
        else:
            values = np.array(image.convert("RGB"))
        turn = orientation_of(image, file)
        upright_alpha = None if alpha is None else orient(alpha, turn)
        lossy = is_lossy(image.format, file)
        return RawPicture(orient(values, turn), palette, lossy, upright_alpha, stated, step=grey_step(head))


def picture_info(source: str | Path | bytes, name: str = "") -> PictureInfo:
    """Read size, channels and bits from the header alone. Raises DataError.

    source: a path, or the bytes of a file, for which `name` stands in messages.
    """
    name = name or called(source)
    with open_file(source) as file, decoding(name):
        head = _head(file, name)
        if head.startswith(_TIFF_MAGIC):
            with TiffPicture(file) as tiff:
                return PictureInfo(tiff.height, tiff.width, tiff.channels, tiff.bits)
        image = _pillow(file)
        bits = 8 * np.dtype(_pillow_values(image, head)).itemsize
        transposed = orientation_of(image, file) >= 5
        height, width = (image.width, image.height) if transposed else (image.height, image.width)
        return PictureInfo(height, width, 3, bits)


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) as `read_picture` would give them, without decoding. Raises DataError."""
    info = picture_info(path)
    return info.height, info.width


def picture_tags(path: str | Path) -> PictureTags:
    """Read orientation and type of values from the header alone. Raises DataError."""
    path = Path(path)
    with open_file(path) as file, decoding(str(path)):
        head = _head(file, str(path))
        if head.startswith(_TIFF_MAGIC):
            with TiffPicture(file) as tiff:
                return PictureTags(tiff.orientation, tiff.dtype.name)
        image = _pillow(file)
        return PictureTags(orientation_of(image, file), _pillow_values(image, head))


def alpha_of(path: str | Path) -> Literal["", "mask", "clear", "constant", "band"]:
    """Find what a file's alpha channel holds, which is decoded if there is one; '' if all pixels are opaque.

    mask: transparent pixels, which `read_picture` blends with white; clear: every pixel is. band: data under the tag of
    alpha, which it keeps. constant: one value, tagged as alpha in a TIFF, which it leaves out unless the number of
    channels demands it. Raises DataError.
    """
    path = Path(path)
    with open_file(path) as file, decoding(str(path)):
        head = _head(file, str(path))
        if head.startswith(_TIFF_MAGIC):
            with TiffPicture(file) as tiff:
                return tiff.alpha if tiff.alpha != "mask" or tiff.transparent else ""
        image = _pillow(file)
        if not image.has_transparency_data:
            return ""
        alpha = decode_png16(file)[..., -1] if is_png16(head) else np.asarray(image.convert("RGBA"))[..., -1]
        if not alpha.any():
            return "clear"
        return "mask" if (alpha < np.iinfo(alpha.dtype).max).any() else ""


def channels_of(files: Iterable[Path]) -> int:
    """Number of channels of a set of images: that of most which can be read, or of the first where as many differ.

    3 if none can be read. A TIFF whose last band is tagged as alpha may count with it or without: one in which it holds
    data, and no mask of transparency, decides for the others.
    """
    files = list(files)
    if not any(path.suffix.lower() in TIFF_SUFFIXES for path in files):
        return 3
    sure, either = Counter[int](), Counter[tuple[int, int]]()
    for path in files:
        with contextlib.suppress(DataError):
            found = _channels(path, looked_at=sum(either.values()) < _LOOKED_AT)
            if len(set(found)) == 1:
                sure[found[0]] += 1
            else:
                either[found] += 1
    if not sure:
        return either.most_common(1)[0][0][0] if either else 3
    fitting = {count: sure[count] + sum(n for both, n in either.items() if count in both) for count in sure}
    return max(fitting, key=lambda count: fitting[count])  # of equals the first


def _channels(path: Path, looked_at: bool) -> tuple[int, int]:
    """The channels of a file without and with a band that may be transparency. looked_at: decode such a band."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return picture_info(path).channels, picture_info(path).channels
    with open_file(path) as file, decoding(str(path)):
        if not _head(file, str(path)).startswith(_TIFF_MAGIC):
            return 3, 3
        with TiffPicture(file) as tiff:
            without, with_last = tiff.channels_by_alpha
            is_band = without != with_last and looked_at and tiff.alpha == "band"
            return (with_last, with_last) if is_band else (without, with_last)


def to_tensor(array: np.ndarray) -> Tensor:
    """Convert (H, W, C) uint8 to (C, H, W) uint8, and uint16 to float32 in 0..1."""
    stored = stored_tensor(array)
    return stored.float() / 65535.0 if stored.dtype == torch.uint16 else stored


def stored_tensor(array: np.ndarray) -> Tensor:
    """Convert (H, W, C) to (C, H, W) with the same values, of the same type."""
    chw = np.ascontiguousarray(array.transpose(2, 0, 1))
    return torch.from_numpy(chw if chw.flags.writeable else chw.copy())


def open_windows(
    source: str | Path | bytes, max_pixels: int | None = None, channels: int | None = None, name: str = ""
) -> Windows:
    """Open an image to read it a window at a time.

    Of a tiled or striped TIFF only the tiles that a window touches are decoded; any other file is decoded once and
    sliced. `max_pixels` bounds the pixels decoded at once, so it does not bound a tiled TIFF. channels: the number that
    the reader needs, if it is known; see `read_picture`. source, name: see `picture_info`. Raises DataError.
    """
    name = name or called(source)
    file = open_file(source)
    ground = None
    try:
        with decoding(name):
            if _head(file, name).startswith(_TIFF_MAGIC):
                tiff = TiffPicture(file, channels)
                if tiff.by_windows and tiff.segment_pixels <= limit_of(max_pixels):
                    return _TiffWindows(tiff, file, name)
                check_size(name, tiff.height, tiff.width, max_pixels)
                ground = _ground(tiff, whole=True)
        array = _read(file, name, None, max_pixels, channels)
        frames = _frames(file)
    except BaseException:
        file.close()
        raise
    file.close()
    note = f"it has {frames} frames, of which the first is read; save each as a picture of its own" * (frames > 1)
    return ArrayWindows(array, ground, note)


def _frames(file: BinaryIO) -> int:
    """The number of frames of an animation; 1 of any other file that was read."""
    file.seek(0)
    if file.read(4) not in _ANIMATED:
        return 1
    file.seek(0)
    with contextlib.suppress(Exception):  # the first frame was read
        return int(getattr(_pillow(file), "n_frames", 1))
    return 1


def _ground(tiff: TiffPicture, whole: bool = False) -> Ground | None:
    """The place of a file on the ground; None for a file without. whole: read now which pixels have no data."""
    if not tiff.geo_tags:
        return None
    if not whole or tiff.nodata is None:
        return Ground(tiff.geo_tags, tiff.nodata, tiff.missing)
    missing = tiff.missing(0, 0, tiff.height, tiff.width)
    return Ground(tiff.geo_tags, tiff.nodata, lambda y, x, h, w: missing[y : y + h, x : x + w])


# Decoding


def _read(
    file: BinaryIO, name: str, channels: int | None, max_pixels: int | None, wanted: int | None = None
) -> np.ndarray:
    """Decode a whole file. channels: refuse another number. wanted: of a reader that takes other numbers, too."""
    with decoding(name):
        head = _head(file, name)
        if head.startswith(_TIFF_MAGIC):
            with TiffPicture(file, channels or wanted) as tiff:
                check_size(name, tiff.height, tiff.width, max_pixels)
                _check_channels(name, tiff.channels, channels)
                return tiff.read(0, 0, tiff.height, tiff.width)
        image = _pillow(file)
        check_size(name, image.height, image.width, max_pixels)
        _check_channels(name, 3, channels)
        array = decode_png16(file) if is_png16(head) else _pillow_pixels(image)
        require_visible(name, array)
        return orient(three_channels(array), orientation_of(image, file))


def _head(file: BinaryIO, name: str) -> bytes:
    file.seek(0)
    head = file.read(32)
    file.seek(0)
    if not head:
        raise DataError(f"{name}: the file is empty; replace or remove it")
    return head


def _pillow(file: BinaryIO) -> Image.Image:
    """Read the header, with Pillow's process-wide size limit disabled: `check_size` applies ours instead."""
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if 0 in image.size:
        raise ValueError(f"{image.width}x{image.height} pixels; expected at least one")
    return image


def _pillow_pixels(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):  # 16-bit PGM and the like
        values = np.array(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("values beyond 16 bits; expected 8 or 16 bits a channel")
        return values.astype(np.uint16)
    if image.mode == "F":
        return np.array(image)
    if image.has_transparency_data:
        return np.array(image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _pillow_values(image: Image.Image, head: bytes) -> str:
    """The type of the values that a file which is no TIFF is read as."""
    if image.mode == "F":
        return "float32"
    return "uint16" if is_png16(head) or image.mode.startswith("I") else "uint8"


def _check_channels(name: str, channels: int, expected: int | None) -> None:
    if expected is not None and channels != expected:
        raise DataError(
            f"{name}: {counted(channels, 'channel')}, expected {expected}; convert the file, or keep pictures "
            f"of one kind together"
        )


class _TiffWindows:
    def __init__(self, tiff: TiffPicture, file: BinaryIO, name: str) -> None:
        self._tiff, self._file, self._name = tiff, file, name
        self.height, self.width, self.channels = tiff.height, tiff.width, tiff.channels
        self.dtype, self.ground = tiff.dtype, _ground(tiff)

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        with decoding(self._name):
            return self._tiff.read(top, left, height, width)

    def close(self) -> None:
        self._tiff.close()
        self._file.close()
