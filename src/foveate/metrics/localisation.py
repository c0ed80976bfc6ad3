"""Whether windows lie on objects, against windows at random and the middle of the picture.

Shapes: T windows and N objects in a picture, boxes XYXY in pixels; K kinds of objects; B pictures, D features.

    CorLoc       the share of windows with IoU > 0.5 (Deselaers, Alexe and Ferrari, "Localizing Objects While Learning
                 Their Appearance", 2010)
    pointing     the share of windows whose middle lies in the box of an object (after Zhang et al., "Top-down Neural
                 Attention by Excitation Backprop", 2016, whose objects are masks)
    random       the same for one window of this size at every place of a regular lattice, and the object that it fits
                 best; centre: for one in the middle
    contrast     how much more alike windows are to each other, from picture to picture, than to windows at random: the
                 mean cosine of the former less that of the latter, -2..2. It needs no boxes. Pairs are those of
                 pictures that are compared together: up to 64 of one process.

Windows and objects are paired one to one so that the sum of their IoU is largest: one window may choose among several
cows, and of two windows on one digit one has missed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from foveate.errors import ConfigError, DataError
from foveate.records import ClassTable

ENOUGH = 0.5  # IoU, to be above
PLACES = 29  # of a random window, along each side


@dataclass(frozen=True, eq=False)
class LocalisationScores:
    """Scores over a whole set; see the top of this file. Shares are 0..1, and nan where no picture has an object.

    mean_iou: over windows, 0 for one without an object. contrast: nan without two pictures to compare.
    per_kind: K values, of the pictures that hold a kind, the share where some window has IoU > 0.5 with one of it; nan
        for a kind that no picture holds. absent: the labels of those.
    images: how many pictures were looked at; without: those of them that hold no object, left out of every share.
    """

    corloc: float
    mean_iou: float
    pointing: float
    random_corloc: float
    random_pointing: float
    centre_corloc: float
    centre_pointing: float
    contrast: float
    per_kind: tuple[float, ...]
    images: int
    without: int
    absent: tuple[int, ...]

    def to_json(self, classes: ClassTable) -> dict[str, Any]:
        """Plain numbers, kinds by name, for JSON. Raises ConfigError for another table than these scores'."""
        if len(classes) != len(self.per_kind):
            raise ConfigError(
                f"scores of {len(self.per_kind)} kinds, but the class table has {len(classes)}; pass the table that "
                "the pictures were scored with"
            )
        names = (
            "corloc", "mean_iou", "pointing", "random_corloc", "random_pointing", "centre_corloc", "centre_pointing",
            "contrast",
        )  # fmt: skip
        return {
            **{name: _plain(getattr(self, name)) for name in names},
            "per_kind": {name: _plain(share) for name, share in zip(classes.names, self.per_kind, strict=True)},
            "absent_kinds": [classes.names[label] for label in self.absent],
            "images": self.images,
            "without_objects": self.without,
        }


