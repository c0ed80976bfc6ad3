"""COCO's average precision of masks and boxes, computed by faster-coco-eval.

Lin et al., "Microsoft COCO: Common Objects in Context" (2014); the rules are those of its detection challenge: IoU 0.5
to 0.95 in steps of 0.05, precision at 101 levels of recall, crowd regions excuse detections.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from foveate.records.instances import Instances

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


def coco_precision(
    truth: Sequence[Instances], found: Sequence[Instances], num_classes: int, cap: int, kind: Literal["segm", "bbox"]
) -> np.ndarray:
    """Return precision (10 thresholds, 101 levels of recall, K); -1 for a class without true objects.

    truth, found: the objects of each image. cap: number of detections of an image that count, the best; COCO's own is
    100, which is too few for crowded images.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (true, detected) in enumerate(zip(truth, found, strict=True), 1):
        height, width = true.size
        images.append({"id": number, "height": height, "width": width})
        for k, area in enumerate(true.areas.tolist()):
            entry = _entry(true, k, number)
            entry |= {"id": len(annotations) + 1, "area": float(area), "iscrowd": int(true.crowd[k])}
            annotations.append(entry)
        results += [_entry(detected, k, number) | {"score": float(detected.scores[k])} for k in range(len(detected))]
    categories = [{"id": k + 1, "name": str(k)} for k in range(num_classes)]
    if not annotations or not results:
        precision = np.zeros((len(THRESHOLDS), 101, num_classes))
        present = {int(label) for true in truth for label in true.labels[~true.crowd]}
        precision[:, :, [k for k in range(num_classes) if k not in present]] = -1
        return precision
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO({"images": images, "annotations": annotations, "categories": categories})
        evaluation = COCOeval_faster(reference, reference.loadRes(results), kind)
        evaluation.params.maxDets = [1, 10, cap]
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]  # of all sizes, at the cap


def mean_precision(precision: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> float:
    """Return the mean of `coco_precision` over thresholds, recalls and classes with objects; nan if there are none."""
    chosen = precision[[THRESHOLDS.index(t) for t in thresholds]]
    chosen = chosen[chosen > -1]
    return float(chosen.mean()) if chosen.size else float("nan")


def _entry(objects: Instances, index: int, image: int) -> dict[str, Any]:
    left, top, right, bottom = (float(v) for v in objects.boxes[index])
    return {
        "image_id": image,
        "category_id": int(objects.labels[index]) + 1,
        "segmentation": objects.masks[index],
        "bbox": [left, top, right - left, bottom - top],
    }
