"""The outcome of an evaluation, and the examples that a report chooses from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from foveate.metrics.bootstrap import mean_interval
from foveate.visualize.report.listing import pictured

if TYPE_CHECKING:
    from foveate.store import LoadedModel
    from foveate.tasks.base import Task

NUM_EXAMPLES = 6  # best samples, and as many worst
# Entries of `Evaluation.to_json` beside the scores.
FACTS = frozenset({"intervals", "samples", "seconds", "split", "data", "model", "inference"})


@dataclass
class Evaluation:
    """The outcome of an evaluation.

    scores: of the family, e.g. SegmentationScores.
    samples: (index in the data set, the sample's own score) of each, in the data set's order.
    dataset: the split that was scored. loaded: the model. task: its family. options: those that it answered with.
    source: the data, in one line. split: its name. seconds: that scoring took.
    training_set: opens the samples that the model was trained on, as the task suits them; None where they are not those
        of the same source.
    outcomes: what each sample's answer and truth say in its row, by index (`Task.outcome`).
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
    outcomes: dict[int, dict[str, Any]] = field(default_factory=dict)
    _answers: dict[int, Any] = field(default_factory=dict, init=False, repr=False)  # of the examples, by index

    def to_json(self) -> dict[str, Any]:
        """Scores, and what they were measured on, as plain JSON values."""
        scores = self.task.scores_to_json(self.scores)
        return (
            {"intervals": self._intervals(scores)}
            | scores
            | {
                "samples": len(self.samples),
                "seconds": round(self.seconds, 3),
                "split": self.split,
                "data": self.source,
                "model": self.loaded.name,
                "inference": self.options.describe(),
            }
        )

    def _intervals(self, scores: dict[str, Any]) -> dict[str, list[float]]:
        """The 95 % interval of the monitored score, where it is the mean of the samples' own scores; {} elsewhere."""
        if self.task.own_score:
            return {}
        own = [value for _, value in self.samples if math.isfinite(value)]
        score = scores.get(self.task.monitor)
        if not own or not isinstance(score, float) or not math.isclose(sum(own) / len(own), score, abs_tol=1e-6):
            return {}
        bounds = mean_interval(own)
        return {} if bounds is None else {self.task.monitor: list(bounds)}

    def notes(self) -> list[str]:
        """Sentences on what the split lacks, without which a score has no value."""
        lacking = self.task.undefined(self.scores)
        return [f"{what} in split {self.split}, which leaves {names} undefined." for what, names in lacking]

    def rows(self) -> list[dict[str, Any]]:
        """A row a sample, in the data set's order: its name, its own score, and what the family adds."""
        more = self.task.sample_rows(self.scores)
        named = [
            {
                "name": self.dataset.name(index),
                self.task.own_score or self.task.monitor: float(own) if math.isfinite(own) else None,
            }
            | self.outcomes.get(index, {})
            for index, own in self.samples
        ]
        return [row | (more[i] if i < len(more) else {}) for i, row in enumerate(named)]

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
            self._answers[index] = self._answer(index, sample)
            yield sample, self._answers[index], own

    def listed(self) -> Iterator[tuple[int, Any, Any]]:
        """The samples that a report lists with pictures: (place in `samples`, sample, prediction).

        They are answered again, which takes no longer than the evaluation did.
        """
        for place in pictured([own for _, own in self.samples], self.task.greater_is_better):
            index, _ = self.samples[place]
            sample = self.dataset[index]
            yield place, sample, self._answer(index, sample)

    def _answer(self, index: int, sample: Any) -> Any:
        """The prediction of a sample, which examples keep."""
        if index in self._answers:
            return self._answers[index]
        with torch.inference_mode():
            (prediction,) = self.task.answer(self.loaded.model, [sample], self.options)
        return prediction
