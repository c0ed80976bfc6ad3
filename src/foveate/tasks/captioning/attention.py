"""Drawings of a captioner's attention for each word: overlays, a strip of panels, and the frames of an animation.

Shapes: images (H, W[, C]) as in `foveate.visualize.overlay`; attention maps (h, w), which sum to 1 and cover the whole
image; T words.
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

MAX_OPACITY = 0.75  # opacity of the veil where attention is zero
BLACK, PALE = 0, 215  # grey values of the veil
DARK_MEAN = 85  # mean grey value below which an image gets the pale veil, since a black one would not be visible
PANEL, COLUMNS = 200, 6  # of a strip: longer side of an image in pixels, panels in a row
FRAME, TEXT = 400, 20  # of an animation: longer side of the image and font size, in pixels
CAPTION_MS, WORD_MS = 1500, 700  # duration of the frame with the whole caption, and of each word's frame
OUTLINE = ((20, 20, 20), (255, 214, 64))  # colours of the attended cell's outline, visible on any background


def most(attention: np.ndarray) -> tuple[int, int]:
    """Return (row, column) of the cell with the most attention in a map (h, w)."""
    row, column = np.unravel_index(int(attention.argmax()), attention.shape)
    return int(row), int(column)


def veil(attention: np.ndarray, hard: bool = False) -> np.ndarray:
    """Return the opacity of the veil over each cell of a map: (h, w) -> (h, w) float32 in 0..MAX_OPACITY.

    Soft attention: MAX_OPACITY * (1 - attention / max(attention)). Hard attention: 0 for the cell with the most
    attention, MAX_OPACITY for the others.
    """
    brightness = attention / max(float(attention.max()), 1e-12)
    if hard:
        brightness = np.zeros_like(brightness)
        brightness[most(attention)] = 1.0
    opacity: np.ndarray = (MAX_OPACITY * (1.0 - brightness)).astype(np.float32)
    return opacity


def veil_color(image: np.ndarray) -> int:
    """Return the grey value of the veil for an image (H, W, 3) uint8: black, or pale over dark images."""
    return BLACK if float(image.mean()) >= DARK_MEAN else PALE


def attention_overlay(image: np.ndarray, attention: np.ndarray, hard: bool = False) -> np.ndarray:
    """Blend an image with a veil that is transparent where attention is high; outline the cell of hard attention.

    A map of soft attention is enlarged bilinearly with the cell centres fixed, a map of hard attention by nearest
    neighbour. Returns (H, W, 3) uint8. Raises DataError for a map that is not two-dimensional or is empty.
    """
    if attention.ndim != 2 or 0 in attention.shape:
        raise DataError(f"a map of shape {attention.shape} cannot be drawn; give (h, w), one for each word")
    pixels = rgb8(image)
    height, width = pixels.shape[:2]
    method = Image.Resampling.NEAREST if hard else Image.Resampling.BILINEAR
    opacity = np.asarray(Image.fromarray(veil(attention, hard)).resize((width, height), method))
    blended = np.rint(pixels + (veil_color(pixels) - pixels.astype(np.float32)) * opacity[..., None]).astype(np.uint8)
    return _outlined(blended, attention) if hard else blended


def _outlined(pixels: np.ndarray, attention: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    row, column = most(attention)
    rows, columns = attention.shape
    box = (column * width // columns, row * height // rows,
           (column + 1) * width // columns - 1, (row + 1) * height // rows - 1)  # fmt: skip
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    line = max(1, max(height, width) // 160)
    for i, color in enumerate(OUTLINE):
        left, top, right, bottom = box[0] + i * line, box[1] + i * line, box[2] - i * line, box[3] - i * line
        if right > left and bottom > top:
            draw.rectangle((left, top, right, bottom), outline=color, width=line)
    return np.asarray(image)


def attention_strip(image: np.ndarray, sentence: Sentence, hard: bool = False) -> Image.Image:
    """Draw the image, then for each word the image with its attention and the word below.

    Characters that the font of `letters` does not have are drawn as boxes.
    Raises DataError for a caption of a model without attention.
    """
    maps = _maps(sentence)
    resized = sized(image, PANEL)
    panels = [panel(resized, "", 1.0)]
    for word, attention, probability in zip(sentence.words, maps, sentence.probabilities.tolist(), strict=True):
        panels.append(panel(attention_overlay(resized, attention, hard), word, probability))
    return grid(panels, COLUMNS, PANEL)


def panel(pixels: np.ndarray, word: str, probability: float) -> Image.Image:
    """Draw an image with a word below; words of lower probability are paler."""
    height, width = pixels.shape[:2]
    line = PANEL // 7
    panel = Image.new("RGB", (PANEL, height + line), PAPER)
    panel.paste(Image.fromarray(pixels), ((PANEL - width) // 2, 0))
    font = letters(PANEL // 12)
    paleness = 0.6 * (1 - probability)
    color = tuple(round(ink + paleness * (paper - ink)) for ink, paper in zip(INK, PAPER, strict=True))
    position = (PANEL // 2, height + line // 2)
    ImageDraw.Draw(panel).text(position, shortened(word, font, PANEL), fill=color, font=font, anchor="mm")
    return panel


def attention_frames(image: np.ndarray, sentence: Sentence, hard: bool = False) -> tuple[list[Image.Image], list[int]]:
    """Draw the frames of an animation; returns them and their durations in milliseconds.

    The first frame is the image with its caption; the others show the attention for each word, with the word
    highlighted. All frames have one size. Raises DataError for a caption of a model without attention.
    """
    maps = _maps(sentence)
    resized = sized(image, FRAME)
    images = [resized, *(attention_overlay(resized, attention, hard) for attention in maps)]
    frames = [_frame(pixels, sentence.words, number - 1) for number, pixels in enumerate(images)]
    return frames, [CAPTION_MS] + [WORD_MS] * len(maps)


def _frame(pixels: np.ndarray, words: Sequence[str], current: int) -> Image.Image:
    """Draw an image above a caption with the word of index `current` highlighted; -1 highlights none."""
    height, width = pixels.shape[:2]
    canvas_width = max(width, FRAME)
    font = letters(TEXT)
    placed, lines = _layout([shortened(word, font, canvas_width - TEXT) for word in words], font, canvas_width)
    line = TEXT * 3 // 2
    canvas = Image.new("RGB", (canvas_width, height + lines * line + TEXT), PAPER)
    canvas.paste(Image.fromarray(pixels), ((canvas_width - width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    for i, (word, left, row) in enumerate(placed):
        position = (left, height + TEXT // 2 + row * line)
        if i == current:
            draw.rounded_rectangle(
                (left - 4, position[1] - 2, left + font.getlength(word) + 4, position[1] + line - 3),
                radius=5,
                fill=OUTLINE[1],
            )
        draw.text(position, word, fill=INK if current in (-1, i) else MUTED, font=font)
    return canvas


def _layout(words: Sequence[str], font: ImageFont.FreeTypeFont, width: int) -> tuple[
    list[tuple[str, float, int]], int
]:  # fmt: skip
    """Break words into lines; returns each word with its left edge and line number, and the number of lines."""
    margin = TEXT / 2
    left, row = margin, 0
    placed = []
    for word in words:
        length = font.getlength(word)
        if left > margin and left + length > width - margin:
            left, row = margin, row + 1
        placed.append((word, left, row))
        left += length + TEXT / 3
    return placed, row + 1


def sized(image: np.ndarray, side: int) -> np.ndarray:
    """Resize an image so that its longer side has `side` pixels: (H, W[, C]) -> (h, w, 3) uint8."""
    return fitted(image, np.zeros(image.shape[:2], np.uint8), side, side)[0]


def _maps(sentence: Sentence) -> np.ndarray:
    if sentence.attention is None:
        raise DataError(
            f"'{sentence.text}' comes from a model without attention; expected a caption with an attention map for "
            "each word, from a model such as show_attend_tell"
        )
    return sentence.attention
