"""Records of visual question answering.

Shapes: B images of C channels, H x W pixels, a grid of h x w = L places, T words of a question, K answers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
from torch import Tensor

from foveate.deferred import tv_tensors
from foveate.records.base import ClassTable, Preprocessing
from foveate.records.prediction import Prediction


@dataclass(frozen=True)
class QuestionPreprocessing(Preprocessing):
    """Transformation of an image into the network's input, and the number of words of a question that it reads.

    max_words: words that the network has weights for; later ones are not read.
    """

    max_words: int = 25

    @classmethod
    def of(cls, image: Preprocessing, max_words: int) -> QuestionPreprocessing:
        """The preprocessing of an image, for questions of up to `max_words` words."""
        fields = {f.name: getattr(image, f.name) for f in dataclasses.fields(Preprocessing)}
        return cls(**fields, max_words=max_words)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> QuestionPreprocessing:
        """The inverse of `to_json`."""
        return cls.of(Preprocessing.from_json(data), int(data["max_words"]))


class QuestionSample(TypedDict):
    """One image with a question about it."""

    image: tv_tensors.Image  # (C, H, W) uint8
    question: str
    answers: tuple[str, ...]  # one, or those of several people (ten in VQA)
    question_kind: NotRequired[str]  # the group in which it is scored, too
    asked: NotRequired[tv_tensors.Mask]  # (H, W) bool: the pixels that the question is about, where they are known
    name: str


class QuestionBatch(TypedDict):
    """Input of a model's `loss`."""

    image: NotRequired[Tensor]  # (I, C, H, W) float32, normalised ...
    features: NotRequired[Tensor]  # ... or what `model.encode` makes of them, (I, D, h, w)
    image_of: NotRequired[Tensor]  # (B,) int64, the image that each question is about; without: I = B, its own
    tokens: Tensor  # (B, T) int64, <pad> after the last word of shorter questions
    label: Tensor  # (B,) int64, an index of the answers
    names: list[str]


class QuestionOutput(NamedTuple):
    """Output of a model's `forward`.

    A place's score in the first hop is the largest of its correlations with the words.
    """

    logits: Tensor  # (B, K)
    attention: Tensor | None = None  # (B, hops, h, w), which sums to 1 over the grid; None of a model without
    correlation: Tensor | None = None  # (B, T, h, w): word by place; 0 for padding
    winner: Tensor | None = None  # (B, h, w) int64: the word with the largest correlation; -1 where padding has


@dataclass
class QuestionPrediction(Prediction):
    """The answer to a question about an image.

    probabilities: (K,) float32, which sum to 1. answers: their names.
    question: as it was asked. words: those that were read; unread: those that were not, since training did not have
        them or the question is too long.
    attention: (hops, h, w) float32; winner: (h, w) int64, the index in `words` of the word that decided a place's
        attention in the first hop, -1 for padding. None of a model without attention.
    least: the probability below which the answer is "don't know".
    """

    probabilities: np.ndarray
    answers: ClassTable
    question: str
    words: tuple[str, ...]
    unread: tuple[str, ...] = ()
    attention: np.ndarray | None = None
    winner: np.ndarray | None = None
    least: float = 0.0
    name: str = ""

    @property
    def best(self) -> int:
        """The index of the most likely answer."""
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """The probability of the most likely answer."""
        return float(self.probabilities[self.best])

    @property
    def sure(self) -> bool:
        """False if no answer is likely enough."""
        return self.probability >= self.least

    @property
    def text(self) -> str:
        """The most likely answer, or "don't know"."""
        return self.answers.names[self.best] if self.sure else DONT_KNOW

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The `count` likeliest answers and their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.answers.names[i], float(self.probabilities[i])) for i in order]

    def word_weights(self) -> list[float]:
        """Each word's share of the first hop's attention: the sum over the places that it decided."""
        if self.attention is None or self.winner is None:
            return []
        return [float(self.attention[0][self.winner == i].sum()) for i in range(len(self.words))]


DONT_KNOW = "don't know"


class QuestionDataset(Protocol):
    """Questions about images, in a fixed order.

    A set that draws fresh samples each epoch also has `draw(keys)`: (epoch, index) pairs -> a list of samples, each a
    function of its key alone. Indexing then gives one fixed drawing.
    """

    channels: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> QuestionSample: ...

    def name(self, index: int) -> str:
        """The image's name, without decoding it."""
        ...

    def question(self, index: int) -> str:
        """A question, without decoding its image."""
        ...

    def answers(self, index: int) -> tuple[str, ...]:
        """Its answers, without decoding its image."""
        ...

    def question_kind(self, index: int) -> str:
        """Its kind, '' for none, without decoding its image."""
        ...
