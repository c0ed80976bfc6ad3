"""Replies of video over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

from foveate.records import VideoPrediction
from foveate.tasks.base import Sample
from foveate.tasks.replies import Replies


class ClipSentence(TypedDict):
    """A sentence. score: by which the search ranked it. probabilities: of each word.

    alignment: of each word, its weight on each of the frames that were read.
    """

    text: str
    score: float
    words: list[str]
    probabilities: list[float]
    alignment: list[list[float]]


class VideoReply(TypedDict):
    """Captions of a clip.

    sentences: the best first.
    frames: numbers of the frames that were read, from 0.
    times: of these frames, in seconds; empty where they are not known.
    """

    sentences: list[ClipSentence]
    frames: list[int]
    times: list[float]


class VideoReplies(Replies):
    """The part of the family that answers over HTTP."""

    Reply: ClassVar = VideoReply

    def reply(self, prediction: VideoPrediction, sample: Sample, parts: Any) -> VideoReply:
        """The captions with their words, and the frames that were read."""
        entries: list[ClipSentence] = []
        for one in prediction.sentences:
            rows = [] if one.attention is None else one.attention.tolist()
            entries.append(
                {
                    "text": one.text,
                    "score": round(one.score, 6),
                    "words": list(one.words),
                    "probabilities": [round(float(p), 6) for p in one.probabilities],
                    "alignment": [[round(a, 4) for a in row] for row in rows],
                }
            )
        return {
            "sentences": entries,
            "frames": [int(number) for number in prediction.numbers],
            "times": [round(float(second), 3) for second in prediction.seconds],
        }

    def hugging_face(self, prediction: VideoPrediction, parts: Any) -> list[dict[str, Any]]:
        """The best caption, in the form of image to text."""
        return [{"generated_text": prediction.sentences[0].text}]
