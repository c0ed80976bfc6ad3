"""Seamless noise tiles, for skies, meadows, coats and leaves.

A tile is (T, T) float32, periodic, with values spread evenly over 0..1, so that "tile < 0.3" covers 30 % of it. T grows
with the image, and finer octaves with T, so that a large image shows more detail of the same pattern. Labels depend
on tiles (a crown's ragged edge, a shore), so they are made of exactly rounded arithmetic only.
"""

from __future__ import annotations

from functools import cache

import numpy as np

# Octaves of each tile as (rows, columns, weight) of a lattice of random values; those finer than the tile are left out.
# Without octaves: no two neighbours alike.
_OCTAVES: dict[str, tuple[tuple[int, int, float], ...]] = {
    "blotch": ((4, 4, 1.0), (8, 8, 0.6), (16, 16, 0.2), (64, 64, 0.03)),
    "cloud": ((3, 3, 1.0), (6, 6, 0.6), (12, 12, 0.4), (24, 24, 0.2), (48, 48, 0.12), (96, 96, 0.07), (192, 192, 0.04)),
    "ground": (
        (5, 5, 0.7),
        (11, 11, 0.6),
        (23, 23, 0.6),
        (47, 47, 0.6),
        (95, 95, 0.7),
        (190, 190, 0.6),
        (380, 380, 0.5),
    ),
    "leaf": ((10, 10, 0.4), (26, 26, 0.9), (52, 52, 0.8), (104, 104, 0.5), (208, 208, 0.4)),
    "ripple": ((24, 4, 0.6), (56, 9, 0.9), (110, 20, 0.8), (220, 44, 0.5)),
    "grain": ((60, 60, 0.4), (120, 120, 1.0), (250, 250, 0.8), (500, 500, 0.6)),
    "film": (),
}
PATTERNS = ("stripe", "check")
TILES = (*_OCTAVES, *PATTERNS)
_LEVELS = 1 << 16
TILE = {name: index for index, name in enumerate(TILES)}


def tile_size(width: int) -> int:
    """T for an image of this many columns: 256, 512 or 1024."""
    return 256 if width <= 256 else 512 if width <= 512 else 1024


@cache
def tiles(size: int) -> np.ndarray:
    """Every tile of one size, (len(TILES), size, size) float32, in the order of `TILES`."""
    stack = [_even(_noise(index, octaves, size)) for index, octaves in enumerate(_OCTAVES.values())]
    stack += [_pattern(name, size) for name in PATTERNS]
    result = np.stack(stack)
    result.setflags(write=False)
    return result


def curve(size: int, name: str, row: float, at: np.ndarray) -> np.ndarray:
    """A smooth random line: a tile's row (0..1), read at periodic positions `at` (float, one tile = 1)."""
    line = tiles(size)[TILE[name], int(row * size) % size]
    place = at * np.float32(size)
    left = np.floor(place)
    part = place - left
    index = left.astype(np.int32)
    return line[index & (size - 1)] * (1 - part) + line[(index + 1) & (size - 1)] * part


def _noise(key: int, octaves: tuple[tuple[int, int, float], ...], size: int) -> np.ndarray:
    total = np.zeros((size, size)) if octaves else _lattice(key, size, size)
    for rows, columns, weight in octaves:
        if max(rows, columns) <= size // 2:
            total += weight * _octave(key, rows, columns, size)
    return total


def _octave(key: int, rows: int, columns: int, size: int) -> np.ndarray:
    """A periodic lattice of random values, smoothly interpolated to (size, size)."""
    return _stretch(_stretch(_lattice(key, rows, columns), size).T, size).T


def _lattice(key: int, rows: int, columns: int) -> np.ndarray:
    """Values in [0, 1), the same for the same arguments."""
    bits = np.random.PCG64(np.random.SeedSequence((7, key, rows, columns)))
    return (bits.random_raw(rows * columns) >> np.uint64(40)).astype(np.float64).reshape(rows, columns) / 2.0**24


def _stretch(values: np.ndarray, size: int) -> np.ndarray:
    count = len(values)
    place = np.arange(size) * count / size
    first = np.floor(place).astype(np.int64)
    part = (place - first)[:, None]
    smooth = part * part * (3 - 2 * part)
    return values[first] * (1 - smooth) + values[(first + 1) % count] * smooth


def _even(values: np.ndarray) -> np.ndarray:
    """Replace each value by the share of values below it, so that all of 0..1 is equally common."""
    low = values.min()
    steps = ((values - low) * (_LEVELS / (values.max() - low))).astype(np.int64)
    counts = np.bincount(steps.ravel(), minlength=_LEVELS + 1)
    below = (np.cumsum(counts) - counts / 2) / values.size
    return below.astype(np.float32)[steps]


def _pattern(name: str, size: int) -> np.ndarray:
    place = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(8 / size)
    wave = np.abs(place - np.floor(place) - np.float32(0.5)) * 2  # eight triangles across the tile
    if name == "stripe":
        return np.repeat(wave[:, None], size, axis=1)
    return (wave[:, None] + wave[None, :]) / 2
