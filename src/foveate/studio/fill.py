"""Scribble-fill: every pixel takes the number of the scribble that is nearest along the image.

The distance is geodesic: the least sum, over a path from the scribble, of step lengths times a cost,

    cost = contrast^2 + FLAT

(Bai and Sapiro, "A geodesic framework for fast interactive image and video segmentation and matting", ICCV 2007, use
the same idea with likelihoods). By the square one strong edge costs more than many weak ones, as in grass. The
distance is found by `skimage.graph.MCP_Geometric` at a reduced size; the distances, not the numbers, are interpolated
to the full one, so that borders are smooth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from skimage.graph import MCP_Geometric

from foveate.errors import DataError
from foveate.studio.layers import Box

MOST_PIXELS = 150_000  # at which distances are found
FLAT = 0.001  # cost of a step without contrast, so that of equal contrasts the shorter path wins
_STRIP = 256  # rows


@dataclass(frozen=True)
class Scribble:
    """A line with a number: points (x, y) are pixels; width in pixels."""

    number: int
    points: Sequence[tuple[float, float]]
    width: float


def fill(pixels: np.ndarray, scribbles: Sequence[Scribble], box: Box) -> np.ndarray:
    """The number of the nearest scribble for each pixel of a box, (bottom - top, right - left) uint16.

    pixels: (H, W, 3) uint8. Raises DataError if fewer than two numbers have a pixel in the box.
    """
    top, left, bottom, right = box
    height, width = bottom - top, right - left
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    image = Image.fromarray(pixels[top:bottom, left:right])
    if size != (height, width):
        image = image.resize((size[1], size[0]), Image.Resampling.BOX)
    seeds = _seeds(scribbles, box, size)
    if len(seeds) < 2:
        raise DataError(f"{len(seeds)} of the scribbles' numbers lies in the box; draw at least two there")
    costs = contrast(np.asarray(image, np.float64) / 255.0) ** 2 + FLAT
    # (K, h, w) float32
    distances = np.stack([_distances(costs, seed) for seed in seeds.values()]).astype(np.float32)
    numbers = np.array(list(seeds), np.uint16)
    found = numbers[_nearest(distances, height, width)]
    for number, seed in _seeds(scribbles, box, (height, width)).items():
        found[seed] = number
    return found


def contrast(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) in 0..1 -> (h, w): the largest difference to a neighbour below or to the right, over the channels.

    A difference counts for both of its pixels.
    """
    found = np.zeros(image.shape[:2])
    for axis in (0, 1):
        step = np.abs(np.diff(image, axis=axis)).max(axis=2)
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        for place in (tuple(before), tuple(after)):
            found[place] = np.maximum(found[place], step)
    return found


def _seeds(scribbles: Sequence[Scribble], box: Box, size: tuple[int, int]) -> Mapping[int, np.ndarray]:
    """Number -> the pixels of its scribbles, (h, w) bool, where there are any; a later scribble covers an earlier."""
    top, left, bottom, right = box
    down, across = size[0] / (bottom - top), size[1] / (right - left)
    canvas = Image.new("I", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    for one in scribbles:
        points = [((x + 0.5 - left) * across - 0.5, (y + 0.5 - top) * down - 0.5) for x, y in one.points]
        width = max(1, round(one.width * (down + across) / 2))
        draw.line(points, fill=one.number, width=width)
        for x, y in points:  # round ends and corners; a single point is a disc
            if width < 3:
                draw.point((round(x), round(y)), fill=one.number)
            else:
                radius = (width - 1) / 2
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=one.number, outline=one.number)
    drawn = np.asarray(canvas)
    return {n: mask for n in dict.fromkeys(one.number for one in scribbles) if (mask := drawn == n).any()}


def _distances(costs: np.ndarray, seed: np.ndarray) -> np.ndarray:
    distances, _ = MCP_Geometric(costs).find_costs(np.argwhere(seed))
    return np.asarray(distances)


def _nearest(distances: np.ndarray, height: int, width: int) -> np.ndarray:
    """(K, h, w) -> (height, width): the place of the least distance, of bilinearly interpolated ones."""
    if distances.shape[1:] == (height, width):
        return distances.argmin(0)
    planes = [Image.fromarray(plane) for plane in distances]
    found = np.empty((height, width), np.intp)
    down = distances.shape[1] / height
    for top in range(0, height, _STRIP):  # all planes at full size would not fit into memory
        bottom = min(top + _STRIP, height)
        box = (0.0, top * down, float(distances.shape[2]), bottom * down)
        parts = [p.resize((width, bottom - top), Image.Resampling.BILINEAR, box=box) for p in planes]
        found[top:bottom] = np.stack([np.asarray(part) for part in parts]).argmin(0)
    return found
