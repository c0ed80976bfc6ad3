"""A folder of pictures without labels, for models that draw such pictures, or find what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch

from foveate import pictures
from foveate.datasets.checks import label_digest
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, ScannedSource, raise_problems, require_folder
from foveate.datasets.headers import FileHeaders
from foveate.datasets.names import shown_names
from foveate.datasets.splits import ordered, split_or_draw, split_parts
from foveate.deferred import tv_tensors
from foveate.errors import DataError, counted
from foveate.pictures import list_pictures
from foveate.records import ClassTable, ColocalisationSample, DrawingSample, Problem
from foveate.registry import dataset


@dataclass
class PictureScan:
    """Contents of a folder of pictures.

    pairs: split -> its pictures, whose label is ''. problems: files that cannot be used. drawn: how pictures were
    divided, if the folders did not say.
    """

    pairs: dict[str, list[Pair]]
    problems: list[Problem] = field(default_factory=list)
    drawn: Drawn = field(default_factory=Drawn)


class PictureDataset(FileHeaders):
    """Pictures without labels, in files.

    Indexing raises DataError, naming the file: undecodable, or another number of channels than the first picture has.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = list(pairs)
        self.channels = pictures.channels_of(pair.picture for pair in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> DrawingSample:
        image = pictures.stored_tensor(pictures.read_picture(self.pairs[index].picture, channels=self.channels))
        return DrawingSample(image=tv_tensors.Image(image), name=self.name(index))

    def name(self, index: int) -> str:
        """The file's name; with its folders where several are called so."""
        return self._names[index]

    @cached_property
    def _names(self) -> list[str]:
        return shown_names([pair.picture for pair in self.pairs])

    def digest(self, index: int) -> str:
        """A digest of the label, which is always the same."""
        return label_digest(self.pairs[index].label)


class CommonDataset(PictureDataset):
    """Pictures that all hold an object of one kind, whose place is not labelled."""

    classes = ClassTable(("object",))

    def __getitem__(self, index: int) -> ColocalisationSample:
        image = super().__getitem__(index)["image"]
        height, width = image.shape[-2:]
        none = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(height, width))
        labels = torch.zeros(0, dtype=torch.int64)
        return ColocalisationSample(image=image, boxes=none, labels=labels, name=self.name(index))


@dataset("picture_folder")
@dataclass(frozen=True)
class PictureFolder(ScannedSource[PictureScan]):
    """Pictures without labels: DATA/*.png, or DATA/{train,val,test}/*.png.

    Without split folders a fifth is drawn for val and written to `splits.json`; so it is where there is train but no
    val. Such a folder is recognised where pictures alone are asked for: elsewhere, labels are what is missing.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0
    tasks: ClassVar[tuple[str, ...]] = ("drawing", "colocalisation")
    unlabelled: ClassVar[bool] = True

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there are pictures in the folder, or in folders named after splits."""
        return path.is_dir() and bool(list_pictures(path) or _split_folders(path))

    def read(self) -> PictureScan:
        """List the pictures. Raises DataError if there are none."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        splits = {
            split: [Pair(path, "") for path in list_pictures(folder)]
            for split, folder in _split_folders(root, problems).items()
        }
        drawn = Drawn()
        outside = [Pair(path, "") for path in list_pictures(root)]
        if splits and outside:
            problems += [
                Problem(pair.picture, "a picture beside the folders of the splits; move it into one, or remove it")
                for pair in outside
            ]
        if not splits or ("train" in splits and "val" not in splits):
            undivided = splits.get("train", outside)
            if len(undivided) < 2:
                raise_problems(problems)
                raise DataError(
                    f"{root}: {counted(len(undivided), 'picture')}; expected two or more, DATA/*.png or "
                    f"DATA/train/*.png"
                )
            divided, drawn = split_or_draw(root, undivided, self.seed, problems)
            splits |= divided
        return PictureScan(ordered(splits), problems, drawn)

    def readable(self, split: str, task: str = "") -> PictureDataset:
        """One split of the files that can be used."""
        common = self.serve(task) == "colocalisation"
        return (CommonDataset if common else PictureDataset)(self.scan.pairs[split])

    def describe(self, task: str = "") -> str:
        """The format and its counts, in one line."""
        self.serve(task)
        scan = self.scan
        counts = ", ".join(f"{len(pairs)} {split}" for split, pairs in scan.pairs.items())
        return f"pictures without labels: {counts} pictures" + (f" ({scan.drawn})" if scan.drawn else "")


def _split_folders(root: Path, problems: list[Problem] | None = None) -> dict[str, Path]:
    return split_parts(root, lambda path: path.is_dir() and bool(list_pictures(path)), problems)
