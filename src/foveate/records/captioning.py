"""Records of captioning.

Shapes: B images of C channels, H x W pixels, a grid of h x w places, L tokens of V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
from torch import Tensor

from foveate.deferred import tv_tensors
from foveate.records.prediction import Prediction


@dataclass(frozen=True)
class Caption:
    """A sentence about an image.

    objects: where it is known, what each word of `text.split()` is about: indices into the sample's masks, () for words
        that name nothing.
    """

    text: str
    objects: tuple[tuple[int, ...], ...] = ()


class CaptionSample(TypedDict):
    """One image with its captions."""

    image: tv_tensors.Image  # (C, H, W) uint8
    captions: tuple[Caption, ...]  # one or more
    masks: NotRequired[tv_tensors.Mask]  # (N, H, W) bool: where each thing that can be named is seen
    named: NotRequired[dict[str, tuple[int, ...]]]  # word, in lower case -> the masks that it may be about
    name: str


class CaptionBatch(TypedDict):
    """Input of a captioning model's `loss`. L tokens in the longest caption of the batch, <end> among them."""

    image: NotRequired[Tensor]  # (B, C, H, W) float32, normalised ...
    features: NotRequired[Tensor]  # ... or what `model.encode` makes of it, (B, D, h, w)
    tokens: Tensor  # (B, L) int64, <pad> after the <end> of shorter ones
    names: list[str]


class CaptionOutput(NamedTuple):
    """Output of a captioning model's `forward`, each word given the true ones before it."""

    logits: Tensor  # (B, L, V)
    attention: Tensor | None = None  # (B, L, h, w), which sums to 1 over the grid; None of a model without


@dataclass
class Sentence:
    """One generated caption, of an image or a clip.

    score: the mean log-probability of its tokens, <end> included, as the search ranked it.
    words: as `text` is divided for the eye; probabilities: (T,) of each.
    attention: (T, h, w) float32, which sums to 1 for each word; (T, K) over the frames of a clip; None of a model
        without.
    """

    text: str
    score: float
    words: tuple[str, ...]
    probabilities: np.ndarray
    attention: np.ndarray | None = None


@dataclass
class CaptionPrediction(Prediction):
    """Generated captions of an image."""

    sentences: tuple[Sentence, ...]  # one or more, best first
    name: str = ""
    hard: bool = False  # True if the attention of a word is one place, drawn or the likeliest

    @property
    def text(self) -> str:
        """The best sentence."""
        return self.sentences[0].text


class CaptionDataset(Protocol):
    """Images with captions, in a fixed order."""

    channels: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> CaptionSample: ...

    def name(self, index: int) -> str:
        """The image's name, without decoding it."""
        ...

    def captions(self, index: int) -> tuple[Caption, ...]:
        """Captions of an image, without decoding it."""
        ...
