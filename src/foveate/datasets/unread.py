"""Notes on files beside the data that may be meant, and that no reader of it reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from foveate.datasets.classes import CLASSES_FILE
from foveate.disk import is_hidden
from foveate.errors import listed
from foveate.pictures.pam import stated_categories

# Videos, and pictures in formats that are not read.
OTHER_MEDIA = frozenset({
    ".3gp", ".arw", ".avi", ".avif", ".cr2", ".cr3", ".dcm", ".dng", ".exr", ".heic", ".heif", ".jxl", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".nef", ".nii", ".orf", ".psd", ".rw2", ".svg", ".webm", ".wmv",
})  # fmt: skip
_NAMES = re.compile(r"class|label|categor|codes|id2|names|legend|palette|ontology|(data|dataset|meta)\.(ya?ml|json)$")
_SPLITS = re.compile(r"(?<![a-z])(splits?|train\w*|val|valid\w*|dev|test\w*|folds?|partitions?|subsets?)(?![a-z])")
_TABLES = {".csv", ".json", ".names", ".tsv", ".txt", ".xlsx", ".xml", ".yaml", ".yml"}


def media_notes(pictures: Iterable[Path], known: Collection[Path] = ()) -> list[str]:
    """A note on videos and pictures of other formats beside those that are read. known: files that are problems."""
    found: list[str] = []
    for folder in sorted({picture.parent for picture in pictures}):
        if folder.is_dir():
            files = (p for p in sorted(folder.iterdir()) if p.suffix.lower() in OTHER_MEDIA and not is_hidden(p.name))
            found += [p.name for p in files if p not in known]
    if not found:
        return []
    return [
        f"{listed(found, 'file')} beside the pictures not read; convert videos to frames, and pictures to PNG or JPEG"
    ]


def class_list_notes(root: Path, masks: Sequence[Path] = ()) -> list[str]:
    """A note on files that may name the classes of masks, where no class list is read.

    masks: of which the first may have names of its values in GDAL's `.aux.xml` beside it.
    """
    if names := stated_categories(masks[0]) if masks else []:
        shown = ", ".join(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")
        return [
            f"{masks[0].name}.aux.xml names the values from 0 ({shown}), which is not read; write {CLASSES_FILE} with "
            "these names, one a line"
        ]
    found = [path.name for path in _tables(root) if _NAMES.search(path.name.lower()) and not _divides(path)]
    if not found:
        return []
    return [
        f"{listed(found, 'file')} not read; if meant to name the classes, write {CLASSES_FILE}, one name a line in "
        "the order of the label values"
    ]


def split_table_notes(root: Path, texts: bool = False) -> list[str]:
    """A note on files that may divide the images, where a split is drawn.

    texts: True for text files, too, which for masks are `stray_lists`' matter.
    """
    found = [path.name for path in _tables(root) if (texts or path.suffix.lower() != ".txt") and _divides(path)]
    if not found:
        return []
    return [
        f"{listed(found, 'file')} not read; if meant to divide the pictures, write train.txt and val.txt, one file "
        "name a line"
    ]


def _divides(path: Path) -> bool:
    return _SPLITS.search(path.stem.lower()) is not None


def _tables(root: Path) -> Sequence[Path]:
    """Small tables in a folder, but for those that are read wherever they lie."""
    read = {CLASSES_FILE, "splits.json"}
    files = sorted(p for p in root.iterdir() if p.suffix.lower() in _TABLES and p.is_file()) if root.is_dir() else []
    return [p for p in files if not is_hidden(p.name) and p.name.lower() not in read]
