"""Contact sheets of images with their captions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from foveate.visualize.lettering import letters, shortened
from foveate.visualize.pixels import rgb8
from foveate.visualize.sheets import INK, MUTED, PAPER, fitted, grid

_MAX_LINES = 4


def caption_sheet(samples: Iterable[tuple[np.ndarray, str, str]], columns: int = 4, thumb: int = 240) -> Image.Image:
    """Draw images side by side, each with its caption and name below; captions are cut after four lines.

    samples: (image (H, W[, C]), caption, name), of any sizes, consumed one at a time.
    columns: images in a row.
    thumb: width and largest height of an image on the sheet, in pixels.
    Raises DataError if there are no samples.
    """
    return grid([_cell(image, caption, name, thumb) for image, caption, name in samples], columns, thumb)


def _cell(image: np.ndarray, caption: str, name: str, thumb: int) -> Image.Image:
    thumbnail, _ = fitted(rgb8(image), np.zeros(image.shape[:2], np.uint8), thumb, thumb)
    height, width = thumbnail.shape[:2]
    size = max(11, thumb // 17)
    font, name_font = letters(size), letters(max(10, size * 4 // 5))
    lines = wrapped(caption, font, thumb, _MAX_LINES)
    step = size * 4 // 3
    cell = Image.new("RGB", (thumb, height + step * len(lines) + size * 5 // 2), PAPER)
    cell.paste(Image.fromarray(thumbnail), ((thumb - width) // 2, 0))
    draw = ImageDraw.Draw(cell)
    for i, line in enumerate(lines):
        draw.text((0, height + size // 2 + step * i), line, fill=INK, font=font)
    draw.text((0, cell.height - size * 3 // 2), shortened(name, name_font, thumb), fill=MUTED, font=name_font)
    return cell


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int) -> list[str]:
    """Break a text into lines of at most `width` pixels; text after `max_lines` lines becomes an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while last and font.getlength(last + "...") > width:
            last = last[:-1]
        lines = [*lines[: max_lines - 1], last + "..."]
    return [_cut(line, font, width) for line in lines]


def _cut(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut a line to `width` pixels, as a single word may be wider."""
    while line and font.getlength(line) > width:
        line = line[:-1]
    return line
