"""The layout of a folder a class: the folders that may be classes, and those that another layout has."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.datasets.folders import LABEL_FOLDERS, find_parts
from foveate.datasets.masks_beside import holds_both
from foveate.datasets.names import normal, stem_of, unmarked
from foveate.datasets.sample_folders import hold_samples
from foveate.datasets.splits import SPLIT_NAMES, SPLIT_ORDER, split_parts, split_within
from foveate.disk import is_hidden
from foveate.errors import DataError
from foveate.pictures import list_pictures, picture_size
from foveate.records import Problem

# Folders that another layout's files lie in; no class is called so.
NO_CLASS = re.compile(
    rf"({'|'.join((*SPLIT_ORDER, *SPLIT_NAMES))}|images?|imgs?|img_dir|labels|annotations|ann_dir|anns?|gt|"
    r"ground_?truth)\d*|(train|val|test)annot|jpegimages|imagesets|segmentation(class|object)\w*|leftimg8bit|gtfine|"
    r"gtcoarse|images(tr|ts)|labels(tr|ts)|701_stillsraw_full|labeledapproved_full"
)
_FEW_VALUES, _NEARLY_ALL = 16, 0.9  # values or colours of a mask, and the share of its pixels that has them
_LOOKED_AT = 4  # pictures of a folder that tell whether it holds masks
# What `foveate` itself may have written beside the data.
_RESULTS = ("recipe.json", "predictions.json")


def is_by_class(path: Path) -> bool:
    """True if folders hold images, none of them holds masks, and they are not one sample with its mask each."""
    if not path.is_dir() or find_parts(path):
        return False
    found = all_class_folders(path)
    names = {normal(folder.name) for folder in found}
    if len(names) < 2 or any(NO_CLASS.fullmatch(name.lower()) for name in names) or are_splits(names):
        return False
    if any(folder.name.lower() in LABEL_FOLDERS and _holds_masks(folder) for folder in found) or hold_samples(found):
        return False
    return any(list_pictures(folder) for folder in found) and not any(map(holds_both, found))


def are_splits(names: Collection[str]) -> bool:
    """True if all names of folders have words of splits in them, of two or more, as train_images and test_images."""
    splits = {split_within(name) for name in names}
    return "" not in splits and len(splits) > 1


def masks_among(folders: list[Path]) -> str:
    """A note on a folder that may hold the masks of another's pictures; '' if there is none.

    They have the same names, or are as many and of the same sizes, as im0001.ah.ppm beside im0001.ppm.
    """
    stems = {folder: {stem_of(file.name) for file in list_pictures(folder)} for folder in folders}
    for folder, own in stems.items():
        for other in folders:
            if other == folder:
                continue
            shared = [stem for stem in own if {stem, *unmarked(stem)} & stems[other]]
            alike = "of the same names" if 2 * len(shared) > len(own) else "of the same number and sizes"
            if (
                (2 * len(shared) > len(own) or _as_large(folder, other))
                and _holds_masks(folder)
                and not _holds_masks(other)
            ):
                return (
                    f"{other.name}/ and {folder.name}/ hold pictures {alike}, and those of {folder.name}/ "
                    "have few values, as masks do; if they are masks, call the folders images and labels"
                )
    return ""


def _as_large(one: Path, other: Path) -> bool:
    """True if two folders hold as many pictures, the first of which are of the same sizes."""
    files, others = list_pictures(one), list_pictures(other)
    if len(files) != len(others) or not files:
        return False
    with contextlib.suppress(DataError):
        sizes = [picture_size(file) for file in files[:_LOOKED_AT]]
        return sizes == [picture_size(file) for file in others[:_LOOKED_AT]]
    return False


def _holds_masks(folder: Path) -> bool:
    """True if nearly all pixels of pictures of a folder have few values or colours, as those of masks have."""
    files = list_pictures(folder)[:_LOOKED_AT]
    return bool(files) and all(map(_is_like_a_mask, files))


def _is_like_a_mask(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            values = np.asarray(picture if picture.mode.startswith("I") else picture.convert("RGB")).astype(np.int64)
    except (OSError, ValueError, SyntaxError):
        return False
    colours = values if values.ndim == 2 else values @ (1 << 16, 1 << 8, 1)
    counts = np.sort(np.unique(colours, return_counts=True)[1])
    return int(counts[-_FEW_VALUES:].sum()) >= _NEARLY_ALL * colours.size


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
