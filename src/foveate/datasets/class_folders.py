"""Images in folders named after their classes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from foveate import pictures
from foveate.datasets.captions.rows import head_of
from foveate.datasets.captions.table import remarks_beside
from foveate.datasets.checks import class_notes, label_digest
from foveate.datasets.class_files import ROBOFLOW_FILE
from foveate.datasets.class_layout import (
    NO_CLASS,
    all_class_folders,
    are_splits,
    class_folders,
    is_by_class,
    masks_among,
    split_folders,
)
from foveate.datasets.classes import CLASSES_FILE, ClassList, read_classes
from foveate.datasets.contents import contents
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, ScannedSource, all_pairs, raise_problems, require_folder
from foveate.datasets.folders import find_parts, split_lists
from foveate.datasets.headers import FileHeaders, is_clear, nothing_to_see
from foveate.datasets.names import NameIndex, in_any_case, normal, stem_of
from foveate.datasets.spelling import spelling_note
from foveate.datasets.splits import (
    SPLIT_ORDER,
    SPLITS_FILE,
    draw_split,
    list_lines,
    ordered,
    read_splits,
    settle,
    split_by_lists,
    split_called,
    stray_folders,
)
from foveate.datasets.unread import split_table_notes
from foveate.deferred import tv_tensors
from foveate.disk import is_hidden
from foveate.errors import DataError, counted, first_names, listed
from foveate.pictures import PICTURE_SUFFIXES, list_pictures
from foveate.records import ClassificationSample, ClassTable, Problem
from foveate.registry import dataset

_CLASS_COLUMNS = {
    "label",
    "labels",
    "class",
    "class_id",
    "class_name",
    "category",
    "breed",
    "species",
    "target",
    "diagnosis",
}
_LITTER = {"thumbs.db", "desktop.ini"}
_TEXTS = {".csv", ".tsv", ".txt", ".md", ".json", ".jsonl", ".xml", ".html", ".yaml", ".yml"}  # that hold no picture
_SHEET = "contact_sheet.jpg"  # which `foveate` may have written beside the data


@dataclass
class ClassScan:
    """Contents of a folder of class folders, found without decoding images.

    pairs: split -> its images, each with its class index. problems: files and folders that cannot be used; `open`
    raises them. drawn: how images were divided, if the folders did not say. notes: as of `Scan`.
    """

    pairs: dict[str, list[Pair]]
    classes: ClassTable
    problems: list[Problem]
    drawn: Drawn
    notes: list[str] = field(default_factory=list)


class ClassDataset(FileHeaders):
    """Images of one class each, in files.

    Indexing raises DataError, naming the file: undecodable, wholly transparent, or another number of channels than most
    images have.

    of_all: the pairs of all splits, which have one number of channels; () for those of this set.
    """

    def __init__(self, pairs: Sequence[Pair], classes: ClassTable, of_all: Sequence[Pair] = ()) -> None:
        self.pairs, self.classes = list(pairs), classes
        self.channels = pictures.channels_of(pair.picture for pair in of_all or self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> ClassificationSample:
        pair = self.pairs[index]
        picture = pictures.read_picture(pair.picture, channels=self.channels)
        if is_clear(pair.picture, picture):
            raise nothing_to_see(pair.picture, f"the class '{self.classes.names[pair.label]}'")
        image = tv_tensors.Image(pictures.stored_tensor(picture))
        return ClassificationSample(image=image, label=pair.label, name=self.name(index))

    def name(self, index: int) -> str:
        """'cow/001.jpg': the class's folder and the file."""
        return _name(self.pairs[index].picture)

    def class_of(self, index: int) -> str:
        """The name of the class, without decoding the image."""
        return self.classes.names[self.pairs[index].label]

    def digest(self, index: int) -> str:
        """A digest of the label, without decoding the image."""
        return label_digest(self.pairs[index].label)


