"""Sampling of a kind's parameters for a whole epoch, and drawing of the images of some of its rows.

Shapes: N images in the split, B of them in a batch. Points are (x, y) in pixels, y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foveate.datasets.distorted_mnist.warp import (
    BILINEAR,
    CUBIC,
    LATTICE,
    SHARES,
    SOFT,
    blur,
    projective,
    sample,
    thin_plate,
)

Kind = Literal["r", "rts", "p", "e", "clutter", "addition", "rts_hard", "p_hard"]
DIGIT = 28  # the side of MNIST's images
SIDES: dict[str, int] = {
    "r": 28, "rts": 42, "p": 28, "e": 28, "clutter": 60, "addition": 42, "rts_hard": 42, "p_hard": 28,
}  # fmt: skip
# How the corners of a projection move, and what of a digit that is put somewhere stays on the canvas.
Corner = Literal["diagonal", "axes"]
Place = Literal["frame", "ink"]
READINGS = {"p": "diagonal", "p_hard": "axes", "rts": "frame", "rts_hard": "ink", "addition": "ink"}
PATCHES, PATCH = 6, 6
SOFTEST = 0.2
# Ways to lay a patch of clutter, and their shares in a mixture.
MAXIMUM, REPLACE, ADD = range(3)
LAYING_SHARES = (0.5, 0.25, 0.25)
# Share of a mixture's projections that move the digit's own corners instead of the corners that are read.
PUT_SHARE = 0.5
_LEAST_CORNER = 0.05
_CORNER_PIXELS = 5  # the deviation of a corner's moves
_UNITS = {"r": 1, "rts": 4, "p": 1, "e": 1, "clutter": 2 + 5 * PATCHES, "addition": 9}
_CHANNELS = {"addition": 2}
_NORMALS = {"diagonal": 4, "axes": 8, "e": 2 * LATTICE**2}

# Name -> (N, ...): the parameters of N images, or of B of them.
Rows = Mapping[str, np.ndarray]


class Digits(NamedTuple):
    """The digits that images are drawn from, with their labels, and the members of the split."""

    images: np.ndarray  # (M, 28, 28) uint8
    labels: np.ndarray  # (M,) int64
    members: np.ndarray  # (N,) indices


class Drawing(NamedTuple):
    """A kind without its ending ('rts' of rts_hard), and its reading: `corner` of p, `place` of rts and addition."""

    kind: str
    reading: str = ""


def drawing(kind: str, corner: str = "", place: str = "") -> Drawing:
    """The drawing of a kind; `corner` and `place` replace the kind's own where given."""
    return Drawing(kind.removesuffix("_hard"), corner or place or READINGS.get(kind, ""))


def draw_parameters(
    what: Drawing, entropy: tuple[int, ...], count: int, mixed: bool, hand: float = 0.0
) -> dict[str, np.ndarray]:
    """The parameters of `count` images, a row each, from a tuple of non-negative integers.

    Operations that are not exactly rounded (sines, inverses) are done here, for all rows together, so that a row never
    depends on the batch that it is drawn in. `mixed` and `hand` change no other parameter.
    """
    uniform, normal, writing = (
        np.random.Generator(np.random.PCG64(np.random.SeedSequence((*entropy, i)))) for i in range(3)
    )
    u = uniform.random((count, 3 + _UNITS[what.kind]))
    n = normal.standard_normal((count, _NORMALS.get(what.reading or what.kind, 0)))
    rows = {
        "mode": _choice(u[:, 0], SHARES) if mixed else np.full(count, BILINEAR),
        "softness": (SOFTEST * u[:, 1]).astype(np.float32),
        "laying": _choice(u[:, 2], LAYING_SHARES) if mixed else np.full(count, MAXIMUM),
        "put": (u[:, 2] < PUT_SHARE) & mixed,
    }
    if hand:
        shape = (count, _CHANNELS.get(what.kind, 1), LATTICE**2, 2)
        rows["hand"] = (hand * writing.standard_normal(shape)).astype(np.float32)
    return rows | _PARAMETERS[what.kind](u[:, 3:], n, what.reading)


def draw_images(what: Drawing, digits: Digits, indices: np.ndarray, rows: Rows) -> tuple[Tensor, np.ndarray]:
    """(B,) indices into the split and the rows of their parameters -> (B, C, side, side) uint8, (B,) labels."""
    return _IMAGES[what.kind](digits, indices, rows)


