"""What a report is made of. Nothing here is computed: the report shows what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foveate.errors import DataError
from foveate.records import ClassificationPrediction, ClassTable, ColocalisationPrediction
from foveate.visualize.captions import Told
from foveate.visualize.report.family import FAMILIES, Family


@dataclass
class ExamplePicture:
    """A picture that was scored, with what should have been said and what was.

    image: (H, W[, C]) as overlays take it; truth, prediction: (H, W) labels; iou: mean IoU on this picture alone.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    iou: float | None = None


@dataclass
class ExampleGuess:
    """A picture that was classified: its name, its true class, what was said, how likely the truth was held."""

    name: str
    truth: str
    prediction: ClassificationPrediction
    share: float | None = None


@dataclass
class ExampleFind:
    """A picture in which common objects were looked for: its name, what was found, the mean IoU with what is there."""

    name: str
    prediction: ColocalisationPrediction
    iou: float | None = None


@dataclass
class Canonical:
    """A class's mean picture, as it comes and as the spatial transformer hands it on: (h, w, C) float in 0..1 each."""

    name: str
    before: np.ndarray
    after: np.ndarray


@dataclass
class Report:
    """A run, as its report tells it.

    family: which one, by its task's name.
    title, recipe, command: what the run is called, what was trained, and the line that does it again.
    data: one line on what it was trained on. splits: split -> pictures. scored_split: the one the scores are from;
        chosen_split: the one the epochs were judged by, whose scores the history holds.
    scores: as the family's scores give them (`to_json`), per_class {name: value} and images among them. What is missing
        or None is left out.
    classes: names and colours, where the family has classes. confusion: (K, K) pixels or pictures, rows the truth.
    facts: what else is told of the training, (name, words) each.
    history: one dict an epoch: epoch, train_loss, val_loss, the scores that the family logs, lr, seconds; any but the
        first may be missing.
    settings: the resolved recipe, nested. environment: versions, hardware, seed. minutes: what training took.
    examples: chosen already, best first; the upper half is shown as best, the rest as worst.
    canonical: a mean picture a class, where a classifier has a spatial transformer.
    notes: what a reader has to know before quoting the score. files: what -> where it lies.
    """

    title: str
    recipe: str
    command: str
    data: str
    scores: Mapping[str, Any]
    classes: ClassTable | None = None
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), int))
    facts: Sequence[tuple[str, str]] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    scored_split: str = "val"
    chosen_split: str = "val"
    history: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    minutes: float | None = None
    examples: Sequence[ExamplePicture] | Sequence[ExampleGuess] | Sequence[Told] | Sequence[ExampleFind] = ()
    canonical: Sequence[Canonical] = ()
    notes: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    family: str = "semantic"

    @property
    def words(self) -> Family:
        """What the family's report says."""
        return FAMILIES[self.family]

    def __post_init__(self) -> None:
        self.confusion = np.asarray(self.confusion)
        names = self.classes.names if self.classes else ()
        expected = (len(names), len(names))
        if self.confusion.shape != expected:
            raise DataError(
                f"a confusion matrix of shape {self.confusion.shape} does not fit {len(names)} classes; "
                f"give one of shape {expected}"
            )
        strange = [name for name in self.scores.get("per_class", {}) if name not in names]
        if strange:
            raise DataError(f"a score of '{strange[0]}', which is not in the class table; give the run's own table")

    def score(self, key: str) -> float | None:
        """One score, or None where it is missing or not a number."""
        return number(self.scores.get(key))

    def by_class(self, key: str) -> dict[str, float | None]:
        """Class name -> score for every class of the table, in its order; nothing of a family without classes."""
        given = self.scores.get(key) or {}
        return {name: number(given.get(name)) for name in self.classes.names} if self.classes else {}


def number(value: Any) -> float | None:
    """A finite float, or None: CSV logs leave gaps, and JSON has no nan."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if np.isfinite(result) else None
