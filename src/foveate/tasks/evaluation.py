"""The outcome of an evaluation, and the examples that a report chooses from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from foveate.store import LoadedModel
    from foveate.tasks.base import Task

NUM_EXAMPLES = 6  # best samples, and as many worst
# Entries of `Evaluation.to_json` beside the scores.
FACTS = frozenset({"samples", "seconds", "split", "data", "model", "inference"})


@dataclass
class Evaluation:
    """The outcome of an evaluation.

    scores: of the family, e.g. SegmentationScores.
    samples: (index in the data set, the sample's own score) of each, in the data set's order.
    dataset: the split that was scored. loaded: the model. task: its family. options: those that it answered with.
    source: the data, in one line. split: its name. seconds: that scoring took.
    training_set: opens the samples that the model was trained on, as the task suits them; None where they are not those
        of the same source.
    """

    scores: Any
    samples: list[tuple[int, float]]
    dataset: Any
    loaded: LoadedModel
    task: Task
    options: Any
    source: str
    split: str
    seconds: float
    training_set: Callable[[], Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Scores, and what they were measured on, as plain JSON values."""
        return self.task.scores_to_json(self.scores) | {
            "samples": len(self.samples),
            "seconds": round(self.seconds, 3),
            "split": self.split,
            "data": self.source,
            "model": self.loaded.name,
            "inference": self.options.describe(),
        }

    def examples(self) -> Iterator[tuple[Any, Any, float]]:
        """The best and the worst samples by their own score, best first, answered again: (sample, prediction, score).

        Samples whose score is not a number are left out.
        """
        ranked = sorted((pair for pair in self.samples if math.isfinite(pair[1])), key=lambda pair: -pair[1])
        if not self.task.greater_is_better:
            ranked.reverse()
        few = len(ranked) <= 2 * NUM_EXAMPLES
        for index, own in ranked if few else ranked[:NUM_EXAMPLES] + ranked[-NUM_EXAMPLES:]:
            sample = self.dataset[index]
            with torch.inference_mode():
                (prediction,) = self.task.answer(self.loaded.model, [sample], self.options)
            yield sample, prediction, own
