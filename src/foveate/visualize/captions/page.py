"""The page of `foveate predict`: every picture of one call with what the model says of it."""

from __future__ import annotations

from pathlib import Path

from foveate.visualize.captions.figure import Told, told_figure, told_style
from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag

TITLE = "What the model sees"
WITH_MAPS = (
    "Point at a word, tap it or go to it with the Tab key: the picture stays as it is where the model looked when it "
    "wrote that word. "
)
SCORE = (
    "A score is the mean log-probability of a sentence's tokens: the nearer to 0, the surer the model was. "
    "Sentences stand in the order in which the search ranked them."
)


class CaptionPage:
    """A page to which pictures are added one at a time; they are kept as they will stand on it.

    model: what to call the model.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.figures: list[Markup] = []
        self.longest = 0  # words of a sentence that has maps

    def __len__(self) -> int:
        return len(self.figures)

    def add(self, told: Told) -> None:
        """One more picture, with what is said of it."""
        self.figures.append(told_figure(told, len(self.figures) + 1))
        best = told.prediction.sentences[0]
        if best.attention is not None:
            self.longest = max(self.longest, len(best.words))

    def render(self) -> str:
        """The page as HTML text."""
        count = "one picture" if len(self) == 1 else f"{len(self)} pictures"
        header = tag(
            "header",
            tag("p", f"{self.model} on {count}" if self.model else count, class_="eyebrow"),
            tag("h1", TITLE),
            tag("p", WITH_MAPS if self.longest else "", SCORE, class_="summary"),
        )
        style = stylesheet("report") + told_style(self.longest)
        return document(f"{TITLE} – Foveate", style, header, tag("section", self.figures))

    def write(self, path: str | Path) -> Path:
        """Write it as one self-contained HTML file and return its path.

        Raises OutputError where the file cannot be written; an older one then stays as it was.
        """
        return write_page(self.render(), path)
