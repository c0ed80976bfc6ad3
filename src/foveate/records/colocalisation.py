"""Records of co-localisation.

Shapes: B images of C channels, H x W pixels, T windows, N objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np
from torch import Tensor
from torchvision import tv_tensors

from foveate.records.base import TransformerOutput, TransformView


class ColocalisationSample(TypedDict):
    """One picture that holds objects of a kind that all pictures of its set hold, N of them."""

    image: tv_tensors.Image  # (C, H, W) uint8
    boxes: tv_tensors.BoundingBoxes  # (N, 4) float32, XYXY; for scoring alone
    labels: Tensor  # (N,) int64, which of the common kinds each is
    name: str


class ColocalisationBatch(TypedDict):
    """What a co-localiser's `loss` takes: pictures, and nothing else."""

    image: Tensor  # (B, C, H, W) float32, normalised
    names: list[str]


class ColocalisationOutput(NamedTuple):
    """What a co-localiser's `forward` returns."""

    transforms: tuple[TransformerOutput, ...]  # of its T transformers, on the picture


@dataclass
class ColocalisationPrediction:
    """Where the objects are that a picture has in common with others, as the model sees them."""

    boxes: np.ndarray  # (T, 4) float32, XYXY in pixels of the picture itself: a transformer's window each
    seen: np.ndarray  # (H, W, C) uint8: the picture as the network got it, before normalisation
    transforms: tuple[TransformView, ...]
    name: str = ""
