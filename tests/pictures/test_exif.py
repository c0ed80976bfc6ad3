"""Orientation from EXIF in every place that writers put it, and from blocks that are no EXIF."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from foveate import pictures

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
# Orientation -> the stored pixels as they are seen.
SEEN = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    6: np.rot90(PIXELS, -1),
    8: np.rot90(PIXELS),
}
GARBAGE = (b"not a TIFF at all", b"", b"\0", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff")


def block(orientation: int) -> bytes:
    """A TIFF structure with the one tag."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def png(path: Path, chunk: bytes = b"", behind: bool = False) -> Path:
    """A PNG with a chunk eXIf before or behind the pixels."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    data = buffer.getvalue()
    own = struct.pack(">I", len(chunk)) + b"eXIf" + chunk + struct.pack(">I", zlib.crc32(b"eXIf" + chunk))
    place = data.index(b"IEND" if behind else b"IDAT") - 4
    path.write_bytes(data[:place] + own + data[place:])
    return path


@pytest.mark.parametrize("orientation", SEEN)
@pytest.mark.parametrize("behind", [False, True])
def test_png_with_its_block_before_or_behind_the_pixels(tmp_path: Path, behind: bool, orientation: int) -> None:
    path = png(tmp_path / "a.png", block(orientation).removeprefix(b"Exif\0\0"), behind)
    np.testing.assert_array_equal(pictures.read_picture(path), SEEN[orientation])
    assert pictures.picture_size(path) == SEEN[orientation].shape[:2]
    assert pictures.picture_tags(path).orientation == orientation
    np.testing.assert_array_equal(pictures.read_raw(path).values, SEEN[orientation])


@pytest.mark.parametrize("orientation", SEEN)
def test_png_with_the_text_that_imagemagick_writes(tmp_path: Path, orientation: int) -> None:
    text = PngImagePlugin.PngInfo()
    data = block(orientation)
    lines = "\n".join(data.hex()[i : i + 72] for i in range(0, 2 * len(data), 72))
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{lines}\n", zip=True)
    Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=text)
    np.testing.assert_array_equal(pictures.read_picture(tmp_path / "a.png"), SEEN[orientation])


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_a_block_that_is_no_exif_says_nothing(tmp_path: Path, suffix: str, garbage: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        png(path, garbage)
    elif suffix == "webp":
        Image.fromarray(PIXELS).save(path, lossless=True, exif=garbage)
    else:
        Image.fromarray(PIXELS).save(path, exif=garbage)
    read = pictures.read_picture(path)
    assert read.shape == PIXELS.shape
    if suffix != "jpg":
        np.testing.assert_array_equal(read, PIXELS)
    assert pictures.picture_tags(path).orientation == 1
    assert pictures.picture_size(path) == (6, 9)


@pytest.mark.parametrize("value", [0, 9, 255])
def test_a_value_that_is_no_orientation(tmp_path: Path, value: int) -> None:
    path = png(tmp_path / "a.png", block(value).removeprefix(b"Exif\0\0"))
    np.testing.assert_array_equal(pictures.read_picture(path), PIXELS)


@pytest.mark.parametrize("orientation", SEEN)
def test_tiff(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.tif"
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, PIXELS.astype(np.uint16) * 9, photometric="rgb", extratags=tags)
    np.testing.assert_array_equal(pictures.read_picture(path), SEEN[orientation].astype(np.uint16) * 9)
    assert pictures.picture_tags(path) == (orientation, "uint16")
