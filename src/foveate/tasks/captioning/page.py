"""The page of `foveate predict`: all images of one call with their captions.

page = CaptionPage("show_attend_tell")
page.add("cow.jpg", prediction, {"image": windows})
page.write(folder)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.pictures.fitting import shrink
from foveate.pictures.given import as_windows
from foveate.records import CaptionPrediction
from foveate.tasks.captioning.figure import CaptionFigure, caption_figure, caption_style
from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import counted

FILE_NAME = "captions.html"
MAX_SIDE = 960  # pixels of an image that is kept for the page
TITLE = "Captions"
WITH_MAPS = (
    "Point at a word, tap it or go to it with the Tab key: the picture is darkened except where the model looked when "
    "it wrote that word. "
)
SCORE = (
    "A score is the mean log-probability of a sentence's tokens: the nearer to 0, the surer the model was. "
    "Sentences stand in the order in which the search ranked them."
)


class CaptionPage:
    """A gallery (see `foveate.tasks.parts.Gallery`) of images with their captions; only their HTML is kept.

    model: its name.
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.figures: list[Markup] = []
        self.longest = 0  # words of the longest sentence with attention maps

    def __len__(self) -> int:
        return len(self.figures)

    def add(self, name: str, prediction: CaptionPrediction, sample: Mapping[str, Any]) -> None:
        """Add one image. sample: its 'image' is a tensor (C, H, W), or `Windows`, which are left open."""
        image = shrink(as_windows(sample["image"]), MAX_SIDE)
        example = CaptionFigure(name, image, prediction)
        self.figures.append(caption_figure(example, len(self.figures) + 1))
        best = prediction.sentences[0]
        if best.attention is not None:
            self.longest = max(self.longest, len(best.words))

    def render(self) -> str:
        """The page as HTML text."""
        count = counted(len(self), "picture", "pictures")
        header = tag(
            "header",
            tag("p", f"{self.model} on {count}" if self.model else count, class_="eyebrow"),
            tag("h1", TITLE),
            tag("p", WITH_MAPS if self.longest else "", SCORE, class_="summary"),
        )
        style = stylesheet("report") + caption_style(self.longest)
        return document(f"{TITLE} – Foveate", style, header, tag("section", self.figures))

    def write(self, folder: Path) -> None:
        """Write captions.html into a folder, one self-contained file; nothing if no image was added.

        Raises OutputError if the file cannot be written; an older one then stays as it was.
        """
        if self.figures:
            write_page(self.render(), Path(folder) / FILE_NAME)
