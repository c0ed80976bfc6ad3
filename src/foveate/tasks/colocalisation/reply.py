"""Replies of co-localisation over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

from foveate.records import ColocalisationPrediction
from foveate.tasks.base import Sample
from foveate.tasks.replies import Replies


class ColocalisationReply(TypedDict):
    """Windows on the objects that the training images share.

    boxes: left, top, right, bottom in pixels of the image.
    """

    boxes: list[list[float]]


class ColocalisationReplies(Replies):
    """The part of the family that answers over HTTP."""

    Reply: ClassVar = ColocalisationReply

    def reply(self, prediction: ColocalisationPrediction, sample: Sample, parts: Any) -> ColocalisationReply:
        """The boxes."""
        return {"boxes": [[round(float(v), 2) for v in box] for box in prediction.boxes]}
