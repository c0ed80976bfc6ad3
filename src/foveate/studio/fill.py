"""Scribble-fill: every pixel takes the number of the scribble that is nearest along the image and looks like it.

At each pixel x the numbers k have shares, and the greatest wins:

    w_k(x) = max(P_k(x), LEAST)^LIKELIHOOD / (D_k(x) + NEAR)^2,    share_k = guided(w_k / sum_j w_j)

D_k is the geodesic distance to the number's scribbles: the least sum, over a path, of step lengths times a cost,

    cost = contrast^2 + FLAT

By the square one strong edge costs more than many weak ones, as in grass. P_k is the number's share of the likelihood;
each scribble s is a Gaussian of colour and place z = (L, a, b, y, x), and the best scribble of a number counts:

    P_k = p_k / sum_j p_j,    p_k(x) = max_s N(z(x); mean_s, covariance_s + diag(SPREAD^2))

Bai and Sapiro, "A geodesic framework for fast interactive image and video segmentation and matting", ICCV 2007, weigh
numbers by P_k / D_k^r, too, to refine a border; there a number's colours are one density, which knows no place. The
guided filter moves borders to edges of the image and takes specks away. All is done at a reduced size, with
`skimage.graph.MCP_Geometric`; the shares, not the numbers, are interpolated to the full one, so that borders are
smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion
from skimage.color import rgb2lab
from skimage.graph import MCP_Geometric

from foveate.errors import DataError
from foveate.studio.gaussian import energy
from foveate.studio.guided import guided
from foveate.studio.layers import Box

MOST_PIXELS = 150_000  # at which shares are found
FLAT = 0.0001  # cost of a step without contrast, so that of equal contrasts the shorter path wins
NEAR = 0.003  # distances far below it count as equal
LIKELIHOOD, LEAST = 0.4, 0.01  # at most, it outweighs a distance that is 0.01^(-0.4 / 2) = 2.5 times as long
SPREAD = (0.03, 0.02, 0.02, 0.15, 0.15)  # standard deviations: of L, a, b in hundreds; of y, x in longer sides
RADIUS, VARIANCE = 4, 0.001  # of the guided filter: pixels at the reduced size; of colours in 0..1
_STRIP = 256  # rows


@dataclass(frozen=True)
class Scribble:
    """A line with a number: points (x, y) are pixels; width in pixels."""

    number: int
    points: Sequence[tuple[float, float]]
    width: float


def fill(pixels: np.ndarray, scribbles: Sequence[Scribble], box: Box) -> np.ndarray:
    """The number of the best scribble for each pixel of a box, (bottom - top, right - left) uint16.

    pixels: (H, W, 3) uint8. Raises DataError if fewer than two numbers have a pixel in the box.
    """
    top, left, bottom, right = box
    height, width = bottom - top, right - left
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    image = Image.fromarray(pixels[top:bottom, left:right])
    if size != (height, width):
        image = image.resize((size[1], size[0]), Image.Resampling.BOX)
    number_of = np.array([0, *(one.number for one in scribbles)], np.uint16)
    drawn = _drawn(scribbles, box, size)
    seeds = number_of[drawn]
    numbers = np.array([n for n in dict.fromkeys(number_of[1:].tolist()) if (seeds == n).any()], np.uint16)
    if len(numbers) < 2:
        raise DataError(f"{len(numbers)} of the scribbles' numbers lies in the box; draw at least two there")
    colors = np.asarray(image, np.float64) / 255.0
    costs = contrast(colors) ** 2 + FLAT
    groups = [np.flatnonzero(number_of == number) for number in numbers]
    weights = np.empty((len(numbers), *size))
    for number, likely, weight in zip(numbers, likelihoods(colors, drawn, groups), weights, strict=True):
        # w_k = max(P_k, LEAST)^LIKELIHOOD / (D_k + NEAR)^2
        weight[...] = np.maximum(likely, LEAST) ** LIKELIHOOD / (_distances(costs, seeds == number) + NEAR) ** 2
    weights /= weights.sum(0)
    shares = np.stack([share.astype(np.float32) for share in guided(weights, colors, RADIUS, VARIANCE)])
    found = numbers[_greatest(shares, height, width)]
    own = number_of[_drawn(scribbles, box, (height, width))]
    return np.where(own > 0, own, found)


def likelihoods(image: np.ndarray, drawn: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """P_k: the share of each group of scribbles in the likelihood of each pixel, (K, h, w).

    image: (h, w, 3) in 0..1. drawn: (h, w) the place of the scribble that covers a pixel. groups: places.
    """
    height, width = drawn.shape
    places = np.mgrid[:height, :width].transpose(1, 2, 0) / max(height, width)
    # z = (L, a, b, y, x)
    values = np.concatenate([rgb2lab(image) / 100.0, places], 2).reshape(height * width, 5)
    variances = np.square(SPREAD)
    energies = np.full((len(groups), height * width), np.inf)
    for best, group in zip(energies, groups, strict=True):
        for place in group:
            own = values[drawn.reshape(-1) == place]
            if len(own):  # not covered by later scribbles
                # -log p_k = min_s -log N(z; mean_s, covariance_s + diag(SPREAD^2))
                np.minimum(best, energy(values, own, variances), out=best)
    # P_k = p_k / sum_j p_j
    shares = np.exp(energies.min(0) - energies)
    return (shares / shares.sum(0)).reshape(-1, height, width)


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


def _drawn(scribbles: Sequence[Scribble], box: Box, size: tuple[int, int]) -> np.ndarray:
    """The place, from 1, of the scribble that covers each pixel, (h, w); 0 for none; a later one covers an earlier."""
    top, left, bottom, right = box
    down, across = size[0] / (bottom - top), size[1] / (right - left)
    canvas = Image.new("I", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    for place, one in enumerate(scribbles, 1):
        points = [((x + 0.5 - left) * across - 0.5, (y + 0.5 - top) * down - 0.5) for x, y in one.points]
        width = max(1, round(one.width * (down + across) / 2))
        draw.line(points, fill=place, width=width)
        for x, y in points:  # round ends and corners; a single point is a disc
            if width < 3:
                draw.point((round(x), round(y)), fill=place)
            else:
                radius = (width - 1) / 2
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=place, outline=place)
    return np.asarray(canvas)


def _distances(costs: np.ndarray, seed: np.ndarray) -> np.ndarray:
    # Every path leaves a seed at its rim, and each beginning takes its time.
    rim = seed & ~binary_erosion(seed, np.ones((3, 3)), border_value=1)
    distances, _ = MCP_Geometric(costs).find_costs(np.argwhere(rim))
    return np.where(seed, 0.0, distances)


def _greatest(shares: np.ndarray, height: int, width: int) -> np.ndarray:
    """(K, h, w) -> (height, width): the place of the greatest share, of bilinearly interpolated ones."""
    if shares.shape[1:] == (height, width):
        return shares.argmax(0)
    planes = [Image.fromarray(plane) for plane in shares]
    found = np.empty((height, width), np.intp)
    down = shares.shape[1] / height
    for top in range(0, height, _STRIP):  # all planes at full size would not fit into memory
        bottom = min(top + _STRIP, height)
        box = (0.0, top * down, float(shares.shape[2]), bottom * down)
        parts = [p.resize((width, bottom - top), Image.Resampling.BILINEAR, box=box) for p in planes]
        found[top:bottom] = np.stack([np.asarray(part) for part in parts]).argmax(0)
    return found
