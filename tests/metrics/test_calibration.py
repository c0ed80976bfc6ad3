"""Calibration against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from foveate.metrics.calibration import BINS, calibration_error, reliability
from foveate.metrics.segmentation import SegmentationMetrics

CONFIDENCE = np.array([[0.9, 0.9, 0.6, 0.99, 0.99, 0.01]])
# 0.9 sure and right, 0.9 sure and wrong, 0.6 sure and right; 0.9 is in (13/15, 14/15], 0.6 in (8/15, 9/15].
ERROR = (abs(1 - 1.8) + abs(1 - 0.6)) / 3


def test_bins_and_error_by_hand() -> None:
    bins = reliability(CONFIDENCE[:, :3], np.array([[True, False, True]]))
    assert bins.shape == (BINS, 3) and bins.sum(0).tolist() == pytest.approx([3, 2.4, 2])
    assert bins[13].tolist() == pytest.approx([2, 1.8, 1]) and bins[8].tolist() == pytest.approx([1, 0.6, 1])
    assert calibration_error(bins) == pytest.approx(ERROR)
    sure = reliability(np.ones(4), np.ones(4))
    assert sure[-1].tolist() == [4, 4, 4]
    assert calibration_error(np.stack([bins, np.zeros((BINS, 3)), sure])) == pytest.approx(
        [ERROR, np.nan, 0], nan_ok=True
    )


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    bins = reliability(np.array([0.0, 1 / BINS, 2 / BINS, 1.0]), np.zeros(4))
    assert np.flatnonzero(bins[:, 0]).tolist() == [0, 1, 14] and bins[0, 0] == 2


def image(prediction: list[int], truth: list[int], confidence: np.ndarray | None = None) -> SegmentationMetrics:
    metrics = SegmentationMetrics(2)
    metrics.update(np.array([prediction]), np.array([truth]), confidence)
    return metrics


def test_pixels_that_are_not_scored_have_no_part() -> None:
    own = image([0, 0, 0, 0, 0, 0], [0, 1, 0, -100, 255, -1], CONFIDENCE)
    scores = own.compute()
    assert scores.calibration.sum(0) == pytest.approx([3, 2.4, 2], abs=1e-5)
    assert scores.calibration_error == pytest.approx(ERROR, abs=1e-5)


def test_error_of_a_set_that_of_each_image_and_its_interval() -> None:
    """An image that is 0.75 sure and right in all pixels, and one that is as sure and wrong in half of them."""
    sure = np.full((1, 4), 0.75)
    total = SegmentationMetrics(2)
    for truth in ([0, 0, 0, 0], [0, 0, 1, 1]):
        total.merge(image([0, 0, 0, 0], truth, sure).state())
    scores = total.compute()
    assert scores.per_image["calibration_error"].tolist() == pytest.approx([0.25, 0.25])
    assert scores.calibration_error == 0  # six of eight
    assert scores.intervals["calibration_error"] == pytest.approx((0, 0.25))


def test_sums_do_not_depend_on_their_order() -> None:
    generator = np.random.default_rng(0)
    states = []
    for _ in range(20):
        truth, prediction = generator.integers(0, 2, (2, 30)).tolist()
        states.append(image(prediction, truth, generator.random((1, 30))).state())
    found = []
    for order in (states, states[::-1]):
        total = SegmentationMetrics(2)
        for state in order:
            total.merge(state)
        found.append(total.compute().calibration_error)
    assert found[0] == found[1]


def test_unknown_confidence_has_no_error() -> None:
    scores = image([0, 1], [0, 1]).compute()
    assert np.isnan(scores.calibration_error) and not scores.calibration.any()
