"""Classification scores: hand-made counts, parity with torchmetrics, merging, errors."""

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError, DataError
from foveate.metrics.calibration import BINS
from foveate.metrics.classification import ClassificationMetrics
from foveate.records import ClassificationPrediction, ClassTable

CLASSES = ClassTable(("cat", "dog", "cow", "hen", "pig", "fox", "bee"))


def random(count=400, classes=7, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(count, classes, generator=g)).softmax(1), torch.randint(classes, (count,), generator=g)


def scored(p, y, classes=7):
    metrics = ClassificationMetrics(classes)
    metrics.update(p, y)
    return metrics


def test_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.3, 0.6], [0.8, 0.1, 0.1]])
    scores = scored(p, torch.tensor([0, 0, 2, 1]), 3).compute()
    assert scores.top1 == 0.5
    assert scores.error_percent == 50
    assert scores.top5 == 1
    assert scores.per_class == (0.5, 0, 1) and scores.absent == ()
    assert scores.mean_accuracy == 0.5
    assert scores.confusion.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    # Bins of 1/15: 0.7 right, 0.5 wrong, 0.6 right, 0.8 wrong, each alone in its bin.
    assert scores.calibration_error == pytest.approx((0.3 + 0.5 + 0.4 + 0.8) / 4)


def test_against_torchmetrics():
    from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassConfusionMatrix

    p, y = random()
    scores = scored(p, y).compute()
    assert scores.top1 == pytest.approx(float(MulticlassAccuracy(7, average="micro")(p, y)))
    assert scores.top5 == pytest.approx(float(MulticlassAccuracy(7, top_k=5, average="micro")(p, y)))
    assert scores.mean_accuracy == pytest.approx(float(MulticlassAccuracy(7, average="macro")(p, y)))
    assert scores.calibration_error == pytest.approx(float(MulticlassCalibrationError(7, n_bins=BINS)(p, y)), abs=1e-6)
    assert scores.confusion.tolist() == MulticlassConfusionMatrix(7)(p, y).tolist()


def test_parts_merge_into_the_whole():
    p, y = random()
    whole, sum_of_parts = scored(p, y), ClassificationMetrics(7)
    sum_of_parts.merge(scored(p[:150], y[:150]).state() + scored(p[150:], y[150:]).state())
    torch.testing.assert_close(sum_of_parts.state(), whole.state())
    one, other = sum_of_parts.compute(), whole.compute()
    assert one.per_class == other.per_class
    assert one.calibration_error == pytest.approx(other.calibration_error)


def test_perfect_confidence_is_calibrated_and_stands_in_the_last_bin():
    scores = scored(torch.eye(7), torch.arange(7)).compute()
    assert scores.calibration_error == 0
    assert scores.bins[-1].tolist() == [7, 7, 7]


def test_an_absent_class_is_named_and_in_no_mean():
    p, y = random()
    scores = scored(p[y != 3], y[y != 3]).compute()
    assert np.isnan(scores.per_class[3])
    assert scores.absent == (3,)
    result = scores.to_json(CLASSES)
    assert result["absent_classes"] == ["hen"]
    assert result["per_class"]["hen"] is None
    assert scores.mean_accuracy == pytest.approx(np.nanmean(scores.per_class))


def test_of_equal_probabilities_the_first_class_ranks_highest():
    p = torch.zeros(5, 20)
    p[:, ::2] = 0.1
    scores = scored(p, torch.tensor([0, 2, 4, 6, 8]), 20).compute()
    assert scores.confusion.sum(0).tolist() == [5] + [0] * 19
    assert (scores.top1, scores.top5) == (1 / 5, 1)
    table = ClassTable(tuple("abcdefghijklmnopqrst"))
    prediction = ClassificationPrediction(p[0].numpy(), table, np.zeros((1, 1, 1), np.uint8))
    assert [name for name, _ in prediction.top()] == ["a", "c", "e", "g", "i"]


def test_errors_say_what_came():
    with pytest.raises(ConfigError, match="cannot score 0 classes"):
        ClassificationMetrics(0)
    metrics = ClassificationMetrics(3)
    with pytest.raises(DataError, match=r"shape \(2, 7\) for 2 labels and 3 classes; expected \(2, 3\)"):
        metrics.update(torch.ones(2, 7), torch.zeros(2, dtype=torch.long))
    for low, high in ((0, 3), (-1, 2)):
        with pytest.raises(DataError, match=f"labels {low} to {high}; expected 0 to 2"):
            metrics.update(torch.ones(2, 3), torch.tensor([low, high]))
    with pytest.raises(DataError, match="no picture was scored"):
        metrics.compute()
    with pytest.raises(ConfigError, match="cannot merge sums"):
        metrics.merge(torch.zeros(4))
    with pytest.raises(ConfigError, match="scores of 7 classes, but the class table has 2"):
        scored(*random()).compute().to_json(ClassTable(("a", "b")))


def test_weights_that_diverged_are_named():
    with pytest.raises(DataError, match="probabilities are not finite: its weights have diverged; lower the learning"):
        ClassificationMetrics(3).update(torch.full((2, 3), float("nan")), torch.tensor([0, 1]))
