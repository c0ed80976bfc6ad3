"""The surface of each pixel without things: sky, grass, road, water or distant woods.

Every layer is a signed field over the image, in widths, positive inside and about a distance near its border: its
sign decides the label, and painting takes a soft edge from it. Exactly rounded arithmetic only (see `dice`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from foveate.datasets.pasture.scene import GRASS, SKY, WATER, Band, Lake, Land, Ridge
from foveate.datasets.pasture.texture import curve, tile_size

_COARSE = 32


@dataclass(frozen=True)
class Frame:
    """Positions of the pixels' centres."""

    xs: np.ndarray  # (W,) float32, in widths
    ys: np.ndarray  # (H,) float32, in widths
    depth: np.ndarray  # (H,) float32: 0 at the horizon, 1 at the bottom, negative in the sky
    height: float  # of the image, in widths
    tile: int  # size of the noise tiles

    @classmethod
    def of(cls, land: Land, height: int, width: int, aspect: float) -> Frame:
        """The pixels of an image of `height` x `width` that shows a scene of this aspect."""
        xs = ((np.arange(width) + 0.5) / width).astype(np.float32)
        ys = ((np.arange(height) + 0.5) * (aspect / height)).astype(np.float32)
        depth = (ys - np.float32(land.horizon)) / np.float32(aspect - land.horizon)
        return cls(xs, ys, depth, aspect, tile_size(width))


class Layer(NamedTuple):
    """One surface in the rows from `first` to `last`."""

    category: int
    item: Ridge | Band | Lake | None  # None: the meadow itself, or the sea
    first: int
    last: int
    inside: np.ndarray  # (last - first, W) float32


def layers(land: Land, frame: Frame) -> Iterator[Layer]:
    """The surfaces over the sky, each covering those before it."""
    for ridge in land.ridges:
        yield _ridge(ridge, land, frame)
    meadow = _meadow(land, frame)
    yield meadow
    if land.shore is not None:
        yield _sea(land.shore, land, frame, meadow)
    for lake in land.lakes:
        yield _lake(lake, frame, meadow)
    for band in sorted(land.bands, key=lambda b: b.category != WATER):
        yield (_across if band.across else _along)(band, land, frame, meadow)


def surfaces(land: Land, frame: Frame) -> np.ndarray:
    """(H, W) int32: the class of each pixel without things."""
    ids = np.full((len(frame.ys), len(frame.xs)), SKY, np.int32)
    for layer in layers(land, frame):
        np.copyto(ids[layer.first : layer.last], layer.category, where=layer.inside > 0)
    return ids


class Survey:
    """The surfaces on a coarse grid, for the placement of things; the same at every image size."""

    def __init__(self, land: Land, aspect: float) -> None:
        self._ids = surfaces(land, Frame.of(land, _COARSE, _COARSE, aspect)).tolist()
        self._aspect = aspect

    def at(self, x: float, y: float) -> int:
        """The class at a point; beyond the border, of the nearest cell."""
        row = min(max(int(y / self._aspect * _COARSE), 0), _COARSE - 1)
        return self._ids[row][min(max(int(x * _COARSE), 0), _COARSE - 1)]


def wave(place: np.ndarray) -> np.ndarray:
    """A sine of period 1 made of parabolas: between -1 and 1, without a library function."""
    part = (place - np.floor(place)) * 2 - 1
    return -4 * part * (1 - np.abs(part))


def _rows(frame: Frame, top: float, bottom: float) -> tuple[int, int]:
    """The rows whose centres are in top..bottom, and one more on either side."""
    count = len(frame.ys)
    step = frame.height / count
    first = min(max(int(np.floor(top / step)) - 1, 0), count)
    return first, min(max(int(np.floor(bottom / step)) + 2, first), count)


def _ridge(ridge: Ridge, land: Land, frame: Frame) -> Layer:
    first, last = _rows(frame, land.horizon - ridge.height, land.horizon + land.swell)
    place = frame.xs * np.float32(ridge.stretch) + np.float32(ridge.start[1])
    bumps = curve(frame.tile, "cloud", ridge.start[0], place)
    top = np.float32(land.horizon) - np.float32(ridge.height) * bumps
    return Layer(ridge.category, ridge, first, last, frame.ys[first:last, None] - top)


