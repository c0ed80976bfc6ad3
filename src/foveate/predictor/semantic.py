"""Label every pixel of a picture of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from foveate.errors import ConfigError
from foveate.pictures import to_tensor
from foveate.predictor.base import Predictor
from foveate.predictor.picture import Picture, open_picture
from foveate.records import SemanticPrediction
from foveate.tasks.inference import Inference, Segments, predict_labels
from foveate.tasks.tiling import choose_tiling, predict_tiled


@dataclass
class SemanticPredictor(Predictor):
    """A semantic segmentation model that is ready to look at pictures. network: -> (B, K, H, W) logits."""

    task: ClassVar[str] = "semantic"

    def predict(  # type: ignore[override]
        self,
        picture: Picture,
        *,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        proposals: int = 0,
        crf: bool = False,
        superpixels: Segments = "none",
        tile: int | None = None,
        overlap: int | None = None,
        max_pixels: int | None = None,
        name: str | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> SemanticPrediction:
        """Label every pixel of a picture of any size.

        picture: a file; a PIL image; an array (H, W) or (H, W, C) uint8, uint16 or float in 0..1; a tensor (C, H, W)
            uint8 or float in 0..1; or anything with `height`, `width`, `channels` and `read` (pictures.open_windows).
        flip, scales, proposals, crf, superpixels: how it is looked at, see tasks.inference.Inference.
        tile: side of the square tiles, a multiple of 32; 0 never tiles; None tiles pictures above 1.5 megapixels.
        overlap: pixels that neighbouring tiles share, a multiple of 32; None takes 128.
        max_pixels: refuse larger files before decoding them; None takes the process's limit (pictures.get_max_pixels).
        name: what to call the picture in messages and in the prediction; a file's own path and name by default.
        progress: called with the share that is done after every tile.
        Raises DataError for a picture that cannot be read or has another number of channels than the model takes.
        """
        how = Inference(flip, tuple(scales), proposals, crf, superpixels)
        if how.needs_whole_picture and tile is None:
            tile = 0
        if how.needs_whole_picture and tile:
            raise ConfigError(f"{how.describe()} needs the whole picture, not tiles of {tile}; leave out --tile")
        windows = open_picture(picture, self.channels, max_pixels)
        self.check_channels(windows, picture, name)
        height, width = windows.height, windows.width
        tiling = choose_tiling(height, width, scales, tile, overlap)
        if tiling is None:
            image = to_tensor(windows.read(0, 0, height, width)).to(self.device)
            mask = predict_labels(self.network, image, self.preprocessing, how)
        else:
            mask = predict_tiled(
                self.network,
                windows,
                self.preprocessing,
                tiling=tiling,
                flip=flip,
                scales=scales,
                device=self.device,
                progress=progress,
            )
        if name is None:
            name = str(picture) if isinstance(picture, (str, Path)) else ""
        return SemanticPrediction(mask, self.classes, Path(name).name)
