"""Findings of `foveate datasets inspect` in questions about images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from foveate.metrics.questions import usual_answer
from foveate.records import QuestionSample
from foveate.tasks.captioning.sheet import caption_sheet
from foveate.tasks.findings import ImageFindings, spread, spread_text
from foveate.text import split_words

NUM_ANSWERS = 20
SELDOM = 3


@dataclass
class QuestionFindings(ImageFindings):
    """Findings in a data set of questions about images.

    images: split -> the names of its images. lengths: words of a question -> number of questions. kinds: kind -> number
    of questions. answers: usual answer -> number of questions.
    """

    noun = "questions"

    images: dict[str, set[str]] = field(default_factory=dict)
    lengths: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def begin(self, split: str, dataset: Any) -> None:
        """Start counting a split."""
        super().begin(split, dataset)
        self.images[split] = set()

    def add(self, split: str, sample: QuestionSample) -> None:
        """Count one question."""
        super().add(split, sample)
        self.images[split].add(sample["name"])
        self.lengths[len(split_words(sample["question"]))] += 1
        self.answers[usual_answer(sample["answers"])] += 1
        if kind := sample.get("question_kind", ""):
            self.kinds[kind] += 1

    def keep(self, sample: QuestionSample) -> None:
        """Add an example, without its mask."""
        super().keep({key: sample[key] for key in ("image", "question", "answers", "name")})

    def details_to_json(self) -> dict[str, Any]:
        """Questions and answers."""
        most_common = [{"answer": answer, "questions": n} for answer, n in self.answers.most_common(NUM_ANSWERS)]
        return super().details_to_json() | {
            "pictures": {split: len(names) for split, names in self.images.items()},
            "words_a_question": spread(self.lengths),
            "kinds": dict(self.kinds),
            "answers": {
                "different": len(self.answers),
                "seldom": sorted(self._seldom()),
                "most_common": most_common,
            },
        }

    def details(self) -> list[str]:
        """Questions and answers."""
        pictures = ", ".join(f"{split} {len(names)}" for split, names in self.images.items())
        lines = [f"pictures: {pictures}", *super().details(), f"words a question: {spread_text(self.lengths)}"]
        if self.kinds:
            lines.append(f"kinds: {', '.join(f'{kind} {n}' for kind, n in self.kinds.items())}")
        seldom = len(self._seldom())
        lines.append(f"answers: {len(self.answers)} different, {seldom} of them to fewer than {SELDOM} questions")
        frequent = (f"{answer} {n / self.answers.total():.0%}" for answer, n in self.answers.most_common(NUM_ANSWERS))
        return [*lines, f"most often: {', '.join(frequent)}"]

    def _seldom(self) -> list[str]:
        return [answer for answer, n in self.answers.items() if n < SELDOM]

    def sheet(self) -> Any:
        """Images above their questions and answers."""
        if not self.samples:
            return None
        return caption_sheet(
            (self.pixels(s), f"{s['question']}? {usual_answer(s['answers'])}", s["name"]) for s in self.samples
        )
