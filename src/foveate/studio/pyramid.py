"""Images for the page: tiles of 256 x 256 pixels at full size and at halved ones, and small previews.

Values other than 8 bits are shown between the 0.5th and the 99.5th percentile of each channel; of other than three
channels the first three, or the first as grey.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PIL import Image

from foveate import pictures
from foveate.pictures.pixels import orient
from foveate.studio.folder import Picture
from foveate.studio.tiles import TILE

_KEPT_BYTES = 500_000_000  # of decoded images
_SAMPLED = 1_000_000  # pixels that percentiles are taken of
JPEG_QUALITY = 90
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")


class Level:
    """Size of an image, reduced by 2^level with sizes rounded up."""

    def __init__(self, level: int, height: int, width: int) -> None:
        self.level = level
        self.height, self.width = -(-height >> level), -(-width >> level)
        self.rows, self.columns = -(-self.height // TILE), -(-self.width // TILE)

    def to_json(self) -> dict[str, int]:
        """For the page."""
        return dict(vars(self))


def levels(height: int, width: int) -> list[Level]:
    """All levels; the last fits into one tile."""
    found = [Level(0, height, width)]
    while found[-1].rows * found[-1].columns > 1:
        found.append(Level(len(found), height, width))
    return found


class Pyramid:
    """Decoded images of the last pictures that were looked at, with their levels."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._decoding: dict[str, threading.Lock] = {}

    def pixels(self, picture: Picture, level: int = 0) -> np.ndarray:
        """(H, W, 3) uint8, upright, at a level. Raises DataError."""
        version = picture.version()
        with self._lock:
            lock = self._decoding.setdefault(picture.id, threading.Lock())
        with lock:  # a page asks for many tiles at once, and one decoding is enough
            found = self._get((picture.id, version, level))
            if found is None and level == 0:
                found = shown(pictures.read_picture(picture.path))
                self._put((picture.id, version, 0), found)
            elif found is None:
                whole = self._get((picture.id, version, 0))
                if whole is None:
                    whole = shown(pictures.read_picture(picture.path))
                    self._put((picture.id, version, 0), whole)
                found = np.asarray(Image.fromarray(whole).reduce(2**level))
                self._put((picture.id, version, level), found)
        return found

    def _get(self, key: tuple[str, str, int]) -> np.ndarray | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _put(self, key: tuple[str, str, int], value: np.ndarray) -> None:
        with self._lock:
            self._kept[key] = value
            held = sum(one.nbytes for one in self._kept.values())
            while held > _KEPT_BYTES and len(self._kept) > 1:
                held -= self._kept.popitem(last=False)[1].nbytes

    def tile(self, picture: Picture, level: int, x: int, y: int) -> tuple[bytes, str]:
        """(file, media type): PNG at level 0, whose pixels are exact, JPEG above. Raises DataError, IndexError."""
        pixels = self.pixels(picture, level)
        tile = pixels[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
        if not tile.size:
            raise IndexError
        image, buffer = Image.fromarray(np.ascontiguousarray(tile)), io.BytesIO()
        if level == 0:
            image.save(buffer, "PNG", compress_level=1)
            return buffer.getvalue(), "image/png"
        return jpeg(image), "image/jpeg"

    def preview(self, picture: Picture, size: int) -> bytes:
        """A JPEG whose longer side is at most `size`. Raises DataError."""
        with self._lock:
            known = next((key for key in self._kept if key[0] == picture.id and key[2] == 0), None)
        image = None if known else _quickly(picture.path, size)
        if image is None:  # a preview of every image of a folder would drive out those that are looked at
            image = Image.fromarray(self.pixels(picture) if known else shown(pictures.read_picture(picture.path)))
        image.thumbnail((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return jpeg(image)


def _quickly(path: Path, size: int) -> Image.Image | None:
    """A photograph that was decoded at a reduced size, which JPEG offers, upright; None for other files."""
    if path.suffix.lower() not in JPEG_SUFFIXES:
        return None
    try:
        turn = pictures.picture_tags(path).orientation
        with Image.open(path) as image:
            if image.format != "JPEG" or image.mode not in ("RGB", "L"):
                return None
            image.draft(None, (2 * size, 2 * size))
            return Image.fromarray(orient(np.asarray(image.convert("RGB")), turn))
    except Exception:  # the whole decoder says what is wrong
        return None


def jpeg(image: Image.Image) -> bytes:
    """An image as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def shown(array: np.ndarray) -> np.ndarray:
    """(H, W, C) of any type -> (H, W, 3) uint8."""
    array = array[:, :, :3] if array.shape[2] >= 3 else np.repeat(array[:, :, :1], 3, axis=2)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    step = max(1, int((array.shape[0] * array.shape[1] / _SAMPLED) ** 0.5))
    sample = array[::step, ::step].reshape(-1, 3).astype(np.float64)
    sample = np.where(np.isfinite(sample), sample, np.nan)
    low, high = np.nanpercentile(sample, (0.5, 99.5), axis=0) if np.isfinite(sample).any(0).all() else (0.0, 1.0)
    scale = 255.0 / np.maximum(np.asarray(high) - low, 1e-12)
    found = np.empty(array.shape, np.uint8)
    for top in range(0, len(array), 1024):
        part = array[top : top + 1024].astype(np.float64)
        values = np.nan_to_num((part - low) * scale, nan=0.0, posinf=255.0, neginf=0.0)
        found[top : top + 1024] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return found