@dataset("class_folders")
@dataclass(frozen=True)
class ClassFolders(ScannedSource[ClassScan]):
    """A folder a class: DATA/{train,val,test}/CLASS/*.jpg, or DATA/CLASS/*.jpg.

    Classes are the folders' names in sorted order, or as `classes.txt` in DATA orders them. Without split folders,
    lists as train.txt divide the images; without these, too, a fifth of each class is drawn for val and written to
    `splits.json`; so it is where there is train but no val.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0
    tasks: ClassVar[tuple[str, ...]] = ("classification", "drawing")

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if folders hold images, and none has a name that folders of images beside masks have."""
        return is_by_class(path)

    @staticmethod
    def near_miss(path: Path) -> str:
        """A folder that holds one class, or classes of which one is called as a split."""
        if not path.is_dir():
            return ""
        names = {normal(folder.name) for folder in all_class_folders(path) if list_pictures(folder)}
        splits = sorted(name for name in names if split_called(name) in SPLIT_ORDER)
        others = sorted(name for name in names if not NO_CLASS.fullmatch(name.lower()))
        if splits and others and not find_parts(path):
            return (
                f"holds pictures in {splits[0]}/, a split by its name, beside {others[0]}/; a class needs another "
                "name, and a split a folder for each class"
            )
        if are_splits(names) and len(others) == len(names) and not find_parts(path):
            shown = " and ".join(f"{name}/" for name in sorted(names)[:2])
            return f"holds pictures in {shown}, called after splits; a class is a folder in train/, val/ and test/"
        if table := _table_of_classes(path):
            name = table.relative_to(path).as_posix()
            return (
                f"has {name}, in which each picture has a class, and which is not read; sort the pictures into a "
                "folder a class"
            )
        if len(names) != 1 or NO_CLASS.fullmatch(min(names).lower()):
            return ""
        return f"holds one class, '{min(names)}'; a classifier needs two or more, a folder each"

    def read(self) -> ClassScan:
        """Read the folders' names and the files in them. Raises DataError if there is no image."""
        return _read_folder(require_folder(self.path), self.seed)

    def readable(self, split: str, task: str = "") -> ClassDataset:
        """One split of the files that can be used."""
        self.serve(task)
        return ClassDataset(self.scan.pairs[split], self.scan.classes, all_pairs(self.scan))

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        counts = ", ".join(f"{len(pairs)} {split}" for split, pairs in scan.pairs.items())
        drawn = f" ({scan.drawn})" if scan.drawn else ""
        return f"class folders: {counts} pictures{drawn}, {counted(len(scan.classes), 'class')}"


def _table_of_classes(root: Path) -> Path | None:
    """A table whose head names a column of classes, beside pictures or in a folder of a split; None without one.

    Roboflow's _classes.csv has a column a class.
    """
    folders = [root, *(p for p in sorted(root.iterdir()) if p.is_dir() and split_called(p.name) in SPLIT_ORDER)]
    tables = [p for folder in folders for p in sorted(folder.iterdir()) if p.suffix.lower() in (".csv", ".tsv")]
    for file in tables:
        if file.name == ROBOFLOW_FILE and list_pictures(file.parent):
            return file
        head = next((line for line in head_of(file) if line.strip()), "").lower()
        cells = {cell.strip().strip("\"'") for cell in re.split(r"[,;\t|]", head)}
        if (
            len(cells) > 1
            and not is_hidden(file.name)
            and cells & _CLASS_COLUMNS
            and contents(root).partition(", ")[0].endswith(("picture", "pictures"))
        ):
            return file
    return None


def _name(picture: Path) -> str:
    return f"{picture.parent.name}/{picture.name}"


def _read_folder(root: Path, seed: int) -> ClassScan:
    problems: list[Problem] = []
    splits = split_folders(root, problems)
    texts: list[str] = []
    found = {split: _files_by_class(folder, problems, texts) for split, folder in (splits or {"": root}).items()}
    if not any(files for folders in found.values() for files in folders.values()):
        raise_problems(problems)
        raise DataError(f"{root}: no pictures in class folders; expected CLASS/*.jpg, or train/CLASS/*.jpg and so on")
    notes = stray_folders(root, splits.values(), lambda path: any(map(list_pictures, class_folders(path))))
    notes += [f"{listed(texts, 'file')} in class folders: no pictures, and not read"] if texts else []
    notes += [
        f"{file.name} names the pictures, but does not say that its texts are captions, so that the folders' names are "
        "the labels; if they are captions, call its column caption"
        for file in remarks_beside(root)
    ]
    for folder in (splits or {"": root}).values():
        notes += [note] if (note := masks_among(class_folders(folder))) else []
    if splits:
        problems += _images_outside(root)
    classes = _classes(root, splits, found, problems)
    notes += spelling_note(classes.names)
    label = {name: i for i, name in enumerate(classes.names)}
    pairs = {
        split: [Pair(p, label[name]) for name, files in folders.items() if name in label for p in files]
        for split, folders in found.items()
    }
    every = [pair for own in pairs.values() for pair in own]
    notes += class_notes(
        {name: [pair.picture for pair in every if pair.label == i] for i, name in enumerate(classes.names)}
    )
    drawn = Drawn()
    if "" in pairs:
        pairs = _listed(root, pairs, problems, notes)
        notes += split_table_notes(root, texts=True) if pairs.get("") else []
    undivided = pairs.pop("", None) or (pairs.get("train") if not pairs.get("val") else None)
    if undivided:
        divided, drawn = _divide(root, undivided, seed, problems)
        pairs |= divided
    return ClassScan(ordered(pairs), classes, problems, drawn, notes)


