"""Records of objects, one by one: from reader to model, metric, drawing and file.

Shapes: an image of C channels, H x W pixels, N objects. Boxes hold left, top, right and bottom in pixels, right and
bottom exclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
from faster_coco_eval.core import mask as mask_api
from torch import Tensor

from foveate.deferred import tv_tensors
from foveate.records.base import ClassTable
from foveate.records.prediction import Prediction

UNSCORED = -1  # the label of the region whose pixels are not scored


class ObjectSample(TypedDict):
    """One image with its objects as masks, N of them."""

    image: tv_tensors.Image  # (C, H, W) uint8
    masks: tv_tensors.Mask  # (N, H, W) bool: the visible pixels of each object
    boxes: tv_tensors.BoundingBoxes  # (N, 4) float32, XYXY, tight around each mask
    labels: Tensor  # (N,) int64, class indices
    name: str


class InstanceSample(TypedDict):
    """One image with its objects, N of them, as a dataset gives it and transforms change it.

    A layer holds object numbers: 0 where there is none, k + 1 for object k. Objects that overlap lie in different
    layers (`ops.mask_layers`), so that hundreds of objects cost as much as a few.
    The labels count classes of objects alone, without background.
    """

    image: tv_tensors.Image  # (C, H, W) uint8; float32 in 0..1 where the file held 16 bits
    layers: tv_tensors.Mask  # (L, H, W) int32
    labels: Tensor  # (N,) int64, class indices; -1 of the region whose pixels are not scored
    crowd: Tensor  # (N,) bool: crowd regions, whose objects were not counted, and the region that is not scored
    name: str


class InstanceBatch(TypedDict):
    """Input of an instance model's `loss`. Images are padded to one size at their right and bottom with 0.

    The lists hold one tensor an image; an image without objects has empty ones.
    """

    image: Tensor  # (B, C, H, W) float32, normalised
    image_sizes: list[tuple[int, int]]  # (height, width) of each image before padding
    boxes: list[Tensor]  # (N, 4) float32
    labels: list[Tensor]  # (N,) int64
    masks: list[Tensor]  # (N, H, W) bool
    crowds: list[Tensor]  # (H, W) bool, pixels that are neither object nor background: crowds, and unscored ones
    names: list[str]


class InstanceOutput(NamedTuple):
    """Detections of one image, the best first, before masks vote and are put into the image.

    A detection that another one suppresses stays in the list, since its mask has a vote; `kept` marks the others.
    """

    boxes: Tensor  # (R, 4) float32
    labels: Tensor  # (R,) int64
    scores: Tensor  # (R,) float32, 0..1
    masks: Tensor  # (R, m, m) float32, 0..1: the probability that a cell of the box belongs to the object
    kept: Tensor  # (R,) bool


class RegionOutput(NamedTuple):
    """Detections of one image whose masks are regions of it, the best first; nothing is suppressed or voted on.

    The image is divided into N atoms, which no region cuts.
    """

    boxes: Tensor  # (R, 4) float32
    labels: Tensor  # (R,) int64
    scores: Tensor  # (R,) float32, 0..1
    members: Tensor  # (R, N) bool: the atoms of each region
    atoms: Tensor  # (H, W) int64: the atom of each pixel


@dataclass(frozen=True)
class Instances:
    """The objects of one image, found or true.

    size: (height, width) of the image.
    boxes: (N, 4) float32.
    masks: N run-length encodings as COCO has them, {"size": [height, width], "counts": bytes}; masks may overlap.
    labels: (N,) int64, class indices; -1 of pixels that are not scored, which are a crowd of no class.
    scores: (N,) float32, 0..1; 1 for true objects.
    crowd: (N,) bool, regions of objects that were not counted one by one; in evaluation they excuse detections.
    """

    size: tuple[int, int]
    boxes: np.ndarray
    masks: tuple[dict[str, Any], ...]
    labels: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each mask, (N,) int64."""
        return np.asarray(mask_api.area(list(self.masks)), np.int64).reshape(-1)

    def mask(self, index: int) -> np.ndarray:
        """The pixels of one object, (H, W) bool."""
        return decode_mask(self.masks[index])

    def part(self, index: int) -> tuple[tuple[int, int, int, int], np.ndarray]:
        """The smallest window around one object (left, top, right, bottom), and its pixels there, (h, w) bool.

        Costs as much as the columns of the window, in an image of any size.
        """
        left, top, right, bottom = window_of(self.masks[index])
        return (left, top, right, bottom), _columns(self.masks[index], left, right)[top:bottom]

    def select(self, which: np.ndarray) -> Instances:
        """Some of the objects: indices, or (N,) bool."""
        chosen = np.arange(len(self))[which]
        masks = tuple(self.masks[i] for i in chosen.tolist())
        return Instances(
            self.size, self.boxes[chosen], masks, self.labels[chosen], self.scores[chosen], self.crowd[chosen]
        )

    def overlaps(self, others: Instances) -> np.ndarray:
        """Intersection over union with other objects of the image, (N, M) float64.

        Against a crowd region it is the share of the object that lies in it, as COCO has it.
        """
        if not len(self) or not len(others):
            return np.zeros((len(self), len(others)))
        flags = others.crowd.astype(np.uint8).tolist()
        return np.asarray(mask_api.iou(list(self.masks), list(others.masks), flags)).reshape(len(self), len(others))

    def numbers(self) -> np.ndarray:
        """The image's object numbers, (H, W) int32: 0 background, i + 1 for object i.

        A pixel that several objects claim belongs to the one with the highest score, of equal ones to the first.
        """
        image = np.zeros(self.size, np.int32)
        for index in np.argsort(-self.scores, kind="stable")[::-1].tolist():
            (left, top, right, bottom), part = self.part(index)
            image[top:bottom, left:right][part] = index + 1
        return image


