"""Attention metrics: does attention fall on the object that a word names?

Shapes: T words with one map each; maps of h x w cells that each sum to 1; N masks of H x W pixels over the same part of
the image.

    objects  of a word: the union of the masks that `named` gives for it. A word that is not in `named`, or whose masks
             are all empty, is not scored.
    mass     sum over cells of attention times the share of the cell that the objects cover
    cells    of the objects: those that the union covers at least half; for a mask that covers half of no cell, such as
             a bird in the corner of one, the cell that it covers most
    hit      1 if the cell with the most attention is one of the objects' cells, else 0; if several cells have the same
             maximum, the share of them that are
    chance   mass and hit of a uniform map: the share of the image that the objects cover, and the share of cells that
             are the objects'
    entropy  -sum a log a of a map, in nats, and as a share of log(h w)
    change   total variation distance sum |a_t - a_t-1| / 2 between a word's map and the previous map, 0 to 1: the share
             of the attention that moves
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from foveate.errors import DataError, counted
from foveate.text import split_words

MAX_OBJECT_SHARE = 0.15  # of the image: words for larger objects are not scored, as chance is too high


def check_maps(maps: np.ndarray, words: Sequence[str], name: str) -> None:
    """Raise DataError unless there is one map a word and each is a distribution."""
    if maps.ndim != 3 or len(maps) != len(words):
        raise DataError(
            f"{name}: attention of shape {maps.shape} for {counted(len(words), 'word')}; "
            f"expected ({len(words)}, h, w), a map a word"
        )
    sums = maps.sum((1, 2))
    bad = (maps < 0).any((1, 2)) | ~(np.abs(sums - 1) < 1e-3)
    if bad.any():
        first = int(bad.argmax())
        raise DataError(
            f"{name}: the map of '{words[first]}' sums to {sums[first]:.4g}, its lowest value is "
            f"{maps[first].min():.4g}; each must be a distribution over its cells"
        )


def pool(masks: np.ndarray, h: int, w: int) -> np.ndarray:
    """Return the share of each cell that a mask covers: (N, H, W) bool -> (N, h, w). Cells may cut through pixels."""
    height, width = masks.shape[1:]
    return _overlap(h, height) @ masks.astype(float) @ _overlap(w, width).T / (height * width)


def _overlap(cells: int, pixels: int) -> np.ndarray:
    """Return the overlap (cells, pixels) of each cell and pixel, a whole number where a pixel has length `cells`."""
    cell, pixel = np.arange(cells)[:, None] * pixels, np.arange(pixels) * cells
    overlap = np.minimum(cell + pixels, pixel + cells) - np.maximum(cell, pixel)
    return np.clip(overlap, 0, None).astype(float)


def on_objects(
    maps: np.ndarray, words: Sequence[str], masks: np.ndarray, named: Mapping[str, Sequence[int]], name: str
) -> np.ndarray:
    """Return sums (5,) over the scored words: number of words, mass, mass by chance, hits, hits by chance.

    Words are scored if their objects cover less than MAX_OBJECT_SHARE of the image.

    maps: (T, h, w).
    masks: (N, H, W) bool.
    named: word in lower case -> indices of masks.
    name: the image's name, for messages.
    Raises DataError for masks of another shape, or an index out of range.
    """
    if masks.ndim != 3:
        raise DataError(f"{name}: masks of shape {masks.shape}; expected (N, H, W), one mask for each object")
    sums = np.zeros(5)
    for word, attention in zip(words, maps, strict=True):
        # Byte-pair tokens keep the punctuation of a word.
        indices = [index for key in (word.lower(), " ".join(split_words(word))) if key in named for index in named[key]]
        if any(not 0 <= index < len(masks) for index in indices):
            raise DataError(f"{name}: '{word}' names masks {sorted(set(indices))}, but there are {len(masks)}")
        objects = masks[sorted(set(indices))].astype(bool)
        objects = objects[objects.any((1, 2))]
        union = np.logical_or.reduce(objects)
        if not len(objects) or union.mean() >= MAX_OBJECT_SHARE:
            continue
        coverage, object_coverages = pool(union[None], *attention.shape)[0], pool(objects, *attention.shape)
        cells = coverage >= 0.5
        for object_coverage in object_coverages:
            if object_coverage.max() < 0.5:
                cells.flat[int(object_coverage.argmax())] = True
        peak = attention == attention.max()
        sums += [1, (attention * coverage).sum(), union.mean(), cells[peak].mean(), cells.mean()]
    return sums


def spread(maps: np.ndarray) -> np.ndarray:
    """Return sums (5,) for the maps (T, h, w) of one caption: words, entropy, its share of log(h w), captions, change.

    The last two are 1 and the mean change, or both 0 if the caption has fewer than two words. A grid of one cell has an
    entropy of 0 and a share of 0.
    """
    flat = maps.reshape(len(maps), maps.shape[1] * maps.shape[2])
    entropy = -(flat * np.log(np.where(flat > 0, flat, 1))).sum()
    max_entropy = math.log(flat.shape[1]) or 1.0
    change = np.abs(np.diff(flat, axis=0)).sum(1) / 2
    return np.array([len(maps), entropy, entropy / max_entropy, len(change) > 0, change.mean() if len(change) else 0])
