"""The score from which a detection counts as an object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEARLY = 0.98  # of the largest ratio, which a threshold of better counts may have
CANDIDATES = 200  # thresholds of which the counts are compared at most


def best_threshold(scores: np.ndarray, right: np.ndarray, found: Sequence[np.ndarray], true: np.ndarray) -> float:
    """Return the threshold of the best counts among those of nearly the best detections; 0.5 without a right one.

    Nearly the best: TP / (TP + FP + FN) is within 2 % of the largest. The best counts: the number of objects found in
    an image differs least from the true one, as a mean share over images with objects. (The largest ratio alone leaves
    out a true object wherever a false one would come with it.)

    scores, right: (D,) of all detections, and which of them are right. found: for each image the scores of its
    detections in descending order. true: (images,) number of its objects.

    The threshold lies half-way between the last score that counts and the next, so that no rounding moves an object
    across it.
    """
    if not right.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(right[order])
    ratio = hits / (true.sum() + np.arange(1, len(hits) + 1) - hits)
    last = np.append(scores[1:] < scores[:-1], True)  # of equal scores all count or none
    ratio = np.where(last, ratio, -1)
    good = np.flatnonzero(ratio >= NEARLY * ratio.max())
    good = good[np.linspace(0, len(good) - 1, min(len(good), CANDIDATES)).round().astype(int)]
    thresholds = (scores[good] + np.append(scores, 0.0)[good + 1]) / 2
    filled = true > 0  # not empty, since a detection is right
    counts = np.array([np.searchsorted(-one, -thresholds, side="right") for one in found])[filled]  # (images, n)
    error = (np.abs(counts - true[filled, None]) / true[filled, None]).mean(0)
    return float(thresholds[np.lexsort((-ratio[good], error))[0]])
