"""The page of `foveate predict`: all recordings of one call with their transcripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.records import SpeechPrediction
from foveate.tasks.speech.figure import SpeechFigure, shown, speech_figure, speech_style
from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import counted

FILE_NAME = "transcripts.html"
MOST_FIGURES = 100  # recordings on a page, whose sound is embedded
LEAD = (
    "Point at a word, tap it or go to it with the Tab key: the spectrogram is coloured where the model attended when "
    "it wrote that word. A score is the mean log-probability of a character: the nearer to 0, the surer the model was."
)


class SpeechPage:
    """A gallery (see `foveate.tasks.parts.Gallery`) of recordings with their transcripts; only their HTML is kept.

    model: its name.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.figures: list[Markup] = []
        self.left_out = 0
        self.longest = 0  # words of the longest transcript

    def __len__(self) -> int:
        return len(self.figures)

    def add(self, name: str, prediction: SpeechPrediction, sample: Mapping[str, Any]) -> None:
        """Add one recording; after MOST_FIGURES they are counted alone."""
        if len(self) >= MOST_FIGURES:
            self.left_out += 1
            return
        self.figures.append(speech_figure(SpeechFigure(name, sample["audio"], prediction), len(self) + 1))
        self.longest = max(self.longest, shown(prediction)[0])

    def render(self) -> str:
        """The page as HTML text."""
        count = counted(len(self), "recording", "recordings")
        rest = f" {self.left_out} more are in predictions.json alone." if self.left_out else ""
        header = tag(
            "header",
            tag("p", f"{self.model} on {count}" if self.model else count, class_="eyebrow"),
            tag("h1", "Transcripts"),
            tag("p", LEAD, rest, class_="summary"),
        )
        style = stylesheet("report") + speech_style(self.longest)
        return document("Transcripts – Foveate", style, header, tag("section", self.figures), sound=True)

    def write(self, folder: Path) -> None:
        """Write transcripts.html into a folder, one self-contained file; nothing if no recording was added.

        Raises OutputError if the file cannot be written; an older one then stays as it was.
        """
        if self.figures:
            write_page(self.render(), Path(folder) / FILE_NAME)
