"""Records of video: clips, and the sentences that a model generates of them.

Shapes: B clips of K frames, C channels, H x W pixels, or D features a frame; L tokens of V.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor

from foveate.records.base import Preprocessing
from foveate.records.captioning import Caption, Sentence
from foveate.records.prediction import Prediction


@dataclass(frozen=True)
class ClipFormat:
    """Clips as a model takes them: its preprocessing.

    frames: K, the largest number of frames; a longer clip gives that many, equally spaced. features: D, where frames
    are given as features; 0 for images. image: how each frame is prepared.
    """

    frames: int = 28
    features: int = 0
    image: Preprocessing = field(default_factory=Preprocessing)

    @property
    def mean(self) -> tuple[float, ...]:
        """One value a channel of a frame."""
        return self.image.mean

    @property
    def size(self) -> tuple[int, ...]:
        """(height, width) of a frame as the network takes it; () of features."""
        return () if self.features else self.image.size

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {"frames": self.frames, "features": self.features, "image": self.image.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClipFormat:
        """The inverse of `to_json`."""
        return cls(int(data["frames"]), int(data["features"]), Preprocessing.from_json(data["image"]))

    def __call__(self, frames: Tensor) -> Tensor:
        """(..., C, H, W) uint8 -> float32, normalised; features (..., D) -> float32."""
        return frames.float() if self.features else self.image(frames)


def spaced(count: int, frames: int) -> list[int]:
    """The numbers of at most `frames` equally spaced frames of `count`, each in the middle of its part of the clip."""
    kept = min(count, frames)
    return [(2 * i + 1) * count // (2 * kept) for i in range(kept)]


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames of a video that a model reads.

    frames: (K, C, H, W) uint8, of the network's size; or (K, D) float32, their features.
    numbers: of each frame in the whole video, from 0. count: frames of the whole video.
    seconds: the time of each frame; () where it is not known. duration: of the whole video; 0 where it is not known.
    shape: (height, width) of the video itself, by which frames are drawn; () of features.
    notes: sentences on how it was read.
    """

    frames: Tensor
    numbers: tuple[int, ...]
    count: int
    seconds: tuple[float, ...] = ()
    duration: float = 0.0
    shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clip):
            return NotImplemented
        mine, theirs = ({k: v for k, v in vars(one).items() if k != "frames"} for one in (self, other))
        return mine == theirs and torch.equal(self.frames, other.frames)

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_features(self) -> bool:
        """True for features in place of images."""
        return self.frames.ndim == 2

    @property
    def nbytes(self) -> int:
        """The bytes in memory."""
        return self.frames.nbytes

    def sampled(self, form: ClipFormat) -> Clip:
        """The frames that a model of this format reads; all of a clip that has no more."""
        kept = spaced(len(self.frames), form.frames)
        if len(kept) == len(self.frames):
            return self
        return dataclasses.replace(
            self,
            frames=self.frames[kept],
            numbers=tuple(self.numbers[i] for i in kept),
            seconds=tuple(self.seconds[i] for i in kept) if self.seconds else (),
        )

    def with_frames(self, frames: Tensor) -> Clip:
        """The same with other values, as the features of its frames."""
        return dataclasses.replace(self, frames=frames)

    def time(self, frame: int) -> str:
        """The time of a frame for the eye: '2.4 s', or 'frame 12' where times are not known."""
        return f"{self.seconds[frame]:.1f} s" if self.seconds else f"frame {self.numbers[frame]}"


class Video(Protocol):
    """A video that was not read yet, as a data set gives it; `Clip` is one that was."""

    def sampled(self, form: ClipFormat) -> Clip:
        """The frames that a model of this format reads. Raises DataError."""
        ...


class Event(NamedTuple):
    """One thing that happens in a clip.

    kind: a key of the data set's `phrases`, as 'cow walks left'. start, end: frame numbers of the whole video, from
    the first to the one after the last.
    """

    kind: str
    start: int
    end: int


class VideoSample(TypedDict):
    """One clip with its captions."""

    video: Video
    captions: tuple[Caption, ...]  # one or more
    events: NotRequired[tuple[Event, ...]]  # in the order in which they begin, where they are known
    name: str


class VideoBatch(TypedDict):
    """Input of a video model's `loss`. L tokens in the longest caption of the batch, <end> among them."""

    clips: NotRequired[Tensor]  # (N, K, C, H, W) float32, normalised; zeros after the end of shorter ones; or ...
    features: NotRequired[Tensor]  # ... (N, K, D), given or what `model.encode` makes of the frames
    clip_lengths: Tensor  # (N,) int64, frames of each clip
    clip_of: NotRequired[Tensor]  # (B,) int64, the clip of each caption; without: N = B, its own
    tokens: Tensor  # (B, L) int64, <pad> after the <end> of shorter ones
    names: list[str]


class VideoOutput(NamedTuple):
    """Output of a video model's `forward`, each word given the true ones before it."""

    logits: Tensor  # (B, L, V)
    attention: Tensor  # (B, L, K), which sums to 1 over the frames of the clip


@dataclass
class VideoPrediction(Prediction):
    """Generated captions of a clip.

    sentences: one or more, best first; their attention is (T, K), of each word over the frames that were read.
    numbers, seconds: of these frames; see `Clip`.
    """

    sentences: tuple[Sentence, ...]
    numbers: tuple[int, ...]
    seconds: tuple[float, ...] = ()
    name: str = ""

    @property
    def text(self) -> str:
        """The best sentence."""
        return self.sentences[0].text

    def attention(self) -> np.ndarray:
        """(T, K) float32, of the best sentence."""
        found = self.sentences[0].attention
        assert found is not None  # every video model attends
        return found


class VideoDataset(Protocol):
    """Clips with captions, in a fixed order.

    channels: of a frame. features: D, where frames are given as features; 0 for images.
    phrases: kind of event -> the word sequences that tell of it; {} where events are not known.
    """

    channels: int
    features: int
    phrases: Mapping[str, Sequence[str]]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> VideoSample: ...

    def name(self, index: int) -> str:
        """The clip's name, without reading it."""
        ...

    def captions(self, index: int) -> tuple[Caption, ...]:
        """Captions of a clip, without reading it."""
        ...
