"""Images in one folder, label masks of the same names in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foveate.datasets.class_files import find_classes
from foveate.datasets.files import FileSource, Pair, Scan, pair_by_stem, require_folder
from foveate.datasets.masks import recognise_masks
from foveate.datasets.splits import ordered, split_by_lists, split_or_draw, split_parts
from foveate.errors import DataError
from foveate.pictures import list_pictures
from foveate.records import Problem
from foveate.registry import dataset

IMAGE_FOLDERS = ("images", "image", "imgs")
LABEL_FOLDERS = ("labels", "masks", "annotations", "label", "mask")


@dataset("folders")
@dataclass(frozen=True)
class Folders(FileSource):
    """Folders of images and label masks: DATA/{train,val,test}/{images,labels}, or DATA/{images,labels}.

    DATA may hold a `classes.txt` (see `foveate.datasets.classes`), or another tool's list
    (see `foveate.datasets.class_files`). Without split folders, `train.txt`, `val.txt` and
    `test.txt` in DATA list file names; without these a split is drawn and written to `splits.json`. With a
    train part but no val, val is drawn from train. `masks` and `annotations` may take the place of `labels`.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a folder of images beside a folder of masks."""
        return bool(paired_folders(path)) or find_folders(path) is not None

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        return describe_masks(self, "Folders")

    def read(self) -> Scan:
        """Find pairs, splits and the kind of mask. Raises DataError."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        folders = paired_folders(root, problems)
        if folders:
            pairs = {split: _pairs(folder, problems) for split, folder in folders.items()}
        else:
            undivided = _pairs(root, problems)
            twice: list[Problem] = []  # kept apart: the other problems are of files that a list may not name
            lists = split_lists(root, twice)
            pairs = split_by_lists(undivided, lists, problems) if lists else {"": undivided}
            problems += twice
        return scan_masks(root, pairs, problems, self.seed)


def scan_masks(root: Path, pairs: dict[str, list[Pair]], problems: list[Problem], seed: int) -> Scan:
    """Draw a missing split (pairs of '', or train without val), and find the kind of the masks."""
    if not any(pairs.values()):
        first = f" (first of {len(problems)} files without a partner: {problems[0]})" if problems else ""
        raise DataError(f"{root}: no labelled pictures; expected pictures and masks of the same names{first}")
    drawn = ""
    undivided = pairs.get("") or (pairs.get("train") if not pairs.get("val") and not problems else None)
    if undivided:
        divided, drawn = split_or_draw(root, undivided, seed, problems)
        pairs = {**{s: p for s, p in pairs.items() if s}, **divided}
    pairs = ordered(pairs)
    masks = [pair.label for split in pairs.values() for pair in split]
    reader = recognise_masks(masks, find_classes(root))
    return Scan(pairs, reader.classes, reader, problems, drawn=drawn)


def describe_masks(source: FileSource, what: str) -> str:
    """'<what>: 367 train, 101 val pictures, 11 classes (index PNG), ignore 11'."""
    scan = source.scan
    remark = getattr(scan.read_label, "remark", "masks")
    return f"{what}: {scan.counts()}, {len(scan.classes)} classes ({remark}), ignore {scan.classes.ignore_index}"


def find_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of masks inside a folder, if both are there."""
    inside = {p.name.lower(): p for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}
    images = next((inside[name] for name in IMAGE_FOLDERS if name in inside), None)
    labels = next((inside[name] for name in LABEL_FOLDERS if name in inside), None)
    return (images, labels) if images and labels else None


def paired_folders(root: Path, problems: list[Problem] | None = None) -> dict[str, Path]:
    """`split_parts` of the folders that hold images and masks."""
    return split_parts(root, lambda path: find_folders(path) is not None, problems)


def split_lists(root: Path, problems: list[Problem]) -> dict[str, Path]:
    """`split_parts` of the list files."""
    return split_parts(root, lambda path: path.is_file() and path.suffix.lower() == ".txt", problems)


def _pairs(folder: Path, problems: list[Problem]) -> list[Pair]:
    found = find_folders(folder)
    if found is None:
        raise DataError(f"{folder}: expected folders images and labels in it")
    pairs, alone = pair_by_stem(*(list_pictures(f) for f in found))
    problems += alone
    return pairs
