"""The page of `foveate predict`: all clips of one call with their captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.records import VideoPrediction
from foveate.tasks.video.figure import VideoFigure, video_figure, video_style
from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import counted

FILE_NAME = "captions.html"
MOST_FIGURES = 50  # clips on a page, whose frames are embedded
LEAD = (
    "Point at a word, tap it or go to it with the Tab key: its row below the film shows how much the model attended to "
    "each frame when it wrote that word. A score is the mean log-probability of a sentence's tokens: the nearer to 0, "
    "the surer the model was."
)


class VideoPage:
    """A gallery (see `foveate.tasks.parts.Gallery`) of clips with their captions; only their HTML is kept.

    model: its name.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.figures: list[Markup] = []
        self.left_out = 0
        self.longest = 0  # words of the longest sentence

    def __len__(self) -> int:
        return len(self.figures)

    def add(self, name: str, prediction: VideoPrediction, sample: Mapping[str, Any]) -> None:
        """Add one clip; after MOST_FIGURES they are counted alone."""
        if len(self) >= MOST_FIGURES:
            self.left_out += 1
            return
        self.figures.append(video_figure(VideoFigure(name, sample["video"], prediction)))
        self.longest = max(self.longest, len(prediction.sentences[0].words))

    def render(self) -> str:
        """The page as HTML text."""
        count = counted(len(self), "clip", "clips")
        rest = f" {self.left_out} more are in predictions.json alone." if self.left_out else ""
        header = tag(
            "header",
            tag("p", f"{self.model} on {count}" if self.model else count, class_="eyebrow"),
            tag("h1", "Captions"),
            tag("p", LEAD, rest, class_="summary"),
        )
        style = stylesheet("report") + video_style(self.longest)
        return document("Captions – Foveate", style, header, tag("section", self.figures))

    def write(self, folder: Path) -> None:
        """Write captions.html into a folder, one self-contained file; nothing if no clip was added.

        Raises OutputError if the file cannot be written; an older one then stays as it was.
        """
        if self.figures:
            write_page(self.render(), Path(folder) / FILE_NAME)
