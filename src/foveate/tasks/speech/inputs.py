"""The input of speech: recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from foveate.errors import DataError
from foveate.records import Sound, SoundFormat
from foveate.sounds import SOUND_SUFFIXES, read_sound, resampled, sound_from, sound_header
from foveate.tasks.inputs import Input

PIPELINED_SECONDS = 120  # of recordings that are opened while others are read
SERVED_SECONDS = 900  # of a recording that is taken over HTTP


@dataclass(frozen=True)
class AudioInput(Input):
    """Recordings: files, their bytes, a `Sound`, or samples (T,) in -1..1 at the model's rate as an array or tensor.

    A model of features takes these, (T, D), and no files.
    """

    name: ClassVar[str] = "audio"
    noun: ClassVar[str] = "recording"
    nouns: ClassVar[str] = "recordings"
    suffixes: ClassVar[frozenset[str]] = SOUND_SUFFIXES

    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Sound:
        """See `Input.open`."""
        where = name or (str(given) if isinstance(given, (str, Path)) else "the recording")
        if isinstance(given, (str, Path, bytes)):
            if preprocessing.features:
                raise DataError(
                    f"{where}: sound, but {model} was trained on frames of {preprocessing.features} features; give an "
                    f"array (T, {preprocessing.features}), computed as those were"
                )
            given = read_sound(given if isinstance(given, bytes) else Path(given), where)
        elif not isinstance(given, Sound):
            given = self._from_array(given, preprocessing, where)
        return self._fitted(given, preprocessing, model, where)

    @staticmethod
    def _from_array(given: Any, preprocessing: SoundFormat, where: str) -> Sound:
        try:
            values = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)
        except (TypeError, ValueError):
            values = np.zeros(0, object)
        if values.dtype.kind not in "fiu" or values.ndim not in (1, 2):
            raise DataError(
                f"{where}: {type(given).__name__} {values.dtype} {values.shape}; give a file, or samples (T,) of "
                "floats in -1..1"
            )
        if preprocessing.features:
            return Sound(torch.from_numpy(values.astype(np.float32)), preprocessing.rate)
        if values.dtype.kind in "iu":
            if values.dtype.kind == "u" or values.dtype.itemsize == 1:
                raise DataError(f"{where}: samples of {values.dtype}; give int16, int32, or floats in -1..1")
            values = values.astype(np.float64) / 2.0 ** (8 * values.dtype.itemsize - 1)
        if values.ndim == 2 and values.shape[0] < values.shape[1]:
            values = values.T  # (channels, T), as torchaudio has it
        return sound_from(values.astype(np.float32), preprocessing.rate, where)

    def suit(self, value: Sound, preprocessing: Any, model: str, name: str) -> tuple[Sound, str]:
        """A data set's recording at the model's rate, and what was done to it."""
        fitted = self._fitted(value, preprocessing, model, name)
        return fitted, "" if fitted is value else fitted.notes[-1]

    def _fitted(self, sound: Sound, preprocessing: SoundFormat, model: str, where: str) -> Sound:
        size = sound.values.shape[1] if sound.is_features else 0
        if size != preprocessing.features:
            kinds = [f"frames of {n} features" if n else "sound" for n in (size, preprocessing.features)]
            raise DataError(f"{where}: {kinds[0]}, but {model} reads {kinds[1]}")
        try:
            fitted = resampled(sound, preprocessing.rate)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        if len(fitted.values) < preprocessing.shortest:
            least = preprocessing.shortest / preprocessing.rate
            raise DataError(f"{where}: {fitted.seconds:.3f} s; {model} needs {least:.3f} s or more")
        return fitted

    def note(self, opened: Sound) -> str:
        """The ways in which a file was changed: mixed, resampled; and that it is clipped or has 8 bits."""
        return "; ".join(opened.notes)

    def is_small(self, given: Any) -> bool:
        """True up to two minutes. Raises DataError for a file that is no sound."""
        header = sound_header(Path(given))
        return header.samples <= PIPELINED_SECONDS * header.rate

    def weigh(self, given: Any, name: str = "", max_pixels: int | None = None) -> int:
        """Bytes of its samples as floats. Raises DataError above SERVED_SECONDS, and for bytes that are no sound."""
        header = sound_header(given, name)
        if header.samples > SERVED_SECONDS * header.rate:
            raise DataError(
                f"{name or 'the recording'}: {header.samples / header.rate / 60:.0f} minutes; at most "
                f"{SERVED_SECONDS // 60} are taken here: cut it, or use foveate predict"
            )
        return 4 * header.samples * header.channels

    def decode(self, data: bytes, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Any:
        """See `Input.decode`; without a file."""
        return self.open(data, preprocessing, model, name)

    def example(self, preprocessing: Any) -> Any:
        """A second of noise, or of features."""
        count = max(int(preprocessing.rate), preprocessing.shortest)
        shape = (count, preprocessing.features) if preprocessing.features else (count,)
        return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


AUDIO = AudioInput()
