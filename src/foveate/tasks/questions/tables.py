"""Tables of a training on questions: the words of the questions, and the answers to choose from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.questions import usual_answer
from foveate.records import ClassTable
from foveate.records.base import unused_label
from foveate.text import Vocabulary, Words


@dataclass(frozen=True)
class QuestionTables:
    """Recipe setting for the words of questions and the answers.

    least: smallest number of occurrences in the training questions for a word to be known, at least 1; usually 1 to 3.
    size: largest number of words, the four special tokens included; the most frequent are kept.
    answers_least: smallest number of training questions with an answer for it to be one to choose from, at least 1;
        questions with rarer answers are left out of training, and said.
    answers_size: largest number of answers; the most frequent are kept.
    """

    least: int = 1
    size: int = 10000
    answers_least: int = 1
    answers_size: int = 3000

    def __post_init__(self) -> None:
        Words(self.least, self.size)
        if self.answers_least < 1 or self.answers_size < 2:
            raise ConfigError(
                f"text.answers_least is {self.answers_least} and text.answers_size {self.answers_size}; give at least "
                "1 and 2"
            )

    def learn(self, questions: Iterable[str]) -> Vocabulary:
        """The words of the training questions. Raises DataError, ConfigError."""
        return Words(self.least, self.size).learn(questions)

    def learn_answers(self, answers: Iterable[Sequence[str]]) -> ClassTable:
        """The usual answers of the training questions, the most frequent first. Raises DataError for fewer than two."""
        counts = Counter(usual_answer(own) for own in answers)
        frequent = sorted((a for a, n in counts.items() if n >= self.answers_least), key=lambda a: (-counts[a], a))
        if len(frequent) < 2:
            found = ", ".join(f"'{answer}' ({n})" for answer, n in counts.most_common(3)) or "none"
            raise DataError(
                f"{counted(len(frequent), 'answer')} are given {self.answers_least} times or more (the most "
                f"frequent: {found}); "
                "expected two or more: set text.answers_least lower, or add questions"
            )
        names = tuple(frequent[: self.answers_size])
        return ClassTable(names, ignore_index=unused_label(len(names)))
