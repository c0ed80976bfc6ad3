"""A folder a sample, with one mask file an object: ID/images/ID.png beside ID/masks/*.png.

That is the form of Kaggle's Data Science Bowl 2018 (nuclei in microscopy images): each mask is zero but on its object.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate import pictures
from foveate.datasets.classes import CLASSES_FILE, read_classes
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, Scan, raise_problems, require_folder
from foveate.datasets.folders import LABEL_FOLDERS, find_folders
from foveate.datasets.masks.layers import only_roughly
from foveate.datasets.names import in_any_case, stem_of
from foveate.datasets.objects import Objects, ObjectSource, divide
from foveate.datasets.splits import SPLIT_ORDER, ordered, split_called, split_parts, stray_folders
from foveate.errors import DataError, counted
from foveate.pictures import list_pictures
from foveate.records import ClassTable, Problem
from foveate.registry import dataset

_MOST_FOLDERS = 64  # folders that are looked into to recognise the format
_MOST_FILES = 6  # of a sample that has its mask beside it
_STAGE = "stage1_"  # before the split in the names of the competition's folders


@dataset("sample_folders")
@dataclass(frozen=True)
class SampleFolders(ObjectSource):
    """A folder a sample, as in Kaggle's DSB 2018: DATA/ID/images/ID.png, and DATA/ID/masks/*.png, one an object.

    The samples' folders lie in DATA, or in DATA/train, DATA/val, DATA/test (or stage1_train and so on). Class 0 is
    "background", class 1 "object", or as a `classes.txt` of two names says. Folders without masks are left out.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if folders hold a folder with one image beside a folder of masks."""
        return path.is_dir() and (_holds_samples(path) or bool(_split_folders(path)))

    @staticmethod
    def near_miss(path: Path) -> str:
        """Folders of one sample each that hold its picture and its mask themselves."""
        if not path.is_dir() or not hold_samples(folders := _folders(path)):
            return ""
        names = ", ".join(file.name for file in list_pictures(folders[0]))
        return (
            f"has the same files in each folder ({names}), a sample with its mask; put the pictures into one folder "
            "images and the masks into one folder labels, each called after its sample"
        )

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        return (
            f"a folder a sample: {scan.counts()}, {counted(len(scan.classes), 'class')} (one mask an object), "
            f"ignore {scan.classes.ignore_index}"
        )

    def read(self) -> Scan:
        """Find the samples. Raises DataError."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        left_out: list[Path] = []
        splits = _split_folders(root, problems)
        notes = stray_folders(root, splits.values(), _holds_samples)
        pairs = {split: _pairs(folder, problems, left_out) for split, folder in (splits or {"": root}).items()}
        if not any(pairs.values()):
            raise_problems(problems)
            raise DataError(f"{root}: no samples; expected folders ID with ID/images/*.png and ID/masks/*.png")
        drawn = Drawn()
        undivided = pairs.pop("", []) or (pairs.get("train", []) if not pairs.get("val") else [])
        if undivided:
            divided, drawn = divide(root, undivided, problems, self.seed, left_out)
            pairs |= divided
        classes = _classes(root)
        return Scan(
            ordered(pairs), classes, ObjectMasks(classes), problems, drawn=drawn, left_out=left_out, notes=notes
        )


@dataclass(frozen=True)
class ObjectMasks:
    """Reads masks of one object each; `Pair.label` is the tuple of their files."""

    classes: ClassTable

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices: 1 on every object. Raises DataError."""
        label = np.zeros((height, width), np.uint8)
        for mask in self._masks(pair, height, width):
            label[mask] = 1
        return label

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """An object a mask, in the order of the files' names. Raises DataError."""
        masks = [mask for mask in self._masks(pair, height, width) if mask.any()]
        return Objects(np.stack(masks) if masks else np.zeros((0, height, width), bool), [1] * len(masks))

    def _masks(self, pair: Pair, height: int, width: int) -> list[np.ndarray]:
        masks = [_read_object(file, pair.picture, height, width) for file in pair.label]
        if len(masks) > 1 and all(2 * int(mask.sum()) > mask.size for mask in masks):
            raise DataError(
                f"{pair.label[0]}: each of the {len(masks)} masks of {pair.picture.name} covers more than half of it, "
                "so that the objects seem to be stored as 0; save masks with 0 around the object"
            )
        return masks


