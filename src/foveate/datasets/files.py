"""Base of the readers of image files: pairs of image and label, the scan of a folder, and the problems found in it.

A reader for semantic segmentation describes its folder as a `Scan`; `FileSource` gives it `splits()` and `open()`:

    @dataset("mine")
    @dataclass(frozen=True)
    class Mine(FileSource):
        path: str

        def read(self) -> Scan: ...
        def describe(self, task: str = "") -> str: ...
        @staticmethod
        def recognise(path: Path) -> bool: ...
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch

from foveate import pictures
from foveate.datasets.checks import label_digest, split_notes
from foveate.datasets.drawn import Drawn
from foveate.datasets.headers import FileHeaders, is_clear, nothing_to_see
from foveate.datasets.names import shown_names
from foveate.datasets.unread import media_notes
from foveate.deferred import tv_tensors
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.records import ClassTable, DataSource, Problem, SemanticSample, UnusableFilesError


class Pair(NamedTuple):
    """An image file and the source of its label.

    picture: the image file. label: a mask's path, a list of polygons, a class index, captions: as the reader needs it.
    """

    picture: Path
    label: Any


# (pair, height, width) -> (height, width) integers: class indices or the ignore value. It is a module's function or a
# frozen dataclass with __call__, never a closure: data-loading workers receive it pickled.
ReadLabel = Callable[[Pair, int, int], np.ndarray]
# (pair, demanded channels) -> (H, W, C) of the type that the file holds.
ReadPicture = Callable[[Pair, int | None], np.ndarray]


def read_pair_picture(pair: Pair, channels: int | None) -> np.ndarray:
    """The usual `ReadPicture`: decode the pair's image file."""
    return pictures.read_picture(pair.picture, channels=channels)


def all_pairs(scan: AnyScan) -> list[Pair]:
    """The pairs of all splits."""
    return [pair for pairs in scan.pairs.values() for pair in pairs]


class AnyScan(Protocol):
    """The contents of a folder, found without decoding images."""

    drawn: Drawn

    @property
    def pairs(self) -> Mapping[str, Sequence[Pair]]:
        """Split -> its images and labels, in a fixed order; 'train' first."""
        ...

    @property
    def problems(self) -> list[Problem]:
        """Files that cannot be used; `open` raises them."""
        ...


S = TypeVar("S", bound=AnyScan)


@dataclass
class Scan:
    """The contents of a folder of images and masks, found without decoding images.

    pairs: split -> its pairs, in a fixed order. problems: files that cannot be used; `open` raises them.
    drawn: how images were divided, if the folder did not say. left_out: images without a label that are left out.
    notes: sentences on what may be other than was meant; `DataSource.notes` gives them.
    """

    pairs: dict[str, list[Pair]]
    classes: ClassTable
    read_label: ReadLabel
    problems: list[Problem] = field(default_factory=list)
    read_picture: ReadPicture = read_pair_picture
    drawn: Drawn = field(default_factory=Drawn)
    left_out: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def counts(self) -> str:
        """'367 train, 101 val pictures', how they were divided if the folder did not say, and those left out."""
        listing = ", ".join(f"{len(pairs)} {split}" for split, pairs in self.pairs.items())
        without = ""
        if self.left_out:
            names = ", ".join(file.name for file in self.left_out[:3]) + (", ..." if len(self.left_out) > 3 else "")
            without = f"{len(self.left_out)} without a label left out: {names}"
        remarks = "; ".join(filter(None, (str(self.drawn), without)))
        return f"{listing} pictures" + (f" ({remarks})" if remarks else "")


class FileDataset(FileHeaders):
    """Image files with label maps: a SemanticDataset.

    Indexing raises DataError, naming the file: undecodable, another number of channels than most images have, image and
    label of different sizes, a label value outside the class table.

    of_all: the pairs of all splits, which have one number of channels; () for those of this set.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        classes: ClassTable,
        read_label: ReadLabel,
        read_picture: ReadPicture = read_pair_picture,
        of_all: Sequence[Pair] = (),
    ) -> None:
        if not pairs:
            raise DataError("an empty set: no labelled pictures; expected at least one")
        self.pairs, self.classes = list(pairs), classes
        self._read_label, self._read_picture, self._of_all = read_label, read_picture, of_all or self.pairs

    @cached_property
    def channels(self) -> int:
        """Number of channels of most images that can be read; every image must have as many."""
        if self._read_picture is read_pair_picture:
            return pictures.channels_of(pair.picture for pair in self._of_all)
        for pair in self._of_all:
            with contextlib.suppress(DataError):
                return int(self._read_picture(pair, None).shape[2])
        return 3

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> SemanticSample:
        pair = self.pairs[index]
        picture = self._read_picture(pair, self.channels)
        label = self._read_label(pair, *picture.shape[:2])
        check_label(pair, label, picture.shape[:2], self.classes)
        if is_clear(pair.picture, picture) and (count := np.unique(label[label != self.classes.ignore_index]).size) > 1:
            raise nothing_to_see(pair.picture, counted(count, "class"))
        if picture.dtype.kind == "f" and not np.isfinite(picture).any():
            raise DataError(f"{pair.picture}: no pixel is a number; restore or remove it")
        return SemanticSample(
            image=tv_tensors.Image(pictures.stored_tensor(picture)), mask=mask_tensor(label), name=self.name(index)
        )

    def name(self, index: int) -> str:
        """The image's file name, without decoding it; with its folders where several images are called so."""
        return self._names[index]

    @cached_property
    def _names(self) -> list[str]:
        return shown_names([pair.picture for pair in self.pairs])

    def digest(self, index: int) -> str:
        """A digest of the label, without decoding it."""
        return label_digest(self.pairs[index].label)


