"""Formats and corpora -> samples, one file each; `recognise` finds out which of them lies in a folder."""

from __future__ import annotations

from pathlib import Path

from foveate.datasets.captions.table import headless
from foveate.datasets.class_folders import lonely
from foveate.datasets.files import require_folder
from foveate.errors import DataError
from foveate.pictures import PICTURE_SUFFIXES
from foveate.records import DataSource
from foveate.registry import Entry, entries

# Tried in this order, a layout with a more telling mark before one that could hold it too: names that only one
# corpus uses, files that only one tool writes, a table of captions, formats of other packages in alphabetical order,
# then plain folders: a folder a class, unless they may be those of pictures and of masks, which come last.
ORDER = (
    "cityscapes", "camvid", "voc", "coco", "labelme", "idx", "karpathy", "flickr", "coco_captions", "caption_table",
)  # fmt: skip
BY_CLASS, LAST = "class_folders", "folders"


def recognise(path: str | Path, task: str = "") -> DataSource:
    """The reader of whatever format lies at `path`, all its options at their defaults.

    task: the family whose formats are asked first: COCO's folder holds objects and captions.
    Raises DataError: nothing there, an empty folder, or no known format, saying what was looked for.
    """
    path = Path(path)
    if not path.is_file():
        require_folder(path)
    tried: list[Entry] = []
    asked = candidates()
    if task:
        asked.sort(key=lambda entry: getattr(entry.load(), "task", "semantic") != task)  # stable
    for entry in asked:
        reader = entry.load()
        if not hasattr(reader, "recognise"):  # drawn, not read: there is nothing to recognise
            continue
        tried.append(entry)
        if reader.recognise(path):
            source: DataSource = reader(str(path), **dict(entry.preset))
            return source
    if task in ("", "captioning") and path.is_dir() and (words := headless(path)):
        raise DataError(f"{path}: {words}; write that line above the captions")
    alone = lonely(path) if task in ("", "classification") and path.is_dir() else ""
    if task and alone:
        raise DataError(f"{path}: {alone}")
    hint = f"as class folders it {alone}; " if alone else ""
    raise DataError(f"{path}: no known data format{_what_is_there(path)}; {hint}looked for {_listing(tried)}")


def candidates() -> list[Entry]:
    """Every registered dataset, in the order in which `recognise` asks them."""
    known = entries("dataset")
    others = sorted(set(known) - {*ORDER, BY_CLASS, LAST})
    return [known[name] for name in (*ORDER, *others, BY_CLASS, LAST) if name in known]


def _listing(tried: list[Entry]) -> str:
    return "; ".join(entry.summary.rstrip(".") or entry.name for entry in tried)


def _what_is_there(path: Path) -> str:
    if path.is_file():
        return " (a file)"
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in path.iterdir() if p.name[0] != ".")
    if names and all(Path(n).suffix.lower() in PICTURE_SUFFIXES for n in names):
        return f" ({len(names)} pictures without labels)"
    return f" (it holds {', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
