"""Confidence intervals by bootstrap over samples: how much a score depends on the images that happened to be scored.

The samples of a set are drawn again with replacement, as many as there are, and the score is computed again; the
interval holds the middle 95 % of these scores. Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993),
chapter 13 (the percentile interval).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
CHUNK = 100  # resamples that are scored at once


def draws(count: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """Numbers of times that each of `count` samples is drawn, in chunks (r, count) int64 of `resamples` in all."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        yield generator.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, resamples - start))


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of some scores; None if none is a number."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def score_intervals(
    counts: Sequence[np.ndarray], scores: Callable[[np.ndarray], Mapping[str, np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Intervals of scores that are computed from the sum of all samples' counts.

    counts: of each sample, all of one shape. scores: summed counts (r, *shape) -> name -> (r,) scores. Returns {} for
    fewer than two samples.
    """
    if len(counts) < 2:
        return {}
    table = np.stack([one.ravel() for one in counts])
    used = np.flatnonzero(table.any(axis=0))  # most pairs of classes are never confused
    found: dict[str, list[np.ndarray]] = {}
    for drawn in draws(len(counts)):
        summed = np.zeros((len(drawn), table.shape[1]), np.int64)
        summed[:, used] = drawn @ table[:, used]
        for name, values in scores(summed.reshape(len(drawn), *counts[0].shape)).items():
            found.setdefault(name, []).append(values)
    intervals = {name: interval(np.concatenate(values)) for name, values in found.items()}
    return {name: bounds for name, bounds in intervals.items() if bounds is not None}


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Interval of the mean of the samples' own scores, those that are numbers; None for fewer than two."""
    known = np.array([value for value in values if np.isfinite(value)], np.float64)
    if len(known) < 2:
        return None
    return interval(np.concatenate([drawn @ known for drawn in draws(len(known))]) / len(known))


def paired_difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean of second - first over the samples that both score, and its interval: (mean, low, high).

    first, second: own scores of the same samples. The pairs are drawn together, so that what makes a sample hard for
    both cancels out. None for fewer than two pairs.
    """
    both = np.array([(a, b) for a, b in zip(first, second, strict=True) if np.isfinite(a) and np.isfinite(b)])
    if len(both) < 2:
        return None
    differences = both[:, 1] - both[:, 0]
    bounds = mean_interval(differences.tolist())
    assert bounds is not None
    return float(differences.mean()), *bounds