def _meadow(land: Land, frame: Frame) -> Layer:
    first, last = _rows(frame, land.horizon - land.swell, frame.height)
    bumps = curve(frame.tile, "blotch", land.start[0], frame.xs * np.float32(0.5) + np.float32(land.start[1]))
    top = np.float32(land.horizon) + np.float32(land.swell) * (bumps - np.float32(0.5))
    return Layer(GRASS, None, first, last, frame.ys[first:last, None] - top)


def _sea(shore: float, land: Land, frame: Frame, meadow: Layer) -> Layer:
    first, last = meadow.first, max(_rows(frame, land.horizon, shore + 0.05)[1], meadow.first)
    bumps = curve(frame.tile, "blotch", land.start[1], frame.xs * np.float32(0.7) + np.float32(land.start[0]))
    edge = np.float32(shore) + np.float32(0.2 * (shore - land.horizon)) * (bumps - np.float32(0.5))
    inside = np.minimum(edge - frame.ys[first:last, None], meadow.inside[: last - first])
    return Layer(WATER, None, first, last, inside)


def _lake(lake: Lake, frame: Frame, meadow: Layer) -> Layer:
    (cx, cy), (rx, ry) = lake.center, lake.radii
    reach = ry * (1 + lake.ragged)
    first, last = _rows(frame, cy - reach, cy + reach)
    first, last = max(first, meadow.first), max(last, meadow.first)
    across = (frame.xs - np.float32(cx)) / np.float32(rx)
    down = (frame.ys[first:last] - np.float32(cy)) / np.float32(ry)
    border = curve(frame.tile, "blotch", lake.start[0], frame.xs * np.float32(0.9) + np.float32(lake.start[1]))
    size = 1 + np.float32(lake.ragged) * (border - np.float32(0.5))
    inside = (size - np.sqrt((across * across) + (down * down)[:, None])) * np.float32(ry)
    return Layer(WATER, lake, first, last, np.minimum(inside, _onto(meadow, first, last)))


def _along(band: Band, land: Land, frame: Frame, meadow: Layer) -> Layer:
    first, last = meadow.first, meadow.last
    depth = np.maximum(frame.depth[first:last], 0)
    winding = wave(np.float32(band.phase) + np.float32(band.turns) / (depth + np.float32(0.3)))
    middle = np.float32(band.far) + np.float32(band.near - band.far) * depth + np.float32(band.bend) * depth * winding
    half = np.float32(band.half) * depth + np.float32(0.02)
    if band.ragged:
        border = curve(frame.tile, "cloud", band.phase, frame.ys[first:last] + np.float32(band.phase))
        half = half * (1 + np.float32(band.ragged) * (border - np.float32(0.5)))
    inside = half[:, None] - np.abs(frame.xs - middle[:, None])
    return Layer(band.category, band, first, last, np.minimum(inside, meadow.inside))


def _across(band: Band, land: Land, frame: Frame, meadow: Layer) -> Layer:
    winding = wave(np.float32(band.phase) + np.float32(band.turns) * frame.xs)
    middle = np.float32(band.near) + np.float32(band.far - band.near) * frame.xs + np.float32(band.bend) * winding
    depth = np.maximum((middle - np.float32(land.horizon)) / np.float32(frame.height - land.horizon), np.float32(0.35))
    half = np.float32(0.5 * band.half) * depth
    if band.ragged:
        border = curve(frame.tile, "cloud", band.phase, frame.xs + np.float32(band.phase))
        half = half * (1 + np.float32(band.ragged) * (border - np.float32(0.5)))
    first, last = _rows(frame, float((middle - half).min()), float((middle + half).max()))
    first, last = max(first, meadow.first), max(last, meadow.first)
    inside = half - np.abs(frame.ys[first:last, None] - middle)
    return Layer(band.category, band, first, last, np.minimum(inside, _onto(meadow, first, last)))


def _onto(meadow: Layer, first: int, last: int) -> np.ndarray:
    return meadow.inside[first - meadow.first : last - meadow.first]
