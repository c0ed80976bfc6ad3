"""Replies of speech over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

from foveate.records import SpeechPrediction
from foveate.tasks.base import Sample
from foveate.tasks.replies import Replies


class SpokenWord(TypedDict):
    """A word of a transcript. start, end: seconds, from where the model's attention was. probability: 0..1."""

    word: str
    start: float
    end: float
    probability: float


class SpeechEntry(TypedDict):
    """A transcript. score: by which the search ranked it."""

    text: str
    score: float
    words: list[SpokenWord]


class SpeechReply(TypedDict):
    """Transcripts of a recording.

    sentences: the best first.
    duration: of the recording, in seconds.
    cuts: seconds at which a long recording was cut.
    """

    sentences: list[SpeechEntry]
    duration: float
    cuts: list[float]


class SpeechReplies(Replies):
    """The part of the family that answers over HTTP."""

    Reply: ClassVar = SpeechReply

    def reply(self, prediction: SpeechPrediction, sample: Sample, parts: Any) -> SpeechReply:
        """The transcripts with the times of their words."""
        entries: list[SpeechEntry] = []
        for one in prediction.transcripts:
            words: list[SpokenWord] = [
                {
                    "word": word,
                    "start": round(float(a), 3),
                    "end": round(float(b), 3),
                    "probability": round(float(p), 6),
                }
                for word, (a, b), p in zip(one.words, one.times, one.probabilities, strict=True)
            ]
            entries.append({"text": one.text, "score": round(one.score, 6), "words": words})
        return {
            "sentences": entries,
            "duration": round(prediction.seconds, 3),
            "cuts": [round(cut, 3) for cut in prediction.cuts],
        }

    def hugging_face(self, prediction: SpeechPrediction, parts: Any) -> dict[str, Any]:
        """Automatic speech recognition: the best transcript."""
        return {"text": prediction.text}
