"""Replies of instance segmentation over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar, NotRequired, TypedDict

import numpy as np

from foveate.errors import ConfigError
from foveate.records import InstancePrediction
from foveate.tasks.base import Sample
from foveate.tasks.replies import Replies, png

MOST_WHOLE = 4_000_000  # pixels that the network sees at once
MOST_MASKS = 100  # objects whose masks Hugging Face's form holds, the best first


class Rle(TypedDict):
    """A mask as COCO's run lengths. size: height and width. counts: run lengths down the columns, COCO's text form."""

    size: list[int]
    counts: str


class InstanceEntry(TypedDict):
    """An object. label: its class. score: 0..1. box: left, top, right, bottom in pixels. area: pixels of the mask."""

    label: str
    score: float
    box: list[float]
    area: int
    mask: Rle


class InstanceReply(TypedDict):
    """The objects of an image.

    objects: the best first.
    counts: class -> number of objects.
    note: a remark on how the input was taken.
    """

    objects: list[InstanceEntry]
    counts: dict[str, int]
    note: NotRequired[str]


class InstanceReplies(Replies):
    """The part of the family that answers over HTTP."""

    Reply: ClassVar = InstanceReply

    def reply(self, prediction: InstancePrediction, sample: Sample, parts: Any) -> InstanceReply:
        """The objects that reach the threshold, with their masks."""
        found: InstanceReply = {"objects": object_entries(prediction), "counts": object_counts(prediction)}
        if prediction.note:
            found["note"] = prediction.note
        return found

    def hugging_face(self, prediction: InstancePrediction, parts: Any) -> list[dict[str, Any]]:
        """Image segmentation: a mask of 0 and 255, class and score of each object."""
        found = prediction.found
        order = np.argsort(-found.scores, kind="stable")[:MOST_MASKS].tolist()
        return [
            {
                "label": prediction.classes.names[int(found.labels[k])],
                "mask": png(found.mask(k).astype(np.uint8) * 255),
                "score": round(float(found.scores[k]), 4),
            }
            for k in order
        ]

    def require_served(self, sample: Sample, options: Any) -> None:
        """Raise ConfigError for tiles that are too large."""
        image = sample["image"]
        pixels = image.height * image.width
        seen = pixels if options.tile == 0 else min(pixels, (options.tile or 0) ** 2)
        if seen > MOST_WHOLE:
            raise ConfigError(
                f"--tile {options.tile}: the network would see {seen:,} pixels at once; at most {MOST_WHOLE:,} are "
                "taken: choose smaller tiles, or leave it out"
            )


def object_entries(prediction: InstancePrediction) -> list[InstanceEntry]:
    """The objects that reach the threshold, the best first."""
    found, names = prediction.found, prediction.classes.names
    return [
        {
            "label": names[label],
            "score": round(float(score), 4),
            "box": [round(float(v), 2) for v in box],
            "area": int(area),
            "mask": {"size": [int(side) for side in mask["size"]], "counts": _text(mask["counts"])},
        }
        for label, score, box, area, mask in zip(
            found.labels.tolist(), found.scores, found.boxes, found.areas, found.masks, strict=True
        )
    ]


def object_counts(prediction: InstancePrediction) -> dict[str, int]:
    """Class -> number of objects."""
    names = prediction.classes.names
    counts = np.bincount(prediction.found.labels, minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def _text(counts: bytes | str) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts
