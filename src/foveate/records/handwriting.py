"""Records of handwriting: pen movements, and the texts that they write.

Shapes: B samples; T points, each of dx, dy and 1 where the pen is lifted after it; texts of U characters; M components
of the mixture of the next point; K Gaussians of the window over the text.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
from torch import Tensor

from foveate.records.prediction import Prediction


class HandwritingSample(TypedDict):
    """One piece of handwriting, in the units of its file, y downwards."""

    strokes: Tensor  # (T, 3) float32: dx, dy from the point before, and 1 where the pen is lifted after the point
    transcript: str  # what is written, '' if it is not known
    name: str


class HandwritingBatch(TypedDict):
    """Input of a handwriting model's `loss`. What lies beyond a length is padding."""

    strokes: Tensor  # (B, T, 3) float32, offsets normalised; the first point is where the pen begins
    stroke_lengths: Tensor  # (B,) int64: T of each
    transcript: Tensor  # (B, U) int64: characters
    transcript_lengths: Tensor  # (B,) int64: U of each
    names: list[str]


class HandwritingState(NamedTuple):
    """State of a handwriting model between two points."""

    hidden: Tensor  # (B, layers, units)
    cell: Tensor  # (B, layers, units)
    read: Tensor  # (B, A): what the window read of the text
    kappa: Tensor  # (B, K): the window's centres


class HandwritingOutput(NamedTuple):
    """Output of a handwriting model's `forward`."""

    mixture: Tensor  # (B, T, 6 M + 1): parameters of the next point's distribution (`ops.mixture`)
    window: Tensor  # (B, T, U + 1): weights of the characters, and of the place after them; no text: (B, T, 0)
    kappa: Tensor  # (B, T, K)
    state: HandwritingState  # after the last point


@dataclass(frozen=True)
class HandwritingPreprocessing:
    """Transformation of strokes into a model's input: thinned, then (offset - mean) / std.

    keep: every keep-th point of a stroke is kept, and its ends. mean, std: of offsets x and y of the training set.
    grid: spacing of the recorded offsets, over which they are spread evenly, since the density of repeated values has
        no bound; 0 for offsets on no grid.
    pace: mean number of points of a character in training, from which the longest time to write a text follows.
    longest: characters of the longest text in training; longer ones are written in parts.
    """

    keep: int = 1
    mean: tuple[float, float] = (0.0, 0.0)
    std: tuple[float, float] = (1.0, 1.0)
    grid: tuple[float, float] = (0.0, 0.0)
    pace: float = 25.0
    longest: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> HandwritingPreprocessing:
        """The inverse of `to_json`."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


@dataclass
class HandwritingPrediction(Prediction):
    """A piece of handwriting, written by a model or scored by it.

    strokes: (T, 3) as of a sample. text: what it says, '' if that was not asked for.
    window: (T, U + 1) weights of the characters as each point was written, and of the place after the last one; None
        for a network without a text. finished: the model stopped by itself.
    nats, squared: (T - 1,) negative log-likelihood of each point after the first in nats, with offsets divided by their
        deviation in training, and squared distance of the mixture's mean in the same units; None if it was generated.
    """

    strokes: np.ndarray
    text: str = ""
    window: np.ndarray | None = None
    finished: bool = True
    nats: np.ndarray | None = None
    squared: np.ndarray | None = None
    name: str = ""
