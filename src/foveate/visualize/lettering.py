"""Fonts for text in images: DejaVu Sans, which ships with matplotlib and covers most alphabets."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@cache
def letters(size: int) -> ImageFont.FreeTypeFont:
    """Load the font at `size` pixels an em. Class names and captions may be in any language; Pillow's font is Latin."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Shorten a text to `width` pixels: an ellipsis and its end, since file names differ at their ends."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
