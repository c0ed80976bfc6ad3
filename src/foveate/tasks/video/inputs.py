"""The input of video: clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from foveate.errors import DataError
from foveate.records import Clip, ClipFormat
from foveate.tasks.inputs import Input
from foveate.videos import VIDEO_SUFFIXES, clip_from, is_clip_folder, read_clip


@dataclass(frozen=True)
class VideoInput(Input):
    """Videos: files, folders of frames, arrays (N, H, W, 3), tensors (N, 3, H, W), lists of images, or a `Clip`.

    A model of features takes these, (N, D), and no files.
    """

    name: ClassVar[str] = "video"
    noun: ClassVar[str] = "clip"
    nouns: ClassVar[str] = "clips"
    suffixes: ClassVar[frozenset[str]] = VIDEO_SUFFIXES

    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Clip:
        """See `Input.open`."""
        where = name or (str(given) if isinstance(given, (str, Path)) else "the clip")
        if isinstance(given, Clip):
            return self._fitted(given, preprocessing, model, where)
        if isinstance(given, (str, Path)):
            if preprocessing.features:
                raise DataError(
                    f"{where}: a video, but {model} was trained on {preprocessing.features} features a frame; give an "
                    f"array (N, {preprocessing.features}), computed as those were"
                )
            return read_clip(Path(given), preprocessing)
        return self._fitted(self._from_memory(given, preprocessing, where), preprocessing, model, where)

    @staticmethod
    def _from_memory(given: Any, form: ClipFormat, where: str) -> Clip:
        if not isinstance(given, (Tensor, np.ndarray, Sequence)):
            raise DataError(
                f"{where}: {type(given).__name__}; give a video, a folder of frames, an array of frames (N, H, W, 3), "
                "or a list of images"
            )
        if not form.features:
            return clip_from(given, form, where)
        values = torch.as_tensor(np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given))
        if values.ndim != 2 or not values.is_floating_point() or not len(values):
            raise DataError(f"{where}: {values.dtype} {tuple(values.shape)}; give features (N, {form.features})")
        if not values.isfinite().all():
            raise DataError(f"{where}: features that are not numbers; compute them again")
        return Clip(values.float(), tuple(range(len(values))), len(values))

    def suit(self, value: Any, preprocessing: Any, model: str, name: str) -> tuple[Clip, str]:
        """The frames of a data set's video that the model reads, and a note."""
        clip = self._fitted(value.sampled(preprocessing), preprocessing, model, name)
        return clip, self.note(clip)

    @staticmethod
    def _fitted(clip: Clip, form: ClipFormat, model: str, where: str) -> Clip:
        size = clip.frames.shape[1] if clip.is_features else 0
        if size != form.features:
            kinds = [f"{n} features a frame" if n else "frames" for n in (size, form.features)]
            raise DataError(f"{where}: {kinds[0]}, but {model} reads {kinds[1]}")
        if not clip.is_features and tuple(clip.frames.shape[-2:]) != tuple(form.size):
            raise DataError(
                f"{where}: frames of {clip.frames.shape[-1]}x{clip.frames.shape[-2]} pixels, but {model} reads "
                f"{form.size[1]}x{form.size[0]}; read the clip again for this model"
            )
        return clip.sampled(form)

    def note(self, opened: Clip) -> str:
        """That a clip is a still picture."""
        return "; ".join(opened.notes)

    def is_whole(self, folder: Path) -> bool:
        """True for a folder of frames."""
        return is_clip_folder(folder)


VIDEO = VideoInput()
