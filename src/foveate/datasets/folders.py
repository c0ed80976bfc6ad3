"""Images in one folder, label masks of the same names in another."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from foveate.datasets.class_files import find_classes
from foveate.datasets.classes import CLASSES_FILE, ClassList, hex_color
from foveate.datasets.contents import brush_masks, contents
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import FileSource, Pair, Scan, require_folder
from foveate.datasets.masks import MaskReader, recognise_masks, split_doubts
from foveate.datasets.masks.several import files_of, unite
from foveate.datasets.names import NameIndex
from foveate.datasets.objects import MaskSource
from foveate.datasets.pairing import pair_masks
from foveate.datasets.spelling import says_unscored, spelling_note
from foveate.datasets.splits import (
    SPLIT_ORDER,
    list_lines,
    ordered,
    split_by_lists,
    split_called,
    split_or_draw,
    split_parts,
    stray_folders,
    unknown_split,
)
from foveate.datasets.unread import class_list_notes, split_table_notes
from foveate.errors import DataError, counted
from foveate.pictures import list_pictures
from foveate.records import Problem
from foveate.registry import dataset

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "img_dir", "photos", "original", "originals", "input", "inputs")
LABEL_FOLDERS = (
    "1st_manual", "manual1", "manual",  # before masks: DRIVE and HRF call those of the field of view mask
    "labels", "masks", "annotations", "label", "mask", "ann_dir", "anns", "ann", "gt", "groundtruth", "ground_truth",
    "ground truth", "segmentations", "segmentation", "target", "targets", "masks_machine",
)  # fmt: skip
# What the folders of a split's labels and of its images add to the split's name: train_masks, trainannot, val-images.
_LABELS_OF = re.compile(
    r"(?P<split>[a-z]+?)[ ._-]?(?:annot|annotations?|labels?|masks?|gt|ground_?truth)", re.IGNORECASE
)
_IMAGES_OF = re.compile(r"(?P<split>[a-z]+?)(?:[ ._-]?(?:images?|imgs?))?", re.IGNORECASE)


class Parts(NamedTuple):
    """A folder of images and the folder of their masks."""

    images: Path
    labels: Path


@dataset("folders")
@dataclass(frozen=True)
class Folders(MaskSource):
    """Folders of images and label masks: DATA/{train,val,test}/{images,labels}, or DATA/{images,labels}.

    Also DATA/images/training beside DATA/annotations/training, and DATA/train_images beside DATA/train_masks. A mask
    has its image's name, up to the suffix and an ending such as `_mask`; folders in the folders are paired, too.
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
        return bool(find_parts(path))

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        return describe_masks(self, "Folders")

    def read(self) -> Scan:
        """Find pairs, splits and the kind of mask. Raises DataError."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        notes: list[str] = []
        parts = find_parts(root, problems, notes)
        if not parts:
            raise DataError(f"{root}: expected folders images and labels in it")
        pairs = {split: _pairs(part, problems, notes) for split, part in parts.items()}
        if "" in pairs:
            twice: list[Problem] = []  # kept apart: the other problems are of files that a list may not name
            lists = split_lists(root, twice)
            if lists:
                notes += stray_lists(root, lists, pairs[""])
                pairs = split_by_lists(pairs[""], lists, problems)
            problems += twice
        if not any(pairs.values()):
            _require_masks(parts)
        scan = scan_masks(root, pairs, problems, self.seed)
        scan.notes += notes
        return scan


def scan_masks(root: Path, pairs: dict[str, list[Pair]], problems: list[Problem], seed: int) -> Scan:
    """Draw a missing split (pairs of '', or train without val), and find the kind of the masks."""
    if not any(pairs.values()):
        alone = list({p.what: p for p in reversed(problems)}.values())[::-1]  # the first picture, the first label
        first = f" ({counted(len(problems), 'file')} without a partner: {'; '.join(map(str, alone[:2]))})"
        raise DataError(
            f"{root}: no labelled pictures; expected pictures and masks of the same names{first if problems else ''}"
        )
    pairs, drawn = with_val(root, pairs, problems, seed)
    files = {split: [file for pair in group for file in files_of(pair.label)] for split, group in pairs.items()}
    known = find_classes(root)
    reader = recognise_masks([file for group in files.values() for file in group], known)
    doubts = [
        *(
            names_notes(known, reader)
            if known
            else class_list_notes(root, [file for group in files.values() for file in group])
        ),
        *(split_table_notes(root) if drawn else []),
    ]
    doubts += split_doubts(reader, files)
    every = [pair for group in pairs.values() for pair in group]
    several = any(isinstance(pair.label, tuple) for pair in every)
    read_label = unite(every, reader, known) if several else reader
    return Scan(pairs, reader.classes, read_label, problems, drawn=drawn, notes=doubts)


def names_notes(known: ClassList, reader: MaskReader) -> list[str]:
    """Notes on the names of a class list: two that may be one, and one of pixels that are usually not scored."""
    notes = spelling_note(reader.classes.names)
    place = next((i for i, name in enumerate(known.names) if says_unscored(name)), -1)
    if place < 0 or known.names[place] not in reader.classes.names:
        return notes
    if any(note.startswith(f"{known.file} calls 0 ") for note in reader.notes):  # of `masks.advice.unlabelled_twice`
        return notes
    value = known.label_values()[place]
    if reader.plane == "colors" and known.colors:
        remedy = f"write 'ignore: {hex_color(known.colors[place])}' in place of its line in {known.file}"
    elif place in (0, len(known.names) - 1) and known.file == CLASSES_FILE:
        remedy = f"write 'ignore: {value}' in place of its name in {CLASSES_FILE}"
    else:
        remedy = "save them as 255"
    return [
        *notes,
        f"class '{known.names[place]}' is scored as every other; if its pixels are not meant to be, {remedy}",
    ]


def with_val(
    root: Path, pairs: dict[str, list[Pair]], problems: list[Problem], seed: int
) -> tuple[dict[str, list[Pair]], Drawn]:
    """The splits, with a val that is drawn from train, or from pairs of '', if there is none; and how it was drawn."""
    drawn = Drawn()
    undivided = pairs.get("") or (pairs.get("train") if not pairs.get("val") and not problems else None)
    if undivided:
        divided, drawn = split_or_draw(root, undivided, seed, problems)
        pairs = {**{s: p for s, p in pairs.items() if s}, **divided}
    return ordered(pairs), drawn


def describe_masks(source: FileSource, what: str) -> str:
    """'<what>: 367 train, 101 val pictures, 11 classes (index PNG), ignore 11'."""
    scan = source.scan
    remark = getattr(scan.read_label, "remark", "masks")
    return (
        f"{what}: {scan.counts()}, {counted(len(scan.classes), 'class')} ({remark}), ignore {scan.classes.ignore_index}"
    )


def find_parts(root: Path, problems: list[Problem] | None = None, notes: list[str] | None = None) -> dict[str, Parts]:
    """Split -> its folders, '' where they are not divided; {} if there are none.

    problems: takes in folders of which it is not clear which is meant. notes: takes in folders that are passed over.
    """
    if not root.is_dir():
        return {}
    notes = [] if notes is None else notes

    def holds(path: Path) -> bool:
        return find_folders(path) is not None

    folders = split_parts(root, holds, problems)
    if folders:
        notes += stray_folders(root, folders.values(), holds)
        return _of_one_name({split: _chosen(folder, notes) for split, folder in folders.items()}, notes)
    return _divided_inside(root, problems, notes) or _named_after_splits(root, notes)


def find_folders(folder: Path) -> Parts | None:
    """The folders of images and of masks inside a folder, if both are there."""
    return _chosen(folder, []) if _inside(folder, IMAGE_FOLDERS) and _inside(folder, LABEL_FOLDERS) else None


def paired_folders(root: Path, problems: list[Problem] | None = None) -> dict[str, Path]:
    """`split_parts` of the folders that hold images and masks."""
    return split_parts(root, lambda path: find_folders(path) is not None, problems)


def _inside(folder: Path, names: Sequence[str]) -> list[Path]:
    """The folders in a folder that are called by one of some names, in the order of these."""
    found = {p.name.lower(): p for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}
    return [found[name] for name in names if name in found]


def _chosen(folder: Path, notes: list[str]) -> Parts:
    """The folders of images and masks. Of several that masks may be in, the first that holds pictures is taken."""
    images, labels = _inside(folder, IMAGE_FOLDERS), _inside(folder, LABEL_FOLDERS)
    taken = next((path for path in labels if holds_pictures(path)), labels[0])
    for other in (*images[1:], *labels, *_of_as_many(folder, images[0])):
        if other not in (taken, images[0]):
            read = images[0] if other in images else taken
            notes.append(f"{_short(read)}/ is read, {other.name}/ beside it is not ({contents(other)})")
    return Parts(images[0], taken)


def _of_as_many(folder: Path, images: Path) -> list[Path]:
    """The folders of other names that hold as many pictures as the folder of images, and so may be the masks."""
    count = len(list_pictures(images))
    others = (p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] not in "._")
    known = {*IMAGE_FOLDERS, *LABEL_FOLDERS}
    return [p for p in others if p.name.lower() not in known and count and len(list_pictures(p)) == count]


def _of_one_name(parts: dict[str, Parts], notes: list[str]) -> dict[str, Parts]:
    """Leave out splits whose masks are in another kind of folder than train's, where train has such a folder, too."""
    if "train" not in parts:
        return parts
    images, labels = parts["train"]
    kept = {}
    for split, part in parts.items():
        name = part.labels.name.lower()
        if name != labels.name.lower() and _inside(images.parent, [name]):
            notes.append(f"{split} is left out: it has no {labels.name}/, which train's labels are read from")
        else:
            kept[split] = part
    return kept


