"""Scores of models that draw images: bounds on the negative log-likelihood, in nats an image.

    bound                reconstruction + KL, the variational bound, by which epochs are ranked; lower is better
    nats                 the same, where it bounds a log-likelihood: for binary pixels, sampled from intensities with a
                         fixed seed, and for discrete ones; nan where intensities were taken as probabilities
    nats_static          the same for binary pixels as a training with static binarisation samples them
    nats_iw50            the importance-weighted bound with 50 samples, tighter than `nats` in expectation
    bits_per_dimension   nats / (C H W ln 2), of discrete pixels

The last three are taken for a model's final scores alone; `nats_iw50` over the first images, whose number is
`iw_images`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foveate.errors import DataError
from foveate.metrics.plain import number_or_none
from foveate.metrics.sums import add, flatten
from foveate.records import PixelKind

# Sums, each with the number of images that it is over.
SUMS = ("reconstruction", "kl", "static", "weighted")


@dataclass(frozen=True)
class DrawingScores:
    """Scores over a data set, defined in the module's docstring; nan for those that were not taken."""

    bound: float
    reconstruction: float
    kl: float
    nats: float
    nats_static: float
    nats_iw50: float
    bits_per_dimension: float
    iw_images: int
    images: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers for JSON; None in place of nan."""
        return {key: number_or_none(value) for key, value in dataclasses.asdict(self).items()}


class DrawingMetrics:
    """Sums over images.

    pixels: their distribution. dimensions: C H W, the number of values of an image.
    whole: take the scores that cost more than one pass.
    weighted: the number of images that `nats_iw50` is over.
    """

    def __init__(self, pixels: PixelKind, dimensions: int, whole: bool = True, weighted: int = 0) -> None:
        self.pixels, self.dimensions, self.whole, self.weighted = pixels, dimensions, whole, weighted
        self.sums = torch.zeros(len(SUMS), 2, dtype=torch.float64)

    def add(self, name: str, values: Tensor) -> None:
        """Add the values of some images to a sum of SUMS."""
        row = self.sums[SUMS.index(name)]
        row += torch.tensor([float(values.double().sum()), values.numel()], dtype=torch.float64)

    def seen(self, name: str) -> int:
        """The number of images in a sum."""
        return int(self.sums[SUMS.index(name), 1])

    def state(self) -> Tensor:
        """All sums as one flat float64 tensor; those of several processes may be added for `merge`."""
        return flatten([self.sums.numpy()])

    def merge(self, state: Tensor) -> None:
        """Add the sums of another counter. Raises ConfigError if the state's length differs."""
        add([self.sums.numpy()], state, same="kind")

    def compute(self) -> DrawingScores:
        """The scores. Raises DataError if no image was counted."""
        if not self.seen("reconstruction"):
            raise DataError("no image was scored; give at least one")
        reconstruction, divergence, static, weighted = (
            float(total / count) if count else math.nan for total, count in self.sums
        )
        bound = reconstruction + divergence
        nats = math.nan if self.pixels == "intensity" else bound
        return DrawingScores(
            bound,
            reconstruction,
            divergence,
            nats,
            static,
            weighted,
            nats / (self.dimensions * math.log(2)) if self.pixels == "discrete" else math.nan,
            self.seen("weighted"),
            self.seen("reconstruction"),
        )
