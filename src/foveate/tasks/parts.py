"""The parts that a family's contract speaks of: runners, samples, counters, pages, and what is generated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

# A model: the module itself, or an exported file with the module's interface (`Task.open`).
Runner = nn.Module
# One sample: a dict whose keys are the family's (`foveate.records`), 'name' among them.
Sample = Mapping[str, Any]
# Writes one file at the given path.
Writer = Callable[[Path], object]


class Metrics(Protocol):
    """Sums that scores are computed from; those of several processes can be added."""

    def state(self) -> Tensor:
        """All that was counted, as one tensor."""
        ...

    def merge(self, state: Tensor) -> None:
        """Add what another counter counted."""
        ...

    def compute(self) -> Any:
        """The scores: a number, nan for none, in an attribute for each name in the family's `headline`; and `to_json`.

        Raises DataError if nothing was counted.
        """
        ...


class Gallery(Protocol):
    """A page of all predictions of one call."""

    def add(self, name: str, prediction: Any, sample: Sample) -> None:
        """Take in one prediction."""
        ...

    def write(self, folder: Path) -> None:
        """Write the page into the folder of the call; nothing if no prediction came."""
        ...


@dataclass(frozen=True)
class Count:
    """A number of a data set that fixes a field of a model's Config: `Count("channels")` is the set's `channels`."""

    attribute: str


@dataclass(frozen=True)
class Generated:
    """The outcome of `Task.generate`.

    predictions: one a sample, as `answer` gives them. files: key in predictions.json -> (name, what writes it) of the
    files that are about all of them.
    """

    predictions: Sequence[Any]
    files: Mapping[str, tuple[str, Writer]] = dataclasses.field(default_factory=dict)


def device_of(runner: Runner) -> torch.device:
    """The device of a model; an exported file has no parameters and takes tensors on the CPU."""
    return next((parameter.device for parameter in runner.parameters()), torch.device("cpu"))
