"""Further images in a file of which the first is read: pages of a TIFF, frames of an animation."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from foveate.pictures.tiff import TiffPicture


def further_frames(path: Path) -> int:
    """The number of images in a file beside the one that is read; 0 for a file that cannot be read."""
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            with path.open("rb") as file, TiffPicture(file) as tiff:
                return tiff.unread_pages
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1)) - 1
    except Exception:  # damaged bytes make decoders raise nearly every type; reading the file says what is wrong
        return 0
