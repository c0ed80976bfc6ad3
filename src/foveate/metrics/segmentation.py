"""Semantic segmentation metrics: scores of one confusion matrix over the whole data set, and boundary scores.

Shapes: images of H x W pixels, each of its own size; K classes; only counts are stored, in int64.

The area scores are those of Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation"
(2015), section 5, as computed by the authors' code. With n_ij the pixels of class i that are predicted as class j,
and t_i = sum_j n_ij the pixels of class i:

    pixel accuracy          sum_i n_ii / sum_i t_i
    mean accuracy           mean_i n_ii / t_i
    mean IoU                mean_i n_ii / (t_i + sum_j n_ji - n_ii)
    frequency-weighted IoU  sum_i t_i IoU_i / sum_k t_k

With p_i = sum_j n_ji the pixels that are predicted as class i, three more are often quoted:

    Dice (F1)   mean_i 2 n_ii / (t_i + p_i)
    precision   mean_i n_ii / p_i, over the classes that are predicted
    recall      mean_i n_ii / t_i, the mean accuracy

The calibration error is that of `metrics.calibration` over pixels, by the probability of the class that each was given.
The intervals are those of `metrics.bootstrap`, over images.

Two scores evaluate boundaries only. A pixel is *near a contour* at width w if some pixel at most w rows and w columns
away has another class.

    boundary IoU  Cheng et al., "Boundary IoU" (2021), one class at a time: of each class's mask only the pixels near
                  its own contour count, in truth and prediction alike; w is 2 % of the image's diagonal. The
                  paper scores one object at a time; here intersections and unions of a class are summed over the
                  set before they are divided, as for mean IoU. The width is measured in rows and columns (a square
                  structuring element), and the image's edge is a contour, both as in the authors' code.
    trimap IoU    Kohli et al., "Robust Higher Order Potentials" (2009), in the mean-IoU form of
                  Chen et al., "DeepLab" (2016): mean IoU over only those pixels that are near a contour of
                  the truth, at several widths. The image's edge is not a class boundary and is not counted.

Cases that the definitions leave open are handled as follows:

    ignored pixels  (truth outside 0..K-1) are not scored, whatever is predicted there. They form no contour; two
                    classes with an ignored band between them, as in Pascal VOC, still have a contour at widths that
                    reach across the band.
    absent classes  A class in neither truth nor prediction has no IoU (nan), is left out of the means, and is listed in
                    `absent`. A class that is predicted but absent from the truth has IoU 0 and counts in mean IoU,
                    while its accuracy is nan and is left out of mean accuracy. The boundary scores follow the same rule
                    within their own pixels.
    empty sets      No image, or no scored pixel in any image, raises DataError. A trimap without a pixel is nan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.bootstrap import score_intervals
from foveate.metrics.calibration import BINS, calibration_error, reliability
from foveate.metrics.plain import number_or_none, scores_by_name
from foveate.metrics.sums import add, flatten
from foveate.ops.contours import near_contour
from foveate.records import ClassTable

BOUNDARY_RATIO = 0.02  # of the diagonal, the value of Cheng et al.
TRIMAP_WIDTHS = (1, 2, 4, 8, 16)  # pixels
CONFIDENCE_UNIT = 2.0**-20  # of the sums of confidences: integers add up alike in every order


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """Segmentation scores over a whole data set, each 0..1, or nan where it is not defined.

    mean_iou, pixel_accuracy, mean_accuracy, frequency_weighted_iou: over all scored pixels.
    boundary_iou: mean over the classes of boundary IoU; nan if boundaries were not scored.
    trimap_iou: width in pixels -> mean IoU within that distance of a true contour; empty if boundaries were not scored.
    per_class_iou, per_class_accuracy, per_class_boundary_iou: K values in label order.
    confusion: (K, K) int64 numbers of pixels, truth by row, prediction by column.
    images: number of images scored.
    absent: labels of the classes in neither truth nor prediction.
    mean_dice, mean_precision, mean_recall, per_class_dice, per_class_precision: see above; a class's recall is its
        accuracy.
    calibration_error: nan if the confidence of no image is known. calibration: (15, 3), pixels, the sum of their
        confidences, and the right ones, by confidence, of the images whose confidence is known.
    intervals: name of a score -> its 95 % interval over images. per_image: name -> the scores of each of N images
        alone, (N,); 'per_class_iou': (N, K). Both are empty if images were not kept apart.
    """

    mean_iou: float
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    boundary_iou: float
    trimap_iou: dict[int, float]
    per_class_iou: tuple[float, ...]
    per_class_accuracy: tuple[float, ...]
    per_class_boundary_iou: tuple[float, ...]
    confusion: np.ndarray
    images: int
    absent: tuple[int, ...]
    mean_dice: float
    mean_precision: float
    mean_recall: float
    per_class_dice: tuple[float, ...]
    per_class_precision: tuple[float, ...]
    calibration_error: float
    calibration: np.ndarray
    intervals: dict[str, tuple[float, float]]
    per_image: dict[str, np.ndarray]

    def to_json(self, classes: ClassTable) -> dict[str, Any]:
        """Return plain numbers for JSON, with classes by name; a score that is not defined is None.

        Raises ConfigError for a class table of another length.
        """
        return {
            "mean_iou": number_or_none(self.mean_iou),
            "pixel_accuracy": number_or_none(self.pixel_accuracy),
            "mean_accuracy": number_or_none(self.mean_accuracy),
            "frequency_weighted_iou": number_or_none(self.frequency_weighted_iou),
            "mean_dice": number_or_none(self.mean_dice),
            "mean_precision": number_or_none(self.mean_precision),
            "mean_recall": number_or_none(self.mean_recall),
            "boundary_iou": number_or_none(self.boundary_iou),
            "calibration_error": number_or_none(self.calibration_error),
            "calibration": self.calibration.tolist(),
            "trimap_iou": {str(width): number_or_none(value) for width, value in self.trimap_iou.items()},
            "per_class": scores_by_name(self.per_class_iou, classes),
            "per_class_accuracy": scores_by_name(self.per_class_accuracy, classes),
            "per_class_boundary_iou": scores_by_name(self.per_class_boundary_iou, classes),
            "per_class_dice": scores_by_name(self.per_class_dice, classes),
            "per_class_precision": scores_by_name(self.per_class_precision, classes),
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "absent_classes": [classes.names[label] for label in self.absent],
            "confusion": self.confusion.tolist(),
            "images": self.images,
        }


class SegmentationMetrics:
    """Accumulates segmentation counts one image at a time; memory grows with their number only by `merge`.

    num_classes: K.
    boundaries: also count boundary and trimap IoU, which takes several times as long as the area scores.
    boundary_ratio: width of boundary IoU's band, as a share of each image's diagonal (at least one pixel).
    trimap_widths: distances from a true contour at which trimap IoU is computed, in pixels.
    Raises ConfigError for values out of range.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        boundaries: bool = True,
        boundary_ratio: float = BOUNDARY_RATIO,
        trimap_widths: tuple[int, ...] = TRIMAP_WIDTHS,
    ) -> None:
        if num_classes < 1:
            raise ConfigError(f"cannot score {counted(num_classes, 'class')}; give at least 1")
        if not 0 < boundary_ratio < 1:
            raise ConfigError(f"boundary_ratio is {boundary_ratio}; give a share of the diagonal between 0 and 1")
        if any(width < 1 for width in trimap_widths):
            raise ConfigError(f"trimap_widths are {trimap_widths}; give widths of 1 pixel or more")
        self.num_classes = num_classes
        self.boundaries = boundaries
        self.boundary_ratio = boundary_ratio
        self.trimap_widths = tuple(trimap_widths) if boundaries else ()
        self._images = np.zeros(1, np.int64)
        self._per_image: list[np.ndarray] = []  # `_counts` of the images that were merged one by one
        self._confusion = np.zeros((num_classes, num_classes), np.int64)
        self._boundary_intersection = np.zeros(num_classes, np.int64)
        self._boundary_union = np.zeros(num_classes, np.int64)
        self._calibration = np.zeros((BINS, 3), np.int64)  # pixels, confidences in units, right pixels
        self._trimaps = np.zeros((len(self.trimap_widths), num_classes, num_classes), np.int64)

    def update(
        self,
        prediction: np.ndarray | Tensor,
        target: np.ndarray | Tensor,
        confidence: np.ndarray | None = None,
    ) -> None:
        """Add one image.

        prediction: (H, W) integers, in 0..K-1 wherever the target is scored.
        target: (H, W) integers; a value outside 0..K-1 is not scored.
        confidence: (H, W) probabilities of the predicted classes, for the calibration error; None if not known.
        Raises DataError if the shapes differ or a predicted label is out of range.
        """
        truth, predicted = _integers(target, "target"), _integers(prediction, "prediction")
        if truth.shape != predicted.shape:
            raise DataError(
                f"prediction of {_size(predicted)} pixels for a target of {_size(truth)}; resize the prediction first"
            )
        scored = (truth >= 0) & (truth < self.num_classes)
        invalid = scored & ((predicted < 0) | (predicted >= self.num_classes))
        if invalid.any():
            raise DataError(
                f"prediction holds label {predicted[invalid][0]}, but the table has "
                f"{counted(self.num_classes, 'class')}; "
                "score with the class table of the model"
            )
        truth, predicted = self._encode(truth, scored), self._encode(predicted, scored)
        self._images += 1
        pair = truth.astype(np.int32) * (self.num_classes + 1) + predicted
        self._confusion += self._count_pairs(pair)
        if confidence is not None:
            bins = reliability(confidence[scored], (predicted == truth)[scored])
            bins[:, 1] = np.round(bins[:, 1] / CONFIDENCE_UNIT)
            self._calibration += bins.astype(np.int64)
        if not self.boundaries:
            return
        self._count_boundaries(truth, predicted)
        for i, width in enumerate(self.trimap_widths):
            self._trimaps[i] += self._count_pairs(pair[near_contour(truth, width, void=0)])

    def _encode(self, labels: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """Map label i to i + 1 and ignored pixels to 0, as uint8 if it fits: bytes compare many times faster."""
        dtype = np.uint8 if self.num_classes < 255 else np.int32
        return np.where(scored, labels.astype(np.int32) + 1, 0).astype(dtype)

    def _count_pairs(self, pair: np.ndarray) -> np.ndarray:
        """Count encoded (truth, prediction) pairs of any shape; returns (K, K)."""
        side = self.num_classes + 1
        return np.bincount(pair.ravel(), minlength=side * side).reshape(side, side)[1:, 1:]

    def _count_labels(self, labels: np.ndarray) -> np.ndarray:
        """Count encoded labels of any shape; returns (K,)."""
        return np.bincount(labels.ravel(), minlength=self.num_classes + 1)[1:]

    def _count_boundaries(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        width = max(1, round(self.boundary_ratio * math.hypot(*truth.shape)))
        true_band = truth * near_contour(truth, width, void=0, edge=True)
        predicted_band = predicted * near_contour(predicted, width, void=0, edge=True)
        intersection = self._count_labels(true_band[true_band == predicted_band])
        self._boundary_intersection += intersection
        self._boundary_union += self._count_labels(true_band) + self._count_labels(predicted_band) - intersection

    def state(self) -> Tensor:
        """Return all counts as one flat int64 tensor of a fixed length.

        The states of several processes may be summed (`all_reduce`); `merge` the sum into new metrics to score it.
        """
        return flatten(self._parts())

    def merge(self, state: Tensor) -> None:
        """Add the counts of other metrics with the same settings. Raises ConfigError if the state's length differs.

        With boundaries, as in a whole evaluation, the counts of a single image are kept apart from the sums as well,
        for intervals and tables: 8 K (K + 2) bytes and a few more.
        """
        add(self._parts(), state, same="classes and widths")
        if self.boundaries and state[0] == 1:
            self._per_image.append(state[1 : 1 + len(self._counts())].cpu().numpy().copy())

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self._images, *self._scored(), self._trimaps

    def _scored(self) -> tuple[np.ndarray, ...]:
        return self._confusion, self._boundary_intersection, self._boundary_union, self._calibration

    def _counts(self) -> np.ndarray:
        """Counts for `set_scores`: K K + 2 K + 3 BINS integers."""
        return np.concatenate([part.ravel() for part in self._scored()])

    def compute(self) -> SegmentationScores:
        """Compute the scores of all images added so far. Raises DataError if there is no image or no scored pixel."""
        images = int(self._images[0])
        if images == 0:
            raise DataError("no picture was scored; give a set with at least one labelled picture")
        total = int(self._confusion.sum())
        if total == 0:
            raise DataError(
                f"scored {counted(images, 'picture')}, but every pixel of the labels is ignored; "
                "check the ignore value of the class table"
            )
        counts = _split(self._counts()[None], self.num_classes)
        means, ratios = set_scores(*counts), class_scores(*counts[:3])
        alone = _split(np.stack(self._per_image), self.num_classes) if self._per_image else ()
        scores: dict[str, Any] = {name: float(value) for name, (value,) in means.items()}
        scores |= {f"per_class_{name}": tuple(values.tolist()) for name, (values,) in ratios.items()}
        return SegmentationScores(
            trimap_iou={w: _mean(_iou(c)) for w, c in zip(self.trimap_widths, self._trimaps, strict=True)},
            **scores,
            calibration=self._calibration * (1, CONFIDENCE_UNIT, 1),
            confusion=self._confusion.copy(),
            images=images,
            absent=tuple(np.flatnonzero(np.isnan(ratios["iou"][0])).tolist()),
            intervals=score_intervals(self._per_image, lambda rows: set_scores(*_split(rows, self.num_classes))),
            per_image=set_scores(*alone) | {"per_class_iou": class_scores(*alone[:3])["iou"]} if alone else {},
        )


def class_scores(confusion: np.ndarray, intersection: np.ndarray, union: np.ndarray) -> dict[str, np.ndarray]:
    """IoU, accuracy, Dice, precision and boundary IoU of each class: name -> (R, K), nan where a class has none.

    confusion: (R, K, K). intersection, union: (R, K) pixels near contours.
    """
    hits = confusion.diagonal(axis1=1, axis2=2)
    truth, predicted = confusion.sum(2), confusion.sum(1)
    return {
        "iou": _ratio(hits, truth + predicted - hits),
        "accuracy": _ratio(hits, truth),
        "dice": _ratio(2 * hits, truth + predicted),
        "precision": _ratio(hits, predicted),
        "boundary_iou": _ratio(intersection, union),
    }


def set_scores(
    confusion: np.ndarray, intersection: np.ndarray, union: np.ndarray, calibration: np.ndarray
) -> dict[str, np.ndarray]:
    """The scores of R sets of images by their counts: name -> (R,), nan where a score is not defined.

    Arguments as of `class_scores`; calibration: (R, BINS, 3), the confidences in units.
    """
    ratios = class_scores(confusion, intersection, union)
    hits, truth = confusion.diagonal(axis1=1, axis2=2), confusion.sum(2)
    means = {f"mean_{name}": _means(values) for name, values in ratios.items() if name != "boundary_iou"}
    return means | {
        "mean_recall": means["mean_accuracy"],
        "pixel_accuracy": _ratio(hits.sum(1), truth.sum(1)),
        "frequency_weighted_iou": _ratio((truth * np.nan_to_num(ratios["iou"])).sum(1), truth.sum(1)),
        "boundary_iou": _means(ratios["boundary_iou"]),
        "calibration_error": calibration_error(calibration * (1, CONFIDENCE_UNIT, 1)),
    }


def _split(counts: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows (R, K K + 2 K + 3 BINS) as confusion, intersection, union and calibration."""
    area, intersection, union, calibration = np.split(
        counts, [classes**2, classes * (classes + 1), classes * (classes + 2)], axis=1
    )
    return area.reshape(-1, classes, classes), intersection, union, calibration.reshape(-1, BINS, 3)


def _integers(labels: np.ndarray | Tensor, what: str) -> np.ndarray:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise DataError(
            f"{what} is {array.dtype} of shape {array.shape}; give integer labels of shape (height, width), one picture"
        )
    return array


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _iou(confusion: np.ndarray) -> np.ndarray:
    """Compute intersection over union (K,) from counts (K, K); nan for a class in neither truth nor prediction."""
    hits = np.diag(confusion)
    return _ratio(hits, confusion.sum(0) + confusion.sum(1) - hits)


def _mean(values: np.ndarray) -> float:
    """Compute the mean of the values that are not nan; nan if there are none."""
    return float(_means(values[None])[0])


def _means(values: np.ndarray) -> np.ndarray:
    """Compute the mean of each row's values that are not nan, (R, K) -> (R,); nan if there are none."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(1), known.sum(1))
