"""Records of semantic segmentation.

Shapes: B images of C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from torch import Tensor

from foveate.deferred import tv_tensors
from foveate.records.base import ClassTable
from foveate.records.instances import InstancePrediction
from foveate.records.prediction import Prediction


class SemanticSample(TypedDict):
    """One labelled image, as a dataset gives it and transforms change it."""

    # (C, H, W): stored values (uint8, uint16, float32, ...); for a model (`Task.suit`) uint8, or float32 in 0..1.
    image: tv_tensors.Image
    mask: tv_tensors.Mask  # (H, W) uint8 (int32 where labels exceed 255): a class index or the ignore value
    name: str  # the image's file (or scene) name, for messages


class SemanticBatch(TypedDict):
    """Input of a semantic model's `loss`."""

    image: Tensor  # (B, C, H, W) float32, normalised
    mask: Tensor  # (B, H, W) int64: a class index or IGNORE
    names: list[str]
    class_weights: NotRequired[Tensor]  # (K,) float32


class SemanticOutput(NamedTuple):
    """Output of a semantic model's `forward`."""

    logits: Tensor  # (B, K, H, W), at the input's size
    steps: tuple[Tensor, ...] = ()  # the same after each iteration, where a model has several; the last is `logits`


@dataclass
class SemanticPrediction(Prediction):
    """A predicted label map; with the option `objects`, its objects, too."""

    mask: np.ndarray  # (H, W) uint8 (uint16 above 256 classes): class indices, at the image's own size
    classes: ClassTable
    name: str = ""
    objects: InstancePrediction | None = None
    known_confidence: np.ndarray | None = field(default=None, repr=False, compare=False)  # as `confidence` gives it
    _shares: dict[str, float] | None = field(default=None, repr=False, compare=False)
    _probabilities: np.ndarray | None = field(default=None, repr=False, compare=False)

    def probabilities(self) -> np.ndarray:
        """Class probabilities of each pixel, (K, H, W) float32, which sum to 1; the network is run once more for them.

        They are kept for later calls. Raises ModelError for a prediction without its model, ConfigError for one on
        superpixels or proposals, whose scores are no probabilities.
        """
        if self._probabilities is None:
            family, runner, sample, options = self._made()
            self._probabilities = family.probabilities(runner, sample, options)
        return self._probabilities

    def confidence(self) -> np.ndarray:
        """Probability of the class that each pixel was given, (H, W) float32; raises as `probabilities`."""
        if self.known_confidence is None:
            self.known_confidence = self.probabilities().max(axis=0)
        return self.known_confidence

    def class_confidence(self) -> dict[str, float]:
        """Class name -> mean confidence of the pixels that were given it, for the classes found; raises alike."""
        confidence, size = self.confidence().ravel(), len(self.classes)
        counts = np.bincount(self.mask.ravel(), minlength=size)
        sums = np.bincount(self.mask.ravel(), weights=confidence, minlength=size)
        found = zip(self.classes.names, sums, counts, strict=True)
        return {name: float(total / count) for name, total, count in found if count}

    def uncertainty(self) -> np.ndarray:
        """Entropy of each pixel's probabilities over that of K equal ones, (H, W) float32 in 0..1; raises alike."""
        p = self.probabilities()
        entropy = -(p * np.log(np.maximum(p, np.finfo(p.dtype).tiny))).sum(axis=0)
        return (entropy / np.log(max(len(p), 2))).clip(0, 1).astype(np.float32)

    def shares(self) -> dict[str, float]:
        """Class name -> share of the pixels, 0..1, for every class of the table; counted once."""
        if self._shares is None:
            counts = np.zeros(len(self.classes), np.int64)
            # A strip at a time: bincount takes eight bytes a pixel, too much for a large mask.
            for strip in np.array_split(self.mask.ravel(), -(-self.mask.size // 2**20) or 1):
                counts += np.bincount(strip, minlength=len(self.classes))
            total = max(self.mask.size, 1)
            self._shares = {name: float(n) / total for name, n in zip(self.classes.names, counts, strict=True)}
        return dict(self._shares)


@runtime_checkable
class SemanticDataset(Protocol):
    """Labelled images in a fixed order. Indexing decodes; nothing is cached here."""

    classes: ClassTable
    channels: int  # of every image: 3 unless the files say otherwise

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SemanticSample: ...

    def name(self, index: int) -> str:
        """The image's file name, without decoding it."""
        ...
