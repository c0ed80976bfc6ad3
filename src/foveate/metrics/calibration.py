"""Calibration: how often answers of each level of confidence are right.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, eq. 3: with n answers in 15 bins
of equal width over the probability of the given class, of which bin b holds n_b,

    expected calibration error = sum_b (n_b / n) |accuracy_b - confidence_b|
"""

from __future__ import annotations

import numpy as np

BINS = 15


def reliability(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(BINS, 3): answers, the sum of their confidences, and the right ones; bin b is (b / BINS, (b + 1) / BINS].

    confidence: probabilities, of any shape. right: of the same shape, 1 where the answer is right, or a share of 1.
    """
    place = np.clip(np.ceil(confidence.ravel() * BINS) - 1, 0, BINS - 1).astype(np.intp)
    columns = (None, confidence.ravel(), right.ravel())
    return np.stack([np.bincount(place, weights=values, minlength=BINS) for values in columns], axis=1).astype(float)


def calibration_error(bins: np.ndarray) -> np.ndarray:
    """Expected calibration error of counts (..., BINS, 3), shape (...); nan without an answer.

    n_b cancels: it is sum_b |right_b - sum of confidences_b| / n.
    """
    total = bins[..., 0].sum(-1)
    distance = np.abs(bins[..., 2] - bins[..., 1]).sum(-1)
    return np.divide(distance, total, out=np.full(total.shape, np.nan), where=total > 0)
