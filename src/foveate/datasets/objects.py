"""Base of the readers of formats with single objects: samples for semantic and for instance segmentation.

N objects in an image of H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch

from foveate import pictures
from foveate.datasets.checks import label_digest
from foveate.datasets.classes import CLASSES_FILE
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import (
    FileDataset,
    FileSource,
    Pair,
    ReadPicture,
    all_pairs,
    check_label,
    raise_problems,
    read_pair_picture,
)
from foveate.datasets.headers import is_clear, nothing_to_see
from foveate.datasets.splits import split_or_draw
from foveate.deferred import tv_tensors
from foveate.errors import DataError, counted
from foveate.ops.boxes import tight_boxes
from foveate.ops.mask_layers import pack
from foveate.records import ClassTable, InstanceSample, ObjectSample, Problem
from foveate.records.instances import UNSCORED


class Objects(NamedTuple):
    """The objects of one image, and what is neither object nor background."""

    masks: np.ndarray  # (N, H, W) bool
    labels: list[int]  # N class indices
    crowd: Sequence[bool] = ()  # N flags of crowd regions; () for none
    unscored: np.ndarray | None = None  # (H, W) bool, pixels that are not labelled


class ReadObjects(Protocol):
    """A `ReadLabel` that can also read single objects. Both methods raise DataError."""

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices or the ignore value."""
        ...

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """The objects of the image."""
        ...