def _divided_inside(root: Path, problems: list[Problem] | None, notes: list[str]) -> dict[str, Parts]:
    """images/training beside annotations/training, or plainly images beside annotations; {} if there are none."""
    if find_folders(root) is None:
        return {}
    found = _chosen(root, notes)
    images = split_parts(found.images, lambda path: path.is_dir() and holds_pictures(path), problems)
    labels = split_parts(found.labels, lambda path: path.is_dir() and holds_pictures(path), problems)
    both = [split for split in images if split in labels]
    if not both or list_pictures(found.images):
        return {"": found}
    for split, path in images.items():
        if split not in labels:
            notes.append(f"{_short(path)}/ has no folder of labels and is left out")
    notes += stray_folders(found.images, images.values(), holds_pictures)
    return {split: Parts(images[split], labels[split]) for split in both}


def _named_after_splits(root: Path, notes: list[str]) -> dict[str, Parts]:
    """train_images or train beside train_masks or trainannot, and so on; {} if there are none."""
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for path in sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != "."):
        for pattern, found in ((_LABELS_OF, labels), (_IMAGES_OF, images)):
            if match := pattern.fullmatch(path.name):
                split = split_called(match["split"])
                (found if split in SPLIT_ORDER else others).setdefault(split, path)
                break
    both = [split for split in SPLIT_ORDER if split in images and split in labels]
    if not any(holds_pictures(images[split]) and holds_pictures(labels[split]) for split in both):
        return {}
    notes += [f"{path.name}/ has no folder of labels and is left out" for s, path in images.items() if s not in labels]
    notes += [unknown_split(f"{path.name}/") for path in others.values() if holds_pictures(path)]
    return {split: Parts(images[split], labels[split]) for split in both}


