"""Contents of image files: a header, its statements, and the stored values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PictureInfo(NamedTuple):
    """Contents of an image's header: size in pixels as it will be read, channels, and bits a channel (8, 16 or 32)."""

    height: int
    width: int
    channels: int
    bits: int


class PictureTags(NamedTuple):
    """Statements of a header on how the image is read.

    orientation: EXIF's, 1..8; 1 is upright. values: the type of the values, 'uint8', 'uint16', 'float32', ...
    """

    orientation: int
    values: str


class RawPicture(NamedTuple):
    """Stored values of an image file, before any conversion to colours.

    values: (H, W) for grey and palette files, (H, W, C) otherwise.
    palette: (N, 3) uint8, for palette files only.
    lossy: the compression changes values (JPEG, lossy WebP), so they cannot be labels.
    alpha: (H, W), for files with an alpha channel, which `values` leaves out.
    nodata: the value that the file, or GDAL's `.aux.xml` beside it, declares to be no data.
    white_is_zero: a TIFF says that its values are displayed inverted, which `values` are not.
    step: `values` are this many times those that the file stores: 85 or 17 for a grey PNG of 2 or 4 bits.
    """

    values: np.ndarray
    palette: np.ndarray | None
    lossy: bool
    alpha: np.ndarray | None = None
    nodata: float | None = None
    white_is_zero: bool = False
    step: int = 1
