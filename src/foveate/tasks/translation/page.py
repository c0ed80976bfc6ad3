"""The page of `foveate predict`: all sentences of one call with their translations and alignments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.errors import counted
from foveate.records import TranslationPrediction
from foveate.tasks.translation.alignment import STYLE, translation_figure
from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag

FILE_NAME = "translations.html"
TITLE = "Translations"
MAX_FIGURES = 100  # sentences with their alignment; predictions.json has those of all
MAX_ROWS = 5000  # further sentences, as text alone
LEAD = (
    "A row of a matrix is a word of the translation, a column a word of the sentence; the darker a cell, the more the "
    "model attended to the column's word when it wrote the row's. A score is the one by which the search ranked: the "
    "nearer to 0, the surer the model was."
)


class TranslationPage:
    """A gallery (see `foveate.tasks.parts.Gallery`) of sentences; only their HTML is kept.

    model: its name.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.count = 0
        self.figures: list[Markup] = []
        self.rows: list[Markup] = []

    def add(self, name: str, prediction: TranslationPrediction, sample: Mapping[str, Any]) -> None:
        """Add one sentence."""
        self.count += 1
        if len(self.figures) < MAX_FIGURES:
            self.figures.append(translation_figure(prediction))
        elif len(self.rows) < MAX_ROWS:
            self.rows.append(tag("tr", tag("td", prediction.sentence), tag("td", prediction.text)))

    def render(self) -> str:
        """The page as HTML text."""
        count = counted(self.count, "sentence")
        left_out = self.count - len(self.figures) - len(self.rows)
        more = f"{counted(left_out, 'further sentence')} in predictions.json alone." if left_out else ""
        header = tag(
            "header",
            tag("p", f"{self.model} on {count}" if self.model else count, class_="eyebrow"),
            tag("h1", TITLE),
            tag("p", LEAD, class_="summary"),
        )
        head = tag("tr", tag("th", "Sentence", scope="col"), tag("th", "Translation", scope="col"))
        table = tag("table", tag("thead", head), tag("tbody", self.rows)) if self.rows else None
        body = tag("section", self.figures, table, tag("p", more, class_="faint") if more else None)
        return document(f"{TITLE} – Foveate", stylesheet("report") + STYLE, header, body)

    def write(self, folder: Path) -> None:
        """Write translations.html into a folder, one self-contained file; nothing if no sentence was added.

        Raises OutputError if the file cannot be written; an older one then stays as it was.
        """
        if self.count:
            write_page(self.render(), Path(folder) / FILE_NAME)
