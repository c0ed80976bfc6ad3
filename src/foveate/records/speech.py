"""Records of speech: recordings, and the texts that a model writes of them.

Shapes: B recordings of T samples (or frames of D features); L tokens of V, U cells of the listener, W words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor

from foveate.records.prediction import Prediction


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording in memory.

    values: (T,) float32 in -1..1; or (T, D), the features of T frames.
    rate: samples a second, or frames a second.
    notes: sentences on how it was read: mixed to one channel, clipped, and so on.
    """

    values: Tensor
    rate: float
    notes: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sound):
            return NotImplemented
        same = (self.rate, self.notes) == (other.rate, other.notes)
        return same and torch.equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]

    @property
    def seconds(self) -> float:
        """The duration."""
        return len(self.values) / self.rate

    @property
    def is_features(self) -> bool:
        """True for frames of features."""
        return self.values.ndim == 2

    @property
    def nbytes(self) -> int:
        """The bytes in memory."""
        return self.values.nbytes


@dataclass(frozen=True)
class SoundFormat:
    """Sound as a model takes it: its preprocessing.

    rate: samples a second, or frames a second of features. features: D; 0 for a waveform.
    shortest: samples or frames that a recording has at least.
    """

    rate: float = 16000
    features: int = 0
    shortest: int = 1

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SoundFormat:
        """The inverse of `to_json`."""
        return cls(float(data["rate"]), int(data["features"]), int(data.get("shortest", 1)))


class SpeechSample(TypedDict):
    """One recording with its transcript."""

    audio: Sound
    transcript: str
    speaker: NotRequired[str]
    spans: NotRequired[tuple[tuple[float, float], ...]]  # seconds from and to of each word, where it is known
    name: str


class SpeechBatch(TypedDict):
    """Input of a speech model's `loss`. L tokens in the longest transcript of the batch, <end> among them."""

    audio: Tensor  # (B, T) float32, or (B, T, D); zeros after the end of shorter ones
    audio_lengths: Tensor  # (B,) int64, samples or frames
    tokens: Tensor  # (B, L) int64, <pad> after the <end> of shorter ones
    names: list[str]


class SpeechOutput(NamedTuple):
    """Output of a speech model's `forward`, each token given the true ones before it."""

    logits: Tensor  # (B, L, V)
    attention: Tensor  # (B, L, U), which sums to 1 over the cells of the recording


@dataclass
class Transcript:
    """One written text.

    score: by which the search ranked it, the mean log-probability of its tokens as a rule.
    words: as `text` is divided for the eye; probabilities: (W,) of each; times: (W, 2), the seconds from and to that
    the attention of each lies in. tokens: as they were written. attention: (tokens, C) float32, of each token over the
    cells of its part of the recording, from the cell `first_cells` (tokens,) on; C are those of the longest part.
    """

    text: str
    score: float
    words: tuple[str, ...]
    probabilities: np.ndarray
    times: np.ndarray
    tokens: tuple[str, ...]
    attention: np.ndarray
    first_cells: np.ndarray

    def attention_until(self, cells: int, tokens: Sequence[int]) -> np.ndarray:
        """The attention of some tokens (their positions) over the first cells of the recording, (tokens, cells)."""
        found = np.zeros((len(tokens), cells), np.float32)
        for row, token in zip(found, tokens, strict=True):
            own = row[self.first_cells[token] : self.first_cells[token] + self.attention.shape[1]]
            own[:] = self.attention[token, : len(own)]
        return found


@dataclass
class SpeechPrediction(Prediction):
    """Texts that a model wrote of a recording.

    transcripts: one or more, best first. seconds: the duration. centres: (U,) seconds, the middle of each cell that
    attention weighs. cuts: seconds at which a long recording was cut, () for none; its parts were read one by one.
    """

    transcripts: tuple[Transcript, ...]
    seconds: float
    centres: np.ndarray
    cuts: tuple[float, ...] = ()
    name: str = ""

    @property
    def text(self) -> str:
        """The best text."""
        return self.transcripts[0].text


class SpeechDataset(Protocol):
    """Recordings with transcripts, in a fixed order.

    rate: of every recording, samples a second, or frames a second of features. features: D, 0 for waveforms.
    """

    rate: float
    features: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SpeechSample: ...

    def name(self, index: int) -> str:
        """The recording's name, without reading it."""
        ...

    def transcript(self, index: int) -> str:
        """The text of a recording, without reading it."""
        ...
