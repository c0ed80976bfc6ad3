"""Scores of handwriting: how probable real points are, how near they are to what was expected, and if writing ends.

nats_per_point   mean negative log-likelihood of a point, pen bit included, with offsets divided by their deviation
                 in training; lower is better, and below 0 where a density exceeds 1
nats_per_piece   the same, summed over a piece of handwriting
sse              mean squared distance of a point and the mean of its mixture, in the same units
stop_percent     percentage of texts whose writing the model ended by itself; taken for final scores alone
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


@dataclass(frozen=True)
class HandwritingScores:
    """Scores over a data set, defined in the module's docstring; nan for those that were not taken."""

    nats_per_point: float
    nats_per_piece: float
    sse: float
    stop_percent: float
    points: int
    pieces: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers for JSON; None in place of nan."""
        return {key: number_or_none(value) for key, value in dataclasses.asdict(self).items()}


class HandwritingMetrics:
    """Sums over points and pieces. whole: also let texts be written, the first `written` of a set."""

    def __init__(self, whole: bool = True, written: int = 0) -> None:
        self.whole, self.written = whole, written
        self.sums = torch.zeros(6, dtype=torch.float64)  # nats, squares, points, pieces; texts that ended, texts

    def add(self, nats: Tensor, squared: Tensor) -> None:
        """Add the points of one piece, (T - 1,) each."""
        values = [float(nats.double().sum()), float(squared.double().sum()), nats.numel(), 1, 0, 0]
        self.sums += torch.tensor(values, dtype=torch.float64)

    def add_written(self, finished: int, texts: int) -> None:
        """Add texts that were written."""
        self.sums[4:] += torch.tensor([finished, texts], dtype=torch.float64)

    @property
    def left(self) -> int:
        """Texts that are still to be written."""
        return self.written - int(self.sums[5]) if self.whole else 0

    def state(self) -> Tensor:
        """All sums as one flat float64 tensor; those of several processes may be added for `merge`."""
        return flatten([self.sums.numpy()])

    def merge(self, state: Tensor) -> None:
        """Add the sums of another counter. Raises ConfigError if the state's length differs."""
        add([self.sums.numpy()], state, same="kind")

    def compute(self) -> HandwritingScores:
        """The scores. Raises DataError if no point was counted."""
        nats, squares, points, pieces, ended, texts = self.sums.tolist()
        if not points:
            raise DataError("no handwriting was scored; give at least one piece of two points")
        stops = 100 * ended / texts if texts else math.nan
        return HandwritingScores(nats / points, nats / pieces, squares / points, stops, int(points), int(pieces))
