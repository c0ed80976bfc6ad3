"""Pictures with their captions side by side."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from foveate.visualize.lettering import letters, shortened
from foveate.visualize.pixels import rgb8
from foveate.visualize.sheets import INK, MUTED, PAPER, fitted, grid

_LINES = 4


def caption_sheet(samples: Iterable[tuple[np.ndarray, str, str]], columns: int = 4, thumb: int = 240) -> Image.Image:
    """Pictures side by side, each with a caption and its name beneath; a caption of more than four lines is cut.

    samples: (image (H, W[, C]), caption, name) of any sizes, taken one at a time. thumb: the width of a picture on the
    sheet, and its greatest height. Raises DataError if there is no sample.
    """
    return grid([_cell(image, caption, name, thumb) for image, caption, name in samples], columns, thumb)


def _cell(image: np.ndarray, caption: str, name: str, thumb: int) -> Image.Image:
    picture, _ = fitted(rgb8(image), np.zeros(image.shape[:2], np.uint8), thumb, thumb)
    height, width = picture.shape[:2]
    size = max(11, thumb // 17)
    font, small = letters(size), letters(max(10, size * 4 // 5))
    lines = wrapped(caption, font, thumb, _LINES)
    step = size * 4 // 3
    cell = Image.new("RGB", (thumb, height + step * len(lines) + size * 5 // 2), PAPER)
    cell.paste(Image.fromarray(picture), ((thumb - width) // 2, 0))
    draw = ImageDraw.Draw(cell)
    for i, line in enumerate(lines):
        draw.text((0, height + size // 2 + step * i), line, fill=INK, font=font)
    draw.text((0, cell.height - size * 3 // 2), shortened(name, small, thumb), fill=MUTED, font=small)
    return cell


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
    """A text in lines of at most `width` pixels; what is left after `most` lines becomes an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        kept = lines[most - 1]
        while kept and font.getlength(kept + "...") > width:
            kept = kept[:-1]
        lines = [*lines[: most - 1], kept + "..."]
    return [_cut(line, font, width) for line in lines]


def _cut(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """A single word may be wider than the picture."""
    while line and font.getlength(line) > width:
        line = line[:-1]
    return line
