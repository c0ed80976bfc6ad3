"""Records of co-localisation.

Shapes: B images of C channels, H x W pixels, T windows, N objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np
from torch import Tensor

from foveate.deferred import tv_tensors
from foveate.records.base import TransformerOutput, TransformView
from foveate.records.prediction import Prediction


class ColocalisationSample(TypedDict):
    """One image that holds objects of a kind that all images of its set hold, N of them."""

    image: tv_tensors.Image  # (C, H, W) uint8
    boxes: tv_tensors.BoundingBoxes  # (N, 4) float32, XYXY; for scoring alone
    labels: Tensor  # (N,) int64, which of the common kinds each is
    name: str


class ColocalisationBatch(TypedDict):
    """Input of a co-localiser's `loss`: images, and nothing else."""

    image: Tensor  # (B, C, H, W) float32, normalised
    names: list[str]


class ColocalisationOutput(NamedTuple):
    """Output of a co-localiser's `forward`."""

    transforms: tuple[TransformerOutput, ...]  # of its T transformers, on the image


@dataclass
class ColocalisationPrediction(Prediction):
    """Predicted windows on the objects that an image has in common with others."""

    boxes: np.ndarray  # (T, 4) float32, XYXY in pixels of the image itself: a transformer's window each
    seen: np.ndarray  # (H, W, C) uint8: the image as the network got it, before normalisation
    transforms: tuple[TransformView, ...]
    name: str = ""
