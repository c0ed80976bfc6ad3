"""The page of `foveate predict`: all questions of one call with their answers and maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.pictures.fitting import shrink
from foveate.pictures.given import as_windows
from foveate.records import QuestionPrediction
from foveate.tasks.questions.figures import LONGEST_SIDE, QuestionExample, question_figure
from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import counted

FILE_NAME = "answers.html"
TITLE = "Answers"
LEAD = (
    "Each picture as it is, under the attention of each hop (bright where it is large), and with its places in the "
    "colour of the word that decided their attention in the first hop. A word's number is its share of that attention, "
    "an answer's its probability."
)


class QuestionPage:
    """A gallery (see `foveate.tasks.parts.Gallery`) of questions with their answers; only their HTML is kept.

    model: its name.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.figures: list[Markup] = []

    def add(self, name: str, prediction: QuestionPrediction, sample: Mapping[str, Any]) -> None:
        """Add one question. sample: its 'image' is a tensor (C, H, W), or `Windows`, which are left open."""
        image = shrink(as_windows(sample["image"]), LONGEST_SIDE)
        self.figures.append(question_figure(QuestionExample(name, image, prediction)))

    def render(self) -> str:
        """The page as HTML text."""
        count = counted(len(self.figures), "question", "questions")
        header = tag(
            "header",
            tag("p", f"{self.model} on {count}" if self.model else count, class_="eyebrow"),
            tag("h1", TITLE),
            tag("p", LEAD, class_="summary"),
        )
        return document(f"{TITLE} – Foveate", stylesheet("report"), header, tag("section", self.figures))

    def write(self, folder: Path) -> None:
        """Write answers.html into a folder, one self-contained file; nothing if no question was added.

        Raises OutputError if the file cannot be written; an older one then stays as it was.
        """
        if self.figures:
            write_page(self.render(), Path(folder) / FILE_NAME)
