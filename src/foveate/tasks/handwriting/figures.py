"""Drawings of handwriting: SVG, PNG, JSON, an animation, and the window's slide over the text.

Shapes: offsets (T, 3): dx, dy downwards, and 1 where the pen is lifted after the point.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from foveate.records import HandwritingPrediction
from foveate.visualize.clips import write_clip
from foveate.visualize.lettering import letters
from foveate.visualize.sheets import INK, MUTED, PAPER

WIDTH, HEIGHT_LIMIT = 1200, 4000  # pixels of a drawing, at most
FINE = 2  # drawings are made at this multiple of their size, and reduced
MARGIN = 16
FRAMES, FRAME_MS, LAST_MS = 40, 70, 1500
PLACES = 2  # decimals of points


def absolute(offsets: np.ndarray) -> np.ndarray:
    """Offsets -> places (T, 3) whose smallest x and y are 0."""
    places = np.concatenate([offsets[:, :2].astype(np.float64).cumsum(0), offsets[:, 2:]], 1)
    places[:, :2] -= places[:, :2].min(0)
    return places


def lines_of(places: np.ndarray) -> list[np.ndarray]:
    """The strokes of places (T, 3), each (n, 2)."""
    ends = np.flatnonzero(places[:, 2]) + 1
    return [line for line in np.split(places[:, :2], ends) if len(line)]


def write_json(prediction: HandwritingPrediction, path: Path) -> None:
    """Write a piece as the package reads it: a list of one {"text", "points"}."""
    points = [[round(x, PLACES), round(y, PLACES), int(up)] for x, y, up in absolute(prediction.strokes).tolist()]
    path.write_text(json.dumps([{"text": prediction.text, "points": points}], ensure_ascii=False) + "\n", "utf-8")


def write_svg(prediction: HandwritingPrediction, path: Path) -> None:
    """Write a piece as an SVG; see `svg_of`."""
    path.write_text(svg_of(prediction), encoding="utf-8")


def svg_of(prediction: HandwritingPrediction) -> str:
    """A piece as the text of an SVG, a polyline a stroke, in the units of the training files."""
    places = absolute(prediction.strokes)
    width, height = np.maximum(places[:, :2].max(0), 1)
    pen = _pen(places)
    edge = 2 * pen
    drawn = []
    for line in lines_of(places):
        if len(line) == 1:
            line = np.concatenate([line, line + 1e-3])
        drawn.append(f'<polyline points="{" ".join(f"{x:.{PLACES}f},{y:.{PLACES}f}" for x, y in line)}"/>')
    box = f"{-edge:.2f} {-edge:.2f} {width + 2 * edge:.2f} {height + 2 * edge:.2f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" fill="none" stroke="#1c1f23" '
        f'stroke-width="{pen:.3f}" stroke-linecap="round" stroke-linejoin="round">' + "".join(drawn) + "</svg>\n"
    )


def draw(offsets: np.ndarray, count: int = 0, width: int = WIDTH) -> Image.Image:
    """The first `count` points (0: all) on white, at most `width` pixels wide."""
    places = absolute(offsets)
    extent = np.maximum(places[:, :2].max(0), 1e-6)
    scale = min((width - 2 * MARGIN) / extent[0], (HEIGHT_LIMIT - 2 * MARGIN) / extent[1])
    scale = min(scale, 80 / _letter(places))  # a short word is not blown up
    size = (np.ceil(extent * scale).astype(int) + 2 * MARGIN).tolist()
    drawn = Image.new("RGB", (size[0] * FINE, size[1] * FINE), PAPER)
    pen = ImageDraw.Draw(drawn)
    thick = max(2, round(_pen(places) * scale * FINE))
    shown = places[: count or len(places)]
    for line in lines_of(shown):
        at = [tuple(((xy * scale + MARGIN) * FINE).tolist()) for xy in line]
        if len(at) == 1:
            x, y = at[0]
            pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=INK)
        else:
            pen.line(at, fill=INK, width=thick, joint="curve")
    return drawn.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def write_animation(prediction: HandwritingPrediction, path: Path) -> None:
    """Write a GIF in which the piece is written."""
    total = len(prediction.strokes)
    counts = np.unique(np.linspace(1, total, FRAMES).round().astype(int)).tolist()
    frames = [draw(prediction.strokes, count, WIDTH // 2) for count in counts]
    write_clip(frames, path, [FRAME_MS] * (len(frames) - 1) + [LAST_MS])


def draw_window(prediction: HandwritingPrediction, width: int = WIDTH) -> Image.Image:
    """The weights of characters, a row each from the first down, over the points from left to right; dark is large."""
    assert prediction.window is not None
    shares = prediction.window[:, :-1] / np.maximum(prediction.window.max(1, keepdims=True), 1e-9)
    rows, columns = shares.shape[1], shares.shape[0]
    cell = max(14, min(28, 600 // max(rows, 1)))
    font = letters(cell * 2 // 3)
    across = max(1, min(8, (width - 2 * cell) // max(columns, 1)))
    map_ = Image.fromarray((255 - 255 * shares.T.clip(0, 1)).astype(np.uint8)).resize(
        (columns * across, rows * cell), Image.Resampling.NEAREST
    )
    sheet = Image.new("RGB", (map_.width + 2 * cell, map_.height + 2 * MARGIN), PAPER)
    sheet.paste(map_.convert("RGB"), (2 * cell, MARGIN))
    pen = ImageDraw.Draw(sheet)
    for row, character in enumerate(prediction.text[:rows]):
        pen.text((cell, MARGIN + row * cell + cell // 2), character, fill=MUTED, font=font, anchor="mm")
    return sheet


def _letter(places: np.ndarray) -> float:
    """About the height of a letter: the median height of the strokes that are no dots."""
    heights = [float(np.ptp(line[:, 1])) for line in lines_of(places) if len(line) > 2]
    return max(float(np.median(heights)) if heights else 0.0, 1e-3)


def _pen(places: np.ndarray) -> float:
    """Width of the pen in the units of the places."""
    return max(_letter(places) * 0.06, float(places[:, :2].max()) * 1e-4, 1e-3)
