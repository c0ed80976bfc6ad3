"""Scores of the objects that count as found: panoptic quality, the nuclei field's ratio, counts, touching objects.

Shapes: an image of H x W pixels, N true objects, D found ones; object numbers (H, W), 0 background, i + 1 object i.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from foveate.metrics.instances.coco import THRESHOLDS
from foveate.records.instances import Instances


@dataclass(frozen=True)
class Matches:
    """Pairs of true and found objects of one image whose IoU is above 0.5: at most one pair an object.

    truth, found: (P,) indices. iou: (P,). extra: indices of found objects without a pair, missed: of true ones.
    excused: indices of found objects that lie in a crowd.
    """

    truth: np.ndarray
    found: np.ndarray
    iou: np.ndarray
    extra: np.ndarray
    missed: np.ndarray
    excused: np.ndarray


def match(truth: Instances, found: Instances) -> Matches:
    """Pair objects of one class by the overlap of their pixels in maps of object numbers, where each has one owner.

    Kirillov, He, Girshick, Rother and Dollár, "Panoptic Segmentation" (2019), section 4.1: with IoU above 0.5 no object
    has two partners. Found objects that lie in a crowd region by more than half, and have no partner, are left out.
    """
    real = np.flatnonzero(~truth.crowd)
    pairs = joint_areas(truth.select(real).numbers(), found.numbers(), len(real), len(found))
    areas_truth, areas_found = pairs[1:].sum(1), pairs[:, 1:].sum(0)
    shared = pairs[1:, 1:]
    iou = shared / np.maximum(areas_truth[:, None] + areas_found - shared, 1)
    same = truth.labels[real][:, None] == found.labels
    first, second = np.nonzero((iou > 0.5) & same)
    extra = np.setdiff1d(np.flatnonzero(areas_found), second)
    crowds, excused = truth.select(truth.crowd), np.zeros(0, np.int64)
    if len(crowds) and len(extra):
        inside = (found.select(extra).overlaps(crowds) * (found.labels[extra][:, None] == crowds.labels)).max(1) > 0.5
        extra, excused = extra[~inside], extra[inside]
    return Matches(real[first], second, iou[first, second], extra, np.delete(real, first), excused)


def confused(truth: Instances, found: Instances, num_classes: int) -> np.ndarray:
    """Return the number of objects of each pair of classes, (K + 1, K + 1) int64, true by row and found by column.

    Objects are paired as in `match`, but whatever their classes are; the last column counts true objects without a
    partner, the last row found ones, crowds left out.
    """
    pairs = match(*(dataclasses.replace(one, labels=np.zeros_like(one.labels)) for one in (truth, found)))
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(counts, (truth.labels[pairs.truth], found.labels[pairs.found]), 1)
    np.add.at(counts, (truth.labels[pairs.missed], num_classes), 1)
    np.add.at(counts, (num_classes, found.labels[pairs.extra]), 1)
    return counts


def joint_areas(first: np.ndarray, second: np.ndarray, count: int, others: int) -> np.ndarray:
    """Return the number of pixels of each pair of object numbers, (count + 1, others + 1) int64."""
    joint = first.ravel().astype(np.int64) * (others + 1) + second.ravel()
    return np.bincount(joint, minlength=(count + 1) * (others + 1)).reshape(count + 1, others + 1)


def touching(objects: Instances) -> np.ndarray:
    """Return which objects lie within 1 pixel of another one, diagonals included, (N,) bool; crowds are left out."""
    numbers = objects.select(~objects.crowd).numbers()
    # The highest and the lowest number of another object in each pixel's 3 x 3 neighbourhood.
    highest = ndimage.maximum_filter(numbers, 3, mode="constant")
    lowest = ndimage.minimum_filter(np.where(numbers == 0, np.iinfo(np.int32).max, numbers), 3, mode="nearest")
    close = numbers[(numbers > 0) & ((highest != numbers) | (lowest != numbers))]
    flags = np.zeros(len(objects), bool)
    flags[np.flatnonzero(~objects.crowd)[np.unique(close) - 1]] = True
    return flags


def ratio_at(matches: list[Matches], threshold: float) -> float:
    """Return TP / (TP + FP + FN) over all images at an IoU threshold of 0.5 or more; nan without objects at all."""
    right = sum(int((m.iou > threshold).sum()) for m in matches)
    objects = sum(len(m.iou) + len(m.missed) for m in matches)
    found = sum(len(m.iou) + len(m.extra) for m in matches)
    return right / (objects + found - right) if objects + found else float("nan")


def mean_ratio(matches: list[Matches]) -> float:
    """Return the mean of `ratio_at` over IoU 0.5 to 0.95."""
    return float(np.mean([ratio_at(matches, threshold) for threshold in THRESHOLDS]))


def panoptic_quality(
    truth: list[Instances], found: list[Instances], matches: list[Matches], num_classes: int
) -> tuple[float, float, float]:
    """Return PQ, SQ and RQ, each the mean over classes that occur in the truth or were found; nan if none does.

    PQ = sum of IoU over pairs / (TP + FP / 2 + FN / 2) = SQ RQ,  SQ the pairs' mean IoU,  RQ = TP / (TP + FP/2 + FN/2)
    """
    sums = np.zeros((4, num_classes))  # pairs, their IoU, extra, missed
    for true, detected, m in zip(truth, found, matches, strict=True):
        labels = true.labels[m.truth]
        sums[0] += np.bincount(labels, minlength=num_classes)
        sums[1] += np.bincount(labels, m.iou, minlength=num_classes)
        sums[2] += np.bincount(detected.labels[m.extra], minlength=num_classes)
        sums[3] += np.bincount(true.labels[m.missed], minlength=num_classes)
    pairs, iou, extra, missed = sums
    weight = pairs + extra / 2 + missed / 2
    occurs = weight > 0
    if not occurs.any():
        return (float("nan"),) * 3
    segmentation = np.divide(iou, pairs, out=np.zeros(num_classes), where=pairs > 0)
    quality, recognition = iou[occurs] / weight[occurs], pairs[occurs] / weight[occurs]
    return float(quality.mean()), float(segmentation[occurs].mean()), float(recognition.mean())
