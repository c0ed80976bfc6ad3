"""Statements of image files that a reader of labels cannot judge alone: EXIF turns, depths, transparency.

Shapes: H x W pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foveate.errors import DataError
from foveate.pictures import alpha_of, picture_info, picture_tags
from foveate.pictures.frames import further_frames

# Formats whose files always hold 8 bits.
_EIGHT_BITS = frozenset({".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".webp"})
_SEVERAL = frozenset({".gif", ".png", ".tif", ".tiff", ".webp"})  # endings of files that may hold several images
TURNED = (
    "turned by EXIF, but the masks are not: pictures are read upright, masks as stored; where the contact sheet "
    "shows labels beside their objects, save pictures and masks turned alike"
)
MASK_TURNED = (
    "the mask is turned by EXIF, but the picture is not: both are read upright; where the contact sheet shows labels "
    "beside their objects, save pictures and masks turned alike"
)
OUTLINES_TURNED = (
    "turned by EXIF, and outlines are taken to be drawn on the upright picture, as browsers show it; where the contact "
    "sheet shows labels beside their objects, save pictures upright and export again"
)
SEVERAL = "several pages or frames, of which the first is read; save each that is meant as a file of its own"
CLEAR = "wholly transparent, so white throughout; remove them unless they are meant to be empty"
BLENDED = "transparent pixels, which are blended with white"
BAND = "a band that is tagged as alpha and holds data, kept as a channel"
MASK_AS_BAND = "a band that is tagged as alpha and looks like transparency, kept as a channel as in other pictures"
CONSTANT = "a band of one value that is tagged as alpha, kept where other pictures have as many channels"


class FileHeaders:
    """Mixin of a data set of files.

    pairs: image file and label of each sample; the label is the path of a mask, a tuple of such, or
    anything else.
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
        return any(_is_turned_alone(pair.picture, mask) for mask in _masks_in(pair.label))

    def file_notes(self, index: int, decode: bool = True) -> list[str]:
        """Remarks on one image file. decode: also those that need its pixels."""
        path, label = self.pairs[index].picture, self.pairs[index].label
        found = [TURNED] if self.turned_alone(index) else []
        found += [MASK_TURNED] if any(_is_turned_alone(mask, path) for mask in _masks_in(label)) else []
        found += [OUTLINES_TURNED] if getattr(label, "drawn_upright", True) is False and _is_turned(path, label) else []
        if decode and path.suffix.lower() in _SEVERAL and further_frames(path):
            found.append(SEVERAL)
        if decode and path.suffix.lower() not in (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg"):
            with contextlib.suppress(DataError):
                kind = alpha_of(path)
                if kind == "mask" and getattr(self, "channels", 3) > picture_info(path).channels:
                    return [*found, MASK_AS_BAND]
                notes = {"mask": BLENDED, "clear": CLEAR, "band": BAND, "constant": CONSTANT}
                found += [notes[kind]] if kind else []
        return found


def _masks_in(label: Any) -> list[Path]:
    """The files of a label that is the path of a mask, or several such paths."""
    return [part for part in (label if isinstance(label, tuple) else (label,)) if isinstance(part, Path)]


def _is_turned_alone(file: Path, partner: Path) -> bool:
    """True if EXIF turns a file and not its partner, and a turn by 90 degrees would not show in the sizes."""
    with contextlib.suppress(DataError):
        orientation = picture_tags(file).orientation
        if orientation == 1 or picture_tags(partner).orientation != 1:
            return False
        height, width = picture_info(file)[:2]
        return orientation < 5 or height == width
    return False


def _is_turned(file: Path, label: Any) -> bool:
    """True if EXIF turns a file, and no size that its outlines state tells whether they were drawn before or after."""
    with contextlib.suppress(DataError):
        orientation = picture_tags(file).orientation
        height, width = picture_info(file)[:2]
        return orientation > 1 and (orientation < 5 or height == width or label.size is None)
    return False


def is_clear(path: Path, image: np.ndarray) -> bool:
    """True if an image (H, W, C) is white throughout since every pixel of its file is transparent."""
    is_white = image.dtype.kind == "u" and image.size > 0 and image.min() == np.iinfo(image.dtype).max
    return is_white and path.is_file() and alpha_of(path) == "clear"


def nothing_to_see(path: Path, label: str) -> DataError:
    """The error for a wholly transparent image that is labelled all the same."""
    return DataError(f"{path}: every pixel is transparent, but it is labelled with {label}; replace or remove the file")
