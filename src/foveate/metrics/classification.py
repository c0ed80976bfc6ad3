"""Classification metrics: top-k accuracy, confusion matrix and calibration error.

Shapes: B images, K classes. Only counts are stored.

    top-1, top-5          the share of images whose class has the highest, or one of the five highest probabilities
    error                 100 (1 - top-1), in per cent, as the papers print it
    calibration error     that of `metrics.calibration`, over the highest probability
    window error          where the data knows the object's centre, and the model reads through windows: the distance of
                          the last window's centre from it, in pixels of the image, the mean over images; and the share
                          of images in which it is at most 6

A class without images is left out of the mean over classes and listed in `absent`. Of two equal probabilities, the one
of the class that comes first in the table ranks higher.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.calibration import BINS, calibration_error, reliability
from foveate.metrics.plain import scores_by_name
from foveate.metrics.sums import add, flatten
from foveate.records import ClassTable

NEAR = 6.0  # pixels


@dataclass(frozen=True, eq=False)
class ClassificationScores:
    """Classification scores over a whole data set; shares are 0..1.

    top1, top5: share of images whose class has the highest, or one of the five highest probabilities (with five
        classes or fewer, top5 is 1).
    error_percent: 100 (1 - top1).
    mean_accuracy: mean over classes of the share of a class's images that are classified correctly.
    calibration_error: defined in the module's docstring.
    per_class: accuracy of each of the K classes, nan for a class without images.
    confusion: (K, K) int64 numbers of images, truth by row, prediction by column.
    images: number of images scored.
    bins: (15, 3), one row a bin of confidence: number of images, sum of confidences, number of correct images.
    absent: labels of the classes without images.
    window_error_px, window_near: the window error, and the share within 6 pixels; nan where there is no window to
        judge, and then left out of the JSON.
    """

    top1: float
    top5: float
    error_percent: float
    mean_accuracy: float
    calibration_error: float
    per_class: tuple[float, ...]
    confusion: np.ndarray
    images: int
    bins: np.ndarray
    absent: tuple[int, ...]
    window_error_px: float = math.nan
    window_near: float = math.nan

    def to_json(self, classes: ClassTable) -> dict[str, Any]:
        """Return plain numbers for JSON, with classes by name. Raises ConfigError for a table of another length."""
        windows = {"window_error_px": self.window_error_px, "window_near": self.window_near}
        return {
            "top1": self.top1,
            "top5": self.top5,
            "error_percent": self.error_percent,
            "mean_accuracy": self.mean_accuracy,
            "calibration_error": self.calibration_error,
            "per_class": scores_by_name(self.per_class, classes),
            "absent_classes": [classes.names[label] for label in self.absent],
            "confusion": self.confusion.tolist(),
            "calibration": self.bins.tolist(),
            "images": self.images,
        } | {name: value for name, value in windows.items() if not math.isnan(value)}


class ClassificationMetrics:
    """Accumulates classification counts a batch at a time.

    num_classes: K. Raises ConfigError if it is less than 1.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ConfigError(f"cannot score {counted(num_classes, 'class')}; give at least 1")
        self.num_classes = num_classes
        self._top5_hits = np.zeros(1)
        self._confusion = np.zeros((num_classes, num_classes))
        self._bins = np.zeros((BINS, 3))
        self._windows = np.zeros(3)  # images, sum of distances, images within NEAR

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch of B images.

        probabilities: (B, K), each row a distribution.
        labels: (B,) integers in 0..K-1.
        Raises DataError if the shapes do not match, a label is out of range, or a probability is not finite.
        """
        if probabilities.shape != (len(labels), self.num_classes):
            raise DataError(
                f"probabilities of shape {tuple(probabilities.shape)} for {counted(len(labels), 'label')} and "
                f"{counted(self.num_classes, 'class')}; expected ({len(labels)}, {self.num_classes})"
            )
        low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
        if low < 0 or high >= self.num_classes:
            raise DataError(f"labels {low} to {high}; expected 0 to {self.num_classes - 1}")
        if not bool(probabilities.isfinite().all()):
            raise DataError(
                "the network's probabilities are not finite: its weights have diverged; lower the learning rate"
            )
        p, target = probabilities.detach().double().cpu().numpy(), labels.cpu().numpy()
        order = np.argsort(-p, axis=1, kind="stable")
        prediction, confidence = order[:, 0], p.max(1)
        self._top5_hits += (order[:, :5] == target[:, None]).sum()
        np.add.at(self._confusion, (target, prediction), 1)
        self._bins += reliability(confidence, prediction == target)

    def locate(self, window: tuple[float, float], centre: tuple[float, float]) -> None:
        """Add the centre of an image's last window and that of its object, (x, y) in pixels each."""
        distance = math.dist(window, centre)
        self._windows += (1, distance, distance <= NEAR)

    def state(self) -> Tensor:
        """Return all counts as one flat float64 tensor; the states of several processes may be summed for `merge`."""
        return flatten(self._parts())

    def merge(self, state: Tensor) -> None:
        """Add the counts of other metrics with the same classes. Raises ConfigError if the state's length differs."""
        add(self._parts(), state, same="classes")

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self._top5_hits, self._confusion, self._bins, self._windows

    def compute(self) -> ClassificationScores:
        """Compute the scores of all images added so far. Raises DataError if there are none."""
        images = self._confusion.sum()
        if not images:
            raise DataError("no picture was scored; give a set with at least one labelled picture")
        totals, hits = self._confusion.sum(1), np.diag(self._confusion)
        per_class = np.divide(hits, totals, out=np.full(len(totals), np.nan), where=totals > 0)
        top1 = float(hits.sum() / images)
        located, distances, near = self._windows.tolist()
        return ClassificationScores(
            top1=top1,
            top5=float(self._top5_hits[0] / images),
            error_percent=100 * (1 - top1),
            mean_accuracy=float(np.nanmean(per_class)),
            calibration_error=float(calibration_error(self._bins)),
            per_class=tuple(per_class.tolist()),
            confusion=self._confusion.astype(np.int64),
            images=int(images),
            bins=self._bins.copy(),
            absent=tuple(np.flatnonzero(totals == 0).tolist()),
            window_error_px=distances / located if located else math.nan,
            window_near=near / located if located else math.nan,
        )