def split_lists(root: Path, problems: list[Problem]) -> dict[str, Path]:
    """`split_parts` of the list files."""
    return split_parts(root, lambda path: path.is_file() and path.suffix.lower() == ".txt", problems)


def stray_lists(root: Path, lists: Mapping[str, Path], pairs: Sequence[Pair]) -> list[str]:
    """A note for each other text file all of whose lines name images of the set."""
    index = NameIndex(pair.picture for pair in pairs)
    notes = []
    for path in sorted(root.glob("*.txt")):
        if path in lists.values() or path.name == CLASSES_FILE:
            continue
        with contextlib.suppress(DataError):
            if all(index.find_line(line)[1] for line in list_lines(path)):
                notes.append(unknown_split(path.name))
    return notes


def holds_pictures(folder: Path) -> bool:
    """True if there are image files in a folder or in its folders."""
    return any(list_pictures(path) for path in (folder, *subfolders(folder)))


def subfolders(folder: Path) -> list[Path]:
    """All folders below a folder, but hidden ones."""
    below = (path for path in folder.rglob("*") if path.is_dir())
    return sorted(p for p in below if not any(part[0] in "._" for part in p.relative_to(folder).parts))


def _pairs(part: Parts, problems: list[Problem], notes: list[str]) -> list[Pair]:
    """The images with their masks, in the folders and in those folders inside that both have.

    Masks may lie one folder deeper, as Oxford-IIIT Pet's annotations/trimaps, if no other folder there holds pictures.
    """
    own, masks = list_pictures(part.images), list_pictures(part.labels)
    deeper = [folder for folder in subfolders(part.labels) if list_pictures(folder)]
    if own and not masks and len(deeper) == 1 and not any(map(list_pictures, subfolders(part.images))):
        masks, deeper = list_pictures(deeper[0]), []
    pairs, alone = pair_masks(own, masks, notes)
    problems += alone
    for folder in deeper:
        if not (images := part.images / folder.relative_to(part.labels)).is_dir():
            notes.append(f"{_short(folder)}/ has no folder {_short(images)}/ of pictures and is left out")
    for images in subfolders(part.images):
        labels = part.labels / images.relative_to(part.images)
        if labels.is_dir():
            more, alone = pair_masks(list_pictures(images), list_pictures(labels), notes)
            pairs += more
            problems += alone
        elif list_pictures(images):
            notes.append(f"{_short(images)}/ has no folder {_short(labels)}/ of labels and is left out")
    return pairs


def _require_masks(parts: Mapping[str, Parts]) -> None:
    """Raise DataError for folders of labels that hold other files than masks, or masks without pictures' names."""
    for part in parts.values():
        if part.labels.is_dir() and (masks := brush_masks(sorted(part.labels.iterdir()))):
            raise DataError(f"{part.labels}: holds {masks}")
        if not holds_pictures(part.images) and contents(part.images) != "nothing":
            raise DataError(
                f"{part.images}: holds {contents(part.images)}, but no pictures that are read; convert them to PNG, "
                "JPEG or TIFF"
            )
        found = contents(part.labels)
        if not holds_pictures(part.labels) and found != "nothing":
            raise DataError(
                f"{part.labels}: holds {found}, but no masks; expected one picture of labels (PNG or TIFF) for each "
                f"of {part.images}{_remedy(part.labels)}"
            )


def _remedy(labels: Path) -> str:
    if any(labels.rglob("*.txt")):
        return "; if the text is YOLO's, export masks or COCO's JSON from the tool that drew them"
    if any(path.suffix.lower() in (".npy", ".npz", ".mat") for path in labels.rglob("*")):
        return "; save the arrays as PNG or TIFF"
    return "; export masks from the tool that made these"


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
