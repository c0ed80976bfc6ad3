"""Where spatial transformers looked, as one picture: what was seen, what came of it, and what a classifier says.

Shapes: the picture (H, W, C) uint8; a look's grid (h, w, 2), x and y in -1..1 over the picture's edges.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from foveate.records import ClassificationPrediction, ColocalisationPrediction, TransformView
from foveate.visualize.lettering import letters
from foveate.visualize.pixels import rgb8
from foveate.visualize.sheets import INK, MUTED, PAPER, RULE, percent

HEIGHT = 240  # pixels of every panel
REACH = 0.25  # of the picture's side, how far beyond its edges a look is drawn
LOOK_COLORS = ((230, 85, 13), (37, 110, 190), (20, 140, 90), (150, 60, 160))  # one a transformer, then again
BAR, TEXT, GAP = (70, 120, 180), 15, 14
OUTSIDE = (236, 238, 241)
FAR = 1e4  # half sides of the picture: further out nothing is drawn


def draw_classification(prediction: ClassificationPrediction) -> Image.Image:
    """The picture with the looks drawn on it, what each look handed on, and the five likeliest classes."""
    return _beside([*_panels(prediction.seen, prediction.transforms), _bars(prediction.top(5))])


def draw_colocalisation(prediction: ColocalisationPrediction) -> Image.Image:
    """The picture with the windows drawn on it, and what each holds."""
    return _beside(_panels(prediction.seen, prediction.transforms))


def _panels(seen: np.ndarray, looks: tuple[TransformView, ...]) -> list[Image.Image]:
    return [
        _with_looks(seen, looks),
        *(_bordered(_upright(look.output), _color(i)) for i, look in enumerate(looks) if look.output is not None),
    ]


def _beside(panels: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (sum(p.width + GAP for p in panels) + GAP, max(p.height for p in panels) + 2 * GAP), PAPER)
    left = GAP
    for panel in panels:
        sheet.paste(panel, (left, GAP))
        left += panel.width + GAP
    return sheet


def region(grid: np.ndarray) -> np.ndarray:
    """The outline of what a grid (h, w, 2) covers: its outermost samples (n, 2), clockwise, each once."""
    return np.concatenate([grid[0, :-1], grid[:-1, -1], grid[-1, :0:-1], grid[:0:-1, 0]])


def _with_looks(picture: np.ndarray, looks: tuple[TransformView, ...]) -> Image.Image:
    """The picture on a margin, with an outline a look; its first row is drawn double, so that up can be told."""
    shown = _upright(picture)
    if not looks:
        return shown
    across, down = round(shown.width * REACH), round(shown.height * REACH)
    canvas = Image.new("RGB", (shown.width + 2 * across, shown.height + 2 * down), OUTSIDE)
    canvas.paste(shown, (across, down))
    draw = ImageDraw.Draw(canvas)

    def place(points: np.ndarray) -> list[tuple[float, float]]:
        # What is read from beyond the canvas is drawn along its edge.
        x = (across + (points[:, 0] + 1) / 2 * shown.width).clip(1, canvas.width - 2)
        y = (down + (points[:, 1] + 1) / 2 * shown.height).clip(1, canvas.height - 2)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    for i, look in enumerate(looks):
        outline = place(_bounded(region(look.grid)))
        draw.line([*outline, outline[0]], fill=_color(i), width=2)
        draw.line(place(_bounded(look.grid[0])), fill=_color(i), width=5)
    return canvas.resize((round(canvas.width * HEIGHT / canvas.height), HEIGHT), Image.Resampling.LANCZOS)


def _bounded(points: np.ndarray) -> np.ndarray:
    return np.nan_to_num(points, posinf=FAR, neginf=-FAR).clip(-FAR, FAR)


def _upright(picture: np.ndarray) -> Image.Image:
    """(h, w, C), uint8 or float in 0..1, at HEIGHT pixels; small pictures show their pixels. Channels beyond the first
    are shown beside each other unless they are colours."""
    if picture.shape[2] not in (1, 3):
        picture = np.concatenate(np.split(picture, picture.shape[2], axis=2), axis=1)
    image = Image.fromarray(np.ascontiguousarray(rgb8(picture)))
    size = (max(1, round(image.width * HEIGHT / image.height)), HEIGHT)
    return image.resize(size, Image.Resampling.NEAREST if image.height < HEIGHT // 2 else Image.Resampling.LANCZOS)


def _bordered(image: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    ImageDraw.Draw(image).rectangle((0, 0, image.width - 1, image.height - 1), outline=color, width=3)
    return image


def _color(index: int) -> tuple[int, int, int]:
    return LOOK_COLORS[index % len(LOOK_COLORS)]


def _bars(top: list[tuple[str, float]]) -> Image.Image:
    """Names, probabilities and their bars, one class a line."""
    font = letters(TEXT)
    texts = [f"{name}  {percent(p)}" for name, p in top]
    width = max(160, *(int(font.getlength(text)) + 1 for text in texts))
    panel = Image.new("RGB", (width, HEIGHT), PAPER)
    draw = ImageDraw.Draw(panel)
    for i, (text, (_, p)) in enumerate(zip(texts, top, strict=True)):
        upper = i * HEIGHT // 5
        draw.text((0, upper + 4), text, fill=INK if i == 0 else MUTED, font=font)
        draw.rectangle((0, upper + 28, width - 1, upper + 38), fill=RULE)
        if p > 0:
            draw.rectangle((0, upper + 28, max(0, round(p * width) - 1), upper + 38), fill=BAR)
    return panel
