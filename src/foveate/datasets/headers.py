"""Statements of image files that a reader of labels cannot judge alone: EXIF turns, depths, transparency.

Shapes: H x W pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveate.errors import DataError
from foveate.pictures import alpha_of, picture_info, picture_tags

# Formats whose files always hold 8 bits.
_EIGHT_BITS = frozenset({".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".webp"})
TURNED = (
    "turned by EXIF, but the masks are not: pictures are read upright, masks as stored; where the contact sheet "
    "shows labels beside their objects, save pictures and masks turned alike"
)
BLENDED = "transparent pixels, which are blended with white"
BAND = "a band that is tagged as alpha and holds data, kept as a channel"
CONSTANT = "a band of one value that is tagged as alpha, kept where other pictures have as many channels"


class FileHeaders:
    """Mixin of a data set of files.

    pairs: image file and label of each sample; the label is the path of a mask, or anything else.
    """

    pairs: Sequence[Any]

    def values(self, index: int) -> str:
        """The type of an image's values, as 'uint8'; '' for a file that cannot be read."""
        path: Path = self.pairs[index].picture
        if path.suffix.lower() in _EIGHT_BITS:
            return "uint8"
        with contextlib.suppress(DataError):
            return picture_tags(path).values
        return ""

    def turned_alone(self, index: int) -> bool:
        """True if EXIF turns the image, its mask carries no such note, and their sizes do not tell which is meant."""
        pair = self.pairs[index]
        if not isinstance(pair.label, Path):
            return False
        with contextlib.suppress(DataError):
            orientation = picture_tags(pair.picture).orientation
            if orientation == 1 or picture_tags(pair.label).orientation != 1:
                return False
            height, width = picture_info(pair.picture)[:2]
            return orientation < 5 or height == width  # a turn by 90 degrees shows in the sizes
        return False

    def file_notes(self, index: int, decode: bool = True) -> list[str]:
        """Remarks on one image file. decode: also those that its pixels tell."""
        path = self.pairs[index].picture
        found = [TURNED] if self.turned_alone(index) else []
        if decode and path.suffix.lower() not in (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg"):
            with contextlib.suppress(DataError):
                found += {"mask": [BLENDED], "band": [BAND], "constant": [CONSTANT]}.get(alpha_of(path), [])
        return found
