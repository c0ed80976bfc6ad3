"""Folds of a labelled folder for cross-validation: each part of the images is the validation set of one training.

What the folder calls train and val is pooled and dealt into K parts, by a draw from the images' names, so that a part
does not change when the folder moves. A test split stays apart. Images of class folders are dealt class by class.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from foveate.datasets import recognise
from foveate.datasets.checks import SMALL_VAL
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import ScannedSource
from foveate.datasets.names import distinct_names
from foveate.datasets.splits import draw_share
from foveate.errors import ConfigError, DataError, counted
from foveate.records import DataSource, Problem
from foveate.registry import dataset

POOLED = ("train", "val")
FAMILIES = ("semantic", "instances", "classification")


class _Families:
    """The families of `Folds`: of a folder those that its format serves, too."""

    def __get__(self, folds: Folds | None, cls: type) -> tuple[str, ...]:
        return FAMILIES if folds is None else tuple(name for name in folds.source.tasks if name in FAMILIES)


@dataset("folds")
@dataclass(frozen=True)
class Folds(DataSource):
    """Cross-validation: one of K divisions of a labelled folder, in which part `fold` is val, and the others train.

    path: the folder, in any recognised format of files.
    folds: number of parts K, 2 or more; 5 and 10 are usual.
    fold: the part that is validated on, 0 to K - 1.
    seed: of the draw that deals images to parts; any integer.
    family: the family that the folder is read for; '' for the first that its format serves.
    """

    path: str
    folds: int = 5
    fold: int = 0
    seed: int = 0
    family: str = ""
    tasks: ClassVar[Any] = _Families()

    def __post_init__(self) -> None:
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ConfigError(f"fold {self.fold} of {self.folds}; expected 2 folds or more, and one of 0 to folds - 1")

    @cached_property
    def source(self) -> ScannedSource[Any]:
        """The folder's own source, divided into folds. Raises DataError, ConfigError."""
        inner = recognise(self.path, self.family)
        if not isinstance(inner, ScannedSource) or not set(inner.tasks) & set(FAMILIES):
            raise ConfigError(
                f"{self.path}: data for {' and '.join(inner.tasks)}; --folds is for folders of {', '.join(FAMILIES)}"
            )
        scan = inner.scan
        pairs = [pair for split in POOLED for pair in scan.pairs.get(split, ())]
        if len(pairs) < self.folds:
            raise DataError(f"{self.path}: {counted(len(pairs), 'sample')} for {self.folds} folds; give fewer folds")
        parts = self._deal(pairs, inner)
        divided: dict[str, list[Any]] = {
            "train": [pair for k, part in enumerate(parts) if k != self.fold for pair in part],
            "val": list(parts[self.fold]),
        }
        rest = {split: list(found) for split, found in scan.pairs.items() if split not in POOLED}
        drawn = Drawn(f"fold {self.fold + 1} of {self.folds} by seed {self.seed}")
        whole = copy.copy(inner)
        whole.__dict__["scan"] = dataclasses.replace(scan, pairs=divided | rest, drawn=drawn)
        return whole

    def _deal(self, pairs: list[Any], inner: ScannedSource[Any]) -> list[list[Any]]:
        """The parts; sizes differ by one at most, and so do those of each class of a folder of classes."""
        names = distinct_names([pair.picture for pair in pairs], Path(self.path))
        groups: Mapping[Any, list[int]] = defaultdict(list)
        for index, pair in enumerate(pairs):
            groups[pair.label if isinstance(pair.label, int) else None].append(index)
        parts: list[list[Any]] = [[] for _ in range(self.folds)]
        turn = 0
        for group in groups.values():
            for index in sorted(group, key=lambda i: draw_share(names[i], self.seed)):
                parts[turn % self.folds].append(pairs[index])
                turn += 1
        return parts

    def serve(self, task: str) -> str:
        """See `DataSource.serve`: the families are those of the folder's format."""
        return self.source.serve(task)

    def splits(self) -> tuple[str, ...]:
        """train and val, and the folder's test split."""
        return self.source.splits()

    def open(self, split: str, task: str = "") -> Any:
        """One split of this fold."""
        return self.source.open(split, task)

    def readable(self, split: str, task: str = "") -> Any:
        """One split of this fold, of the files that can be used."""
        return self.source.readable(split, task)

    def describe(self, task: str = "") -> str:
        """The recognised format with the sizes of this fold."""
        return self.source.describe(task)

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return self.source.problems(task)

    def notes(self, task: str = "") -> list[str]:
        """The folder's notes, but for that on a small val: the folds together validate on every sample."""
        return [note for note in self.source.notes(task) if not note.startswith(SMALL_VAL)]