class ScannedSource(DataSource, Generic[S]):
    """A data source whose folder is read once, into a scan.

    A subclass reads the folder in `read`, and makes the data set of a split in `readable`.

    path: the folder. noun: the name of a sample in notes.
    """

    noun: ClassVar[str] = "picture"

    path: str

    @abstractmethod
    def read(self) -> S:
        """Read the folder. Raises DataError if nothing in it can be used."""

    @cached_property
    def scan(self) -> S:
        """The result of `read`, which is called once."""
        return self.read()

    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold images, 'train' first."""
        return tuple(self.scan.pairs)

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return list(self.scan.problems)

    def open(self, split: str, task: str = "") -> Any:
        """One split. Raises DataError naming files that cannot be used, ConfigError for an unknown split or family."""
        task = self.serve(task)
        raise_problems(self.scan.problems)  # first, since they may be the reason why the split is missing
        if split not in self.scan.pairs:
            raise ConfigError(f"{unknown('split', split, self.scan.pairs)} (in {self.path})")
        self.scan.drawn.write()
        return self.readable(split, task)

    def notes(self, task: str = "") -> list[str]:
        """The reader's own, those on the meaning of masks, and those on the splits."""
        scan = self.scan
        reader = getattr(scan, "read_label", None)
        own = [*getattr(scan, "notes", ()), *getattr(reader, "notes", ())]
        pictures = (pair.picture for pairs in scan.pairs.values() for pair in pairs) if self.noun == "picture" else ()
        own += media_notes(pictures, {problem.file for problem in scan.problems})
        return [*own, *split_notes(scan.pairs, self.noun)]

    def undivided(self) -> Self | None:
        """This source with all of its files in the split test; None where they say how they are divided."""
        scan = self.scan
        if not scan.drawn:
            return None
        whole = copy.copy(self)
        pairs = [pair for part in scan.pairs.values() for pair in part]
        drawn = Drawn("all of it as test")
        whole.__dict__["scan"] = dataclasses.replace(scan, pairs={"test": pairs}, drawn=drawn)  # type: ignore[type-var]
        return whole

    @abstractmethod
    def readable(self, split: str, task: str = "") -> Any:
        """One split of the files that can be used."""


class FileSource(ScannedSource[Scan]):
    """A data source of image files with label maps; a subclass implements `read` and `describe`."""

    tasks: ClassVar[tuple[str, ...]] = ("semantic",)

    def open(self, split: str, task: str = "") -> Any:
        """One split. Raises DataError also for labels that are known to be outside the class table."""
        opened = super().open(split, task)
        if refused := getattr(self.scan.read_label, "refused", ""):
            raise DataError(refused)
        return opened

    def readable(self, split: str, task: str = "") -> FileDataset:
        """One split of the files that can be used."""
        self.serve(task)
        scan = self.scan
        return FileDataset(scan.pairs[split], scan.classes, scan.read_label, scan.read_picture, all_pairs(scan))


# Labels


def mask_tensor(label: np.ndarray) -> tv_tensors.Mask:
    """(H, W) integers -> a mask: uint8, or int32 where values exceed 255."""
    kind = np.uint8 if label.dtype == np.uint8 or label.max(initial=0) <= 255 else np.int32
    return tv_tensors.Mask(torch.from_numpy(np.array(label, kind)))


def check_label(pair: Pair, label: np.ndarray, size: tuple[int, ...], classes: ClassTable) -> None:
    """Raise DataError unless the label has the image's size and only values of the class table."""
    where = pair.label if isinstance(pair.label, Path) else pair.picture
    if label.shape != size:
        turned = " (one of them is turned: save both upright)" if label.shape == size[::-1] else ""
        raise DataError(
            f"{where}: the label is {label.shape[1]}x{label.shape[0]} but its picture {pair.picture.name} is "
            f"{size[1]}x{size[0]}{turned}; they must be of one size"
        )
    outside = values_outside(label, classes)
    if outside:
        raise DataError(f"{where}: {outside_table(outside, classes)}")


def values_outside(label: np.ndarray, classes: ClassTable) -> list[int]:
    """The label values that are neither a class nor the ignore value, sorted."""
    wrong = ((label >= len(classes)) | (label < 0)) & (label != classes.ignore_index)
    return [int(v) for v in np.unique(label[wrong])] if wrong.any() else []


def outside_table(values: Sequence[int], classes: ClassTable) -> str:
    """The complaint about label values that no class has."""
    listing = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
    return (
        f"label value{'s' if len(values) > 1 else ''} {listing} outside the class table of "
        f"{counted(len(classes), 'class')} "
        f"(0..{len(classes) - 1}, ignore {classes.ignore_index}); restore the file"
    )


# Problems


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raise one UnusableFilesError for all of them: the first three by name, the rest by number."""
    if not problems:
        return
    listing = "; ".join(map(str, problems[:3]))
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    raise UnusableFilesError(
        f"{listing}{more}; add what is missing or remove these (`foveate datasets inspect` lists all)", problems
    )


def require_folder(path: str | Path) -> Path:
    """The path, if it is a folder with something in it. Raises DataError."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such folder; check the path")
    if not path.is_dir():
        raise DataError(f"{path}: a file; expected the folder that holds the data")
    if next(path.iterdir(), None) is None:
        raise DataError(f"{path}: the folder is empty; expected labelled data in it")
    return path
