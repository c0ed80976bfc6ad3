"""A table of captions: a file with a column of images and a column of captions, or JSON lines with these keys.

Of several tables these are read: those in the folder itself; without one there, those beside their images in folders
of it, as Hugging Face's `metadata.csv` in each split's folder. A table with other texts, as remarks on images that are
labelled otherwise, is none of captions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from foveate.datasets.captions import NAMES_OF_SPLITS, CaptionLine, CaptionScan, CaptionSource, Collector
from foveate.datasets.captions.album import Album, nearby
from foveate.datasets.captions.lists import split_lists
from foveate.datasets.captions.rows import (
    JSON_LINES,
    Form,
    form_notes,
    form_of,
    has_one_column,
    head_of,
    language_problems,
    rows,
)
from foveate.datasets.class_layout import is_by_class
from foveate.datasets.contents import texts_beside
from foveate.datasets.files import require_folder
from foveate.datasets.folders import find_folders, paired_folders
from foveate.datasets.splits import SPLIT_ORDER
from foveate.disk import is_file
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset
from foveate.sounds import SOUND_SUFFIXES

PATTERNS = ("captions.txt", "*.csv", "*.tsv", *(f"*{suffix}" for suffix in JSON_LINES))
METADATA = "metadata"  # Hugging Face's name
MANY = 0.5  # of the images, that a table without a word of captions in its names must speak of


@dataclass(frozen=True)
class TableFile:
    """One table: its file, its form, and the split that its name or its folder says ('' for none)."""

    file: Path
    form: Form
    split: str = ""


@dataset("caption_table")
@dataclass(frozen=True)
class CaptionTable(CaptionSource):
    """A table of captions: *.csv, *.tsv, *.jsonl or Kaggle's captions.txt with columns as image,caption.

    A caption a row, several rows an image, or several columns, or a list in a cell; a caption with commas is in quotes.
    A column split holds train, val or test; without it the tables' names or folders, the images' folders or lists as
    train.txt do, or a split is drawn. Images are found by name anywhere below DATA.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a table whose columns name an image and a caption."""
        return bool(tables(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """A table whose columns do not say where image and caption are, captions in JSON, or a text a picture."""
        if not path.is_dir() or not any(Album(path)):
            return ""  # of other things than pictures
        for file in (file for pattern in PATTERNS for file in nearby(path, pattern)):
            first = next((line.strip() for line in head_of(file) if line.strip()), "")[:60]
            if file.suffix.lower() in JSON_LINES:
                return f"needs keys such as file_name and text: {file.name} begins with '{first}'; rename its keys"
            if form_of(file) is None and has_one_column(first):
                return (
                    f"needs a column of images and one of captions: {file.name} begins with '{first}'; rename the "
                    "columns to image (or file_name) and caption (or text)"
                )
            if form_of(file) is None:
                return (
                    f"needs column names: {file.name} begins with '{first[:40]}', not with the names of its columns; "
                    "write the line image,caption above the captions"
                )
            return (
                f"has {file.name}, which does not say that its texts are captions, and names few of the pictures or "
                "pictures that are labelled otherwise; call the column caption"
            )
        for file in nearby(path, "*.json"):
            if "caption" in file.stem.lower() or any('"caption' in line for line in head_of(file)):
                return (
                    f"has {file.name}, captions in JSON of a form that is not read; write captions.jsonl, an object a "
                    'line, as {"image": "a.jpg", "caption": "a cow"}'
                )
        return f"needs a table of captions: {texts}" if (texts := texts_beside(path)) else ""

    @cached_property
    def tables(self) -> list[TableFile]:
        """The tables that are read. Raises DataError if there is none."""
        found = tables(root := require_folder(self.path))
        if not found:
            raise DataError(
                f"{root}: no table of captions; expected a *.csv, *.tsv or *.jsonl whose columns are image,caption"
            )
        return found

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        root = Path(self.path)
        files = ", ".join(table.file.relative_to(root).as_posix() for table in self.tables)
        unread = sorted({name for table in self.tables for name in table.form.unread})
        remark = f"; column{'s' * (len(unread) > 1)} {', '.join(unread)} not read" if unread else ""
        return f"caption table ({files}{remark}): {self.scan.counts()}"

    def read(self) -> CaptionScan:
        """Read the rows and find their images. Raises DataError."""
        root = require_folder(self.path)
        collector = Collector([table.file for table in self.tables])
        album = Album(root)
        for table in self.tables:
            if twins := [t.file.name for t in self.tables if _same_stem(t.file, table.file) and t.file < table.file]:
                what = f"a second table of the name of {twins[0]}; keep one of them"
                collector.problems.append(Problem(table.file, what))
                continue
            collector.problems += language_problems(table.file, table.form)
            for line, place in rows(table.file, table.form, lambda name: bool(album.find(name)), collector.problems):
                split = line.split or table.split
                collector.add(CaptionLine(below(root, table.file, line.picture), line.text, split), table.file, place)
        scan = collector.scan(root, self.seed, split_lists(root))
        for table in self.tables:
            scan.notes += form_notes(table.file, table.form)
        return scan

    def remarks(self, task: str = "") -> dict[str, Any]:
        """Images without captions, captions without images, and columns that may hold captions and are not read."""
        unread = sorted({name for table in self.tables for name in table.form.unread})
        return super().remarks(task) | ({"columns_not_read": unread} if unread else {})


def tables(root: Path) -> list[TableFile]:
    """The tables of captions of a folder (see the module); those of recordings are none."""
    found = [TableFile(file, form) for file in _candidates(root) if (form := form_of(file)) is not None]
    found = [table for table in found if not _is_of_sound(table)]
    inside = [table for table in found if table.file.parent == root]
    has_masks = root.is_dir() and (find_folders(root) is not None or bool(paired_folders(root)))
    labelled = has_masks or is_by_class(root)
    chosen: list[TableFile] = []
    if surely := [table for table in inside if _for_captions(table)]:
        chosen = surely
    elif inside and not labelled:
        chosen = [table for table in inside if _speaks_of_many(root, table)]
    if not chosen and not has_masks:
        below = [table for table in found if table.file.parent != root]
        chosen = [table for table in below if _for_captions(table) and _speaks_of_any(root, table)]
        chosen = chosen or [table for table in below if not labelled and _speaks_of_many(root, table)]
    splits = [split_of(root, table.file) for table in chosen] if len(chosen) > 1 else []
    if any(splits):
        chosen = [TableFile(t.file, t.form, split) for t, split in zip(chosen, splits, strict=True)]
    return chosen


def remarks_beside(root: Path) -> list[Path]:
    """The tables of class folders that name most images, though nothing says that their texts are captions."""
    found = [TableFile(file, form) for file in _candidates(root) if (form := form_of(file)) is not None]
    return [table.file for table in found if not _for_captions(table) and _speaks_of_many(root, table)]


def _candidates(root: Path) -> list[Path]:
    """Files that may be tables: in the folder, in its folders, and Hugging Face's metadata one folder deeper."""
    files = [file for pattern in PATTERNS for file in nearby(root, pattern)]
    deeper = [folder for folder in root.iterdir() if folder.is_dir()] if root.is_dir() else []
    for folder in sorted(deeper):
        for pattern in (f"{METADATA}.csv", *(f"{METADATA}{suffix}" for suffix in JSON_LINES)):
            files += [file for file in nearby(folder, pattern) if file not in files]
    return files


