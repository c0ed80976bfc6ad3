"""Records of image classification.

Shapes: B images of C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
from torch import Tensor

from foveate.deferred import tv_tensors
from foveate.records.base import ClassTable, TransformerOutput, TransformView
from foveate.records.prediction import Prediction


class ClassificationSample(TypedDict):
    """One image of one class."""

    image: tv_tensors.Image  # (C, H, W), as of a SemanticSample
    label: int  # a class index
    name: str
    centre: NotRequired[tuple[float, float]]  # x, y of the object in pixels of the image, where the data knows it


class ClassificationBatch(TypedDict):
    """Input of a classifier's `loss`."""

    image: Tensor  # (B, C, H, W) float32, normalised
    label: Tensor  # (B,) int64
    names: list[str]
    class_weights: NotRequired[Tensor]  # (K,) float32


class ClassificationOutput(NamedTuple):
    """Output of a classifier's `forward`."""

    logits: Tensor  # (B, K)
    transforms: tuple[TransformerOutput, ...] = ()  # of its spatial transformers, in reading order


@dataclass
class ClassificationPrediction(Prediction):
    """Class probabilities of an image."""

    probabilities: np.ndarray  # (K,) float32, which sum to 1
    classes: ClassTable
    seen: np.ndarray  # (H, W, C) uint8: the image as the network got it, before normalisation
    transforms: tuple[TransformView, ...] = ()  # of the model's spatial transformers
    name: str = ""
    motion: tuple[ClassificationPrediction, ...] = ()  # the same of the image in motion, a frame each, if asked for

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The `count` likeliest classes and their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes.names[i], float(self.probabilities[i])) for i in order]


class ClassificationDataset(Protocol):
    """Images of one class each, in a fixed order.

    A set that draws fresh samples each epoch also has `draw(keys)`: (epoch, index) pairs -> a list of samples, each a
    function of its key alone. Indexing then gives one fixed drawing.
    """

    classes: ClassTable
    channels: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ClassificationSample: ...

    def name(self, index: int) -> str:
        """The image's name, without decoding it."""
        ...