class LocalisationMetrics:
    """Counts pictures one at a time. num_classes: K."""

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ConfigError(f"cannot score {num_classes} kinds of objects; give at least 1")
        self.num_classes = num_classes
        # Images, those without objects; windows, and of them the sums of hits, IoU and pointing; then the rates of
        # windows at random and in the middle; then cosines and how many, between windows and to others.
        self._sums = np.zeros(14)
        self._kinds = np.zeros((2, num_classes))  # pictures that hold one, and those where it was found

    def update(self, windows: Tensor, boxes: Tensor, labels: Tensor, size: tuple[int, int]) -> float:
        """Count a picture: windows (T, 4), all of one size; boxes (N, 4) with labels (N,) in 0..K-1; (height, width).

        Returns the picture's own mean IoU, nan without an object. Raises DataError where they do not fit each other.
        """
        if windows.ndim != 2 or windows.shape[1] != 4 or not len(windows):
            raise DataError(f"windows of shape {tuple(windows.shape)}; expected (T, 4), at least one")
        if tuple(boxes.shape) != (len(labels), 4):
            raise DataError(f"boxes of shape {tuple(boxes.shape)} for {len(labels)} labels; expected 4 numbers each")
        kinds = labels.cpu().numpy().astype(int)
        if len(kinds) and not 0 <= kinds.min() <= kinds.max() < self.num_classes:
            raise DataError(f"labels {kinds.min()} to {kinds.max()}; expected 0 to {self.num_classes - 1}")
        self._sums[0] += 1
        if not len(kinds):
            self._sums[1] += 1
            return math.nan
        found, objects = (np.asarray(b.cpu(), np.float64) for b in (windows, boxes))
        table = iou(found, objects)
        rows, columns = linear_sum_assignment(table, maximize=True)
        paired = table[rows, columns]
        self._sums[2:6] += (
            len(found),
            (paired > ENOUGH).sum(),
            paired.sum(),
            _holds(objects, found)[rows, columns].sum(),
        )
        for start, others in ((6, _everywhere(found[0], size)), (8, _middle(found[0], size))):
            self._sums[start] += (iou(others, objects).max(1) > ENOUGH).mean()
            self._sums[start + 1] += _holds(objects, others).any(1).mean()
        for kind in np.unique(kinds):
            self._kinds[:, kind] += (1, int((table[:, kinds == kind] > ENOUGH).any()))
        return float(paired.sum()) / len(found)

    def compare(self, found: Tensor, elsewhere: Tensor) -> None:
        """Count what windows of B pictures hold: those found and others, (B, D) each, of length 1."""
        near = (found @ found.T).double()
        count = len(found)
        between = float(near.sum() - near.diagonal().sum())
        self._sums[10:] += (between, count * (count - 1), float((found * elsewhere).double().sum()), count)

    def state(self) -> Tensor:
        """All counts as one flat float64 tensor; states of several processes may be summed, and merged."""
        return torch.from_numpy(np.concatenate([self._sums, self._kinds.ravel()]))

    def merge(self, state: Tensor) -> None:
        """Add the counts of metrics with the same kinds. Raises ConfigError if they cannot be the same."""
        expected = self._sums.size + self._kinds.size
        if tuple(state.shape) != (expected,):
            raise ConfigError(
                f"cannot merge counts of shape {tuple(state.shape)} into metrics that hold ({expected},); merge "
                "metrics of the same kinds"
            )
        counts = state.cpu().double().numpy()
        self._sums += counts[: self._sums.size]
        self._kinds += counts[self._sums.size :].reshape(self._kinds.shape)

    def compute(self) -> LocalisationScores:
        """The scores of everything counted so far. Raises DataError if that is nothing."""
        images, without, windows, hits, overlap, pointed, *rest = self._sums.tolist()
        if not images:
            raise DataError("no picture was scored; give a set with at least one picture")
        between, twos, beside, ones = rest[4:]
        holding = images - without
        per_kind = [_share(found, of) for of, found in self._kinds.T.tolist()]
        return LocalisationScores(
            corloc=_share(hits, windows),
            mean_iou=_share(overlap, windows),
            pointing=_share(pointed, windows),
            random_corloc=_share(rest[0], holding),
            random_pointing=_share(rest[1], holding),
            centre_corloc=_share(rest[2], holding),
            centre_pointing=_share(rest[3], holding),
            contrast=_share(between, twos) - _share(beside, ones),
            per_kind=tuple(per_kind),
            images=int(images),
            without=int(without),
            absent=tuple(np.flatnonzero(self._kinds[0] == 0).tolist()),
        )


def iou(windows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of (T, 4) with (N, 4), XYXY -> (T, N)."""
    low = np.maximum(windows[:, None, :2], boxes[:, :2])
    high = np.minimum(windows[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (windows, boxes)]
    total = areas[0][:, None] + areas[1] - shared
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)


def _holds(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """(T, N) bool: whether the middle of each window lies in each box."""
    middle = (windows[:, None, :2] + windows[:, None, 2:]) / 2
    return ((middle >= boxes[:, :2]) & (middle <= boxes[:, 2:])).all(2)


def _everywhere(window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(4,) and (height, width) -> (PLACES^2, 4): the window moved over the whole picture."""
    extent = window[2:] - window[:2]
    x, y = (np.linspace(0, max(0, side - own), PLACES) for side, own in zip(size[::-1], extent, strict=True))
    corners = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    return np.concatenate([corners, corners + extent], 1)


def _middle(window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    extent = window[2:] - window[:2]
    corner = (np.array(size[::-1]) - extent) / 2
    return np.concatenate([corner, corner + extent])[None]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
