"""Suppression of repeated detections: of regions by their overlap, and the vote of masks that replaces it for boxes.

Shapes: R detections of one class in an image of H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foveate.deferred import torchvision_ops
from foveate.ops.boxes import clip
from foveate.ops.roi import paste_masks


@dataclass(frozen=True)
class Patch:
    """The mask of one object, inside the smallest window of the image that holds it.

    window: left, top, right, bottom in pixels. mask: (bottom - top, right - left) bool.
    """

    window: tuple[int, int, int, int]
    mask: Tensor


def region_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return intersection over union of masks (M, H, W) bool and (N, H, W) bool, (M, N); 0 of two empty ones."""
    a, b = first.flatten(1).float(), second.flatten(1).float()
    shared = (a @ b.T).double()  # whole numbers up to 2^24 are exact in float32
    union = a.sum(1, dtype=torch.float64)[:, None] + b.sum(1, dtype=torch.float64) - shared
    return shared / union.clamp(min=1)


def region_nms(iou: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the indices of the detections that stay, best first; ties in their order.

    iou: (R, R), overlaps of the regions (`region_iou`). scores: (R,). A detection goes if its overlap with a better one
    that stays is above `threshold`: torchvision's `nms`, on regions instead of boxes.
    """
    order = scores.argsort(descending=True, stable=True).tolist()
    suppressed = torch.zeros(len(scores), dtype=torch.bool)
    kept = []
    for index in order:
        if not suppressed[index]:
            kept.append(index)
            suppressed |= iou[index].cpu() > threshold
    return torch.tensor(kept, dtype=torch.int64)


def survivors(members: Tensor, scores: Tensor, limit: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return regions, classes and scores of at most `limit` detections, best first: those that no better one touches.

    members: (R, N) bool, the atoms of each region, which none cuts. scores: (R, K). A region that shares a pixel with a
    better one of its class goes (SDS, section 3.3).
    """
    inside = members.float()
    shared = (inside @ inside.T).clamp(max=1)  # 1 where two regions have an atom in common
    kept = [region_nms(shared, scores[:, label], 0.5) for label in range(scores.shape[1])]
    index = torch.cat(kept)
    labels = torch.cat([torch.full_like(one, label) for label, one in enumerate(kept)])
    order = scores[index, labels].argsort(descending=True, stable=True)[:limit]
    index, labels = index[order], labels[order]
    return index, labels, scores[index, labels]


def vote_masks(
    boxes: Tensor, masks: Tensor, scores: Tensor, kept: Tensor, size: tuple[int, int], iou: float, threshold: float
) -> list[Patch | None]:
    """Return the mask that the neighbours of each kept detection agree on; None where no pixel reaches the threshold.

    boxes: (R, 4), all detections of a class before suppression. masks: (R, m, m) in 0..1, inside their boxes.
    scores: (R,) above 0. kept: (K,) indices into them. size: (height, width) of the image.

    The kept one, and every detection whose box overlaps it by `iou` or more, vote with their scores:

        M(p) = sum_j s_j m_j(p) / sum_j s_j,  the object is where M(p) > threshold

    Dai, He and Sun (2015), "Inference" of the implementation's details. The probabilities are averaged, as in the
    release's GPU code; its CPU code averages masks that it has thresholded first.
    """
    votes = torchvision_ops.box_iou(boxes[kept], boxes) >= iou
    # A box without an area, as one that was regressed out of the image and clipped, has no overlap with itself: 0 / 0.
    votes.scatter_(1, kept[:, None], True)
    found: list[Patch | None] = []
    for row in votes:
        voters = row.nonzero()[:, 0]
        window = _window(boxes[voters], size)
        left, top, right, bottom = window
        if right <= left or bottom <= top:
            found.append(None)
            continue
        weights = scores[voters] / scores[voters].sum()
        mean = (paste_masks(masks[voters], boxes[voters], window) * weights[:, None, None]).sum(0)
        found.append(_tight(mean > threshold, left, top))
    return found


def _window(boxes: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The whole pixels of the image that boxes (V, 4) touch."""
    inside = clip(boxes, size)
    left, top = (int(v) for v in inside[:, :2].amin(0).floor())
    right, bottom = (int(v) for v in inside[:, 2:].amax(0).ceil())
    return left, top, right, bottom


def _tight(mask: Tensor, left: int, top: int) -> Patch | None:
    """The mask (h, w), whose corner is at (left, top), without empty borders."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    if not len(rows):
        return None
    y, y_end, x, x_end = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return Patch((left + x, top + y, left + x_end, top + y_end), mask[y:y_end, x:x_end])
