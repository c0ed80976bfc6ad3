"""Does attention fall on the thing that a word names? One map a word.

Shapes: T words, maps of h x w cells that each sum to 1, N masks of H x W pixels over the same part of the picture.

    objects  of a word: the union of the masks that `named` gives for it. A word that `named` does not know, or whose
             masks are all empty, is not scored.
    mass     sum over cells of attention times the share of the cell that the objects cover
    cells    of the objects: those that the union covers at least half; and for each mask that covers no cell half, as
             a bird in the corner of one, the cell of which it covers most
    hit      1 if the cell with the most attention is one of the objects' cells, else 0; where several cells have the
             most, the share of these that are
    chance   mass and hit of a uniform map: the share of the picture that the objects cover, and the share of all cells
             that are theirs
    entropy  -sum a log a of a map, in nats, and as a share of log(h w)
    change   the total variation distance sum |a_t - a_t-1| / 2 of a word's map to the map before it, 0 to 1: how much
             of the attention moves
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from foveate.errors import DataError
from foveate.text import split_words

SMALL = 0.15  # of the picture: below it, chance is low enough for a hit to mean something


def check_maps(maps: np.ndarray, words: Sequence[str], name: str) -> None:
    """Raises DataError unless there is one map a word, and each is a distribution."""
    if maps.ndim != 3 or len(maps) != len(words):
        raise DataError(
            f"{name}: attention of shape {maps.shape} for {len(words)} words; "
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
    """(N, H, W) bool -> (N, h, w): the share of each cell that a mask covers. Cells may cut through pixels."""
    height, width = masks.shape[1:]
    return _common(h, height) @ masks.astype(float) @ _common(w, width).T / (height * width)


def _common(cells: int, pixels: int) -> np.ndarray:
    """(cells, pixels): the length that a cell and a pixel share, where a pixel has length `cells`: whole numbers."""
    cell, pixel = np.arange(cells)[:, None] * pixels, np.arange(pixels) * cells
    common = np.minimum(cell + pixels, pixel + cells) - np.maximum(cell, pixel)
    return np.clip(common, 0, None).astype(float)


def on_objects(
    maps: np.ndarray, words: Sequence[str], masks: np.ndarray, named: Mapping[str, Sequence[int]], name: str
) -> np.ndarray:
    """(5,) sums over the scored words whose objects cover less than SMALL: words, mass, its chance, hits, their chance.

    maps: (T, h, w). masks: (N, H, W) bool. named: word in lower case -> indices of masks.
    Raises DataError for masks of another shape, or an index of none.
    """
    if masks.ndim != 3:
        raise DataError(f"{name}: masks of shape {masks.shape}; expected (N, H, W), one a thing that can be named")
    sums = np.zeros(5)
    for word, attention in zip(words, maps, strict=True):
        # A word may carry its punctuation: byte pairs keep it.
        about = [index for key in (word.lower(), " ".join(split_words(word))) if key in named for index in named[key]]
        if any(not 0 <= index < len(masks) for index in about):
            raise DataError(f"{name}: '{word}' names masks {sorted(set(about))}, but there are {len(masks)}")
        own = masks[sorted(set(about))].astype(bool)
        own = own[own.any((1, 2))]
        union = np.logical_or.reduce(own)
        if not len(own) or union.mean() >= SMALL:
            continue
        covered, each = pool(union[None], *attention.shape)[0], pool(own, *attention.shape)
        cells = covered >= 0.5
        for mask in each:
            if mask.max() < 0.5:
                cells.flat[int(mask.argmax())] = True
        most = attention == attention.max()
        sums += [1, (attention * covered).sum(), union.mean(), cells[most].mean(), cells.mean()]
    return sums


def spread(maps: np.ndarray) -> np.ndarray:
    """(5,) of one sentence's maps (T, h, w): words, sums of entropy and of its share of log(h w), sentences, change.

    The last two are 0 where there are fewer than two words; else 1, and the mean change of the sentence. A grid of one
    cell has an entropy of 0, and a share of 0.
    """
    flat = maps.reshape(len(maps), maps.shape[1] * maps.shape[2])
    entropy = -(flat * np.log(np.where(flat > 0, flat, 1))).sum()
    most = math.log(flat.shape[1]) or 1.0
    change = np.abs(np.diff(flat, axis=0)).sum(1) / 2
    return np.array([len(maps), entropy, entropy / most, len(change) > 0, change.mean() if len(change) else 0])
