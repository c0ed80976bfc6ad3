"""Figures of drawing models: grids of images, canvases with the window that writes on them, images between two samples.

Shapes: images (H, W, C) float in 0..1; T steps; windows (T, 5) as of `records.DrawingOutput`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from foveate.records import DrawingPrediction
from foveate.visualize.clips import write_clip
from foveate.visualize.pixels import rgb8
from foveate.visualize.sheets import PAPER

WINDOW_COLOR = (214, 39, 40)
CELL = 112  # pixels of a small image's longer side in a grid, about
GAP = 4
COLUMNS = 8
FRAME_MS, LAST_MS = 120, 1800
BETWEEN = 9  # images of an interpolation, its ends included


def save_image(image: np.ndarray, path: Path) -> None:
    """Write an image as PNG, grey for one channel."""
    Image.fromarray(bytes_of(image)).save(path, format="PNG")


def draw_grid(images: Sequence[np.ndarray], columns: int = 0) -> Image.Image:
    """Images side by side, enlarged by a whole number. columns: in a row; 0: about a square, 8 at most."""
    columns = columns or min(COLUMNS, int(np.ceil(np.sqrt(len(images)))))
    return _arranged([enlarged(image) for image in images], columns)


def write_drawing(predictions: Sequence[DrawingPrediction], path: Path) -> None:
    """Write a GIF of the canvases after each step, with the window that wrote last, and the end without it."""
    columns = int(np.ceil(np.sqrt(len(predictions))))
    steps = len(predictions[0].canvases)
    frames = [_arranged([canvas_with_window(p, step) for p in predictions], columns) for step in range(steps)]
    frames.append(_arranged([enlarged(p.canvases[-1]) for p in predictions], columns))
    write_clip(frames, path, [FRAME_MS] * steps + [LAST_MS])


def canvas_with_window(prediction: DrawingPrediction, step: int) -> Image.Image:
    """The canvas after a step, 0 before the first, with the outline of the window that wrote in it.

    The outline runs through the outermost filters; it is as wide as two standard deviations of a filter: a sharp window
    has a thin line.
    """
    drawn = enlarged(prediction.canvases[step])
    if prediction.write is not None and step > 0:
        outline(drawn, prediction.write[step - 1], scale_of(prediction.canvases[step]), prediction.filters[0])
    return drawn


def outline(drawn: Image.Image, window: np.ndarray, scale: int, count: int) -> None:
    """Draw a window on an image that was enlarged `scale` times. count: its filters a side."""
    x, y, stride, sigma, _ = (float(value) for value in window)
    half = max((count - 1) / 2 * stride, 0.5)
    corners = [(x - half + 0.5) * scale, (y - half + 0.5) * scale, (x + half + 0.5) * scale, (y + half + 0.5) * scale]
    limit = 4 * max(drawn.size)
    box = tuple(min(max(corner, -limit), limit) for corner in corners)
    width = max(1, min(round(2 * sigma * scale), max(drawn.size) // 4))
    layer = Image.new("L", drawn.size, 0)
    ImageDraw.Draw(layer).rectangle(box, outline=160 if width > 1 else 255, width=width)
    drawn.paste(WINDOW_COLOR, mask=layer)


def interpolations(noise: Tensor) -> list[Tensor]:
    """Noise (T, 2 P, Z) of pairs of samples -> for each pair, (T, BETWEEN, Z) on the great circle between its ends.

    A straight line would pass through shorter vectors than noise has. A single sample that is left over is dropped.
    """
    shares = torch.linspace(0, 1, BETWEEN)[None, :, None]
    rows = []
    for first in range(0, noise.shape[1] - 1, 2):
        a, b = noise[:, first, None], noise[:, first + 1, None]  # (T, 1, Z)
        cosine = (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12)
        angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos()
        rows.append((((1 - shares) * angle).sin() * a + (shares * angle).sin() * b) / angle.sin())
    return rows


def row_of(cells: Sequence[Image.Image]) -> Image.Image:
    """Images of one size side by side."""
    return _arranged(cells, len(cells))


def scale_of(image: np.ndarray) -> int:
    """The whole number by which an image is enlarged in a grid."""
    return max(1, CELL // max(image.shape[:2]))


def enlarged(image: np.ndarray) -> Image.Image:
    """An image with every pixel `scale_of` times as large."""
    scale = scale_of(image)
    drawn = Image.fromarray(rgb8(image))
    return drawn.resize((drawn.width * scale, drawn.height * scale), Image.Resampling.NEAREST)


def _arranged(cells: Sequence[Image.Image], columns: int) -> Image.Image:
    width, height = cells[0].size
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (GAP + columns * (width + GAP), GAP + rows * (height + GAP)), PAPER)
    for i, cell in enumerate(cells):
        sheet.paste(cell, (GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)))
    return sheet


def bytes_of(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) of floats in 0..1 as uint8, (H, W) for one channel."""
    pixels: np.ndarray = rgb8(image)
    return pixels[..., 0] if image.shape[2] == 1 else pixels
