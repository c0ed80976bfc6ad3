"""Say where the objects are that a picture has in common with those a model learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from foveate.errors import ModelError
from foveate.pictures import to_tensor
from foveate.predictor.base import Predictor
from foveate.predictor.classification import luminance
from foveate.predictor.picture import Picture, open_picture
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
        windows = open_picture(picture, self.channels, max_pixels)
        grey = self.channels == 1 and windows.channels == 3
        if not grey:
            self.check_channels(windows, picture, name)
        image = to_tensor(windows.read(0, 0, windows.height, windows.width))
        with torch.inference_mode():
            prediction = answer(self._output, luminance(image) if grey else image, self.preprocessing)
        if name is None:
            name = str(picture) if isinstance(picture, (str, Path)) else ""
        prediction.name = Path(name).name
        return prediction

    def _output(self, batch: Tensor) -> ColocalisationOutput:
        if self.model is None:
            raise ModelError(f"{self.path}: {self.name} is not looked with from an exported file; give its run folder")
        output: ColocalisationOutput = self.model(batch.to(self.device))
        return output
