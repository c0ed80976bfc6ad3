"""Videos with captions in files: the clips below a folder, and a data set of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from foveate.datasets.captions import CaptionScan
from foveate.datasets.captions.album import Album
from foveate.datasets.checks import label_digest
from foveate.datasets.files import Pair, ScannedSource
from foveate.disk import is_hidden
from foveate.records import Caption, Clip, ClipFormat, VideoSample
from foveate.videos import VIDEO_SUFFIXES, is_clip_folder, read_clip


def clips_below(root: Path) -> Iterator[Path]:
    """Videos and folders of frames below a folder, in order; hidden ones are skipped, linked folders followed once."""
    visited: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            names.clear()
            continue
        visited.add(real)
        names[:] = sorted(name for name in names if not is_hidden(name))
        for name in [name for name in names if is_clip_folder(Path(folder, name))]:
            names.remove(name)
            yield Path(folder, name)
        for name in sorted(files):
            if not is_hidden(name) and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield Path(folder, name)


def library(root: Path) -> Album:
    """The clips below a folder, by name."""
    return Album(root, clips_below(root))


@dataclass(frozen=True)
class VideoFile:
    """A video that is read when its frames are asked for: a `records.Video`. path: a file, or a folder of frames."""

    path: Path

    def sampled(self, form: ClipFormat) -> Clip:
        """The frames that a model of this format reads. Raises DataError."""
        return read_clip(self.path, form)


class VideoFiles:
    """Captioned clips in files: a VideoDataset. A clip is read when its frames are asked for.

    shared: names that several clips of the set have; these are named with their folder.
    """

    channels = 3
    features = 0
    phrases: ClassVar[dict[str, tuple[str, ...]]] = {}  # nothing is known of what happens when

    def __init__(self, pairs: Sequence[Pair], shared: frozenset[str] = frozenset()) -> None:
        self.pairs, self.shared = list(pairs), shared

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> VideoSample:
        video = VideoFile(self.pairs[index].picture)
        return VideoSample(video=video, captions=self.captions(index), name=self.name(index))

    def name(self, index: int) -> str:
        """The clip's file name; with its folder, where several have it."""
        path = self.pairs[index].picture
        return f"{path.parent.name}/{path.name}" if path.name in self.shared else path.name

    def captions(self, index: int) -> tuple[Caption, ...]:
        """The captions of a clip, without reading it."""
        return tuple(map(Caption, self.pairs[index].label))

    def digest(self, index: int) -> str:
        """A digest of the captions, without reading the clip."""
        return label_digest(self.pairs[index].label)


class VideoSource(ScannedSource[CaptionScan]):
    """A data source of captioned clips; a subclass implements `read` and `describe`."""

    tasks: ClassVar[tuple[str, ...]] = ("video",)
    noun: ClassVar[str] = "clip"

    def readable(self, split: str, task: str = "") -> VideoFiles:
        """One split of the clips that can be used."""
        self.serve(task)
        names = Counter(pair.picture.name for pairs in self.scan.pairs.values() for pair in pairs)
        return VideoFiles(self.scan.pairs[split], frozenset(name for name, n in names.items() if n > 1))

    def remarks(self, task: str = "") -> dict[str, object]:
        """Clips that captions name and that are missing, and how many clips have no caption."""
        return {"left_out": list(self.scan.left_out), "without_captions": len(self.scan.without_captions)}
