"""Say what a picture shows in a sentence, and where the model looked at each word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from foveate.errors import ConfigError
from foveate.predictor.base import Predictor
from foveate.predictor.picture import Picture, name_of
from foveate.records import CaptionPrediction
from foveate.tasks.captioning import CaptioningTask
from foveate.tasks.inference import Inference


@dataclass
class CaptioningPredictor(Predictor):
    """A captioning model that is ready to look at pictures. `classes` is the table of its text."""

    task: ClassVar[str] = "captioning"

    @property
    def attention(self) -> str:
        """How it looks at a picture's places: 'soft', 'hard', or 'none' of a model that looks once."""
        about = self._speaker.signature if self.model is None else self._speaker.config
        return str(getattr(about, "attention", "none"))

    @property
    def _speaker(self) -> Any:
        """What `tasks.captioning.describe` asks: the module, or an exported one under the same face."""
        return self.network if self.model is None else self.model

    def predict(  # type: ignore[override]
        self,
        picture: Picture,
        *,
        beams: int | None = None,
        n_best: int | None = None,
        max_pixels: int | None = None,
        name: str | None = None,
    ) -> CaptionPrediction:
        """What the model says of one picture, the best sentence first, each with where the model looked at each word.

        picture: a file; a PIL image; an array (H, W) or (H, W, C) uint8, uint16 or float in 0..1; a tensor (C, H, W)
            uint8 or float in 0..1; or anything with `height`, `width`, `channels` and `read` (pictures.open_windows).
            All of it is seen, stretched to the network's size, so the maps lie over the whole picture.
        beams: how many sentences are followed at once; 1 is greedy search, None the family's usual number.
        n_best: the most sentences that are returned, at most `beams`; None for as many.
        max_pixels: refuse larger files before decoding them; None takes the process's limit (pictures.get_max_pixels).
        name: what to call the picture in messages and in the prediction; a file's own path and name by default.
        Raises DataError for a picture that cannot be read or has another number of channels than the model takes,
        ConfigError for fewer than 1 beam, or more than the vocabulary has tokens.
        """
        for word, count in (("beams", beams), ("n_best", n_best)):
            if count is not None and count < 1:
                raise ConfigError(f"{word} is {count}; give 1 or more, or leave it out")
        image = self.read_whole(picture, max_pixels, name)
        task = CaptioningTask(self.classes, self.preprocessing)
        with torch.inference_mode():
            prediction = task.answer(self._speaker, image, Inference(beams=beams or 0), n_best=n_best or 0)
        prediction.name = name_of(picture, name)
        return prediction
