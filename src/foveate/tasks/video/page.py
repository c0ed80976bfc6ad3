"""The page of `foveate predict`: all clips of one call with their captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.records import VideoPrediction
from foveate.tasks.pages import BoundedPage
from foveate.tasks.video.figure import VideoFigure, video_figure, video_style

LEAD = (
    "Point at a word, tap it or go to it with the Tab key: its row below the film shows how much the model attended to "
    "each frame when it wrote that word. A score is the mean log-probability of a sentence's tokens: the nearer to 0, "
    "the surer the model was."
)


class VideoPage(BoundedPage):
    """Clips, whose frames are embedded, with their captions. model: its name."""

    file_name = "captions.html"
    title = "Captions"
    noun = "clip"
    most = 50

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self.longest = 0  # words of the longest sentence

    def add(self, name: str, prediction: VideoPrediction, sample: Mapping[str, Any]) -> None:
        """Add one clip."""
        if self.has_room():
            self.figures.append(video_figure(VideoFigure(name, sample["video"], prediction)))
            self.longest = max(self.longest, len(prediction.sentences[0].words))

    def lead(self) -> str:
        """The text above the figures."""
        return LEAD + self.rest()

    def style(self) -> str:
        """The CSS of the figures."""
        return video_style(self.longest)
