"""Where a captioner looked, word by word: over the picture, as a strip, as an animation.

Shapes: pictures (H, W[, C]) as overlays take them; maps (h, w), which sum to 1 and lie over the whole picture; T words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from foveate.errors import DataError
from foveate.records import Sentence
from foveate.visualize.lettering import letters, shortened
from foveate.visualize.pixels import rgb8
from foveate.visualize.sheets import INK, MUTED, PAPER, fitted, grid

COVER = 0.75  # how much of the picture the veil takes where the model did not look
BLACK, PALE, DIM = 0, 215, 85  # grey values of a veil; over pictures whose mean is below DIM a black one is not seen
PANEL, COLUMNS = 200, 6  # of a strip: pixels of a panel's longer side, panels in a row
FRAME, TEXT = 400, 20  # of an animation: pixels of the picture's longer side, and of a line's letters
WHOLE_MS, WORD_MS = 1500, 700  # how long the whole sentence stands, and each word
OUTLINE = ((20, 20, 20), (255, 214, 64))  # around the one cell: a dark line and a bright one, seen on any ground


def most(attention: np.ndarray) -> tuple[int, int]:
    """(row, column) of the cell of a map (h, w) that has the most attention."""
    row, column = np.unravel_index(int(attention.argmax()), attention.shape)
    return int(row), int(column)


def veil(attention: np.ndarray, hard: bool = False) -> np.ndarray:
    """(h, w) map -> (h, w) float32 in 0..COVER: how much of each cell the veil takes.

    Soft attention: COVER times one less a cell's share of the greatest. Hard: none of the one cell, COVER of the rest.
    """
    light = attention / max(float(attention.max()), 1e-12)
    if hard:
        light = np.zeros_like(light)
        light[most(attention)] = 1.0
    shade: np.ndarray = (COVER * (1.0 - light)).astype(np.float32)
    return shade


def veil_color(picture: np.ndarray) -> int:
    """The grey value of the veil that is seen over a picture (H, W, 3) uint8: black, or pale over the dark of night."""
    return BLACK if float(picture.mean()) >= DIM else PALE


def unveiled(picture: np.ndarray, attention: np.ndarray, hard: bool = False) -> np.ndarray:
    """A picture under a veil that is thin where the model looked; of hard attention, the one cell in an outline.

    The map of soft attention is enlarged bilinearly, its cells' centres staying where they are; that of hard attention
    cell by cell. Returns (H, W, 3) uint8. Raises DataError for a map that is none.
    """
    if attention.ndim != 2 or 0 in attention.shape:
        raise DataError(f"a map of shape {attention.shape} cannot be drawn; give (h, w), one for each word")
    pixels = rgb8(picture)
    height, width = pixels.shape[:2]
    way = Image.Resampling.NEAREST if hard else Image.Resampling.BILINEAR
    shade = np.asarray(Image.fromarray(veil(attention, hard)).resize((width, height), way))
    drawn = np.rint(pixels + (veil_color(pixels) - pixels.astype(np.float32)) * shade[..., None]).astype(np.uint8)
    return _outlined(drawn, attention) if hard else drawn


def _outlined(drawn: np.ndarray, attention: np.ndarray) -> np.ndarray:
    height, width = drawn.shape[:2]
    row, column = most(attention)
    rows, columns = attention.shape
    box = (column * width // columns, row * height // rows,
           (column + 1) * width // columns - 1, (row + 1) * height // rows - 1)  # fmt: skip
    image = Image.fromarray(drawn)
    draw = ImageDraw.Draw(image)
    line = max(1, max(height, width) // 160)
    for i, color in enumerate(OUTLINE):
        left, top, right, bottom = box[0] + i * line, box[1] + i * line, box[2] - i * line, box[3] - i * line
        if right > left and bottom > top:
            draw.rectangle((left, top, right, bottom), outline=color, width=line)
    return np.asarray(image)


def attention_strip(picture: np.ndarray, sentence: Sentence, hard: bool = False) -> Image.Image:
    """The picture, then for each word the picture as it was looked at, with the word beneath.

    Names beyond the Latin alphabet show as boxes: the font is the one that ships with Pillow.
    Raises DataError for a sentence of a model without attention.
    """
    maps = _maps(sentence)
    small = sized(picture, PANEL)
    panels = [_panel(small, "", 1.0)]
    for word, attention, probability in zip(sentence.words, maps, sentence.probabilities.tolist(), strict=True):
        panels.append(_panel(unveiled(small, attention, hard), word, probability))
    return grid(panels, COLUMNS, PANEL)


def _panel(pixels: np.ndarray, word: str, probability: float) -> Image.Image:
    """A picture with a word beneath; words that the model was less sure of are paler."""
    height, width = pixels.shape[:2]
    line = PANEL // 7
    panel = Image.new("RGB", (PANEL, height + line), PAPER)
    panel.paste(Image.fromarray(pixels), ((PANEL - width) // 2, 0))
    font = letters(PANEL // 12)
    faint = 0.6 * (1 - probability)
    color = tuple(round(ink + faint * (paper - ink)) for ink, paper in zip(INK, PAPER, strict=True))
    at = (PANEL // 2, height + line // 2)
    ImageDraw.Draw(panel).text(at, shortened(word, font, PANEL), fill=color, font=font, anchor="mm")
    return panel


def attention_frames(
    picture: np.ndarray, sentence: Sentence, hard: bool = False
) -> tuple[list[Image.Image], list[int]]:
    """The picture with its sentence, then as it was looked at for each word, the word picked out; milliseconds of each.

    All frames are of one size. Raises DataError for a sentence of a model without attention.
    """
    maps = _maps(sentence)
    small = sized(picture, FRAME)
    shown = [small, *(unveiled(small, attention, hard) for attention in maps)]
    frames = [_frame(pixels, sentence.words, number - 1) for number, pixels in enumerate(shown)]
    return frames, [WHOLE_MS] + [WORD_MS] * len(maps)


def _frame(pixels: np.ndarray, words: Sequence[str], current: int) -> Image.Image:
    """A picture above a sentence whose word `current` is picked out; all of them where that is -1."""
    height, width = pixels.shape[:2]
    canvas_width = max(width, FRAME)
    font = letters(TEXT)
    placed, lines = _placed([shortened(word, font, canvas_width - TEXT) for word in words], font, canvas_width)
    line = TEXT * 3 // 2
    canvas = Image.new("RGB", (canvas_width, height + lines * line + TEXT), PAPER)
    canvas.paste(Image.fromarray(pixels), ((canvas_width - width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    for i, (word, left, row) in enumerate(placed):
        at = (left, height + TEXT // 2 + row * line)
        if i == current:
            draw.rounded_rectangle(
                (left - 4, at[1] - 2, left + font.getlength(word) + 4, at[1] + line - 3), radius=5, fill=OUTLINE[1]
            )
        draw.text(at, word, fill=INK if current in (-1, i) else MUTED, font=font)
    return canvas


def _placed(words: Sequence[str], font: ImageFont.FreeTypeFont, width: int) -> tuple[
    list[tuple[str, float, int]], int
]:  # fmt: skip
    """Each word with its left edge and its line, and the number of lines."""
    margin = TEXT / 2
    left, row = margin, 0
    placed = []
    for word in words:
        wide = font.getlength(word)
        if left > margin and left + wide > width - margin:
            left, row = margin, row + 1
        placed.append((word, left, row))
        left += wide + TEXT / 3
    return placed, row + 1


def sized(picture: np.ndarray, side: int) -> np.ndarray:
    """(H, W[, C]) -> (h, w, 3) uint8, the longer side of `side` pixels."""
    return fitted(picture, np.zeros(picture.shape[:2], np.uint8), side, side)[0]


def _maps(sentence: Sentence) -> np.ndarray:
    if sentence.attention is None:
        raise DataError(
            f"'{sentence.text}' comes from a model without attention: there is nothing to draw but the picture"
        )
    return sentence.attention