def hold_samples(folders: list[Path]) -> bool:
    """True if the same few picture files lie in all folders, one of them called after masks: img.png and label.png."""
    stems = {frozenset(stem_of(file.name).lower() for file in list_pictures(folder)) for folder in folders}
    if len(folders) < 2 or len(stems) != 1:
        return False
    (names,) = stems
    return 2 <= len(names) <= _MOST_FILES and not names.isdisjoint(LABEL_FOLDERS)


def _read_object(file: Path, picture: Path, height: int, width: int) -> np.ndarray:
    """(height, width) bool, true where a mask is not zero. Raises DataError."""
    raw = pictures.read_raw(file)
    values = raw.values
    if raw.lossy:
        raise DataError(only_roughly(file))
    if values.ndim == 3 and values.shape[2] in (2, 4) and (values[:, :, -1] == values.flat[values.shape[2] - 1]).all():
        values = values[:, :, :-1]  # an alpha channel of one value
    if values.shape[:2] != (height, width):
        raise DataError(
            f"{file}: the mask is {values.shape[1]}x{values.shape[0]} but its picture {picture.name} is "
            f"{width}x{height}; they must be of one size"
        )
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        shown = ", ".join(map(str, found[:4]))
        raise DataError(
            f"{file}: holds the values {shown}{', ...' if len(found) > 4 else ''}; expected 0 and one other, since "
            "each file is the mask of one object (smoothed edges? save it unsmoothed)"
        )
    return np.asarray(values.reshape(height, width, -1).any(axis=2))


def _classes(root: Path) -> ClassTable:
    """Background and object, or the two names of `classes.txt`. Raises DataError."""
    file = in_any_case(root, CLASSES_FILE)
    if not file.exists():
        return ClassTable(("background", "object"))
    listed = read_classes(file)
    names = listed.names if len(listed.names) != 1 else ("background", *listed.names)
    if len(names) != 2:
        raise DataError(
            f"{file}: names {counted(len(names), 'class')}, but masks of single objects have two, background and "
            "object; give two names"
        )
    return ClassTable(names, listed.colors if len(listed.colors) == 2 else ())


def _split_folders(root: Path, problems: list[Problem] | None = None) -> dict[str, Path]:
    """`split_parts` of the folders that hold samples, the competition's stage1_train and its like among them."""
    staged = {split_called(p.name.lower().removeprefix(_STAGE)): p for p in _folders(root) if p.name.startswith(_STAGE)}
    staged = {split: path for split, path in staged.items() if split in SPLIT_ORDER and _holds_samples(path)}
    return split_parts(root, _holds_samples, problems) or {s: staged[s] for s in SPLIT_ORDER if s in staged}


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._")


def _holds_samples(path: Path) -> bool:
    """True if folders hold one image beside masks each, and masks that are not called after the image."""
    if not path.is_dir():
        return False
    found = {p: parts for p in _folders(path)[:_MOST_FOLDERS] if (parts := find_folders(p)) is not None}
    if any(split_called(p.name) in SPLIT_ORDER for p in found):
        return False
    inside = [(list_pictures(parts.images), list_pictures(parts.labels)) for parts in found.values()]
    return all(len(images) <= 1 for images, _ in inside) and any(
        images and masks and {p.stem for p in masks} != {images[0].stem} for images, masks in inside
    )


def _pairs(root: Path, problems: list[Problem], left_out: list[Path]) -> list[Pair]:
    """The image of each sample, with the files of its masks."""
    pairs = []
    for folder in _folders(root):
        parts = find_folders(folder)
        alone = folder / "images"  # without a folder of masks
        images = list_pictures(parts.images if parts else alone) if parts or alone.is_dir() else []
        masks = list_pictures(parts.labels) if parts else []
        if len(images) > 1:
            problems.append(
                Problem(folder, f"holds {len(images)} pictures; expected one, with the masks of its objects")
            )
        elif images and masks:
            pairs.append(Pair(images[0], tuple(masks)))
        elif images:
            left_out.append(images[0])
        elif masks:
            problems.append(Problem(folder, "masks without a picture"))
    return pairs