def _written(digits: Digits, places: np.ndarray, rows: Rows, channel: int = 0) -> np.ndarray:
    """(B,) places -> their images (B, 28, 28) uint8, each warped first if the rows have 'hand'."""
    images = digits.images[places]
    if "hand" not in rows:
        return images
    count = len(images)
    warp = thin_plate(rows["hand"][:, channel], np.ones(count), DIGIT)
    return sample(images, warp, DIGIT, np.full(count, CUBIC), np.zeros(count)).numpy()


def _choice(unit: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    return np.minimum(np.searchsorted(np.cumsum(shares), unit, side="right"), len(shares) - 1)


def _between(low: float, high: float, unit: np.ndarray) -> np.ndarray:
    return low + (high - low) * unit


# R: rotation


def _r_parameters(u: np.ndarray, n: np.ndarray, reading: str = "") -> dict[str, np.ndarray]:
    angle = np.radians(_between(-90, 90, u[:, 0]))
    return {"backward": _turned_back(np.cos(angle), np.sin(angle), np.ones(len(u)), np.full((len(u), 2), 13.5))}


def _turned_back(cos: np.ndarray, sin: np.ndarray, scale: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(B, 3, 3): from the image of a digit turned clockwise, scaled, and put with its middle there, to the digit."""
    a, b = cos / scale, sin / scale
    x, y = middle[:, 0], middle[:, 1]
    half, zero, one = (DIGIT - 1) / 2, np.zeros_like(a), np.ones_like(a)
    rows = ((a, b, half - (a * x + b * y)), (-b, a, half - (a * y - b * x)), (zero, zero, one))
    return np.stack([np.stack(row, -1) for row in rows], 1)


def _warped_by_matrix(digits: Digits, indices: np.ndarray, rows: Rows) -> tuple[Tensor, np.ndarray]:
    places = digits.members[indices]
    warp = projective(rows["backward"])
    drawn = sample(_written(digits, places, rows), warp, DIGIT, rows["mode"], rows["softness"])
    return drawn[:, None], digits.labels[places]


# RTS: rotation, scale and translation; and the sum of two such digits


def _rts_parameters(u: np.ndarray, n: np.ndarray, reading: str) -> dict[str, np.ndarray]:
    angle, scale = np.radians(_between(-45, 45, u[:, 0])), _between(0.7, 1.2, u[:, 1])
    rows = {"cos": np.cos(angle), "sin": np.sin(angle), "scale": scale}
    if reading == "ink":
        return rows | {"place": u[:, 2:4]}
    # The upright square that the scaled image fills, DIGIT * scale pixels wide, is on the canvas from edge to edge.
    half = DIGIT * scale[:, None] / 2
    return rows | {"middle": half - 0.5 + (SIDES["rts"] - 2 * half) * u[:, 2:4]}


def _rts(images: np.ndarray, own: Rows, rows: Rows) -> Tensor:
    """(B, 28, 28) uint8 -> (B, 42, 42) uint8.

    own: 'cos', 'sin', 'scale', and 'middle' (B, 2), where the middles are put, or 'place' (B, 2) in 0..1, between the
        two ends of where the ink fits.
    """
    side, turn = SIDES["rts"], (own["cos"], own["sin"], own["scale"])
    middle = own["middle"] if "middle" in own else _fitting(images, *turn, side, own["place"])
    return sample(images, projective(_turned_back(*turn, middle)), side, rows["mode"], rows["softness"])


def _fitting(
    images: np.ndarray, cos: np.ndarray, sin: np.ndarray, scale: np.ndarray, side: int, place: np.ndarray
) -> np.ndarray:
    """(B, 2): the middle of each turned and scaled image, so that all of its ink is on a canvas of `side` pixels."""
    inked = images > 0
    some = np.any(inked, axis=2)
    left, right = inked.argmax(2), DIGIT - 1 - inked[:, :, ::-1].argmax(2)  # of each row: they hold the ink's hull
    half = (DIGIT - 1) / 2
    x = np.concatenate((left, right), 1) - half
    y = np.tile(np.arange(DIGIT) - half, 2)[None]
    outside = ~np.tile(some, (1, 2))
    c, s, z = cos[:, None], sin[:, None], scale[:, None]
    reach = scale * (np.abs(cos) + np.abs(sin))  # bilinear reading spreads a pixel over the two around it
    middles = []
    for axis, at in enumerate(((c * x - s * y) * z, (s * x + c * y) * z)):
        low = -1 - (np.where(outside, np.inf, at).min(1) - reach)
        high = side - (np.where(outside, -np.inf, at).max(1) + reach)
        blank = ~np.any(some, axis=1)
        low, high = np.where(blank, 0, low), np.where(blank, side - 1, high)
        unit = np.where(low < high, place[:, axis], 0.5)  # what is too large for the canvas is put in its middle
        middles.append(low + (high - low) * unit)
    return np.stack(middles, -1)


def _rts_images(digits: Digits, indices: np.ndarray, rows: Rows) -> tuple[Tensor, np.ndarray]:
    places = digits.members[indices]
    drawn = _rts(_written(digits, places, rows), rows, rows)
    return drawn[:, None], digits.labels[places]


def _addition_parameters(u: np.ndarray, n: np.ndarray, reading: str) -> dict[str, np.ndarray]:
    both = [_rts_parameters(u[:, i : i + 4], n, reading) for i in (0, 4)]
    return {name: np.stack([rows[name] for rows in both], 1) for name in both[0]} | {"other": u[:, 8]}


def _addition_images(digits: Digits, indices: np.ndarray, rows: Rows) -> tuple[Tensor, np.ndarray]:
    second = np.minimum((rows["other"] * len(digits.members)).astype(np.int64), len(digits.members) - 1)
    channels, total = [], np.zeros(len(indices), np.int64)
    for i, chosen in enumerate((indices, second)):
        places = digits.members[chosen]
        own = {name: rows[name][:, i] for name in ("cos", "sin", "scale", "middle", "place") if name in rows}
        channels.append(_rts(_written(digits, places, rows, i), own, rows))
        total += digits.labels[places]
    return torch.stack(channels, 1), total


# P: projection


def _p_parameters(u: np.ndarray, n: np.ndarray, reading: str) -> dict[str, np.ndarray]:
    outwards = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    scale, corners, middle = _between(0.75, 1.0, u[:, 0])[:, None, None], outwards * DIGIT / 2, (DIGIT - 1) / 2
    # One signed amount a corner, along its diagonal, or one in x and one in y.
    moves = _CORNER_PIXELS * (n.reshape(-1, 4, 2) if reading == "axes" else n[..., None] * outwards / 2**0.5)
    read = _convex(np.broadcast_to(corners, moves.shape), moves) / scale + middle
    put = _convex(corners * scale, moves) + middle
    return {"backward": np.linalg.inv(_from_quadrilateral(read)), "backward_put": _from_quadrilateral(put)}


def _p_images(digits: Digits, indices: np.ndarray, rows: Rows) -> tuple[Tensor, np.ndarray]:
    backward = np.where(rows["put"][:, None, None], rows["backward_put"], rows["backward"])
    return _warped_by_matrix(digits, indices, {**rows, "backward": backward})


def _convex(corners: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Squares (N, 4, 2) with each corner moved, by half as much and half again until none is dented."""
    moves, side = moves.copy(), corners[:, 1, :1] - corners[:, 0, :1]
    for _ in range(8):
        moves[(_turns(corners + moves) < _LEAST_CORNER * side**2).any(1)] /= 2
    return corners + moves


def _turns(corners: np.ndarray) -> np.ndarray:
    """(N, 4, 2) -> (N, 4): the cross product of the two edges that meet in a corner; all positive if it is convex."""
    edges = np.roll(corners, -1, 1) - corners
    before = np.roll(edges, 1, 1)
    return before[..., 0] * edges[..., 1] - before[..., 1] * edges[..., 0]


def _from_quadrilateral(corners: np.ndarray) -> np.ndarray:
    """(N, 4, 2), from the upper left clockwise -> (N, 3, 3): the projection that takes them to the digit's corners."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = np.moveaxis(corners, 0, 2)
    # The unit square onto the corners; g and h are what makes it more than affine (Heckbert 1989, section 2.2.2).
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    under = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
    g = (sx * (y3 - y2) - (x3 - x2) * sy) / under
    h = ((x1 - x2) * sy - sx * (y1 - y2)) / under
    rows = (
        (x1 - x0 + g * x1, x3 - x0 + h * x3, x0),
        (y1 - y0 + g * y1, y3 - y0 + h * y3, y0),
        (g, h, np.ones_like(g)),
    )
    to_digit = np.array(((DIGIT, 0, -0.5), (0, DIGIT, -0.5), (0, 0, 1)))
    return to_digit @ np.linalg.inv(np.stack([np.stack(row, -1) for row in rows], 1))


# E: elastic warping


def _e_parameters(u: np.ndarray, n: np.ndarray, reading: str = "") -> dict[str, np.ndarray]:
    return {"scale": _between(0.75, 1.0, u[:, 0]), "shifts": 1.5 * n.reshape(-1, LATTICE**2, 2)}


def _e_images(digits: Digits, indices: np.ndarray, rows: Rows) -> tuple[Tensor, np.ndarray]:
    places = digits.members[indices]
    warp = thin_plate(rows["shifts"], rows["scale"], DIGIT)
    drawn = sample(_written(digits, places, rows), warp, DIGIT, rows["mode"], rows["softness"])
    return drawn[:, None], digits.labels[places]


# Clutter


def _clutter_parameters(u: np.ndarray, n: np.ndarray, reading: str = "") -> dict[str, np.ndarray]:
    own, patches = u[:, :2], u[:, 2:].reshape(-1, PATCHES, 5)
    side = SIDES["clutter"]
    return {
        "corner": (own * (side - DIGIT + 1)).astype(np.int64),
        "other": patches[..., 0],
        "cut": (patches[..., 1:3] * (DIGIT - PATCH + 1)).astype(np.int64),
        "laid": (patches[..., 3:5] * (side - PATCH + 1)).astype(np.int64),
    }


def _clutter_images(digits: Digits, indices: np.ndarray, rows: Rows) -> tuple[Tensor, np.ndarray]:
    places, count = digits.members[indices], len(digits.members)
    canvas = np.zeros((len(indices), SIDES["clutter"], SIDES["clutter"]), np.uint8)
    canvas[_window(rows["corner"], DIGIT)] = _written(digits, places, rows)
    for i in range(PATCHES):
        # 1 to N - 1 places further on, around the end: never the digit itself.
        step = 1 + (rows["other"][:, i] * (count - 1)).astype(np.int64)
        others = digits.images[digits.members[(indices + step) % count]]
        patch = others[_window(rows["cut"][:, i], PATCH)]
        where = _window(rows["laid"][:, i], PATCH)
        canvas[where] = _laid(canvas[where], patch, rows["laying"][:, None, None])
    drawn = torch.from_numpy(canvas)
    soft = np.flatnonzero(rows["mode"] == SOFT)
    if len(soft):
        smooth = blur(drawn[soft].float(), torch.from_numpy(rows["softness"][soft]))
        drawn[soft] = (smooth + 0.5).to(torch.uint8)
    return drawn[:, None], digits.labels[places]


def _window(corners: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, 2) x and y -> the index of a square in each of B images."""
    steps = np.arange(side)
    rows = corners[:, 1, None, None] + steps[:, None]
    return np.arange(len(corners))[:, None, None], rows, corners[:, 0, None, None] + steps


def _laid(below: np.ndarray, patch: np.ndarray, laying: np.ndarray) -> np.ndarray:
    total = np.minimum(below.astype(np.int64) + patch, 255).astype(np.uint8)
    return np.where(laying == REPLACE, patch, np.where(laying == ADD, total, np.maximum(below, patch)))


_PARAMETERS: dict[str, Callable[[np.ndarray, np.ndarray, str], dict[str, np.ndarray]]] = {
    "r": _r_parameters, "rts": _rts_parameters, "p": _p_parameters, "e": _e_parameters, "clutter": _clutter_parameters,
    "addition": _addition_parameters,
}  # fmt: skip
_IMAGES: dict[str, Callable[[Digits, np.ndarray, Rows], tuple[Tensor, np.ndarray]]] = {
    "r": _warped_by_matrix, "rts": _rts_images, "p": _p_images, "e": _e_images,
    "clutter": _clutter_images, "addition": _addition_images,
}  # fmt: skip
