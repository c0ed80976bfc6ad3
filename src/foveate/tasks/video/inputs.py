"""The input of video: clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from foveate.errors import DataError, counted
from foveate.pictures import decode_picture, picture_info
from foveate.pictures.limits import check_size
from foveate.records import Clip, ClipFormat
from foveate.tasks.inputs import Input, called, stored
from foveate.videos import VIDEO_SUFFIXES, clip_from, is_clip_folder, measure, read_clip, suffix_of

SERVED_FRAMES, SERVED_PIXELS = 3000, 2_000_000_000  # of a clip that is taken over HTTP; pixels of all frames


@dataclass(frozen=True)
class VideoInput(Input):
    """Videos: files, folders of frames, arrays (N, H, W, 3), tensors (N, 3, H, W), lists of images (or of the bytes
    of their files), or a `Clip`.

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
        if isinstance(given, Sequence) and given and all(isinstance(one, bytes) for one in given):
            given = [decode_picture(one, f"{where}, frame {i}", channels=3) for i, one in enumerate(given)]
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
        """The notes of reading a clip, as that it is a still picture."""
        return "; ".join(opened.notes)

    def is_whole(self, folder: Path) -> bool:
        """True for a folder of frames."""
        return is_clip_folder(folder)

    # Over HTTP

    parts_key: ClassVar[str] = "frames"

    def weigh(self, given: Any, name: str = "", max_pixels: int | None = None) -> int:
        """Bytes of one frame, as frames are shrunk one by one; of a list of images, of all.

        Raises DataError for a kind of file that is not taken, and above SERVED_FRAMES and SERVED_PIXELS.
        """
        where = name or "the clip"
        if isinstance(given, bytes):
            with stored(given, suffix_of(given, where)) as path, called(path, where):
                count, height, width = measure(path, SERVED_FRAMES, SERVED_PIXELS)
            sizes = [(height, width)]
        else:
            if len(given) > SERVED_FRAMES:
                raise DataError(f"{where}: {counted(len(given), 'frame')}; at most {SERVED_FRAMES:,} are taken here")
            sizes = [picture_info(one, f"{where}, frame {i}")[:2] for i, one in enumerate(given)]
            count = 1
        for height, width in sizes:
            check_size(where, height, width, max_pixels)
        if count > SERVED_FRAMES or count * sum(h * w for h, w in sizes) > SERVED_PIXELS:
            raise DataError(
                f"{where}: {count:,} frames of {sizes[0][1]}x{sizes[0][0]} pixels; at most {SERVED_FRAMES:,} frames "
                f"and {SERVED_PIXELS:,} pixels in all are taken here: cut it, make it smaller, or use foveate predict"
            )
        return 3 * sum(h * w for h, w in sizes)

    def decode(self, data: bytes, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Any:
        """See `Input.decode`."""
        where = name or "the clip"
        with stored(data, suffix_of(data, where)) as path, called(path, where):
            return self.open(path, preprocessing, model, str(path), max_pixels)

    def example(self, preprocessing: Any) -> Any:
        """Four frames of noise, or of features."""
        draw = np.random.default_rng(0)
        if preprocessing.features:
            return draw.normal(0, 1, (4, preprocessing.features)).astype(np.float32)
        return draw.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


VIDEO = VideoInput()
