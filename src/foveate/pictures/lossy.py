"""Compression of image files that changes values: JPEG, WebP of its lossy kind, and JPEG 2000 of its irreversible."""

from __future__ import annotations

from typing import BinaryIO

_CHUNK = 8  # bytes of a RIFF chunk's head: its name and its size
_FRAME = 16  # bytes in an animation's chunk before those of its frame
_COD, _TRANSFORMATION = b"\xff\x52", 13  # JPEG 2000's marker of the coding style, and the byte after its start
_HEAD = 1 << 16


def is_lossy(kind: str | None, file: BinaryIO) -> bool:
    """True if the decoded values may differ from those that were encoded; kind: Pillow's name of the format."""
    if kind in ("JPEG", "MPO"):
        return True
    if kind == "WEBP":
        return _is_lossy_webp(file)
    return kind == "JPEG2000" and _is_irreversible(file)


def _is_lossy_webp(file: BinaryIO) -> bool:
    """True if the first image is in a chunk VP8, not VP8L."""
    place = 12  # after RIFF, its size and WEBP
    while True:
        file.seek(place)
        head = file.read(_CHUNK)
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name in (b"VP8 ", b"VP8L") or len(head) < _CHUNK:
            return name == b"VP8 "
        place += _CHUNK + (_FRAME if name == b"ANMF" else size + size % 2)


def _is_irreversible(file: BinaryIO) -> bool:
    """True for the wavelets 9-7; the reversible ones, 5-3, are those of a lossless file."""
    file.seek(0)
    data = file.read(_HEAD)
    start = data.find(_COD)
    return 0 <= start < len(data) - _TRANSFORMATION and data[start + _TRANSFORMATION] == 0