@dataclass
class InstancePrediction(Prediction):
    """The objects found in one image.

    objects: all detections, the best first. threshold: the lowest score that counts as found.
    pixel_size: side of a pixel in physical units, for tables. note: a remark on how objects were found; '' for none.
    cap: the most detections that the model gives, if it gave as many for the image or a tile of it; else 0.
    """

    objects: Instances
    classes: ClassTable
    threshold: float = 0.0
    name: str = ""
    pixel_size: float = 1.0
    note: str = ""
    cap: int = 0

    @property
    def found(self) -> Instances:
        """The detections whose score reaches the threshold."""
        return self.objects.select(self.objects.scores >= self.threshold)


def encode_mask(mask: np.ndarray, size: tuple[int, int], left: int = 0, top: int = 0) -> dict[str, Any]:
    """Encode a mask (h, w) bool, whose corner is at (left, top), as run lengths in an image of (height, width).

    Runs go down the columns: background first, then object, in turn. Only the mask itself is read, so that a small
    object costs the same in an image of any size.
    """
    tall, height = size[0], mask.shape[0]
    padded = np.zeros((mask.shape[1], height + 2), bool)
    padded[:, 1:-1] = mask.T
    # Beginnings and ends of runs in turn, column by column, as places in the image.
    columns, rows = np.divmod(np.flatnonzero(padded[:, 1:] != padded[:, :-1]), height + 1)
    edges = (columns + left) * tall + rows + top
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2])  # a run that goes on at the top of the next column
    edges = np.delete(edges, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    counts = np.diff(np.concatenate([[0], edges, [tall * size[1]]])).tolist()
    if len(edges) and counts[-1] == 0:
        counts.pop()
    encoded: dict[str, Any] = mask_api.frPyObjects({"size": list(size), "counts": counts}, *size)
    return encoded


def decode_mask(mask: dict[str, Any]) -> np.ndarray:
    """The pixels of an encoded mask, (H, W) bool."""
    return np.asarray(mask_api.decode(mask), bool)


def _columns(mask: dict[str, Any], left: int, right: int) -> np.ndarray:
    """Columns left..right of an encoded mask, (H, right - left) bool; all of its pixels must lie there."""
    height = int(mask["size"][0])
    canvas = np.zeros((right - left) * height, bool)
    if right > left:
        runs = run_lengths(mask["counts"])
        runs[0] -= left * height
        pixels = np.repeat(np.arange(len(runs)) % 2 > 0, runs)[: len(canvas)]
        canvas[: len(pixels)] = pixels
    return canvas.reshape(right - left, height).T


def run_lengths(counts: bytes) -> np.ndarray:
    """Decode COCO's text of run lengths, (n,) int64: background first, then object, in turn, down the columns.

    Every run from the fourth on is written as the difference to the last but one, in base 32, least digits first: a
    character less 48 has 5 bits of the number, and a sixth if more follow; the fifth bit of the last one is the sign.
    """
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(digits & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    place = np.arange(len(digits)) - np.repeat(first, lengths)
    runs: np.ndarray = np.add.reduceat((digits & 31) << (5 * place), first)
    runs -= (digits[last] & 16 > 0) << (5 * lengths)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def window_of(mask: dict[str, Any]) -> tuple[int, int, int, int]:
    """The smallest window around an encoded mask: left, top, right, bottom in whole pixels; four zeros for none."""
    left, top, width, height = (int(v) for v in np.asarray(mask_api.toBbox(mask)).reshape(4))
    return left, top, left + width, top + height


def instances_of(
    size: tuple[int, int],
    masks: Sequence[dict[str, Any]],
    labels: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray | None = None,
    crowd: Sequence[bool] | np.ndarray | None = None,
    boxes: np.ndarray | None = None,
) -> Instances:
    """Objects from encoded masks. scores: 1 where left out; crowd: none; boxes: tight around the masks."""
    count = len(masks)
    tight = np.array([window_of(mask) for mask in masks], np.float32).reshape(count, 4)
    return Instances(
        size,
        tight if boxes is None else np.asarray(boxes, np.float32).reshape(count, 4),
        tuple(masks),
        np.asarray(labels, np.int64).reshape(count),
        np.ones(count, np.float32) if scores is None else np.asarray(scores, np.float32).reshape(count),
        np.zeros(count, bool) if crowd is None else np.asarray(crowd, bool).reshape(count),
    )
