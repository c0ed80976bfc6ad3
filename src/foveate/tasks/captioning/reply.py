"""Replies of captioning over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NotRequired, TypedDict

from foveate.records import CaptionPrediction
from foveate.tasks.base import Sample
from foveate.tasks.options import Options, option
from foveate.tasks.replies import PNG, Media, Replies, attention_png


@dataclass(frozen=True)
class CaptionParts(Options):
    """Parts of a reply: the attention of each word."""

    attention: bool = option(False, "also the attention of each word, a small grey PNG over the image")


class CaptionEntry(TypedDict):
    """A sentence, the best first.

    score: by which the search ranked it. probabilities: of each word. attention: of each word, a grey PNG a cell a
    pixel over the whole image, white for the largest weight.
    """

    text: str
    score: float
    words: list[str]
    probabilities: list[float]
    attention: NotRequired[list[Annotated[Media, PNG]]]


class CaptionReply(TypedDict):
    """Captions of an image.

    sentences: the best first.
    """

    sentences: list[CaptionEntry]


class CaptionReplies(Replies):
    """The part of the family that answers over HTTP."""

    Parts: ClassVar = CaptionParts
    Reply: ClassVar = CaptionReply

    def reply(self, prediction: CaptionPrediction, sample: Sample, parts: CaptionParts) -> CaptionReply:
        """The captions with their words."""
        entries: list[CaptionEntry] = []
        for one in prediction.sentences:
            entry: CaptionEntry = {
                "text": one.text,
                "score": round(one.score, 6),
                "words": list(one.words),
                "probabilities": [round(float(p), 6) for p in one.probabilities],
            }
            if parts.attention and one.attention is not None:
                entry["attention"] = [attention_png(weights) for weights in one.attention]
            entries.append(entry)
        return {"sentences": entries}

    def hugging_face(self, prediction: CaptionPrediction, parts: Any) -> list[dict[str, Any]]:
        """Image to text: the best caption."""
        return [{"generated_text": prediction.text}]
