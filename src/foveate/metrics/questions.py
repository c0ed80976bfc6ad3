"""Scores of answers to questions: accuracy as the VQA challenge has it, and attention on what a question is about.

    accuracy     of one question: with one true answer, 1 if it is given. With k answers of people, the mean over the k
                 sets that lack one of them of min(1, matches in the set / 3), as the VQA challenge computes it (Antol
                 et al. 2015, section 5); with ten answers this is min(1, 0.3 matches). Of fewer than four answers, all
                 others have to match in place of three.
    usual        1 if the answer is the one that most people gave
    alone        accuracy of the question alone: of the answer that is the most frequent in training to the same
                 question, else to questions with the same two first words, else to all questions
    mass         sum over places of attention times the share of the place that the asked pixels cover
    chance       the same of attention spread evenly: the share of the image that is asked about

Where the answers of people differ, they are compared without punctuation and articles (`text.answers.vqa_normal`), else
in lower case.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from foveate.errors import DataError
from foveate.metrics.calibration import BINS, calibration_error, reliability
from foveate.metrics.captioning.attention import pool
from foveate.metrics.plain import number_or_none
from foveate.metrics.sums import add, flatten
from foveate.text import split_words
from foveate.text.answers import normal, vqa_normal

ENOUGH = 3  # people who have to give an answer
SUMS = 9  # of a kind: see `QuestionMetrics`


def answer_accuracy(given: str, answers: Sequence[str]) -> float:
    """The accuracy of one answer against those of people. Raises DataError without any."""
    if not answers:
        raise DataError("a question without a true answer cannot be scored; give one")
    if len(answers) == 1:
        return float(normal(given) == normal(answers[0]))
    compare = vqa_normal if len(set(map(normal, answers))) > 1 else normal
    matches, people = sum(compare(one) == compare(given) for one in answers), len(answers)
    needed = min(ENOUGH, people - 1)
    # matches of the sets lack a matching answer, the others do not.
    lacking, full = max(matches - 1, 0) / needed, matches / needed
    return (matches * min(1.0, lacking) + (people - matches) * min(1.0, full)) / people


def usual_answer(answers: Sequence[str]) -> str:
    """The answer that most people gave, the first of equal ones, in the form that `normal` gives."""
    counts = Counter(map(normal, answers))
    return max(counts, key=counts.__getitem__)  # of equal counts the first


class QuestionAlone:
    """The most frequent answers to questions of training, by their words alone.

    training: (question, answers) of each.
    """

    def __init__(self, training: Iterable[tuple[str, Sequence[str]]]) -> None:
        self._counts: dict[str, Counter[str]] = {}
        for question, answers in training:
            usual = usual_answer(answers)
            for key in _keys(question):
                self._counts.setdefault(key, Counter())[usual] += 1

    def answer(self, question: str) -> str:
        """The most frequent answer to the same question, else to those with the same two first words, else to all.

        Of equally frequent ones the first in alphabetical order; '' without training.
        """
        for key in _keys(question):
            if counts := self._counts.get(key):
                return min(counts, key=lambda answer: (-counts[answer], answer))
        return ""


def _keys(question: str) -> tuple[str, ...]:
    """Keys of a question, from its own words to none."""
    words = split_words(question)
    return " ".join(words), " ".join(words[:2]) + " ...", "..."


@dataclass(frozen=True, eq=False)
class QuestionScores:
    """Scores over a set of questions; shares are 0..1, nan where they are not defined.

    accuracy: as in the module's docstring. usual_answer: share of questions whose usual answer is given. With one true
        answer to each question the two are the same.
    question_alone: accuracy of the question alone.
    attention_mass, first_attention_mass: share of the last and of the first hop's attention that lies on what is asked
        about. attention_chance: that of attention spread evenly. Over `attention_questions` questions.
    calibration_error: that of `metrics.calibration`, over accuracy.
    answered: share of questions that were answered. accuracy_of_answered: the accuracy of these.
    unknown_answers: share of questions none of whose answers the model has.
    kinds: names. per_kind, alone_per_kind: accuracy, and that of the question alone, of each. counts: its questions.
    questions: number scored. bins: (15, 3): questions, sum of confidences, sum of accuracies in each bin.
    """

    accuracy: float
    usual_answer: float
    question_alone: float
    attention_mass: float
    first_attention_mass: float
    attention_chance: float
    attention_questions: int
    calibration_error: float
    answered: float
    accuracy_of_answered: float
    unknown_answers: float
    kinds: tuple[str, ...]
    per_kind: tuple[float, ...]
    alone_per_kind: tuple[float, ...]
    mass_per_kind: tuple[float, ...]
    counts: tuple[int, ...]
    questions: int
    bins: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Plain numbers for JSON, those of kinds by name; None for nan."""
        names = (
            "accuracy", "usual_answer", "question_alone", "attention_mass", "first_attention_mass", "attention_chance",
            "calibration_error", "answered", "accuracy_of_answered", "unknown_answers",
        )  # fmt: skip
        by_kind = {
            "per_kind": self.per_kind,
            "question_alone_per_kind": self.alone_per_kind,
            "attention_times_chance_per_kind": self.mass_per_kind,
            "questions_per_kind": self.counts,
        }
        return (
            {name: number_or_none(getattr(self, name)) for name in names}
            | {key: dict(zip(self.kinds, map(number_or_none, values), strict=True)) for key, values in by_kind.items()}
            | {
                "attention_questions": self.attention_questions,
                "calibration": self.bins.tolist(),
                "questions": self.questions,
            }
        )


