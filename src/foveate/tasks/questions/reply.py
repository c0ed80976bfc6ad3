"""Replies of questions about pictures over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NotRequired, TypedDict

from foveate.errors import ConfigError
from foveate.records import QuestionPrediction
from foveate.tasks.base import Sample
from foveate.tasks.options import Options, option
from foveate.tasks.replies import PNG, Media, Replies, attention_png


@dataclass(frozen=True)
class QuestionParts(Options):
    """Parts of a reply. top: the number of answers. attention: also the maps of the model's hops."""

    top: int = option(5, "number of answers, the likeliest first", "N")
    attention: bool = option(False, "also the attention of each hop, a small grey PNG over the image")

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ConfigError(f"top is {self.top}; give 1 or more")


class AnswerEntry(TypedDict):
    """An answer. probability: 0..1."""

    text: str
    probability: float


class QuestionReply(TypedDict):
    """Answers to a question about an image.

    answer: the likeliest one, or "don't know" below the option `least`.
    answers: the likeliest first.
    words: words of the question that were read.
    unread: words that were not, as training did not have them or the question is too long.
    attention: of each hop, a grey PNG, a cell a pixel over the whole image.
    """

    answer: str
    answers: list[AnswerEntry]
    words: list[str]
    unread: list[str]
    attention: NotRequired[list[Annotated[Media, PNG]]]


class QuestionReplies(Replies):
    """The part of the family that answers over HTTP."""

    Parts: ClassVar = QuestionParts
    Reply: ClassVar = QuestionReply

    def reply(self, prediction: QuestionPrediction, sample: Sample, parts: QuestionParts) -> QuestionReply:
        """The likeliest answers, and the words that were not read."""
        found: QuestionReply = {
            "answer": prediction.text,
            "answers": [{"text": name, "probability": round(p, 6)} for name, p in prediction.top(parts.top)],
            "words": list(prediction.words),
            "unread": list(prediction.unread),
        }
        if parts.attention and prediction.attention is not None:
            found["attention"] = [attention_png(weights) for weights in prediction.attention]
        return found

    def hugging_face(self, prediction: QuestionPrediction, parts: QuestionParts) -> list[dict[str, Any]]:
        """Visual question answering."""
        return [{"answer": name, "score": p} for name, p in prediction.top(parts.top)]
