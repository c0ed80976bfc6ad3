"""The EXIF orientation of an image file, from whatever holds it; a block that cannot be read says nothing."""

from __future__ import annotations

import struct
import warnings
from typing import BinaryIO

from PIL import Image

_ORIENTATION = 0x0112
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

warnings.filterwarnings("ignore", "Corrupt EXIF data", module="PIL")


def orientation_of(image: Image.Image, file: BinaryIO | None = None) -> int:
    """Return the orientation, 1..8, of an image whose header was read; 1 is upright, and what a damaged block gives.

    file: that of the image. A PNG may have its block behind the pixels, where only decoding them would find it.
    """
    try:
        # The getexif() of a PNG would decode the whole image.
        value = _from_png(image, file) if image.format == "PNG" else image.getexif().get(_ORIENTATION, 1)
        return int(value) if value in range(1, 9) else 1
    except Exception:  # damaged bytes make the reader raise nearly every type
        return 1


def _from_png(image: Image.Image, file: BinaryIO | None) -> int:
    """The orientation in the chunk eXIf, or in the text that ImageMagick writes in its place."""
    data = image.info.get("exif") or (_chunk(file, b"eXIf") if file is not None else b"")
    text = image.info.get("Raw profile type exif")
    if not data and isinstance(text, str):
        data = bytes.fromhex("".join(text.split()[2:]))  # after the profile's name and its length
    exif = Image.Exif()
    exif.load(data)
    return int(exif.get(_ORIENTATION, 1))


def _chunk(file: BinaryIO, kind: bytes) -> bytes:
    """The content of the first chunk of a kind; b'' if there is none. Leaves the file where it was."""
    before = file.tell()
    try:
        file.seek(len(_PNG_MAGIC))
        while len(head := file.read(8)) == 8:
            length, found = struct.unpack(">I4s", head)
            if found == kind:
                return file.read(length)
            if found == b"IEND":
                break
            file.seek(length + 4, 1)  # the content and its checksum
        return b""
    finally:
        file.seek(before)
