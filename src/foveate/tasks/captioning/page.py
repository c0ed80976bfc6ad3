"""The page of `foveate predict`: all images of one call with their captions.

page = CaptionPage("show_attend_tell")
page.add("cow.jpg", prediction, {"image": windows})
page.write(folder)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.pictures.fitting import shrink
from foveate.pictures.given import as_windows
from foveate.records import CaptionPrediction
from foveate.tasks.captioning.figure import CaptionFigure, caption_figure, caption_style
from foveate.tasks.pages import Page

MAX_SIDE = 960  # pixels of an image that is kept for the page
WITH_MAPS = (
    "Point at a word, tap it or go to it with the Tab key: the picture is darkened except where the model looked when "
    "it wrote that word. "
)
SCORE = (
    "A score is the mean log-probability of a sentence's tokens: the nearer to 0, the surer the model was. "
    "Sentences stand in the order in which the search ranked them."
)


class CaptionPage(Page):
    """Images with their captions. model: its name."""

    file_name = "captions.html"
    title = "Captions"
    noun = "picture"

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self.longest = 0  # words of the longest sentence with attention maps

    def add(self, name: str, prediction: CaptionPrediction, sample: Mapping[str, Any]) -> None:
        """Add one image. sample: its 'image' is a tensor (C, H, W), or `Windows`, which are left open."""
        image = shrink(as_windows(sample["image"]), MAX_SIDE)
        self.figures.append(caption_figure(CaptionFigure(name, image, prediction), len(self) + 1))
        best = prediction.sentences[0]
        if best.attention is not None:
            self.longest = max(self.longest, len(best.words))

    def lead(self) -> str:
        """The text above the figures."""
        return (WITH_MAPS if self.longest else "") + SCORE

    def style(self) -> str:
        """The CSS of the figures."""
        return caption_style(self.longest)
