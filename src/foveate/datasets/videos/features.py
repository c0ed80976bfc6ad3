"""Clips as features of their frames, with a class each: features.npz and classes.txt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch

from foveate.datasets.arrays import holds_arrays, read_arrays
from foveate.datasets.checks import label_digest
from foveate.datasets.files import require_folder
from foveate.datasets.splits import SPLIT_ORDER
from foveate.datasets.text_files import read_text
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.records import Caption, Clip, ClipFormat, DataSource, Event, VideoSample
from foveate.registry import dataset

FEATURES, CLASSES = "features.npz", "classes.txt"
VAL_SHARE = 0.2
LEAST_PART = 0.4  # of a clip's frames that a part of a joined clip has at least


class FeatureVideo:
    """Frames of features in memory: a `records.Video`. frames: (N, D) float32."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureVideo) and np.array_equal(self.frames, other.frames)

    __hash__ = None  # type: ignore[assignment]

    def sampled(self, form: ClipFormat) -> Clip:
        """The frames that a model of this format reads."""
        whole = Clip(torch.from_numpy(self.frames), tuple(range(len(self.frames))), len(self.frames))
        return whole.sampled(form)


@dataset("video_features")
@dataclass(frozen=True)
class VideoFeatures(DataSource):
    """Clips as features: features.npz with `features` (clips, frames, D), `label` and `ids`, and classes.txt.

    The caption of a clip is its class, 'band marching' for BandMarching. With `join` 2 a clip is the beginning of one
    and the beginning of another of a different class, one after the other, and its caption 'archery then biking': which
    frames are of which is known, so that the place of attention and the order can be scored.

    The last fifth of the clips of each class, in the file's order, are val: neighbours may come from one recording.

    path: the folder; "" until `made_from` says it.
    join: clips that are joined, 1 or 2.
    seed: of the joined parts.
    whole: all clips are the split test; it is set for `--split test` (`undivided`).
    """

    path: str = ""
    join: int = 1
    seed: int = 0
    whole: bool = False
    tasks: ClassVar[tuple[str, ...]] = ("video",)

    def __post_init__(self) -> None:
        if self.join not in (1, 2):
            raise ConfigError(f"join is {self.join}; expected 1 or 2 clips")

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if both files are there, and the features have labels."""
        if not (path / FEATURES).is_file() or not (path / CLASSES).is_file():
            return False
        return holds_arrays(path / FEATURES, ("features", "label"))

    def made_from(self, path: Path) -> Self | None:
        """The same on another folder."""
        return replace(self, path=str(path))

    def undivided(self) -> Self | None:
        """All clips as the split test."""
        return replace(self, whole=True)

    @cached_property
    def content(self) -> tuple[np.ndarray, np.ndarray, list[str], tuple[str, ...]]:
        """Features (N, K, D), labels (N,), names of the clips, and of the classes. Raises DataError."""
        if not self.path:
            raise ConfigError(f"this recipe reads {FEATURES} and {CLASSES}: say where they are with --data PATH")
        root = require_folder(self.path)
        file = root / FEATURES
        found = read_arrays(file, "features (clips, frames, values) and label (clips,)")
        if missing := [name for name in ("features", "label") if name not in found]:
            raise DataError(f"{file}: no array {missing[0]}; expected features and label: write it with numpy.savez")
        features, labels, ids = found["features"], found["label"], found.get("ids")
        if features.dtype.kind not in "iuf" or labels.dtype.kind not in "iu":
            raise DataError(f"{file}: features {features.dtype}, labels {labels.dtype}; expected numbers and classes")
        if ids is not None and (ids.shape != features.shape[:1] or ids.dtype.kind not in "Uiu"):
            raise DataError(
                f"{file}: ids {ids.dtype} {ids.shape}; expected a name for each of {counted(len(features), 'clip')}"
            )
        labels = labels.astype(np.int64)
        names = tuple(_spoken(line) for line in read_text(root / CLASSES).splitlines() if line.strip())
        if features.ndim != 3 or 0 in features.shape or labels.shape != features.shape[:1]:
            raise DataError(
                f"{file}: features {features.shape} and labels {labels.shape}; expected (clips, frames, values) and "
                "(clips,)"
            )
        if not np.isfinite(features).all():
            raise DataError(f"{file}: features that are not numbers; compute them again")
        if labels.min() < 0 or labels.max() >= len(names):
            raise DataError(
                f"{file}: labels {labels.min()}..{labels.max()}, but {CLASSES} names {counted(len(names), 'class')}"
            )
        if len(set(names)) != len(names):
            raise DataError(f"{root / CLASSES}: two classes of one name; name each once")
        numbered = [f"clip_{i:06d}" for i in range(len(features))]
        return features, labels, numbered if ids is None else [str(name) for name in ids.tolist()], names

    def _members(self, split: str) -> list[int]:
        labels = self.content[1]
        if self.whole:
            return list(range(len(labels)))
        found = []
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label).tolist()
            cut = len(own) - max(1, round(VAL_SHARE * len(own))) if len(own) > 1 else 1
            found += own[:cut] if split == "train" else own[cut:]
        return sorted(found)

    def splits(self) -> tuple[str, ...]:
        """train and val; or test alone."""
        return ("test",) if self.whole else ("train", "val")

    def open(self, split: str, task: str = "") -> FeatureClips:
        """One split. Raises DataError, ConfigError."""
        self.serve(task)
        if split not in self.splits():
            raise ConfigError(f"{unknown('split', split, self.splits())} (in {self.path})")
        return FeatureClips(self, self._members(split), SPLIT_ORDER.index(split))

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        features, _, _, names = self.content
        counts = ", ".join(f"{len(self._members(split))} {split}" for split in self.splits())
        joined = "; two joined, one after the other" if self.join == 2 else ""
        return (
            f"features of clips: {counts}, {counted(features.shape[1], 'frame')} of {features.shape[2]} values, "
            f"{counted(len(names), 'class')}{joined}"
        )


class FeatureClips:
    """Clips as features, a class each, or two joined: a VideoDataset. Training draws other pairs in every epoch."""

    channels = 3

    def __init__(self, source: VideoFeatures, members: list[int], split: int) -> None:
        self.source, self.members, self.split = source, members, split
        self.frames, self.labels, self.ids, names = source.content
        self.features = int(self.frames.shape[2])
        self.classes = names
        self.phrases = {name: (name,) for name in names}
        if source.join == 2 and len(set(self.labels[members].tolist())) < 2:
            raise DataError(f"{source.path}: one class; two are needed to join clips of different classes")
        if source.join == 2 and SPLIT_ORDER[split] == "train":
            self.draw = self._draw

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> VideoSample:
        return self._sample(self._parts(index))

    def _draw(self, keys: Sequence[tuple[int, int]]) -> list[VideoSample]:
        """The samples of some (epoch, index)."""
        return [self._sample(self._parts(index, epoch)) for epoch, index in keys]

    def _sample(self, parts: list[tuple[int, int]]) -> VideoSample:
        frames = np.concatenate([self.frames[clip][:length] for clip, length in parts]).astype(np.float32)
        events, start = [], 0
        for clip, length in parts:
            events.append(Event(self.classes[self.labels[clip]], start, start + length))
            start += length
        captions = (self._caption(parts),)
        return VideoSample(video=FeatureVideo(frames), captions=captions, events=tuple(events), name=self._name(parts))

    def _parts(self, index: int, epoch: int = 0) -> list[tuple[int, int]]:
        """(clip, frames of it) of a sample: the clip itself; of joined ones another before or after it."""
        own, length = self.members[index], self.frames.shape[1]
        if self.source.join == 1:
            return [(own, length)]
        dice = np.random.default_rng((self.source.seed, self.split, index, epoch))
        others = [clip for clip in self.members if self.labels[clip] != self.labels[own]]
        least = max(1, round(LEAST_PART * length))
        other = others[int(dice.integers(len(others)))]
        lengths = [int(n) for n in dice.integers(least, length + 1, 2)]
        pair = [own, other] if dice.random() < 0.5 else [other, own]
        return list(zip(pair, lengths, strict=True))

    def name(self, index: int) -> str:
        """The clip's name; of joined ones 'first+second'."""
        return self._name(self._parts(index))

    def _name(self, parts: list[tuple[int, int]]) -> str:
        return "+".join(self.ids[clip] for clip, _ in parts)

    def captions(self, index: int) -> tuple[Caption, ...]:
        """The class; of joined clips both, in their order."""
        return (self._caption(self._parts(index)),)

    def _caption(self, parts: list[tuple[int, int]]) -> Caption:
        return Caption(" then ".join(self.classes[self.labels[clip]] for clip, _ in parts))

    def digest(self, index: int) -> str:
        """A digest of the caption."""
        return label_digest(self.captions(index)[0].text)


def _spoken(name: str) -> str:
    """The words of a class name: 'BandMarching' and 'band_marching' are 'band marching'."""
    return " ".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_-]", " ", name.strip()).lower().split())
