"""Pictures with words: a legend under an overlay, and many samples on one sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image, ImageDraw

from foveate.errors import DataError
from foveate.records import ClassTable
from foveate.visualize.lettering import letters, shortened
from foveate.visualize.overlay import overlay
from foveate.visualize.pixels import check_pair, rgb8, slots, strips

PAPER, INK, MUTED, RULE = (255, 255, 255), (28, 31, 35), (91, 100, 112), (205, 210, 216)


def percent(share: float) -> str:
    """0.123 -> '12.3 %'; what is there but would round to nothing is '<0.1 %'."""
    return "<0.1 %" if 0.0 < share < 0.0005 else f"{share * 100:.1f} %"


def with_legend(
    picture: np.ndarray | Image.Image, classes: ClassTable, shares: Mapping[str, float] | None = None
) -> Image.Image:
    """A picture with the names of its colours beneath.

    picture: (H, W, 3) uint8 or an RGB image, such as `overlay` gives.
    shares: class name -> share of the pixels, 0..1: only classes that are there are named, the largest first, with
    their percentage. Without it every class is named. Names beyond the Latin alphabet show as boxes: the font is
    the one that ships with Pillow.
    Raises DataError for a share of a class that the table does not have.
    """
    width, height = picture.size if isinstance(picture, Image.Image) else picture.shape[1::-1]
    legend = _legend(_entries(classes, shares), width, text_size=min(64, max(13, width // 60)))
    canvas = Image.new("RGB", (max(width, legend.width), height + legend.height), PAPER)
    if isinstance(picture, Image.Image):
        canvas.paste(picture)
    else:
        for rows in strips(height, width):
            canvas.paste(Image.fromarray(np.ascontiguousarray(rgb8(picture[rows]))), (0, rows.start))
    canvas.paste(legend, (0, height))
    return canvas


def _entries(classes: ClassTable, shares: Mapping[str, float] | None) -> list[tuple[tuple[int, int, int], str]]:
    """(colour, text) for each line of a legend."""
    if shares is None:
        return list(zip(classes.colors, classes.names, strict=True))
    colors = dict(zip(classes.names, classes.colors, strict=True))
    strange = [name for name in shares if name not in colors]
    if strange:
        raise DataError(f"a share of '{strange[0]}', which is not in the class table; known: {', '.join(colors)}")
    present = sorted(((share, name) for name, share in shares.items() if share > 0), key=lambda pair: -pair[0])
    return [(colors[name], f"{name}  {percent(share)}") for share, name in present]


def _legend(entries: list[tuple[tuple[int, int, int], str]], width: int, text_size: int) -> Image.Image:
    """Swatches and texts in as many columns as the width allows; wider than asked where one entry needs it."""
    font = letters(text_size)
    pad, line = text_size * 3 // 4, text_size * 7 // 4
    column = int(max((font.getlength(text) for _, text in entries), default=0)) + 2 * pad + text_size
    columns = max(1, (width - pad) // column)
    rows = -(-len(entries) // columns)
    legend = Image.new("RGB", (max(width, pad + column), rows * line + (2 * pad if rows else 0)), PAPER)
    draw = ImageDraw.Draw(legend)
    for i, (color, text) in enumerate(entries):
        left, middle = pad + (i % columns) * column, pad + (i // columns) * line + line // 2
        box = (left, middle - text_size // 2, left + text_size, middle + text_size // 2)
        draw.rounded_rectangle(box, radius=text_size // 5, fill=color, outline=RULE)
        draw.text((left + text_size + pad // 2, middle), text, fill=INK, font=font, anchor="lm")
    return legend


def contact_sheet(
    samples: Iterable[tuple[np.ndarray, np.ndarray, str]], classes: ClassTable, columns: int = 4, thumb: int = 240
) -> Image.Image:
    """Samples side by side: each picture, its labels over it, its name; under all of them the legend.

    samples: (image (H, W[, C]), mask (H, W), name) of any sizes, taken one at a time. The legend's shares are of all
    labelled pixels shown, counted before scaling. thumb: the width of a picture on the sheet, and its greatest height.
    Raises DataError if there is no sample or the sizes of one differ.
    """
    counts = np.zeros(len(classes) + 1, np.int64)
    cells = []
    for image, mask, name in samples:
        height, width = check_pair(image, mask)
        for rows in strips(height, width):
            counts += np.bincount(slots(mask[rows], classes).ravel(), minlength=len(counts))
        cells.append(_cell(image, mask, classes, name, thumb))
    sheet = grid(cells, columns, thumb)
    total = max(int(counts[:-1].sum()), 1)
    shares = {name: int(count) / total for name, count in zip(classes.names, counts[:-1], strict=True)}
    return with_legend(sheet, classes, shares)


def class_sheet(samples: Iterable[tuple[np.ndarray, str, str]], columns: int = 6, thumb: int = 160) -> Image.Image:
    """Pictures of one class each side by side, with the class's name and the picture's beneath.

    samples: (image (H, W[, C]), class name, name) of any sizes, taken one at a time. Two channels stand side by side,
    in grey. thumb: the width of a picture on the sheet, and its greatest height.
    Raises DataError if there is no sample.
    """
    return grid([_class_cell(image, label, name, thumb) for image, label, name in samples], columns, thumb)


def _class_cell(image: np.ndarray, label: str, name: str, thumb: int) -> Image.Image:
    image = rgb8(image) if image.ndim == 2 or image.shape[2] != 2 else _side_by_side(rgb8(image), rgb8(image[..., 1:]))
    picture, _ = fitted(image, np.zeros(image.shape[:2], np.uint8), thumb, thumb)
    height, width = picture.shape[:2]
    text_size = max(11, thumb // 12)
    cell = Image.new("RGB", (thumb, height + text_size * 7 // 2), PAPER)
    cell.paste(Image.fromarray(picture), ((thumb - width) // 2, 0))
    draw = ImageDraw.Draw(cell)
    for text, size, color, line in ((label, text_size, INK, 1), (name, max(10, text_size * 4 // 5), MUTED, 2.4)):
        font = letters(size)
        at = (thumb // 2, height + round(text_size * line))
        draw.text(at, shortened(text, font, thumb), fill=color, font=font, anchor="mm")
    return cell


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    height, width = left.shape[:2]
    return np.concatenate((left, np.full((height, max(1, width // 20), 3), 255, np.uint8), right), axis=1)


def grid(cells: list[Image.Image], columns: int, thumb: int) -> Image.Image:
    """Cells of one width in rows, each row as high as its highest. Raises DataError if there is none."""
    if not cells:
        raise DataError("no samples for a contact sheet; give at least one")
    gap = max(8, thumb // 16)
    grid = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in line) for line in grid]
    across = min(columns, len(cells))
    sheet = Image.new("RGB", (gap + across * (thumb + gap), gap + sum(heights) + gap * len(grid)), PAPER)
    top = gap
    for line, tall in zip(grid, heights, strict=True):
        for i, cell in enumerate(line):
            sheet.paste(cell, (gap + i * (thumb + gap), top))
        top += tall + gap
    return sheet


def _cell(image: np.ndarray, mask: np.ndarray, classes: ClassTable, name: str, thumb: int) -> Image.Image:
    """One sample on the sheet: the picture above its overlay, and the name."""
    picture, labels = fitted(image, mask, thumb, thumb)
    height, width = labels.shape
    text_size = max(11, thumb // 18)
    cell = Image.new("RGB", (thumb, 2 * height + 2 + text_size * 2), PAPER)
    left = (thumb - width) // 2
    cell.paste(Image.fromarray(picture), (left, 0))
    cell.paste(Image.fromarray(overlay(picture, labels, classes)), (left, height + 2))
    font = letters(text_size)
    draw = ImageDraw.Draw(cell)
    draw.text((thumb // 2, cell.height - text_size), shortened(name, font, thumb), fill=MUTED, font=font, anchor="mm")
    return cell


def fitted(image: np.ndarray, mask: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask scaled together, up or down, to the largest size inside a box.

    Returns (h, w, 3) uint8 and (h, w) of the mask's type; a mask keeps its labels (nearest pixel).
    """
    own_height, own_width = check_pair(image, mask)
    scale = min(width / own_width, height / own_height)
    size = (max(1, round(own_width * scale)), max(1, round(own_height * scale)))
    # A long step down starts from every n-th pixel, so that no full-size copy is made for a thumbnail.
    stride = max(1, min(own_height // (4 * size[1]), own_width // (4 * size[0])))
    picture = Image.fromarray(np.ascontiguousarray(rgb8(image[::stride, ::stride])))
    rows = (np.arange(size[1]) * 2 + 1) * own_height // (2 * size[1])
    places = (np.arange(size[0]) * 2 + 1) * own_width // (2 * size[0])
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC)), mask[np.ix_(rows, places)]
