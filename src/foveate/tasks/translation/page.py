"""The page of `foveate predict`: all sentences of one call with their translations and alignments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.errors import counted
from foveate.records import TranslationPrediction
from foveate.tasks.pages import Page
from foveate.tasks.translation.alignment import STYLE, translation_figure
from foveate.visualize.markup import Markup, tag

MAX_FIGURES = 100  # sentences with their alignment; predictions.json has those of all
MAX_ROWS = 5000  # further sentences, as text alone
LEAD = (
    "A row of a matrix is a word of the translation, a column a word of the sentence; the darker a cell, the more the "
    "model attended to the column's word when it wrote the row's. A score is the one by which the search ranked: the "
    "nearer to 0, the surer the model was."
)


class TranslationPage(Page):
    """Sentences with their translations and alignments. model: its name."""

    file_name = "translations.html"
    title = "Translations"
    noun = "sentence"

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self.rows: list[Markup] = []
        self.left_out = 0

    @property
    def count(self) -> int:
        """Sentences that were translated."""
        return len(self.figures) + len(self.rows) + self.left_out

    def add(self, name: str, prediction: TranslationPrediction, sample: Mapping[str, Any]) -> None:
        """Add one sentence."""
        if len(self.figures) < MAX_FIGURES:
            self.figures.append(translation_figure(prediction))
        elif len(self.rows) < MAX_ROWS:
            self.rows.append(tag("tr", tag("td", prediction.sentence), tag("td", prediction.text)))
        else:
            self.left_out += 1

    def lead(self) -> str:
        """The text above the figures."""
        return LEAD

    def style(self) -> str:
        """The CSS of the figures."""
        return STYLE

    def body(self) -> Markup:
        """The figures, a table of further sentences, and the number of those that are not on the page."""
        more = f"{counted(self.left_out, 'further sentence')} in predictions.json alone." if self.left_out else ""
        head = tag("tr", tag("th", "Sentence", scope="col"), tag("th", "Translation", scope="col"))
        table = tag("table", tag("thead", head), tag("tbody", self.rows)) if self.rows else None
        return tag("section", self.figures, table, tag("p", more, class_="faint") if more else None)
