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
