"""Say what a picture shows, and where the model looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from foveate.predictor.base import Predictor
from foveate.predictor.picture import Picture, name_of
from foveate.records import ClassificationOutput, ClassificationPrediction
from foveate.tasks.classification import answer


@dataclass
class ClassificationPredictor(Predictor):
    """A classifier that is ready to look at pictures. network: -> (B, K) logits."""

    task: ClassVar[str] = "classification"

    def predict(  # type: ignore[override]
        self, picture: Picture, *, flip: bool = False, max_pixels: int | None = None, name: str | None = None
    ) -> ClassificationPrediction:
        """The probabilities of the classes for one picture, and where the model's spatial transformers looked.

        picture: a file; a PIL image; an array (H, W) or (H, W, C) uint8, uint16 or float in 0..1; a tensor (C, H, W)
            uint8 or float in 0..1; or anything with `height`, `width`, `channels` and `read` (pictures.open_windows).
            A model of grey pictures takes coloured ones by their luminance.
        flip: average with the mirrored picture.
        max_pixels: refuse larger files before decoding them; None takes the process's limit (pictures.get_max_pixels).
        name: what to call the picture in messages and in the prediction; a file's own path and name by default.
        Raises DataError for a picture that cannot be read or has another number of channels than the model takes.
        """
        image = self.read_whole(picture, max_pixels, name)
        with torch.inference_mode():
            prediction = answer(self._output, image, self.classes, self.preprocessing, flip=flip)
        prediction.name = name_of(picture, name)
        return prediction

    def _output(self, batch: Tensor) -> ClassificationOutput:
        if self.model is None:  # an exported file answers with logits alone
            return ClassificationOutput(self.network(batch))
        output: ClassificationOutput = self.model(batch.to(self.device, memory_format=torch.channels_last))
        return output
