"""The page of `foveate predict`: all questions of one call with their answers and maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.pictures.fitting import shrink
from foveate.pictures.given import as_windows
from foveate.records import QuestionPrediction
from foveate.tasks.pages import Page
from foveate.tasks.questions.figures import LONGEST_SIDE, QuestionExample, question_figure

LEAD = (
    "Each picture as it is, under the attention of each hop (bright where it is large), and with its places in the "
    "colour of the word that decided their attention in the first hop. A word's number is its share of that attention, "
    "an answer's its probability."
)


class QuestionPage(Page):
    """Questions with their answers. model: its name."""

    file_name = "answers.html"
    title = "Answers"
    noun = "question"

    def add(self, name: str, prediction: QuestionPrediction, sample: Mapping[str, Any]) -> None:
        """Add one question. sample: its 'image' is a tensor (C, H, W), or `Windows`, which are left open."""
        image = shrink(as_windows(sample["image"]), LONGEST_SIDE)
        self.figures.append(question_figure(QuestionExample(name, image, prediction)))

    def lead(self) -> str:
        """The text above the figures."""
        return LEAD
