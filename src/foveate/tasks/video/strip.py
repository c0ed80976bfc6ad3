"""Drawings of a captioner's attention over the frames of a clip: a film strip, and the attention of every word.

Shapes: K frames that were read, T words.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from foveate.records import Clip, VideoPrediction
from foveate.tasks.captioning.attention import COLUMNS, PANEL, panel
from foveate.visualize.lettering import letters, shortened
from foveate.visualize.sheets import INK, MUTED, PAPER, RULE, grid

CELL, ROW, MARGIN = 64, 26, 150  # pixels of the matrix: width of a frame, height of a word, and width of the words
HOT = (201, 82, 20)  # colour of the largest weight


def frame_images(clip: Clip, side: int) -> list[np.ndarray]:
    """The frames (h, w, 3) uint8 as the video shows them, their longer side `side` pixels."""
    height, width = clip.shape or clip.frames.shape[-2:]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = clip.frames.permute(0, 2, 3, 1).numpy()
    return [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in pixels]


def film_strip(clip: Clip, prediction: VideoPrediction) -> Image.Image:
    """Draw the frame that each word of the best sentence attended to most, with the word and the time below."""
    best = prediction.sentences[0]
    images = frame_images(clip, PANEL)
    panels = []
    for word, row, probability in zip(best.words, prediction.attention(), best.probabilities.tolist(), strict=True):
        peak = int(row.argmax())
        panels.append(panel(images[peak], f"{word}  {clip.time(peak)}", probability))
    return grid(panels, COLUMNS, PANEL)


def attention_matrix(clip: Clip, prediction: VideoPrediction) -> Image.Image:
    """Draw all frames side by side, and under them a row a word of their attention: the darker, the more."""
    best, attention = prediction.sentences[0], prediction.attention()
    images = [] if clip.is_features else frame_images(clip, CELL)
    top = (max(image.shape[0] for image in images) if images else 0) + ROW
    count = len(prediction.numbers)
    canvas = Image.new("RGB", (MARGIN + count * CELL + 8, top + ROW * len(best.words) + 8), PAPER)
    draw, font, small = ImageDraw.Draw(canvas), letters(14), letters(11)
    for i in range(count):
        left = MARGIN + i * CELL
        if images:
            canvas.paste(Image.fromarray(images[i]), (left + (CELL - images[i].shape[1]) // 2, 0))
        name = shortened(clip.time(i), small, CELL)
        draw.text((left + CELL // 2, top - ROW // 2), name, fill=MUTED, font=small, anchor="mm")
    most = max(float(attention.max()), 1e-12) if attention.size else 1.0
    for line, (word, row) in enumerate(zip(best.words, attention, strict=True)):
        y = top + line * ROW
        name = shortened(word, font, MARGIN - 16)
        draw.text((MARGIN - 8, y + ROW // 2), name, fill=INK, font=font, anchor="rm")
        for i, weight in enumerate(row.tolist()):
            share = weight / most
            color = tuple(round(p + share * (h - p)) for p, h in zip(PAPER, HOT, strict=True))
            left = MARGIN + i * CELL
            draw.rectangle((left, y, left + CELL - 2, y + ROW - 2), fill=color, outline=RULE)
    return canvas
