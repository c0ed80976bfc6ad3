"""Replies of translation over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar, NotRequired, TypedDict

from foveate.records import TranslationPrediction
from foveate.tasks.base import Sample
from foveate.tasks.replies import Replies


class TranslationEntry(TypedDict):
    """A translation.

    score: by which the search ranked it. probabilities: of each word. alignment: of each word, its weight on each of
    the source's words; none of a model without attention.
    """

    text: str
    score: float
    words: list[str]
    probabilities: list[float]
    alignment: NotRequired[list[list[float]]]


class TranslationReply(TypedDict):
    """Translations of a sentence.

    sentences: the best first.
    source_words: words that an alignment has columns for, the end of the sentence last.
    note: a remark on the sentence as an input of the model.
    """

    sentences: list[TranslationEntry]
    source_words: list[str]
    note: NotRequired[str]


class TranslationReplies(Replies):
    """The part of the family that answers over HTTP."""

    Reply: ClassVar = TranslationReply

    def reply(self, prediction: TranslationPrediction, sample: Sample, parts: Any) -> TranslationReply:
        """The translations with their words and alignments."""
        entries: list[TranslationEntry] = []
        for one in prediction.translations:
            entry: TranslationEntry = {
                "text": one.text,
                "score": round(one.score, 6),
                "words": list(one.words),
                "probabilities": [round(float(p), 6) for p in one.probabilities],
            }
            if one.attention is not None:
                entry["alignment"] = [[round(float(a), 4) for a in row] for row in one.attention]
            entries.append(entry)
        found: TranslationReply = {"sentences": entries, "source_words": list(prediction.source_words)}
        if prediction.note:
            found["note"] = prediction.note
        return found

    def hugging_face(self, prediction: TranslationPrediction, parts: Any) -> list[dict[str, Any]]:
        """Translation: the best one."""
        return [{"translation_text": prediction.text}]
