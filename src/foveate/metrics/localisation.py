"""Localisation metrics: do windows lie on objects, compared with random windows and the image centre?

Shapes: T windows and N objects in an image, boxes XYXY in pixels; K kinds of objects; B images, D features.

    CorLoc       the share of windows with IoU > 0.5 (Deselaers, Alexe and Ferrari, "Localizing Objects While Learning
                 Their Appearance", 2010)
    pointing     the share of windows whose centre lies in the box of an object (after Zhang et al., "Top-down Neural
                 Attention by Excitation Backprop", 2016, whose objects are masks)
    random       the same for one window of this size, averaged over the positions of a regular grid, each matched with
                 its best object; centre: for one window in the image centre
    contrast     mean cosine similarity between the windows of different images less that between windows and random
                 windows, -2..2. It needs no boxes. Pairs are formed among images that are compared together: up to 64
                 of one process.

Windows and objects are matched one to one so that the sum of their IoU is maximal: one window may match any of several
cows, and of two windows on one digit only one counts as a hit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.plain import number_or_none, scores_by_name
from foveate.metrics.sums import add, flatten
from foveate.records import ClassTable

IOU_THRESHOLD = 0.5  # a hit has a greater IoU
GRID_SIDE = 29  # positions of a random window along each side of the image


@dataclass(frozen=True, eq=False)
class LocalisationScores:
    """Localisation scores over a whole data set, defined in the module's docstring.

    Shares are 0..1, and nan if no image has an object.

    mean_iou: mean over windows; 0 for a window without a matched object.
    contrast: nan without two images to compare.
    per_kind: K values; of the images that contain a kind of object, the share in which some window has IoU > 0.5 with
        such an object; nan for a kind that no image contains.
    images: number of images.
    without: number of images without objects, which are left out of every share.
    absent: labels of the kinds that no image contains.
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
        """Return plain numbers for JSON, with kinds by name. Raises ConfigError for a table of another length."""
        names = (
            "corloc", "mean_iou", "pointing", "random_corloc", "random_pointing", "centre_corloc", "centre_pointing",
            "contrast",
        )  # fmt: skip
        return {
            **{name: number_or_none(getattr(self, name)) for name in names},
            "per_kind": scores_by_name(self.per_kind, classes, "kind"),
            "absent_kinds": [classes.names[label] for label in self.absent],
            "images": self.images,
            "without_objects": self.without,
        }


