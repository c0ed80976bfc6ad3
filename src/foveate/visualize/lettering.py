"""The letters of every picture drawn here: DejaVu Sans, which comes with matplotlib and writes most alphabets."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@cache
def letters(size: int) -> ImageFont.FreeTypeFont:
    """The font at so many pixels an em. Class names and captions are in any language, and Pillow's own is Latin."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, or its end after an ellipsis: file names differ at their ends."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
