"""Legends below images, and contact sheets of many samples."""

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
    """Format a share in per cent: 0.123 -> '12.3 %'; positive shares that would round to zero become '<0.1 %'."""
    return "<0.1 %" if 0.0 < share < 0.0005 else f"{share * 100:.1f} %"


def with_legend(
    image: np.ndarray | Image.Image, classes: ClassTable, shares: Mapping[str, float] | None = None
) -> Image.Image:
    """Draw an image with a legend of class names and colours below.

    Characters that the font of `letters` does not have are drawn as boxes.

    image: (H, W, 3) uint8 or an RGB image, such as the result of `overlay`.
    shares: class name -> share of the pixels, 0..1; the legend then lists only classes with a positive share, in
        descending order, with their percentage. Without it every class is listed.
    Raises DataError for a share of a class that is not in the table.
    """
    width, height = image.size if isinstance(image, Image.Image) else image.shape[1::-1]
    legend = _legend(_entries(classes, shares), width, text_size=min(64, max(13, width // 60)))
    canvas = Image.new("RGB", (max(width, legend.width), height + legend.height), PAPER)
    if isinstance(image, Image.Image):
        canvas.paste(image)
    else:
        for rows in strips(height, width):
            canvas.paste(Image.fromarray(np.ascontiguousarray(rgb8(image[rows]))), (0, rows.start))
    canvas.paste(legend, (0, height))
    return canvas


def _entries(classes: ClassTable, shares: Mapping[str, float] | None) -> list[tuple[tuple[int, int, int], str]]:
    """Return (colour, text) for each entry of a legend."""
    if shares is None:
        return list(zip(classes.colors, classes.names, strict=True))
    colors = dict(zip(classes.names, classes.colors, strict=True))
    unknown = [name for name in shares if name not in colors]
    if unknown:
        raise DataError(f"a share of '{unknown[0]}', which is not in the class table; known: {', '.join(colors)}")
    present = sorted(((share, name) for name, share in shares.items() if share > 0), key=lambda pair: -pair[0])
    return [(colors[name], f"{name}  {percent(share)}") for share, name in present]


def _legend(entries: list[tuple[tuple[int, int, int], str]], width: int, text_size: int) -> Image.Image:
    """Draw swatches and texts in as many columns as fit into the width; wider if one entry alone does not fit."""
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
    """Draw samples side by side: each image, its overlay and its name, with a legend below all of them.

    The legend's shares are those of all labelled pixels, counted before scaling.

    samples: (image (H, W[, C]), mask (H, W), name), of any sizes, consumed one at a time.
    columns: samples in a row.
    thumb: width and largest height of an image on the sheet, in pixels.
    Raises DataError if there are no samples or the sizes of an image and its mask differ.
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
    """Draw images with one class label each side by side, with the names of the class and of the image below.

    samples: (image (H, W[, C]), class name, name), of any sizes, consumed one at a time. The channels of a
        two-channel image are drawn side by side, in grey.
    columns: images in a row.
    thumb: width and largest height of an image on the sheet, in pixels.
    Raises DataError if there are no samples.
    """
    return grid([_class_cell(image, label, name, thumb) for image, label, name in samples], columns, thumb)


def _class_cell(image: np.ndarray, label: str, name: str, thumb: int) -> Image.Image:
    image = rgb8(image) if image.ndim == 2 or image.shape[2] != 2 else _side_by_side(rgb8(image), rgb8(image[..., 1:]))
    thumbnail, _ = fitted(image, np.zeros(image.shape[:2], np.uint8), thumb, thumb)
    height, width = thumbnail.shape[:2]
    text_size = max(11, thumb // 12)
    cell = Image.new("RGB", (thumb, height + text_size * 7 // 2), PAPER)
    cell.paste(Image.fromarray(thumbnail), ((thumb - width) // 2, 0))
    draw = ImageDraw.Draw(cell)
    for text, size, color, line in ((label, text_size, INK, 1), (name, max(10, text_size * 4 // 5), MUTED, 2.4)):
        font = letters(size)
        position = (thumb // 2, height + round(text_size * line))
        draw.text(position, shortened(text, font, thumb), fill=color, font=font, anchor="mm")
    return cell


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    height, width = left.shape[:2]
    return np.concatenate((left, np.full((height, max(1, width // 20), 3), 255, np.uint8), right), axis=1)


def grid(cells: list[Image.Image], columns: int, thumb: int) -> Image.Image:
    """Arrange cells of one width in rows, each row as high as its highest cell. Raises DataError if there are none."""
    if not cells:
        raise DataError("no samples for a contact sheet; give at least one")
    gap = max(8, thumb // 16)
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    across = min(columns, len(cells))
    sheet = Image.new("RGB", (gap + across * (thumb + gap), gap + sum(heights) + gap * len(rows)), PAPER)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for i, cell in enumerate(row):
            sheet.paste(cell, (gap + i * (thumb + gap), top))
        top += height + gap
    return sheet


def _cell(image: np.ndarray, mask: np.ndarray, classes: ClassTable, name: str, thumb: int) -> Image.Image:
    """Draw one sample of a contact sheet: the image above its overlay, and the name."""
    thumbnail, labels = fitted(image, mask, thumb, thumb)
    height, width = labels.shape
    text_size = max(11, thumb // 18)
    cell = Image.new("RGB", (thumb, 2 * height + 2 + text_size * 2), PAPER)
    left = (thumb - width) // 2
    cell.paste(Image.fromarray(thumbnail), (left, 0))
    cell.paste(Image.fromarray(overlay(thumbnail, labels, classes)), (left, height + 2))
    font = letters(text_size)
    draw = ImageDraw.Draw(cell)
    draw.text((thumb // 2, cell.height - text_size), shortened(name, font, thumb), fill=MUTED, font=font, anchor="mm")
    return cell


def fitted(image: np.ndarray, mask: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Resize an image and its mask, up or down, to the largest size that fits into a box of width x height pixels.

    Returns (h, w, 3) uint8, resized bicubically, and (h, w) of the mask's type, resized to the nearest pixel.
    """
    source_height, source_width = check_pair(image, mask)
    scale = min(width / source_width, height / source_height)
    size = (max(1, round(source_width * scale)), max(1, round(source_height * scale)))
    # A large reduction starts from every n-th pixel, so that no full-size copy is made for a thumbnail.
    stride = max(1, min(source_height // (4 * size[1]), source_width // (4 * size[0])))
    subsampled = Image.fromarray(np.ascontiguousarray(rgb8(image[::stride, ::stride])))
    rows = (np.arange(size[1]) * 2 + 1) * source_height // (2 * size[1])
    columns = (np.arange(size[0]) * 2 + 1) * source_width // (2 * size[0])
    return np.asarray(subsampled.resize(size, Image.Resampling.BICUBIC)), mask[np.ix_(rows, columns)]
