"""Drawings of label maps: blended over the image, as a palette PNG, as a map of errors.

Shapes: images (H, W[, C]) uint8 (uint16 and float in 0..1 are converted to 8 bits), masks (H, W) integers, K classes.
Each function allocates at most one full-size array beside its inputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from foveate.errors import ConfigError, DataError
from foveate.ops.contours import near_contour
from foveate.pictures import atomic_write
from foveate.records import ClassTable
from foveate.visualize.pixels import check_pair, contours, palette, rgb8, slots, strips

DARK, BRIGHT = 64, 230  # values of 8 bits: bright pixels of an image that is dark, and their value once brightened
VOID_COLOR = (224, 224, 192)  # the colour of unlabelled pixels in Pascal VOC

# The values of `error_kinds` and their colours, which also differ in lightness for colour-blind readers.
RIGHT, WRONG_NEAR, WRONG_FAR, UNSCORED = range(4)
ERROR_COLORS = ((226, 229, 233), (245, 176, 38), (190, 18, 72), (84, 98, 122))
ERROR_REACH = 0.01  # of the diagonal: largest distance of a boundary error from a true contour


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    classes: ClassTable,
    alpha: float = 0.55,
    outlines: bool = True,
    background: bool = False,
) -> np.ndarray:
    """Blend class colours over an image: round((1 - alpha) * image + alpha * colour) for each channel.

    Returns (H, W, 3) uint8. Pixels whose label is not a class (ignored ones) show the image alone, and so does a class
    0 that is called background. A dark image, such as one of fluorescence microscopy, is brightened first.

    alpha: opacity of the colours, 0..1.
    outlines: draw the inner edge of each region in its opaque colour, one pixel wide for each 800 pixels of the
        longer side.
    background: also paint a class 0 that is called background.
    Raises DataError if the sizes differ, ConfigError for an alpha outside 0..1.
    """
    height, width = check_pair(image, mask)
    if not 0.0 <= alpha <= 1.0:
        raise ConfigError(f"alpha is {alpha}; give a share from 0 (picture alone) to 1 (colours alone)")
    colors = palette(classes, VOID_COLOR)
    unpainted = [] if background or classes.background is None else [classes.background]
    blended = _blend_table(classes, alpha, unpainted)
    thickness = _line_width(height, width) if outlines else 0
    brighter = brightening(image)
    drawn = np.empty((height, width, 3), np.uint8)
    for rows in strips(height, width):
        with_next = slots(mask[rows.start : rows.stop + thickness], classes)
        labels = with_next[: rows.stop - rows.start]
        pixels = brighter[rgb8(image[rows])] if brighter is not None else rgb8(image[rows])
        for channel in range(3):
            drawn[rows, :, channel] = blended[channel][labels * 256 + pixels[..., channel]]
        if outlines:
            edge = contours(with_next, thickness)[: len(labels)]
            edge &= (labels < len(classes)) & ~np.isin(labels, unpainted)
            drawn[rows][edge] = colors[labels[edge]]
    return drawn


def brightening(image: np.ndarray) -> np.ndarray | None:
    """Return the table (256,) uint8 that brightens a dark image, or None: its bright pixels become nearly white.

    An image is dark if 99.5 % of a sample of its pixels are below DARK.
    """
    step = max(1, int((image.shape[0] * image.shape[1] / 2**18) ** 0.5))
    bright = float(np.percentile(rgb8(image[::step, ::step]).max(axis=2), 99.5))
    if not 0 < bright < DARK:
        return None
    return np.rint((np.arange(256) * (BRIGHT / bright)).clip(0, 255)).astype(np.uint8)


def _blend_table(classes: ClassTable, alpha: float, unpainted: list[int]) -> np.ndarray:
    """Return the table (3, (K + 1) * 256) uint8 of all blends, indexed by label * 256 + value; slot K is unblended.

    unpainted: labels that are not blended, either.
    """
    values = np.arange(256, dtype=np.float64)
    colors = np.array(classes.colors, np.float64).T[:, :, None]  # (3, K, 1)
    table = np.rint((1.0 - alpha) * values + alpha * colors)
    table[:, unpainted] = values
    return np.concatenate([table, np.broadcast_to(values, (3, 1, 256))], axis=1).astype(np.uint8).reshape(3, -1)


def _line_width(height: int, width: int) -> int:
    return max(1, round(max(height, width) / 800))


def error_kinds(mask: np.ndarray, target: np.ndarray, classes: ClassTable, reach: int | None = None) -> np.ndarray:
    """Classify each pixel as RIGHT, WRONG_NEAR a true contour, WRONG_FAR from one, or UNSCORED; returns (H, W) uint8.

    mask, target: (H, W) prediction and truth; pixels whose truth is not a class are not scored.
    reach: largest distance of a near pixel, in rows and columns; by default 1 % of the diagonal, at least 1.
    Raises DataError if the sizes differ.
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
    """Draw the errors of a prediction: amber near a true contour, crimson elsewhere, slate where nothing is scored.

    Returns (H, W, 3) uint8. True contours are drawn as thin dark lines where the prediction is right.

    mask, target: (H, W) prediction and truth.
    image: (H, W[, C]), shown faded where the prediction is right; without it these pixels are plain grey.
    Raises DataError if the sizes differ.
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
        correct = kind == RIGHT
        if image is not None:
            drawn[rows][correct] = _faded(rgb8(image[rows]))[correct]
        edge = contours(target[rows.start : rows.stop + thickness], thickness)[: len(kind)]
        drawn[rows][edge & correct] //= 2
    return drawn


def _faded(pixels: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) uint8 to pale grey, 140..239, so that the error colours stand out."""
    grey = pixels.mean(axis=2, keepdims=True, dtype=np.float32)
    return np.broadcast_to((140.0 + grey * (99.0 / 255.0)).astype(np.uint8), pixels.shape)


def index_image(mask: np.ndarray, classes: ClassTable, path: str | Path = "a PNG") -> Image.Image:
    """An image whose pixel values are the labels: up to 255 with a palette in the class colours, else 16-bit grey.

    path: where it will be written, for messages. Raises DataError for labels outside 0..65535.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise DataError(f"a mask of shape {mask.shape} cannot be written to {path}; give (height, width)")
    lowest, highest = int(mask.min()), int(mask.max())
    if lowest < 0 or highest > 65535:
        raise DataError(f"labels {lowest}..{highest} do not fit into {path}; a PNG holds 0..65535")
    if max(highest, len(classes) - 1) < 256:
        image = Image.fromarray(mask.astype(np.uint8, copy=False))
        image.putpalette(_png_palette(classes))
        return image
    return Image.fromarray(mask.astype(np.uint16, copy=False))


def index_png(mask: np.ndarray, classes: ClassTable, path: str | Path) -> None:
    """Write a label map as a PNG whose pixel values are the labels; see `index_image`.

    Raises DataError for labels that do not fit, OutputError if the file cannot be written.
    """
    image = index_image(mask, classes, path)
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def _png_palette(classes: ClassTable) -> bytes:
    """Return 256 RGB entries: the class colours, the void colour at the ignore value, black elsewhere."""
    entries = np.zeros((256, 3), np.uint8)
    entries[: len(classes)] = classes.colors
    if 0 <= classes.ignore_index < 256:
        entries[classes.ignore_index] = VOID_COLOR
    return entries.tobytes()