class ObjectDataset(FileDataset):
    """Image files with label maps, and with the objects behind these."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        classes: ClassTable,
        read_label: ReadObjects,
        read_picture: ReadPicture = read_pair_picture,
        of_all: Sequence[Pair] = (),
    ) -> None:
        super().__init__(pairs, classes, read_label, read_picture, of_all)
        self._read_objects = read_label.objects
        self._object_file = getattr(read_label, "object_file", None)

    def objects_digest(self, index: int) -> str:
        """A digest of the label and of the file of its objects, if there is one, without decoding them."""
        label = self.pairs[index].label
        return label_digest(label if self._object_file is None else (label, self._object_file(self.pairs[index])))

    def instances(self, index: int) -> ObjectSample:
        """The image with its objects; crowds and objects without a pixel are left out. Raises DataError."""
        pair = self.pairs[index]
        picture = self._read_picture(pair, self.channels)
        found = self._read_objects(pair, *picture.shape[:2])
        crowd = found.crowd or [False] * len(found.labels)
        kept = [k for k, mask in enumerate(found.masks) if mask.any() and not crowd[k]]
        masks = found.masks[kept]
        boxes = tight_boxes(torch.from_numpy(masks))
        return ObjectSample(
            image=tv_tensors.Image(pictures.stored_tensor(picture)),
            masks=tv_tensors.Mask(torch.from_numpy(masks)),
            boxes=tv_tensors.BoundingBoxes(
                boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=picture.shape[:2]
            ),
            labels=torch.tensor([found.labels[k] for k in kept], dtype=torch.int64),
            name=self.name(index),
        )

    @property
    def things(self) -> ClassTable:
        """The classes of objects: all but the background."""
        return without_background(self.classes)

    def layered(self, index: int) -> InstanceSample:
        """The image with its objects in layers, labels by `things`. Raises DataError."""
        pair = self.pairs[index]
        picture = self._read_picture(pair, self.channels)
        height, width = picture.shape[:2]
        found = self._read_objects(pair, height, width)
        if found.labels and is_clear(pair.picture, picture):
            raise nothing_to_see(pair.picture, counted(len(found.labels), "object"))
        skipped = len(self.classes) - len(self.things)
        labels = [label - skipped for label in found.labels]
        crowd, masks = list(found.crowd) or [False] * len(labels), list(found.masks)
        if found.unscored is not None and found.unscored.any():
            masks, labels, crowd = [*masks, found.unscored], [*labels, UNSCORED], [*crowd, True]
        return InstanceSample(
            image=tv_tensors.Image(pictures.stored_tensor(picture)),
            layers=tv_tensors.Mask(torch.from_numpy(pack(masks, (height, width)))),
            labels=torch.tensor(labels, dtype=torch.int64),
            crowd=torch.tensor(crowd, dtype=torch.bool),
            name=pair.picture.name,
        )


def without_background(classes: ClassTable) -> ClassTable:
    """A class table without its first class where that is the background, which is no object."""
    if classes.names[0].lower() not in {"background", "_background_"} or len(classes) == 1:
        return classes
    return ClassTable(classes.names[1:], classes.colors[1:], classes.ignore_index)


class HasInstances(Protocol):
    """A data set that can read an image with its objects. things: the classes of objects, without background."""

    @property
    def things(self) -> ClassTable:
        """The classes of objects."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels of every image."""
        ...

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Name of an image, without decoding it."""
        ...

    def layered(self, index: int) -> InstanceSample:
        """An image with its objects in layers."""
        ...


class InstanceDataset:
    """Images with their objects: indexing gives `layered` of another data set."""

    def __init__(self, objects: HasInstances) -> None:
        self.objects, self.classes = objects, objects.things

    @property
    def channels(self) -> int:
        """Number of channels of every image."""
        return self.objects.channels

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> InstanceSample:
        return self.objects.layered(index)

    def name(self, index: int) -> str:
        """Name of an image, without decoding it."""
        return self.objects.name(index)

    @property
    def visible_shares(self) -> Callable[[int], np.ndarray] | None:
        """The visible share (N,) of each object of an image, of data that knows it; else None."""
        return getattr(self.objects, "visible_shares", None)


class FileInstances(InstanceDataset):
    """Images in files with their objects."""

    def __init__(self, objects: ObjectDataset | NumberedDataset) -> None:
        super().__init__(objects)
        self.digest = objects.objects_digest
        self.values, self.file_notes = objects.values, objects.file_notes


class NumberedDataset(FileDataset):
    """Image files with masks of object numbers; all objects are of one class."""

    @property
    def things(self) -> ClassTable:
        """The one class of objects."""
        return without_background(self.classes)

    def layered(self, index: int) -> InstanceSample:
        """The image with its objects in one layer. Raises DataError."""
        pair = self.pairs[index]
        picture = self._read_picture(pair, self.channels)
        numbers, unscored = self._read_label.objects(pair)  # type: ignore[attr-defined]
        check_label(pair, np.zeros(numbers.shape, np.uint8), picture.shape[:2], self.classes)
        count = int(numbers.max(initial=0))
        if count and is_clear(pair.picture, picture):
            raise nothing_to_see(pair.picture, counted(count, "object"))
        labels, crowd = [0] * count, [False] * count
        if unscored.any():
            numbers = np.where(unscored, count + 1, numbers)
            labels, crowd = [*labels, UNSCORED], [*crowd, True]
        return InstanceSample(
            image=tv_tensors.Image(pictures.stored_tensor(picture)),
            layers=tv_tensors.Mask(torch.from_numpy(numbers[None].astype(np.int32))),
            labels=torch.tensor(labels, dtype=torch.int64),
            crowd=torch.tensor(crowd, dtype=torch.bool),
            name=self.name(index),
        )

    def objects_digest(self, index: int) -> str:
        """As `digest`: the objects are what the mask holds."""
        return self.digest(index)


class MaskSource(FileSource):
    """A `FileSource` of masks, which serve instance segmentation where they number objects or are of one object each.

    The kind of `Scan.read_label` says so: "objects" of a `MaskReader`, "several" of `SeveralMasks`.
    """

    tasks: ClassVar[tuple[str, ...]] = ("semantic", "instances")

    def readable(self, split: str, task: str = "") -> FileDataset | InstanceDataset:  # type: ignore[override]
        """One split of the files that can be used. Raises DataError for objects that the masks do not number."""
        task, scan = self.serve(task), self.scan
        if task != "instances":
            return super().readable(split, task)
        kind = getattr(scan.read_label, "kind", "")
        if kind == "several":
            objects: ReadObjects = scan.read_label  # type: ignore[assignment]
            return FileInstances(
                ObjectDataset(scan.pairs[split], scan.classes, objects, scan.read_picture, all_pairs(scan))
            )
        if kind != "objects":
            remark = getattr(scan.read_label, "remark", "masks")
            raise DataError(
                f"{self.path}: the masks hold classes ({remark}), which do not tell the objects of a class apart; "
                f"number the objects of each image from 1 in its mask and write {CLASSES_FILE} with their one name, or "
                "label them in LabelMe or COCO"
            )
        pairs, reader = scan.pairs[split], scan.read_label
        return FileInstances(NumberedDataset(pairs, scan.classes, reader, scan.read_picture, all_pairs(scan)))


class ObjectSource(FileSource):
    """A `FileSource` whose `Scan.read_label` is a `ReadObjects`."""

    tasks: ClassVar[tuple[str, ...]] = ("semantic", "instances")

    def readable(self, split: str, task: str = "") -> ObjectDataset | InstanceDataset:  # type: ignore[override]
        """One split of the files that can be used: label maps, or for instance segmentation single objects."""
        task, scan = self.serve(task), self.scan
        reader: ReadObjects = scan.read_label  # type: ignore[assignment]
        dataset = ObjectDataset(scan.pairs[split], scan.classes, reader, scan.read_picture, all_pairs(scan))
        return FileInstances(dataset) if task == "instances" else dataset


def divide(
    root: Path, pairs: list[Pair], problems: list[Problem], seed: int, unlabelled: Iterable[Path] = ()
) -> tuple[dict[str, list[Pair]], Drawn]:
    """`split_or_draw`; if too few images are left, the error names the files that cannot be used. Raises DataError."""
    try:
        return split_or_draw(root, pairs, seed, problems, unlabelled)
    except DataError:
        raise_problems(problems)
        raise
