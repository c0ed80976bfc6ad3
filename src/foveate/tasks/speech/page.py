"""The page of `foveate predict`: all recordings of one call with their transcripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.records import SpeechPrediction
from foveate.tasks.pages import BoundedPage
from foveate.tasks.speech.figure import SpeechFigure, shown, speech_figure, speech_style

LEAD = (
    "Point at a word, tap it or go to it with the Tab key: the spectrogram is coloured where the model attended when "
    "it wrote that word. A score is the mean log-probability of a character: the nearer to 0, the surer the model was."
)


class SpeechPage(BoundedPage):
    """Recordings, embedded as sound, with their transcripts. model: its name."""

    file_name = "transcripts.html"
    title = "Transcripts"
    noun = "recording"
    sound = True
    most = 100

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self.longest = 0  # words of the longest transcript

    def add(self, name: str, prediction: SpeechPrediction, sample: Mapping[str, Any]) -> None:
        """Add one recording."""
        if self.has_room():
            self.figures.append(speech_figure(SpeechFigure(name, sample["audio"], prediction), len(self) + 1))
            self.longest = max(self.longest, shown(prediction)[0])

    def lead(self) -> str:
        """The text above the figures."""
        return LEAD + self.rest()

    def style(self) -> str:
        """The CSS of the figures."""
        return speech_style(self.longest)
