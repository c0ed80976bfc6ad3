"""Average precision of ranked regions: AP^r as SDS defines it, and the rules of two later programs.

Three rules are in use, and differ in which truth a detection is compared with, in the threshold and in the area:

    sds            the best truth that no better detection has covered; IoU > t;  area under the curve
    hypercolumns   the best truth, a false detection if it is covered;  IoU >= t; area under the curve
    mnc            the best truth, a false detection if it is covered;  IoU >= t; mean of 11 points

The area is that under the precision-recall curve made monotone (Pascal VOC since 2010). sds: Hariharan, Arbeláez,
Girshick and Malik, "Simultaneous Detection and Segmentation" (2014), section 5.

Shapes: D detections of one class in an image, the best first; N true objects.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Rule = Literal["sds", "hypercolumns", "mnc"]
LEVELS = tuple(round(0.1 * step, 1) for step in range(1, 10))  # score thresholds of `Ranked.at_levels`


def hits(overlaps: np.ndarray, threshold: float, rule: Rule = "sds") -> np.ndarray:
    """Return which detections of one class in one image are right, (D,) bool.

    overlaps: (D, N) IoU of detections, the best first, and true objects.
    """
    covered = np.zeros(overlaps.shape[1], bool)
    right = np.zeros(len(overlaps), bool)
    if not overlaps.shape[1]:
        return right
    for index, row in enumerate(overlaps):
        candidates = np.where(covered, -1.0, row) if rule == "sds" else row
        best = int(candidates.argmax())
        enough = candidates[best] > threshold if rule == "sds" else candidates[best] >= threshold
        if enough and not covered[best]:
            covered[best] = right[index] = True
    return right


def average_precision(scores: np.ndarray, right: np.ndarray, objects: int, rule: Rule = "sds") -> float:
    """Return the average precision of one class over a whole set, 0..1; nan without true objects.

    scores: (D,) of all detections, in any order; ties stay in theirs. right: (D,) bool. objects: number of true ones.
    """
    if not objects:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(right[order])
    recall = true / objects
    precision = true / np.arange(1, len(true) + 1)
    if rule == "mnc":
        points = [precision[recall >= level].max(initial=0.0) for level in np.arange(11) / 10]
        return float(np.mean(points))
    # The best precision at this recall or more, times the steps of recall.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * np.diff(recall, prepend=0.0)).sum())


class Ranked:
    """One class: scores of its detections, their right ones by threshold, and which true objects they cover."""

    def __init__(self, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]) -> None:
        self.rows = rows
        self.objects = sum(overlaps.shape[1] for _, overlaps, _, _ in rows)
        self.touching = np.concatenate([close for *_, close in rows]) if rows else np.zeros(0, bool)
        # A true object is covered by the detections of a one-to-one pairing, best first, as COCO pairs them.
        self.covered = np.concatenate([covered_objects(overlaps) for _, overlaps, _, _ in rows])

    def average_precision(self, threshold: float) -> float:
        """SDS's average precision at one IoU threshold."""
        scores, right = self.judged(threshold)
        return average_precision(scores, right, self.objects)

    def at_levels(self) -> np.ndarray:
        """The right, the wrong and the missing objects at IoU 0.5 for each threshold of LEVELS, (9, 3) int64."""
        scores, right = self.judged(0.5)
        rows = []
        for level in LEVELS:
            found = scores >= level
            true = int((right & found).sum())
            rows.append((true, int(found.sum()) - true, self.objects - true))
        return np.array(rows, np.int64)

    def judged(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the detections that count at an IoU threshold, and whether each is right, (n,) and (n,) bool."""
        scores, right = zip(*self.judged_images(threshold), strict=True)
        return np.concatenate(scores), np.concatenate(right)

    def judged_images(self, threshold: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same of each image."""
        found = []
        for mine, overlaps, excused, _ in self.rows:
            good = hits(overlaps, threshold)
            counts = good | ~excused
            found.append((mine[counts], good[counts]))
        return found


def covered_objects(overlaps: np.ndarray) -> np.ndarray:
    """True objects that some detection covers with IoU 0.5 or more, each detection one object, (N,) bool."""
    taken = np.zeros(overlaps.shape[1], bool)
    for row in overlaps:
        free = np.where(taken, -1.0, row)
        if free.size and free.max() >= 0.5:
            taken[int(free.argmax())] = True
    return taken
