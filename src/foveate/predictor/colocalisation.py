"""Say where the objects are that a picture has in common with those a model learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from foveate.errors import ModelError
from foveate.predictor.base import Predictor
from foveate.predictor.picture import Picture, name_of
from foveate.records import ColocalisationOutput, ColocalisationPrediction
from foveate.tasks.colocalisation import answer


@dataclass
class ColocalisationPredictor(Predictor):
    """A co-localiser that is ready to look at pictures."""

    task: ClassVar[str] = "colocalisation"

    def predict(  # type: ignore[override]
        self, picture: Picture, *, max_pixels: int | None = None, name: str | None = None
    ) -> ColocalisationPrediction:
        """The window of each of the model's transformers on one picture.

        picture: a file; a PIL image; an array (H, W) or (H, W, C) uint8, uint16 or float in 0..1; a tensor (C, H, W)
            uint8 or float in 0..1; or anything with `height`, `width`, `channels` and `read` (pictures.open_windows).
            A model of grey pictures takes coloured ones by their luminance.
        max_pixels: refuse larger files before decoding them; None takes the process's limit (pictures.get_max_pixels).
        name: what to call the picture in messages and in the prediction; a file's own path and name by default.
        Raises DataError for a picture that cannot be read or has another number of channels than the model takes.
        """
        image = self.read_whole(picture, max_pixels, name)
        with torch.inference_mode():
            prediction = answer(self._output, image, self.preprocessing)
        prediction.name = name_of(picture, name)
        return prediction

    def _output(self, batch: Tensor) -> ColocalisationOutput:
        if self.model is None:
            raise ModelError(f"{self.path}: {self.name} is not looked with from an exported file; give its run folder")
        output: ColocalisationOutput = self.model(batch.to(self.device))
        return output
