"""Records of semantic segmentation.

Shapes: B images of C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from torch import Tensor
from torchvision import tv_tensors

from foveate.records.base import ClassTable


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
class SemanticPrediction:
    """A predicted label map."""

    mask: np.ndarray  # (H, W) uint8 (uint16 above 256 classes): class indices, at the image's own size
    classes: ClassTable
    name: str = ""
    _shares: dict[str, float] | None = field(default=None, repr=False, compare=False)

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
