"""How often the right class is among the first guesses, and whether the probabilities can be believed.

Shapes: B pictures, K classes. Counts are all that is kept.

    top-1, top-5          the share of pictures whose class is the first guess, or one of the first five
    error                 100 (1 - top-1), in per cent, as the papers print it
    calibration error     sum over bins b of (n_b / n) |accuracy_b - confidence_b|, with 15 bins of equal width over the
                          probability of the first guess (Guo et al., "On Calibration of Modern Neural Networks",
                          2017, eq. 3)

A class that no picture has is left out of the mean over classes, and named in `absent`. Of two equal probabilities the
class that stands first in the table is the earlier guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, DataError
from foveate.records import ClassTable

BINS = 15


@dataclass(frozen=True, eq=False)
class ClassificationScores:
    """Scores over a whole set; shares are 0..1.

    top1, top5: share of pictures whose class is among the first guess, or five (with five classes or fewer, always).
    error_percent: 100 (1 - top1). mean_accuracy: the mean over classes of the share that was recognised.
    calibration_error: see the top of this file.
    per_class: K values, nan for a class that no picture has.
    confusion: (K, K) int64 pictures, rows the truth. images: how many pictures were scored.
    bins: (15, 3): pictures, sum of confidences, number right, by confidence.
    absent: the labels that no picture has.
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

    def to_json(self, classes: ClassTable) -> dict[str, Any]:
        """Plain numbers, classes by name, for JSON. Raises ConfigError for another table than these scores'."""
        if len(classes) != len(self.per_class):
            raise ConfigError(
                f"scores of {len(self.per_class)} classes, but the class table has {len(classes)}; "
                "pass the table that the pictures were scored with"
            )
        named = zip(classes.names, self.per_class, strict=True)
        return {
            "top1": self.top1,
            "top5": self.top5,
            "error_percent": self.error_percent,
            "mean_accuracy": self.mean_accuracy,
            "calibration_error": self.calibration_error,
            "per_class": {name: None if math.isnan(value) else value for name, value in named},
            "absent_classes": [classes.names[label] for label in self.absent],
            "confusion": self.confusion.tolist(),
            "calibration": self.bins.tolist(),
            "images": self.images,
        }


class ClassificationMetrics:
    """Counts pictures a batch at a time; memory does not grow with their number. num_classes: K."""

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ConfigError(f"cannot score {num_classes} classes; give at least 1")
        self.num_classes = num_classes
        self._among_five = np.zeros(1)
        self._confusion = np.zeros((num_classes, num_classes))
        self._bins = np.zeros((BINS, 3))

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Count B pictures. probabilities: (B, K), each row a distribution. labels: (B,) in 0..K-1.

        Raises DataError if the two do not fit each other or the classes, or a probability is not finite.
        """
        if probabilities.shape != (len(labels), self.num_classes):
            raise DataError(
                f"probabilities of shape {tuple(probabilities.shape)} for {len(labels)} labels and "
                f"{self.num_classes} classes; expected ({len(labels)}, {self.num_classes})"
            )
        low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
        if low < 0 or high >= self.num_classes:
            raise DataError(f"labels {low} to {high}; expected 0 to {self.num_classes - 1}")
        if not bool(probabilities.isfinite().all()):
            raise DataError(
                "a network's probabilities are not finite: its weights have diverged; lower the learning rate"
            )
        p, truth = probabilities.detach().double().cpu().numpy(), labels.cpu().numpy()
        order = np.argsort(-p, axis=1, kind="stable")
        guess, confidence = order[:, 0], p.max(1)
        self._among_five += (order[:, :5] == truth[:, None]).sum()
        np.add.at(self._confusion, (truth, guess), 1)
        # Bin b holds confidences in (b / 15, (b + 1) / 15].
        which = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(int)
        np.add.at(self._bins, which, np.stack([np.ones_like(confidence), confidence, guess == truth], 1))

    def state(self) -> Tensor:
        """All counts as one flat float64 tensor; states of several processes may be summed, and merged."""
        return torch.from_numpy(np.concatenate([part.ravel() for part in self._parts()]))

    def merge(self, state: Tensor) -> None:
        """Add the counts of metrics with the same classes. Raises ConfigError if they cannot be the same."""
        expected = sum(part.size for part in self._parts())
        if tuple(state.shape) != (expected,):
            raise ConfigError(
                f"cannot merge counts of shape {tuple(state.shape)} into metrics that hold ({expected},); "
                "merge metrics of the same classes"
            )
        counts, start = state.cpu().double().numpy(), 0
        for part in self._parts():
            part += counts[start : start + part.size].reshape(part.shape)
            start += part.size

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self._among_five, self._confusion, self._bins

    def compute(self) -> ClassificationScores:
        """The scores of everything counted so far. Raises DataError if that is nothing."""
        images = self._confusion.sum()
        if not images:
            raise DataError("no picture was scored; give a set with at least one labelled picture")
        totals, right = self._confusion.sum(1), np.diag(self._confusion)
        per_class = np.divide(right, totals, out=np.full(len(totals), np.nan), where=totals > 0)
        top1 = float(right.sum() / images)
        _, confidence, correct = self._bins.T
        return ClassificationScores(
            top1=top1,
            top5=float(self._among_five[0] / images),
            error_percent=100 * (1 - top1),
            mean_accuracy=float(np.nanmean(per_class)),
            # Each bin's (n_b / n) |accuracy - confidence|, multiplied out.
            calibration_error=float(np.abs(correct - confidence).sum() / images),
            per_class=tuple(per_class.tolist()),
            confusion=self._confusion.astype(np.int64),
            images=int(images),
            bins=self._bins.copy(),
            absent=tuple(np.flatnonzero(totals == 0).tolist()),
        )
