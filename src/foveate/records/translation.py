"""Records of translation.

Shapes: B pairs of sentences, S source tokens and T target tokens, the end of each among them; V target tokens in the
table; m source words and n target words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
from torch import Tensor

from foveate.records.prediction import Prediction


@dataclass(frozen=True)
class TranslationPreprocessing:
    """Facts on the training text that a model keeps, beside its tables.

    source, target: the languages; '' for unknown. longest: characters of the longest source sentence; 0 for unknown.
    """

    source: str = ""
    target: str = ""
    longest: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TranslationPreprocessing:
        """Rebuild it from the output of `to_json`."""
        return cls(str(data["source"]), str(data["target"]), int(data["longest"]))


class TranslationSample(TypedDict):
    """A sentence and its translation."""

    sentence: str
    reference: NotRequired[str]  # its translation; none in prediction
    name: str


class TranslationBatch(TypedDict):
    """Input of a translation model's `loss`; <end> closes each sentence, and <pad> fills up shorter ones."""

    source_tokens: Tensor  # (B, S) int64
    target_tokens: Tensor  # (B, T) int64
    names: list[str]


class TranslationOutput(NamedTuple):
    """Output of a translation model's `forward`, each target token given the true ones before it."""

    logits: Tensor  # (B, T, V)
    attention: Tensor | None = None  # (B, T, S), which sums to 1 over the source; None of a model without


@dataclass
class Translation:
    """One translation of a sentence.

    text: the translation. score: by which the search ranked it. words: as `text` is divided at blanks; probabilities:
    (n,) of each. attention: (n, m) float32, that of each target word to each source word, the source's end last; None
    of a model without. copied: the words among `words` that were copied from the source, by index.
    """

    text: str
    score: float
    words: tuple[str, ...]
    probabilities: np.ndarray
    attention: np.ndarray | None = None
    copied: tuple[int, ...] = ()


@dataclass
class TranslationPrediction(Prediction):
    """Translations of one sentence.

    sentence: as it was given. source_words: (m,), those that the columns of `attention` are for, the end last. note: a
    remark on the sentence as an input of the model, '' for none. drawn: True if the alignment is drawn as a file, too.
    """

    translations: tuple[Translation, ...]  # one or more, best first
    sentence: str
    source_words: tuple[str, ...]
    name: str = ""
    note: str = ""
    drawn: bool = False

    @property
    def text(self) -> str:
        """The best translation."""
        return self.translations[0].text


class TranslationDataset(Protocol):
    """Pairs of sentences, in a fixed order."""

    languages: tuple[str, str]  # of the source and of the target; '' for an unknown one

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> TranslationSample: ...

    def name(self, index: int) -> str:
        """The pair's name: its file and line."""
        ...
