"""Strokes between files and models: thinning, normalising, and what a training set decides of both.

Shapes: T points, each dx, dy and 1 where the pen is lifted after it (offsets), or x, y and the same (places).
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from foveate.errors import DataError
from foveate.records import HandwritingPreprocessing

NEARLY_ALL = 0.999  # of the offsets lie on a grid; a recording may have a slip
FIXED_SEED = 0  # of the noise over a grid's cells in validation and evaluation


def places(strokes: Tensor) -> Tensor:
    """Offsets (T, 3) -> places, from the first point on."""
    return torch.cat([strokes[:, :2].cumsum(0), strokes[:, 2:]], 1)


def thin(strokes: Tensor, keep: int) -> Tensor:
    """Every keep-th point of offsets (T, 3), and both ends of each stroke."""
    if keep == 1:
        return strokes
    lifted = strokes[:, 2] > 0
    kept = torch.zeros(len(strokes), dtype=torch.bool)
    kept[::keep] = True
    kept |= lifted
    kept[1:] |= lifted[:-1]
    points = places(strokes)[kept]
    offsets = points[:, :2].diff(dim=0, prepend=points[:1, :2])
    return torch.cat([offsets, points[:, 2:]], 1)


def normalise(strokes: Tensor, preprocessing: HandwritingPreprocessing) -> Tensor:
    """Offsets (T, 3) in units of their deviation in training.

    The first point, where the pen begins, is the null vector; its pen bit stays.
    """
    mean, std = (strokes.new_tensor(values) for values in (preprocessing.mean, preprocessing.std))
    scaled = torch.cat([(strokes[:, :2] - mean) / std, strokes[:, 2:]], 1)
    scaled[0, :2] = 0
    return scaled


def restore(points: Tensor, preprocessing: HandwritingPreprocessing) -> Tensor:
    """The inverse of `normalise` for points after the first (T, 3)."""
    mean, std = (points.new_tensor(values) for values in (preprocessing.mean, preprocessing.std))
    return torch.cat([points[:, :2] * std + mean, points[:, 2:]], 1)


def seed_of(strokes: Tensor) -> int:
    """A seed that is a function of the points alone."""
    return zlib.crc32(strokes.contiguous().numpy().tobytes(), FIXED_SEED)


def learn(preprocessing: HandwritingPreprocessing, pieces: Iterable[tuple[Tensor, str]]) -> HandwritingPreprocessing:
    """The preprocessing with what training pieces (offsets, text) decide. Raises DataError for strokes of no extent."""
    offsets, points, characters, longest = [], 0, 0, 0
    for strokes, text in pieces:
        thinned = thin(strokes, preprocessing.keep)
        offsets.append(thinned[:, :2].numpy().astype(np.float64))
        if text:
            points, characters, longest = points + len(thinned), characters + len(text), max(longest, len(text))
    values = np.concatenate(offsets)
    std = values.std(0)
    if not (std > 0).all():
        raise DataError("all points of the training strokes lie on one line along an axis, or at one place; check them")
    mean, grid = values.mean(0), [spacing(axis) for axis in values.T]
    return dataclasses.replace(
        preprocessing,
        mean=(float(mean[0]), float(mean[1])),
        std=(float(std[0]), float(std[1])),
        grid=(grid[0], grid[1]),
        pace=points / characters if characters else preprocessing.pace,
        longest=longest,
    )


def spacing(values: np.ndarray) -> float:
    """The spacing of a grid on which nearly all values (n,) lie; 0 for none."""
    sizes, counts = np.unique(np.abs(values[values != 0]), return_counts=True)
    if not len(sizes):
        return 0.0
    order = np.argsort(-counts, kind="stable")
    common = sizes[order][: int(np.searchsorted(counts[order].cumsum(), NEARLY_ALL * counts.sum())) + 1]
    if (common == np.rint(common)).all():
        return float(np.gcd.reduce(common.astype(np.int64)))
    ratios = common / common.min()
    on_grid = len(common) > 1 and (np.abs(ratios - np.rint(ratios)) < 1e-2).all()
    return float(common.min()) if on_grid else 0.0
