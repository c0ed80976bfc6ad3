"""Replies of handwriting over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypedDict

from foveate.records import HandwritingPrediction
from foveate.tasks.base import Sample
from foveate.tasks.handwriting.figures import PLACES, absolute, svg_of
from foveate.tasks.replies import SVG, Media, Replies


class HandwritingReply(TypedDict):
    """A written piece.

    text: what was written.
    strokes: points x, y, and 1 where the pen is lifted after the point; y downwards.
    svg: the piece as a drawing.
    finished: False if the model did not end by itself, so that parts may be missing or written twice.
    """

    text: str
    strokes: list[list[float]]
    svg: Annotated[Media, SVG]
    finished: bool


class HandwritingReplies(Replies):
    """The part of the family that answers over HTTP."""

    Reply: ClassVar = HandwritingReply

    def reply(self, prediction: HandwritingPrediction, sample: Sample, parts: Any) -> HandwritingReply:
        """The points and the drawing."""
        return {
            "text": prediction.text,
            "strokes": [[round(x, PLACES), round(y, PLACES), up] for x, y, up in absolute(prediction.strokes).tolist()],
            "svg": Media(svg_of(prediction).encode(), SVG),
            "finished": prediction.finished,
        }
