"""Views of spatial transformers, for the families whose models have them: their records, and drawings of them.

Shapes: an image (H, W, C) uint8; a view's grid (h, w, 2), x and y in -1..1 over the image's edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from foveate.records import Preprocessing, TransformerOutput, TransformView
from foveate.visualize.lettering import letters
from foveate.visualize.pixels import rgb8
from foveate.visualize.sheets import INK, MUTED, PAPER, RULE, percent

HEIGHT = 240  # pixels of every panel
MARGIN = 0.25  # of the image's side: how far beyond its edges outlines are drawn
VIEW_COLORS = ((230, 85, 13), (37, 110, 190), (20, 140, 90), (150, 60, 160))  # one per transformer, then again
BAR_COLOR, OUTSIDE = (70, 120, 180), (236, 238, 241)
TEXT_SIZE, GAP = 15, 14
BAR_ROWS = 5  # bars that fit in a panel
MAX_COORDINATE = 1e4  # in half sides of the image; sampling points further out are drawn here


def view_of(one: TransformerOutput, index: int, preprocessing: Preprocessing) -> TransformView:
    """One image's part of a transformer's output, its values as they were before normalisation.

    The output of a transformer inside the network, of another number of channels than images have, is left out.
    """
    grid = one.grid[index].float().cpu().numpy()
    output = one.output[index].float().cpu().permute(1, 2, 0).numpy()
    if output.shape[2] != len(preprocessing.mean):
        return TransformView(grid, None)
    restored = output * np.array(preprocessing.std, np.float32) + np.array(preprocessing.mean, np.float32)
    return TransformView(grid, restored.clip(0, 1))


def seen_pixels(image: Tensor) -> np.ndarray:
    """The network's input (C, h, w), uint8 or float in 0..1, as (h, w, C) uint8."""
    shown = (image * 255).round().byte() if image.is_floating_point() else image
    pixels: np.ndarray = shown.permute(1, 2, 0).numpy()
    return pixels


def draw_views(image: np.ndarray, views: Sequence[TransformView], top: Sequence[tuple[str, float]] = ()) -> Image.Image:
    """Panels side by side: the image with the outline of each view, the output of each view, and bars.

    views: what each spatial transformer sampled from the image; an output of None has no panel.
    top: (name, probability) of a bar each, most likely first, five at most; none leaves the panel out.
    """
    outputs = [
        _framed(_panel(view.output), _color(number)) for number, view in enumerate(views) if view.output is not None
    ]
    return _side_by_side([_with_outlines(image, views), *outputs, *([_bars(top[:BAR_ROWS])] if top else [])])


def region(grid: np.ndarray) -> np.ndarray:
    """The outline of a sampling grid (h, w, 2): its outermost points (n, 2), clockwise, each once."""
    return np.concatenate([grid[0, :-1], grid[:-1, -1], grid[-1, :0:-1], grid[:0:-1, 0]])


def _side_by_side(panels: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (sum(p.width + GAP for p in panels) + GAP, max(p.height for p in panels) + 2 * GAP), PAPER)
    left = GAP
    for panel in panels:
        sheet.paste(panel, (left, GAP))
        left += panel.width + GAP
    return sheet


def _with_outlines(image: np.ndarray, views: Sequence[TransformView]) -> Image.Image:
    """The image on a margin, with an outline per view, whose first row is thick: it shows which side is up."""
    panel = _panel(image)
    if not views:
        return panel
    across, down = round(panel.width * MARGIN), round(panel.height * MARGIN)
    canvas = Image.new("RGB", (panel.width + 2 * across, panel.height + 2 * down), OUTSIDE)
    canvas.paste(panel, (across, down))
    draw = ImageDraw.Draw(canvas)

    def place(points: np.ndarray) -> list[tuple[float, float]]:
        # Points beyond the canvas are drawn along its edge.
        x = (across + (points[:, 0] + 1) / 2 * panel.width).clip(1, canvas.width - 2)
        y = (down + (points[:, 1] + 1) / 2 * panel.height).clip(1, canvas.height - 2)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    for number, view in enumerate(views):
        outline = place(_finite(region(view.grid)))
        draw.line([*outline, outline[0]], fill=_color(number), width=2)
        draw.line(place(_finite(view.grid[0])), fill=_color(number), width=5)
    return canvas.resize((round(canvas.width * HEIGHT / canvas.height), HEIGHT), Image.Resampling.LANCZOS)


def _finite(points: np.ndarray) -> np.ndarray:
    return np.nan_to_num(points, posinf=MAX_COORDINATE, neginf=-MAX_COORDINATE).clip(-MAX_COORDINATE, MAX_COORDINATE)


def _panel(image: np.ndarray) -> Image.Image:
    """An image (h, w, C), uint8 or float in 0..1, HEIGHT pixels high; the pixels of a small one stay visible.

    Unless there are one or three channels, they stand side by side, each in grey.
    """
    if image.shape[2] not in (1, 3):
        image = np.concatenate(np.split(image, image.shape[2], axis=2), axis=1)
    panel = Image.fromarray(np.ascontiguousarray(rgb8(image)))
    size = (max(1, round(panel.width * HEIGHT / panel.height)), HEIGHT)
    return panel.resize(size, Image.Resampling.NEAREST if panel.height < HEIGHT // 2 else Image.Resampling.LANCZOS)


def _framed(panel: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    ImageDraw.Draw(panel).rectangle((0, 0, panel.width - 1, panel.height - 1), outline=color, width=3)
    return panel


def _color(number: int) -> tuple[int, int, int]:
    return VIEW_COLORS[number % len(VIEW_COLORS)]


def _bars(top: Sequence[tuple[str, float]]) -> Image.Image:
    """Names, probabilities and their bars, one class per row."""
    font = letters(TEXT_SIZE)
    texts = [f"{name}  {percent(p)}" for name, p in top]
    width = max(160, *(int(font.getlength(text)) + 1 for text in texts))
    panel = Image.new("RGB", (width, HEIGHT), PAPER)
    draw = ImageDraw.Draw(panel)
    for row, (text, (_, p)) in enumerate(zip(texts, top, strict=True)):
        upper = row * HEIGHT // BAR_ROWS
        draw.text((0, upper + 4), text, fill=INK if row == 0 else MUTED, font=font)
        draw.rectangle((0, upper + 28, width - 1, upper + 38), fill=RULE)
        if p > 0:
            draw.rectangle((0, upper + 28, max(0, round(p * width) - 1), upper + 38), fill=BAR_COLOR)
    return panel


def corners(grid: np.ndarray) -> list[list[float]]:
    """The corners of a sampling grid (h, w, 2), clockwise from its upper left, each x, y in -1..1."""
    return [[round(float(v), 4) for v in grid[row, column]] for row, column in ((0, 0), (0, -1), (-1, -1), (-1, 0))]
