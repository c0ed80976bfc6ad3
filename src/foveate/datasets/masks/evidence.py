"""Places of the values of masks: whether a value fills regions, runs along edges, or marks one object a file.

Only sets whose values leave a doubt are looked at, and of these at most MOST_FILES files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.measure import label as components

MOST_FILES = 64
_STRIP = 512  # rows that are compared with their neighbours at once
_LONGEST = 4096  # pixels a side of the middle of a file whose regions are connected
_CONTRAST = 16  # channels in which neighbours differ by less are left out when edges are looked for
_MAIN_PART = 0.75  # of an object's pixels are connected, where another object lies across it
_SIDE = 256  # pixels a side that are looked at for what surrounds what
_AROUND = 0.75  # of the border, at least, has the value that lies around
_SPECK = 0.001  # of all pixels: values with fewer are left out


def sample(files: Sequence[Path]) -> list[Path]:
    """At most MOST_FILES of the files, spread evenly."""
    return [files[i] for i in np.linspace(0, len(files) - 1, min(len(files), MOST_FILES)).round().astype(int)]


@dataclass(frozen=True)
class Edges:
    """Pixels of each value or colour, counted over files.

    codes: (N,) sorted. pixels: (N,) of all. inner: (N,) those whose eight neighbours are alike.
    between: (N,) those strictly between the least and the largest of their neighbours, as the steps of a smoothed
    edge are.
    """

    codes: np.ndarray
    pixels: np.ndarray
    inner: np.ndarray
    between: np.ndarray


def edges(planes: Sequence[Callable[[], np.ndarray]], colored: bool) -> Edges:
    """Count over planes of values or, if `colored`, of colours; each is called once, and dropped."""
    counts: dict[int, np.ndarray] = {}
    for read in planes:
        plane = read()
        for top in range(0, len(plane), _STRIP):
            inner, between = _inner_and_between(plane, slice(top, min(top + _STRIP, len(plane))), colored)
            codes, place = np.unique(plane[top : top + _STRIP], return_inverse=True)
            rows = [np.bincount(place.ravel(), w, len(codes)) for w in (None, inner.ravel(), between.ravel())]
            for code, row in zip(codes.tolist(), np.stack(rows, axis=1).astype(np.int64), strict=True):
                counts[code] = counts[code] + row if code in counts else row
    table = np.array([counts[code] for code in sorted(counts)])
    return Edges(np.array(sorted(counts)), *table.T)


def _inner_and_between(plane: np.ndarray, rows: slice, colored: bool) -> tuple[np.ndarray, np.ndarray]:
    """(h, W) bool of some rows each: all eight neighbours alike; strictly between the extremes of the neighbours."""
    padded = np.pad(plane[max(rows.start - 1, 0) : rows.stop + 1], 1, mode="edge")
    padded = padded[int(rows.start > 0) : len(padded) - int(rows.stop < len(plane))]  # real rows in place of copies
    channels = (padded >> 16, padded >> 8 & 255, padded & 255) if colored else (padded,)
    alike, strict, contrast = np.True_, np.True_, np.False_
    for channel in channels:
        middle = channel[1:-1, 1:-1]
        low, high = _extremes(channel, np.minimum), _extremes(channel, np.maximum)
        clear = high.astype(np.int64) - low > (_CONTRAST if colored else 0)
        alike = alike & (low == high)
        strict = strict & (~clear | ((low < middle) & (middle < high)))
        contrast = contrast | clear
    return np.asarray(alike), np.asarray(strict & contrast)


def _extremes(padded: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The least or the largest of each 3x3 neighbourhood."""
    across = extreme(extreme(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    found: np.ndarray = extreme(extreme(across[:-2], across[1:-1]), across[2:])
    return found


@dataclass(frozen=True)
class Blobs:
    """Connected regions of the values of one file, the background apart.

    numbers: values that occur. whole: those among them whose largest region has most of their pixels.
    """

    numbers: int
    whole: int


def blobs(plane: np.ndarray, background: int, left_out: frozenset[int] = frozenset()) -> Blobs:
    """Count the values that are one connected region each. left_out: values that are not looked at."""
    middle = tuple(slice(max(0, side - _LONGEST) // 2, (side + _LONGEST) // 2) for side in plane.shape)
    codes, place = np.unique(plane[middle], return_inverse=True)
    place = place.reshape(plane[middle].shape) + 1
    drop = np.isin(codes, [background, *left_out])
    place[np.concatenate([[False], drop])[place]] = 0
    region = components(place, connectivity=2, background=0)
    sizes = np.bincount(region.ravel())
    sizes[0] = 0
    owner = np.zeros(len(sizes), np.int64)
    owner[region.ravel()] = place.ravel()
    largest, whole = np.zeros(len(codes) + 1), np.zeros(len(codes) + 1)
    np.maximum.at(largest, owner, sizes)
    np.add.at(whole, owner, sizes)
    present = whole[1:] > 0
    return Blobs(int(present.sum()), int((largest[1:] >= _MAIN_PART * whole[1:])[present].sum()))


def surrounding(plane: np.ndarray) -> int | None:
    """The value that lies around the other of two: it has most of the border, and most of the other touches none.

    plane: (H, W) values or colours. Of more than two, as in smoothed masks, those up to the middle of their range count
    as the lowest, the others as the highest. None if neither lies around the other.
    """
    if min(plane.shape) < 3 or (low := int(plane.min())) == (high := int(plane.max())):
        return None
    step = -(-max(plane.shape) // _SIDE)
    is_high = plane[::step, ::step] > (low + high) / 2
    share = float(_border(is_high).mean())
    if 1 - _AROUND < share < _AROUND:
        return None
    inside = ~is_high if share >= _AROUND else is_high
    regions = components(inside, connectivity=2)
    apart = inside & ~np.isin(regions, np.unique(_border(regions)))
    if inside.mean() < _SPECK or 2 * apart.sum() <= inside.sum():
        return None
    return high if share >= _AROUND else low


def _border(plane: np.ndarray) -> np.ndarray:
    return np.concatenate([plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]])


def shades(found: Edges) -> set[int]:
    """The codes that lie on edges alone: hardly inside of a region, and mostly between their neighbours."""
    on_edges = (2 * found.between >= found.pixels) & (20 * found.inner <= found.pixels)
    return {int(code) for code in found.codes[on_edges]}
