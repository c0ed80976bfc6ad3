"""Label maps as GeoTIFF: the labels of an image that has a place on the ground, at that place.

Shapes: masks (H, W) integers; K classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from foveate.pictures import atomic_write
from foveate.pictures.windows import Ground
from foveate.records import ClassTable
from foveate.visualize.pixels import palette, strips

_NODATA, _ASCII = 42113, 2  # GDAL's tag for the value of pixels without data, and the type of its text


def index_geotiff(mask: np.ndarray, classes: ClassTable, ground: Ground, path: str | Path) -> None:
    """Write labels (H, W) as a GeoTIFF with the image's tags of the ground, in the class colours up to 256 labels.

    Pixels without data in the image have none here: they hold the image's own value for that, or the class table's
    ignore value where that value is a class or no label, and GDAL's tag names it.
    Raises OutputError if the file cannot be written.
    """
    tags = [(code, kind, count, value, True) for code, kind, count, value in ground.tags]
    nodata = None if ground.nodata is None else _label_without_data(ground.nodata, classes)
    highest = max(int(mask.max(initial=0)), len(classes) - 1, nodata or 0)
    labels = mask.astype(np.uint8 if highest < 256 else np.uint16)
    if nodata is not None:
        for rows in strips(*mask.shape):
            labels[rows][ground.missing(rows.start, 0, rows.stop - rows.start, mask.shape[1])] = nodata
        tags.append((_NODATA, _ASCII, 0, str(nodata), True))
    colors = None
    if highest < 256:
        colors = np.zeros((3, 256), np.uint16)
        colors[:, : len(classes)] = palette(classes, (0, 0, 0))[:-1].T.astype(np.uint16) * 257
    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary,
            labels,
            photometric="minisblack" if colors is None else "palette",
            colormap=colors,
            compression="zlib",
            tile=(256, 256) if min(mask.shape) > 256 else None,
            extratags=tags,
            metadata=None,
        )


def _label_without_data(value: float, classes: ClassTable) -> int:
    """A label that is no class: the value itself, the ignore value, or the highest of 8 or 16 bits."""
    for label in (value, classes.ignore_index, 255):
        if len(classes) <= label <= 65535 and float(label).is_integer():
            return int(label)
    return 65535
