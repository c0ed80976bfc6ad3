"""Scores of found objects against true ones, over a whole set.

Ranked scores (AP, AP^r, recall) look at every detection, at most `CAP` an image. Panoptic quality, the ratio
TP / (TP + FP + FN) and counts need a score from which an object counts as found: the one given, or the one that
`best_threshold` chooses on this set.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, DataError
from foveate.metrics.instances.coco import coco_precision, mean_precision
from foveate.metrics.instances.counted import Matches, confused, match, mean_ratio, panoptic_quality, ratio_at, touching
from foveate.metrics.instances.ranked import Ranked, covered_objects
from foveate.metrics.instances.threshold import best_threshold
from foveate.metrics.instances.unscored import without_unscored
from foveate.metrics.plain import number_or_none, scores_by_name
from foveate.records import ClassTable
from foveate.records.instances import Instances, instances_of

VISIBLE = (0.0, 0.25, 0.5, 0.75, 1.0)  # bounds of the visible shares of `recall50_visible`
CAP = 400  # detections of an image that count; COCO's 100 cuts crowded images
REGION_THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))  # of AP^r_vol


@dataclass(frozen=True, eq=False)
class InstanceScores:
    """Scores of found objects. Shares are 0..1; nan where no true object gives them a meaning, or not computed.

    ap, ap50, ap75: COCO's mask AP over IoU 0.5 to 0.95, at 0.5, at 0.75. box_ap: the same of boxes.
    ap_per_class: K values of `ap`.
    recall50: share of true objects that some detection covers with IoU 0.5 or more; recall50_touching: of those that
        lie within 1 pixel of another object.
    ap_r50, ap_r70, ap_r_vol: SDS's AP^r at IoU 0.5, at 0.7, and its mean over 0.1 to 0.9.
    score_threshold: the score from which objects count as found in the scores below.
    tp_ratio50, tp_ratio: TP / (TP + FP + FN) at IoU 0.5, and its mean over 0.5 to 0.95. recall50_found: the share of
        true objects among the TP. pq, sq, rq: panoptic quality and its factors.
    count_bias, count_mae: mean error of the number of objects an image, and mean absolute error. count_mape: mean of
        the absolute error as a share of the true number, over images with objects.
    mask_iou_true_boxes: mean IoU of true objects and the masks that a model draws in their boxes; nan for a model that
        outlines no given boxes.
    proposals_recall50, proposals_recall70: share of true objects that some region proposal overlaps by more, the most
        that a model of region proposals can reach without refinement; nan for a model without them.
    precision: (10, 101, K), COCO's precision by IoU threshold, recall and class; -1 for a class without true objects.
    counts: (images, 2) true and found objects of each image, in the order in which they were added.
    truths: (objects, 5) int64, of each true object: class, area in pixels, 1 if it touches another, 1 if it was found,
        1 if a detection of any score covers it with IoU 0.5.
    visible: (objects,) the share of each true object that nothing hides; nan where the data does not tell.
    recall50_visible: `recall50` of objects by their visible share, name -> value; {} where the data does not tell.
    confusion: (K + 1, K + 1), number of objects by true and found class (`counted.confused`).
    at_levels: (9, 3) int64, the right, the wrong and the missing objects at IoU 0.5 by threshold (`ranked.LEVELS`).
    images: number of images; without: those without objects. objects, touching: true objects; those that touch another.
    model_cap: the most detections that the model gives for an image, or for a tile of it; at_model_cap: images where it
        gave as many. Both are 0 where no image reached it.
    """

    ap: float
    ap50: float
    ap75: float
    box_ap: float
    ap_per_class: tuple[float, ...]
    recall50: float
    recall50_touching: float
    ap_r50: float
    ap_r70: float
    ap_r_vol: float
    score_threshold: float
    tp_ratio50: float
    tp_ratio: float
    recall50_found: float
    pq: float
    sq: float
    rq: float
    count_bias: float
    count_mae: float
    count_mape: float
    images: int
    without: int
    objects: int
    touching: int
    mask_iou_true_boxes: float
    proposals_recall50: float
    proposals_recall70: float
    precision: np.ndarray
    counts: np.ndarray
    truths: np.ndarray
    confusion: np.ndarray
    at_levels: np.ndarray
    visible: np.ndarray
    recall50_visible: dict[str, float]
    model_cap: int
    at_model_cap: int

    def to_json(self, classes: ClassTable) -> dict[str, Any]:
        """Plain numbers for JSON, classes by name; None for nan. Raises ConfigError for a table of another length."""
        per_class = scores_by_name(self.ap_per_class, classes)
        own = {"ap_per_class", "precision", "counts", "truths", "confusion", "at_levels", "visible"}
        # Scores that only some models have.
        special = ("mask_iou_true_boxes", "proposals_recall50", "proposals_recall70")
        own |= {name for name in special if np.isnan(getattr(self, name))}
        values = {name: number_or_none(value) for name, value in vars(self).items() if name not in own}
        if not isinstance(self.recall50_visible, dict) or not self.recall50_visible:  # nan in quick scores
            values.pop("recall50_visible")
        return {**values, "ap_per_class": per_class, "detections_cap": CAP}


class InstanceMetrics:
    """Collects the objects of images, true and found.

    num_classes: K. threshold: score from which objects count as found; None chooses it on this set.
    whole: compute the scores that take long, too (AP^r, boxes, panoptic quality, counts); nan otherwise.

    visible_shares: what gives the visible share of each true object of an image by its index, where that is known.

    Raises ConfigError for less than one class, or a threshold outside 0..1.
    """

    visible_shares: Callable[[int], np.ndarray] | None = None

    def __init__(self, num_classes: int, threshold: float | None = None, whole: bool = True) -> None:
        if num_classes < 1:
            raise ConfigError(f"cannot score {num_classes} classes of objects; give at least 1")
        if threshold is not None and not 0 <= threshold <= 1:
            raise ConfigError(f"a score threshold of {threshold}; give a number from 0 to 1")
        self.num_classes, self.threshold, self.whole = num_classes, threshold, whole
        self._truth: list[Instances] = []
        self._found: list[Instances] = []
        self._outlined: list[float] = []  # IoU in true boxes
        self._proposed: list[float] = []  # IoU of the best proposals
        self._visible: list[list[float]] = []  # share of each true object of an image; [] where it is not known
        self._caps: list[int] = []  # the model's own cap, of each image that reached it

    def update(self, truth: Instances, found: Instances, visible: np.ndarray | None = None) -> float:
        """Add an image; returns the share TP / (TP + FP + FN) at IoU 0.5 of objects above the threshold or 0.5.

        nan for an image without true and found objects. Pixels that are not scored, a crowd of `truth` with the label
        UNSCORED, are taken out of both (`without_unscored`).
        visible: the share of each true object, crowds left out, that nothing hides, if it is known.
        Raises DataError for labels out of range, or other sizes.
        """
        if truth.size != found.size:
            raise DataError(f"objects found in an image of {found.size} against true ones of {truth.size}")
        truth, found = without_unscored(truth, found)
        for objects in (truth, found):
            if len(objects) and not 0 <= objects.labels.min() <= objects.labels.max() < self.num_classes:
                raise DataError(f"labels up to {objects.labels.max()}; expected 0 to {self.num_classes - 1}")
        best_first = np.argsort(-found.scores, kind="stable")
        self._truth.append(truth)
        self._found.append(found.select(best_first))
        self._visible.append([] if visible is None else visible.tolist())
        certain = self._found[-1]
        threshold = 0.5 if self.threshold is None else self.threshold
        return ratio_at([match(truth, certain.select(certain.scores >= threshold))], 0.5)

    def true_box_ious(self, ious: np.ndarray) -> None:
        """Add the IoU (N,) of true objects and the masks drawn in their boxes."""
        self._outlined += ious.tolist()

    def best_proposals(self, ious: np.ndarray) -> None:
        """Add the IoU (N,) of true objects and the best region proposal of each."""
        self._proposed += ious.tolist()

    def reached_cap(self, most: int) -> None:
        """Add an image for which the model gave as many detections as it gives at most, or for a tile of it."""
        self._caps.append(most)

    def state(self) -> Tensor:
        """All objects as bytes, (n,) uint8."""
        objects = [[_pack(true), _pack(found)] for true, found in zip(self._truth, self._found, strict=True)]
        content = [objects, self._outlined, self._proposed, self._visible, self._caps]
        return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)

    def merge(self, state: Tensor) -> None:
        """Add the images of another process, whose `state` this is."""
        objects, outlined, proposed, visible, caps = json.loads(state.cpu().numpy().tobytes().decode())
        self._visible += visible
        self._caps += caps
        self._outlined += outlined
        self._proposed += proposed
        for true, found in objects:
            self._truth.append(_unpack(true))
            self._found.append(_unpack(found))

    def compute(self) -> InstanceScores:
        """Compute the scores. Raises DataError if no image was added."""
        if not self._truth:
            raise DataError("no image was scored; the data set is empty")
        best = [found.select(np.arange(min(len(found), CAP))) for found in self._found]
        precision = coco_precision(self._truth, best, self.num_classes, CAP, "segm")
        close = [touching(true) for true in self._truth]
        ranked = [self._ranked(label, best, close) for label in range(self.num_classes)]
        threshold = self._chosen(ranked) if self.threshold is None else self.threshold
        objects = sum(r.objects for r in ranked)
        touched = np.concatenate([r.touching for r in ranked])
        proposed = np.array(self._proposed)
        covered = np.concatenate([r.covered for r in ranked])
        values: dict[str, Any] = {
            "ap": mean_precision(precision),
            "ap50": mean_precision(precision, [0.5]),
            "ap75": mean_precision(precision, [0.75]),
            "ap_per_class": tuple(mean_precision(precision[:, :, [k]]) for k in range(self.num_classes)),
            "recall50": float(covered.mean()) if objects else float("nan"),
            "recall50_touching": float(covered[touched].mean()) if touched.any() else float("nan"),
            "score_threshold": threshold,
            "images": len(self._truth),
            "model_cap": max(self._caps, default=0),
            "at_model_cap": len(self._caps),
            "without": sum(bool(true.crowd.all()) for true in self._truth),
            "objects": objects,
            "touching": int(touched.sum()),
            "proposals_recall50": float(np.mean(proposed > 0.5)) if len(proposed) else float("nan"),
            "proposals_recall70": float(np.mean(proposed > 0.7)) if len(proposed) else float("nan"),
            "mask_iou_true_boxes": float(np.mean(self._outlined)) if self._outlined else float("nan"),
            "precision": precision,
        }
        if not self.whole:
            left_out = [name for name in InstanceScores.__annotations__ if name not in values]
            return InstanceScores(**(values | dict.fromkeys(left_out, float("nan"))))
        boxes = coco_precision(self._truth, best, self.num_classes, CAP, "bbox")
        regions = {t: self._region_precision(ranked, t) for t in REGION_THRESHOLDS}
        values |= (
            self._counted(threshold)
            | self._by_object(ranked, close, threshold)
            | {
                "at_levels": np.sum([r.at_levels() for r in ranked], 0),
                "box_ap": mean_precision(boxes),
                "ap_r50": regions[0.5],
                "ap_r70": regions[0.7],
                "ap_r_vol": float(np.mean(list(regions.values()))),
            }
        )
        return InstanceScores(**values)

    def _chosen(self, ranked: list[Ranked]) -> float:
        """The threshold that suits these images."""
        judged = [r.judged(0.5) for r in ranked]
        scores, right = (np.concatenate([part[i] for part in judged]) for i in (0, 1))
        true = np.array([int((~t.crowd).sum()) for t in self._truth])
        by_image = zip(*(r.judged_images(0.5) for r in ranked), strict=True)
        found = []  # of each image the scores without those that a crowd excuses, and those beyond the cap
        for image, classes in zip(self._found, by_image, strict=True):
            counts = np.sort(np.concatenate([mine for mine, _ in classes]))[::-1]
            found.append(np.concatenate([counts, image.scores[CAP:]]))
        return best_threshold(scores, right, found, true)

    def _ranked(self, label: int, best: list[Instances], close: list[np.ndarray]) -> Ranked:
        """Detections and true objects of one class, over all images; close: `touching` of each image.

        best: the detections of each image that are ranked.
        """
        rows = []
        for true, found, near in zip(self._truth, best, close, strict=True):
            real = true.select((true.labels == label) & ~true.crowd)
            mine = found.select(found.labels == label)
            overlaps = mine.overlaps(real)
            crowds = true.select((true.labels == label) & true.crowd)
            excused = mine.overlaps(crowds).max(1) > 0.5 if len(crowds) else np.zeros(len(mine), bool)
            rows.append((mine.scores, overlaps, excused, near[(true.labels == label) & ~true.crowd]))
        return Ranked(rows)

    def _region_precision(self, ranked: list[Ranked], threshold: float) -> float:
        """AP^r at one IoU threshold: the mean over classes with true objects."""
        each = [r.average_precision(threshold) for r in ranked if r.objects]
        return float(np.mean(each)) if each else float("nan")

    def _by_object(self, ranked: list[Ranked], close: list[np.ndarray], threshold: float) -> dict[str, Any]:
        """The true objects one by one, and their recall by visible share. close: `touching` of each image."""
        rows, shares = [], []
        for number, (true, near) in enumerate(zip(self._truth, close, strict=True)):
            found, covered = np.zeros((2, len(true)), bool)
            found[match(true, self._found[number].select(self._found[number].scores >= threshold)).truth] = True
            for label, one in enumerate(ranked):
                covered[(true.labels == label) & ~true.crowd] = covered_objects(one.rows[number][1])
            rows.append(np.stack([true.labels, true.areas, near, found, covered], 1)[~true.crowd])
            shares.append(self._visible[number] or [np.nan] * len(rows[-1]))
        truths, visible = np.concatenate(rows).astype(np.int64), np.concatenate(shares)
        names = [f"{low:.2f} to {high:.2f}" for low, high in itertools.pairwise(VISIBLE)]
        recalls = {}
        for name, low, high in zip(names, VISIBLE, VISIBLE[1:], strict=False):
            chosen = (visible >= low) & ((visible < high) | (high == 1))
            if chosen.any():
                recalls[name] = float(truths[chosen, 4].mean())
        return {"truths": truths, "visible": visible, "recall50_visible": recalls}

    def _counted(self, threshold: float) -> dict[str, Any]:
        """The scores of objects that count as found."""
        found = [f.select(f.scores >= threshold) for f in self._found]
        matches: list[Matches] = [match(t, f) for t, f in zip(self._truth, found, strict=True)]
        pq, sq, rq = panoptic_quality(self._truth, found, matches, self.num_classes)
        pairs, missed = sum(len(m.iou) for m in matches), sum(len(m.missed) for m in matches)
        true = np.array([int((~t.crowd).sum()) for t in self._truth])
        error = np.array([len(f) - len(m.excused) for f, m in zip(found, matches, strict=True)]) - true
        share = np.abs(error[true > 0]) / true[true > 0]
        confusion = sum(confused(t, f, self.num_classes) for t, f in zip(self._truth, found, strict=True))
        return {
            "confusion": confusion,
            "tp_ratio50": ratio_at(matches, 0.5),
            "tp_ratio": mean_ratio(matches),
            "recall50_found": pairs / (pairs + missed) if pairs + missed else float("nan"),
            "pq": pq,
            "sq": sq,
            "rq": rq,
            "count_bias": float(error.mean()),
            "count_mae": float(np.abs(error).mean()),
            "count_mape": float(share.mean()) if len(share) else float("nan"),
            "counts": np.stack([true, true + error], 1),
        }


def _pack(objects: Instances) -> list[Any]:
    masks = [mask["counts"].decode() for mask in objects.masks]
    arrays = (objects.boxes, objects.labels, objects.scores, objects.crowd)
    return [list(objects.size), masks, *(array.tolist() for array in arrays)]


def _unpack(content: list[Any]) -> Instances:
    size, masks, boxes, labels, scores, crowd = content
    encoded = [{"size": size, "counts": counts.encode()} for counts in masks]
    return instances_of((size[0], size[1]), encoded, labels, scores, crowd, np.array(boxes))