class QuestionMetrics:
    """Sums of scores by kind of question; memory does not grow with the number of questions.

    kinds: names of the kinds, of which '' is none. alone: answers without the image; None leaves these out.
    """

    def __init__(self, kinds: Sequence[str], alone: QuestionAlone | None = None) -> None:
        self.kinds, self.alone = tuple(kinds), alone
        # A row a kind: questions, accuracy, usual answers, alone, with places, mass of the last and the first hop,
        # chance, unknown answers.
        self._sums = np.zeros((len(self.kinds), SUMS))
        self._answered = np.zeros(2)  # questions, their accuracy
        self._bins = np.zeros((BINS, 3))

    def update(
        self,
        question: str,
        kind: str,
        given: str,
        answers: Sequence[str],
        confidence: float,
        sure: bool = True,
        attention: np.ndarray | None = None,
        asked: np.ndarray | None = None,
        known: bool = True,
    ) -> float:
        """Count the answer to one question, and return its accuracy.

        given: the most likely answer. confidence: its probability. sure: False for
        "don't know", which is wrong. attention: (hops, h, w). asked: (H, W) bool, the pixels that are asked about.
        known: False if the model has none of the answers. Raises DataError for a kind that the set does not have.
        """
        if kind not in self.kinds:
            raise DataError(f"a question of kind '{kind}'; the set has {', '.join(self.kinds)}: restore the files")
        accuracy = answer_accuracy(given, answers) if sure else 0.0
        row = self._sums[self.kinds.index(kind)]
        row[:3] += 1, accuracy, sure and normal(given) == usual_answer(answers)
        row[3] += answer_accuracy(self.alone.answer(question), answers) if self.alone else 0.0
        if attention is not None and asked is not None and asked.any():
            share = pool(asked[None], *attention.shape[1:])[0]  # of each cell, times the number of cells
            row[4:8] += 1, (attention[-1] * share).sum(), (attention[0] * share).sum(), float(asked.mean())
        row[8] += not known
        self._answered += sure * np.array([1, accuracy])
        self._bins += reliability(np.array([confidence]), np.array([answer_accuracy(given, answers)]))
        return accuracy

    def state(self) -> Tensor:
        """All sums as one flat float64 tensor."""
        return flatten(self._parts())

    def merge(self, state: Tensor) -> None:
        """Add the sums of other metrics of the same set. Raises ConfigError if the state's length differs."""
        add(self._parts(), state, same="questions")

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self._sums, self._answered, self._bins

    def compute(self) -> QuestionScores:
        """The scores of all questions added so far. Raises DataError if there are none."""
        total = self._sums.sum(0)
        if not total[0]:
            raise DataError("no question was scored; give a set with at least one question")
        count, accuracy, usual, alone, placed, last, first, chance, unknown = total
        shown = [i for i, kind in enumerate(self.kinds) if kind and self._sums[i, 0]]
        rows = self._sums[shown]
        return QuestionScores(
            accuracy=accuracy / count,
            usual_answer=usual / count,
            question_alone=alone / count if self.alone else math.nan,
            attention_mass=_ratio(last, placed),
            first_attention_mass=_ratio(first, placed),
            attention_chance=_ratio(chance, placed),
            attention_questions=int(placed),
            calibration_error=float(calibration_error(self._bins)),
            answered=float(self._answered[0] / count),
            accuracy_of_answered=_ratio(self._answered[1], self._answered[0]),
            unknown_answers=unknown / count,
            kinds=tuple(self.kinds[i] for i in shown),
            per_kind=tuple(_ratio(row[1], row[0]) for row in rows),
            alone_per_kind=tuple(_ratio(row[3], row[0]) if self.alone else math.nan for row in rows),
            mass_per_kind=tuple(_ratio(row[5], row[7]) for row in rows),
            counts=tuple(int(row[0]) for row in rows),
            questions=int(count),
            bins=self._bins.copy(),
        )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