class LocalisationMetrics:
    """Accumulates localisation scores one image at a time.

    num_classes: K. Raises ConfigError if it is less than 1.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ConfigError(f"cannot score {num_classes} kinds of objects; give at least 1")
        self.num_classes = num_classes
        # 0, 1: images, images without objects. 2 to 5: windows, and their sums of hits, IoU and pointing. 6 to 9: hit
        # and pointing rates of random windows and of central ones. 10 to 13: sum of cosines and their number, between
        # windows and to random windows.
        self._sums = np.zeros(14)
        self._kinds = np.zeros((2, num_classes))  # images that contain a kind, and images where it was found

    def update(self, windows: Tensor, boxes: Tensor, labels: Tensor, size: tuple[int, int]) -> float:
        """Add an image and return its mean IoU, nan if it has no object.

        windows: (T, 4), at least one, all of one size.
        boxes: (N, 4) boxes of the objects.
        labels: (N,) integers in 0..K-1.
        size: (height, width) of the image.
        Raises DataError if the shapes do not match or a label is out of range.
        """
        if windows.ndim != 2 or windows.shape[1] != 4 or not len(windows):
            raise DataError(f"windows of shape {tuple(windows.shape)}; expected (T, 4), at least one")
        if tuple(boxes.shape) != (len(labels), 4):
            raise DataError(
                f"boxes of shape {tuple(boxes.shape)} for {counted(len(labels), 'label')}; expected 4 numbers each"
            )
        kinds = labels.cpu().numpy().astype(int)
        if len(kinds) and not 0 <= kinds.min() <= kinds.max() < self.num_classes:
            raise DataError(f"labels {kinds.min()} to {kinds.max()}; expected 0 to {self.num_classes - 1}")
        self._sums[0] += 1
        if not len(kinds):
            self._sums[1] += 1
            return math.nan
        predicted, objects = (np.asarray(b.cpu(), np.float64) for b in (windows, boxes))
        overlaps = iou(predicted, objects)
        rows, columns = linear_sum_assignment(overlaps, maximize=True)
        matched = overlaps[rows, columns]
        self._sums[2:6] += (
            len(predicted),
            (matched > IOU_THRESHOLD).sum(),
            matched.sum(),
            _contains_centre(objects, predicted)[rows, columns].sum(),
        )
        for start, baseline in ((6, _grid_windows(predicted[0], size)), (8, _central_window(predicted[0], size))):
            self._sums[start] += (iou(baseline, objects).max(1) > IOU_THRESHOLD).mean()
            self._sums[start + 1] += _contains_centre(objects, baseline).any(1).mean()
        for kind in np.unique(kinds):
            self._kinds[:, kind] += (1, int((overlaps[:, kinds == kind] > IOU_THRESHOLD).any()))
        return float(matched.sum()) / len(predicted)

    def compare(self, found: Tensor, elsewhere: Tensor) -> None:
        """Add the similarities of B images' windows, for the contrast.

        found: (B, D) features of the predicted windows, of length 1.
        elsewhere: (B, D) features of random windows, of length 1.
        """
        similarity = (found @ found.T).double()
        count = len(found)
        between = float(similarity.sum() - similarity.diagonal().sum())
        self._sums[10:] += (between, count * (count - 1), float((found * elsewhere).double().sum()), count)

    def state(self) -> Tensor:
        """Return all counts as one flat float64 tensor; the states of several processes may be summed for `merge`."""
        return flatten((self._sums, self._kinds))

    def merge(self, state: Tensor) -> None:
        """Add the counts of other metrics with the same kinds. Raises ConfigError if the state's length differs."""
        add((self._sums, self._kinds), state, same="kinds")

    def compute(self) -> LocalisationScores:
        """Compute the scores of all images added so far. Raises DataError if there are none."""
        images, without, windows, hits, iou_sum, pointed, *rest = self._sums.tolist()
        if not images:
            raise DataError("no picture was scored; give a set with at least one picture")
        between, pairs, random_similarity, random_pairs = rest[4:]
        with_objects = images - without
        per_kind = [_share(found, of) for of, found in self._kinds.T.tolist()]
        return LocalisationScores(
            corloc=_share(hits, windows),
            mean_iou=_share(iou_sum, windows),
            pointing=_share(pointed, windows),
            random_corloc=_share(rest[0], with_objects),
            random_pointing=_share(rest[1], with_objects),
            centre_corloc=_share(rest[2], with_objects),
            centre_pointing=_share(rest[3], with_objects),
            contrast=_share(between, pairs) - _share(random_similarity, random_pairs),
            per_kind=tuple(per_kind),
            images=int(images),
            without=int(without),
            absent=tuple(np.flatnonzero(self._kinds[0] == 0).tolist()),
        )


def iou(windows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute intersection over union of windows (T, 4) with boxes (N, 4), both XYXY; returns (T, N)."""
    low = np.maximum(windows[:, None, :2], boxes[:, :2])
    high = np.minimum(windows[:, None, 2:], boxes[:, 2:])
    intersection = (high - low).clip(0).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (windows, boxes)]
    union = areas[0][:, None] + areas[1] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _contains_centre(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return (T, N) bool: True if the centre of a window lies in a box."""
    centre = (windows[:, None, :2] + windows[:, None, 2:]) / 2
    return ((centre >= boxes[:, :2]) & (centre <= boxes[:, 2:])).all(2)


def _grid_windows(window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (GRID_SIDE^2, 4): a window (4,) moved over a regular grid of an image of (height, width)."""
    extent = window[2:] - window[:2]
    x, y = (np.linspace(0, max(0, side - own), GRID_SIDE) for side, own in zip(size[::-1], extent, strict=True))
    corners = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    return np.concatenate([corners, corners + extent], 1)


def _central_window(window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    extent = window[2:] - window[:2]
    corner = (np.array(size[::-1]) - extent) / 2
    return np.concatenate([corner, corner + extent])[None]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
