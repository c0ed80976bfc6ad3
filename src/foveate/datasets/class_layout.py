"""The layout of a folder a class: the folders that may be classes, and those that another layout has."""

from __future__ import annotations

import re
from pathlib import Path

from foveate.datasets.folders import IMAGE_FOLDERS, LABEL_FOLDERS, find_parts
from foveate.datasets.masks_beside import holds_both
from foveate.datasets.names import normal
from foveate.datasets.splits import SPLIT_NAMES, SPLIT_ORDER, split_parts
from foveate.disk import is_hidden
from foveate.pictures import list_pictures
from foveate.records import Problem

# Folders that another layout's files lie in; no class is called so.
NO_CLASS = re.compile(
    rf"({'|'.join((*SPLIT_ORDER, *SPLIT_NAMES, *IMAGE_FOLDERS, *LABEL_FOLDERS))})\d*|(train|val|test)annot|"
    r"jpegimages|imagesets|segmentation(class|object)\w*|leftimg8bit|gtfine|gtcoarse|701_stillsraw_full|labeledapproved_full"
)
# What `foveate` itself may have written beside the data.
_RESULTS = ("recipe.json", "predictions.json")


def is_by_class(path: Path) -> bool:
    """True if folders hold images, and none has a name that folders of images beside masks have."""
    if not path.is_dir() or find_parts(path):
        return False
    found = all_class_folders(path)
    names = {normal(folder.name) for folder in found}
    if len(names) < 2 or any(NO_CLASS.fullmatch(name.lower()) for name in names):
        return False
    return any(list_pictures(folder) for folder in found) and not any(map(holds_both, found))


def all_class_folders(path: Path) -> list[Path]:
    """The folders that may be a class, of all splits."""
    return [folder for root in (split_folders(path).values() or [path]) for folder in class_folders(root)]


def class_folders(root: Path) -> list[Path]:
    """Folders that may be a class: no runs or predictions, and no folders of these, which may be beside the data."""
    found = (p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))
    return sorted(p for p in found if not any((p / name).is_file() or any(p.glob(f"*/{name}")) for name in _RESULTS))


def split_folders(root: Path, problems: list[Problem] | None = None) -> dict[str, Path]:
    """`split_parts` of the folders that hold folders."""
    return split_parts(root, lambda path: path.is_dir() and bool(class_folders(path)), problems)
