"""Intervals by bootstrap, against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score

from foveate.metrics.bootstrap import draws, interval, mean_interval, paired_difference, score_intervals
from foveate.metrics.segmentation import SegmentationMetrics
from foveate.records import ClassTable


def test_draws_are_with_replacement_and_repeatable() -> None:
    found = np.concatenate(list(draws(7, 250)))
    assert found.shape == (250, 7)
    assert (found.sum(1) == 7).all()
    assert np.array_equal(found, np.concatenate(list(draws(7, 250))))
    assert found.mean() == pytest.approx(1.0)
    assert (found == 0).mean() == pytest.approx((6 / 7) ** 7, abs=0.03)


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, 0.1, 60)
    found = mean_interval(values.tolist())
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert mean_interval([0.5]) is None
    assert mean_interval([0.5, float("nan"), 0.5]) == (0.5, 0.5)
    assert interval(np.array([np.nan])) is None


def test_pairs_are_drawn_together() -> None:
    generator = np.random.default_rng(0)
    hard = generator.uniform(0, 1, 40)  # what both find hard
    first, second = hard.tolist(), (hard + 0.1).tolist()
    assert paired_difference(first, second) == pytest.approx((0.1, 0.1, 0.1))
    assert paired_difference([0.1, float("nan")], [0.2, 0.3]) is None
    mean, low, high = paired_difference(first, (hard + generator.normal(0, 0.2, 40)).tolist()) or (0, 0, 0)
    assert low < 0 < high
    assert low < mean < high


def test_pairs_of_which_one_score_is_not_a_number_are_left_out() -> None:
    first, second = [0.1, 0.2, math.nan, 0.4, 0.5], [0.3, math.nan, 0.9, 0.6, 0.7]
    mean, low, high = paired_difference(first, second) or (0, 0, 0)
    assert mean == pytest.approx(0.2) and (low, high) == pytest.approx((0.2, 0.2))
    assert paired_difference(first[1:3], second[1:3]) is None


def test_dice_precision_and_recall_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    truth, predicted = generator.integers(0, 4, (2, 30, 40))
    predicted[predicted == 3] = 0  # a class that is never predicted
    metrics = SegmentationMetrics(4, boundaries=False)
    metrics.update(predicted, truth)
    scores, flat = metrics.compute(), (truth.ravel(), predicted.ravel())
    assert scores.per_class_dice == pytest.approx(f1_score(*flat, average=None))
    assert scores.per_class_precision[:3] == pytest.approx(precision_score(*flat, average=None, zero_division=0)[:3])
    assert np.isnan(scores.per_class_precision[3])
    assert scores.mean_precision == pytest.approx(np.mean(scores.per_class_precision[:3]))
    found = scores.to_json(ClassTable(tuple("abcd")))
    assert found["mean_recall"] == pytest.approx(recall_score(*flat, average="macro"))
    assert found["mean_dice"] == pytest.approx(f1_score(*flat, average="macro"))


def test_scores_of_many_sets_are_those_of_each() -> None:
    generator = np.random.default_rng(0)
    metrics, images = SegmentationMetrics(3), []
    for _ in range(6):
        own = SegmentationMetrics(3)
        truth = generator.integers(-1, 3, (9, 11))
        own.update(np.where(generator.random(truth.shape) < 0.6, truth.clip(0), 1), truth, generator.random((9, 11)))
        images.append(own)
        metrics.merge(own.state())
    scores = metrics.compute()
    names = (
        "mean_iou", "mean_accuracy", "mean_dice", "mean_precision", "mean_recall", "pixel_accuracy",
        "frequency_weighted_iou", "boundary_iou", "calibration_error",
    )  # fmt: skip
    assert set(names) == set(scores.intervals)
    for name in names:
        low, high = scores.intervals[name]
        assert low < high and (low < getattr(scores, name) < high or name == "calibration_error")
        assert scores.per_image[name].tolist() == pytest.approx([getattr(own.compute(), name) for own in images])
    # Each resample, scored as a set of its own.
    states, resampled = torch.stack([own.state() for own in images]), []
    for row in np.concatenate(list(draws(6))):
        resample = SegmentationMetrics(3)
        resample.merge(torch.from_numpy(row) @ states)
        resampled.append(resample.compute())
    for name in names:
        expected = np.quantile([getattr(one, name) for one in resampled], (0.025, 0.975))
        assert scores.intervals[name] == pytest.approx(tuple(expected))
    assert score_intervals(list(states[:1].numpy()), lambda rows: {"first": rows[:, 0]}) == {}
