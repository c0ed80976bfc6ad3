"""Label maps as pictures: blended over the photograph, as a palette PNG, as a map of errors.

Shapes: pictures (H, W[, C]) uint8 (uint16 and float in 0..1 are shown as 8 bits), masks (H, W) integers, K classes.
No function holds more than one full-size copy beside what it is given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from foveate.errors import ConfigError, DataError
from foveate.pictures import atomic_write
from foveate.records import ClassTable
from foveate.visualize.pixels import check_pair, contours, near_contour, palette, rgb8, slots, strips

VOID_COLOR = (224, 224, 192)  # the colour Pascal VOC gives to what is not labelled

# The kinds of `error_kinds`, and their colours: apart in lightness too, for eyes that do not tell red from green.
RIGHT, WRONG_NEAR, WRONG_FAR, UNSCORED = range(4)
ERROR_COLORS = ((226, 229, 233), (245, 176, 38), (190, 18, 72), (84, 98, 122))
ERROR_REACH = 0.01  # of the diagonal: how far from a true contour a mistake still counts as one of the boundary


def overlay(
    image: np.ndarray, mask: np.ndarray, classes: ClassTable, alpha: float = 0.55, outlines: bool = True
) -> np.ndarray:
    """Class colours over a picture: round((1 - alpha) * picture + alpha * colour), a value a channel.

    Pixels whose label is no class (ignored ones) show the picture alone. With `outlines`, the inner rim of each
    region is drawn in its own colour undiluted, a pixel wide for each 800 pixels of the longer side.
    Returns (H, W, 3) uint8. Raises DataError if the sizes differ, ConfigError for an alpha outside 0..1.
    """
    height, width = check_pair(image, mask)
    if not 0.0 <= alpha <= 1.0:
        raise ConfigError(f"alpha is {alpha}; give a share from 0 (picture alone) to 1 (colours alone)")
    colors = palette(classes, VOID_COLOR)
    blended = _blend_table(classes, alpha)
    thickness = _line_width(height, width) if outlines else 0
    drawn = np.empty((height, width, 3), np.uint8)
    for rows in strips(height, width):
        with_next = slots(mask[rows.start : rows.stop + thickness], classes)
        labels = with_next[: rows.stop - rows.start]
        picture = rgb8(image[rows])
        for channel in range(3):
            drawn[rows, :, channel] = blended[channel][labels * 256 + picture[..., channel]]
        if outlines:
            rim = contours(with_next, thickness)[: len(labels)]
            rim &= labels < len(classes)
            drawn[rows][rim] = colors[labels[rim]]
    return drawn


def _blend_table(classes: ClassTable, alpha: float) -> np.ndarray:
    """(3, (K + 1) * 256) uint8: every blend there can be, looked up by label * 256 + value; slot K blends nothing."""
    values = np.arange(256, dtype=np.float64)
    colors = np.array(classes.colors, np.float64).T[:, :, None]  # (3, K, 1)
    table = np.rint((1.0 - alpha) * values + alpha * colors)
    return np.concatenate([table, np.broadcast_to(values, (3, 1, 256))], axis=1).astype(np.uint8).reshape(3, -1)


def _line_width(height: int, width: int) -> int:
    return max(1, round(max(height, width) / 800))


def error_kinds(mask: np.ndarray, target: np.ndarray, classes: ClassTable, reach: int | None = None) -> np.ndarray:
    """What became of each pixel: RIGHT, WRONG_NEAR a true contour, WRONG_FAR from one, or UNSCORED.

    mask, target: (H, W) prediction and truth; truth that is no class is not scored.
    reach: how many rows and columns count as near; by default 1 % of the diagonal, at least 1.
    Returns (H, W) uint8. Raises DataError if the sizes differ.
    """
    height, width = check_pair(target, mask, "prediction")
    reach = max(1, round(ERROR_REACH * float(np.hypot(height, width)))) if reach is None else reach
    kinds = np.empty((height, width), np.uint8)
    for rows in strips(height, width):
        top = max(rows.start - reach, 0)
        truth = slots(target[top : rows.stop + reach], classes)
        near = near_contour(truth, reach, void=len(classes))
        own = slice(rows.start - top, rows.stop - top)
        truth, near = truth[own], near[own]
        kinds[rows] = np.where(truth == mask[rows], RIGHT, np.where(near, WRONG_NEAR, WRONG_FAR))
        kinds[rows][truth == len(classes)] = UNSCORED
    return kinds


def error_map(mask: np.ndarray, target: np.ndarray, classes: ClassTable, image: np.ndarray | None = None) -> np.ndarray:
    """Where a prediction is wrong: amber near a true contour, crimson elsewhere, slate where nothing is scored.

    mask, target: (H, W) prediction and truth. image: the picture, shown faded under what is right; else plain.
    True contours are drawn as thin dark lines where the prediction is right.
    Returns (H, W, 3) uint8. Raises DataError if the sizes differ.
    """
    kinds = error_kinds(mask, target, classes)
    height, width = kinds.shape
    if image is not None:
        check_pair(image, target, "truth")
    colors = np.array(ERROR_COLORS, np.uint8)
    thickness = _line_width(height, width)
    drawn = np.empty((height, width, 3), np.uint8)
    for rows in strips(height, width):
        kind = kinds[rows]
        drawn[rows] = colors[kind]
        right = kind == RIGHT
        if image is not None:
            drawn[rows][right] = _faded(rgb8(image[rows]))[right]
        rim = contours(target[rows.start : rows.stop + thickness], thickness)[: len(kind)]
        drawn[rows][rim & right] //= 2
    return drawn


def _faded(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the same in pale grey, 140..239, so that the error colours stand out."""
    grey = picture.mean(axis=2, keepdims=True, dtype=np.float32)
    return np.broadcast_to((140.0 + grey * (99.0 / 255.0)).astype(np.uint8), picture.shape)


def index_png(mask: np.ndarray, classes: ClassTable, path: str | Path) -> None:
    """Write a label map as a PNG whose pixel values are the labels.

    Up to 256 values it is a palette PNG in the class colours; with higher labels a 16-bit grey one.
    Raises DataError for labels that no PNG holds, OutputError where the file cannot be written.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise DataError(f"a mask of shape {mask.shape} cannot be written to {path}; give (height, width)")
    lowest, highest = int(mask.min()), int(mask.max())
    if lowest < 0 or highest > 65535:
        raise DataError(f"labels {lowest}..{highest} do not fit into {path}; a PNG holds 0..65535")
    if max(highest, len(classes) - 1) < 256:
        picture = Image.fromarray(mask.astype(np.uint8, copy=False))
        picture.putpalette(_png_palette(classes))
    else:
        picture = Image.fromarray(mask.astype(np.uint16, copy=False))
    with atomic_write(path) as temporary:
        picture.save(temporary, format="PNG")


def _png_palette(classes: ClassTable) -> bytes:
    """256 RGB entries: the class colours, the void colour at the ignore value, black elsewhere."""
    entries = np.zeros((256, 3), np.uint8)
    entries[: len(classes)] = classes.colors
    if 0 <= classes.ignore_index < 256:
        entries[classes.ignore_index] = VOID_COLOR
    return entries.tobytes()
