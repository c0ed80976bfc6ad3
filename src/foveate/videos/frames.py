"""Frames of video files one after the other, and video files from frames; by PyAV, the extra `video`.

One frame is in memory at a time, however long the video is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foveate.errors import ConfigError, DataError
from foveate.videos import CONTAINERS, import_av, turned, video_stream

CODECS = ("libx264", "mpeg4")  # of the files that are written: the first that there is


class Frame(NamedTuple):
    """One frame: its number from 0, its time in seconds (None if it is not known), its pixels (H, W, 3) uint8."""

    number: int
    seconds: float | None
    pixels: np.ndarray


def is_video(path: Path) -> bool:
    """True for names of video files."""
    return path.suffix.lower() in CONTAINERS


def frame_rate(path: Path) -> Fraction:
    """Frames a second, as the file says; 25 where it does not. Raises DataError."""
    with _opened(path) as container:
        rate = video_stream(container, path).average_rate
        return Fraction(rate) if rate else Fraction(25)


def read_frames(path: Path, every: int = 1) -> Iterator[Frame]:
    """Every `every`-th frame, the first one among them, upright. Raises DataError for a file that cannot be decoded."""
    if every < 1:
        raise ConfigError(f"--every is {every}; give 1 or more")
    number = -1
    with _opened(path) as container:
        stream = video_stream(container, path)
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                number += 1
                if number % every:
                    continue
                seconds = float(frame.pts * frame.time_base) if frame.pts is not None else None
                upright = turned(frame.to_ndarray(format="rgb24"), getattr(frame, "rotation", 0))
                yield Frame(number, seconds, np.ascontiguousarray(upright))
        except import_av(path).FFmpegError as error:
            raise DataError(f"{path}: damaged after frame {number} ({error}); convert it again") from error
    if number < 0:
        raise DataError(f"{path}: no frames; record it again, or remove it")


class VideoWriter:
    """Writes frames (H, W, 3) uint8 as an MP4 file; all are brought to the size of the first, which becomes even."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._av = import_av(path)
        self._container = self._av.open(str(path), "w", format="mp4")
        self._rate = rate.limit_denominator(1001)
        self._stream: Any = None
        self.size = (0, 0)

    def add(self, pixels: np.ndarray) -> None:
        """Append one frame; one of another size is cut, or padded with black at its right and bottom."""
        if self._stream is None:
            self.size = (pixels.shape[0] // 2 * 2 or 2, pixels.shape[1] // 2 * 2 or 2)
            name = next(codec for codec in CODECS if codec in self._av.codecs_available)
            self._stream = self._container.add_stream(name, rate=self._rate)
            self._stream.height, self._stream.width = self.size
            self._stream.pix_fmt = "yuv420p"
        fitted = np.zeros((*self.size, 3), np.uint8)
        part = pixels[: self.size[0], : self.size[1]]
        fitted[: part.shape[0], : part.shape[1]] = part
        for packet in self._stream.encode(self._av.VideoFrame.from_ndarray(fitted, format="rgb24")):
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
        self._container.close()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    av = import_av(path)
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path}: not a video that can be read ({error})") from error
    try:
        yield container
    finally:
        container.close()