def _for_captions(table: TableFile) -> bool:
    """True if the file's name or its columns say that it holds captions."""
    stem = table.file.stem.lower()
    return table.form.named_caption or "caption" in stem or stem == METADATA


def _is_of_sound(table: TableFile) -> bool:
    """True if the first row names a file of sound, as Hugging Face's metadata of recordings does."""
    try:
        first = next((line.picture for line, _ in rows(table.file, table.form, lambda name: False, [])), "")
    except DataError:
        return False
    return Path(first).suffix.lower() in SOUND_SUFFIXES


def _names(table: TableFile) -> set[str]:
    """The images that a table names; rows that cannot be read are passed over."""
    try:
        return {line.picture for line, _ in rows(table.file, table.form, lambda name: False, [])}
    except DataError:
        return set()


def _speaks_of_any(root: Path, table: TableFile) -> bool:
    album = Album(root)
    return any(album.find(below(root, table.file, name)) for name in _names(table))


def _speaks_of_many(root: Path, table: TableFile) -> bool:
    """True if a table names at least half of the images below the folder."""
    album = Album(root)
    named = {path for name in _names(table) for path in album.find(below(root, table.file, name))}
    return bool(named) and len(named) >= MANY * sum(1 for _ in album)


def below(root: Path, file: Path, name: str) -> str:
    """An image's name as seen from the root: names are relative to their table, if there is such a file."""
    if file.parent == root or not is_file(file.parent / name) or ".." in Path(name).parts:
        return name
    return (file.parent / name).relative_to(root).as_posix()


def split_of(root: Path, file: Path) -> str:
    """The split that a table's name says, or else its folder; '' for none."""
    words = [*re.findall("[a-z]+", file.stem.lower()), *reversed(file.relative_to(root).parent.parts)]
    splits = (NAMES_OF_SPLITS.get(word.lower(), word.lower()) for word in words)
    return next((split for split in splits if split in SPLIT_ORDER), "")


def _same_stem(one: Path, other: Path) -> bool:
    return one.with_suffix("") == other.with_suffix("") and one.suffix != other.suffix