def _listed(
    root: Path, pairs: dict[str, list[Pair]], problems: list[Problem], notes: list[str]
) -> dict[str, list[Pair]]:
    """The images by the lists train.txt and so on, as `cat/001.jpg 0` in a line; undivided without lists of images."""
    whole, index = pairs[""], NameIndex(pair.picture for pair in pairs[""])
    lists = split_lists(root, problems)
    named = {split: path for split, path in lists.items() if any(index.find_line(line)[1] for line in _lines(path))}
    notes += [f"{lists[s].name} is not read, since it names none of the pictures" for s in lists if s not in named]
    if not named:
        return pairs
    complaints: list[Problem] = []  # kept apart: the other problems are of files that a list may not name
    divided = split_by_lists(whole, named, complaints)
    problems += complaints
    read = {pair.picture for part in divided.values() for pair in part}
    if left_out := [_name(pair.picture) for pair in whole if pair.picture not in read]:
        notes.append(f"{counted(len(left_out), 'picture')} in no list and left out ({first_names(left_out)})")
    return {**divided, "": []}


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(DataError):
        return list_lines(path)
    return []


def _files_by_class(root: Path, problems: list[Problem], texts: list[str]) -> dict[str, list[Path]]:
    """Class -> its images. Other files are added to the problems, or to `texts` if they cannot be meant as images."""
    problems += _images_outside(root)
    found: dict[str, list[Path]] = {}
    for folder in class_folders(root):
        files = list_pictures(folder)
        found.setdefault(normal(folder.name), []).extend(files)
        stems = {stem_of(file.name) for file in files}
        if not files:
            problems.append(Problem(folder, "a class folder without pictures; add some, or remove it"))
        for path in sorted(folder.iterdir()):
            if is_hidden(path.name):
                continue
            if path.is_dir():
                problems.append(Problem(path, f"a folder inside a class's folder; its files belong into {folder}"))
            elif path.suffix.lower() in _TEXTS and normal(path.stem) not in stems:
                texts.append(f"{folder.name}/{path.name}")
            elif path.suffix.lower() in _TEXTS:
                what = "labels of a picture, which class folders have none of: give a folder of such labels by itself"
                problems.append(Problem(path, f"{what}, or remove it"))
            elif path.suffix.lower() not in PICTURE_SUFFIXES and path.name.lower() not in _LITTER:
                problems.append(Problem(path, "not a picture file by its name; convert it, or remove it"))
    return found


def _images_outside(root: Path) -> list[Problem]:
    what = "a picture outside of the class folders; move it into one, or remove it"
    return [Problem(path, what) for path in list_pictures(root) if path.name != _SHEET]


def _classes(
    root: Path, splits: dict[str, Path], found: dict[str, dict[str, list[Path]]], problems: list[Problem]
) -> ClassTable:
    """The class table; classes that are not in it, or that train lacks, are added to the problems. Raises DataError."""
    present = sorted({name for folders in found.values() for name in folders})
    file = in_any_case(root, CLASSES_FILE)
    known = read_classes(file) if file.exists() else ClassList(tuple(present))
    for split, folders in found.items():
        where = splits.get(split, root)
        non_empty = [name for name, files in folders.items() if files]  # `_files_by_class` has reported the empty ones
        unknown = [name for name in non_empty if name not in known.names]
        problems += [
            Problem(where / name, f"a class folder that {CLASSES_FILE} does not name; add '{name}' there, or remove it")
            for name in unknown
        ]
        if "train" in found:
            no_train = [name for name in non_empty if name not in found["train"]]
            problems += [
                Problem(where / name, "a class that train has no folder of; add one, or remove it") for name in no_train
            ]
    return known.table()


def _divide(root: Path, pairs: list[Pair], seed: int, problems: list[Problem]) -> tuple[dict[str, list[Pair]], Drawn]:
    """`splits.split_or_draw` by the names 'cow/001.jpg', which differ where file names do not.

    A fifth of each class is drawn for val, so that small classes are in both splits. Raises DataError.
    """
    path = root / SPLITS_FILE
    by_name = {_name(pair.picture): pair for pair in pairs}
    written = read_splits(path) if path.exists() else {}
    listed = {name for names in written.values() for name in names}
    problems += [
        Problem(path, f"names '{n}', but there is no picture of that name") for n in sorted(listed - set(by_name))
    ]
    return settle(path, by_name, written, seed, lambda _: _drawn_by_class(by_name, seed, root))


def _drawn_by_class(by_name: dict[str, Pair], seed: int, root: Path) -> dict[str, list[str]]:
    """A class with one image gives none to val. Raises DataError if every class has one."""
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for label in sorted({pair.label for pair in by_name.values()}):
        names = [name for name, pair in by_name.items() if pair.label == label]
        own = draw_split(names, seed, root) if len(names) > 1 else {"train": names}
        for split, chosen in own.items():
            splits[split] += chosen
    if not splits["val"]:
        raise DataError(f"{root}: one picture a class; expected at least two, one to train on and one to validate on")
    return splits
