"""Replies of drawing over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypedDict

from foveate.records import DrawingPrediction
from foveate.tasks.base import Sample
from foveate.tasks.drawing.figures import bytes_of
from foveate.tasks.replies import PNG, Media, Replies, png


class DrawingReply(TypedDict):
    """Generated images.

    images: the expected value of each pixel, as a PNG; image i of a seed is always the same.
    """

    images: list[Annotated[Media, PNG]]


class DrawingReplies(Replies):
    """The part of the family that answers over HTTP."""

    Reply: ClassVar = DrawingReply

    def reply(self, prediction: DrawingPrediction, sample: Sample, parts: Any) -> DrawingReply:
        """One image."""
        return {"images": [png(bytes_of(prediction.canvases[-1]))]}

    def reply_to_all(self, predictions: Sequence[DrawingPrediction], parts: Any) -> DrawingReply:
        """All images."""
        return {"images": [png(bytes_of(prediction.canvases[-1])) for prediction in predictions]}
