"""Data formats, one file each: folders -> samples. `recognise` finds the format of a folder."""

from __future__ import annotations

from pathlib import Path

from foveate.datasets.files import require_folder
from foveate.disk import is_hidden
from foveate.errors import DataError
from foveate.pictures import PICTURE_SUFFIXES
from foveate.records import DataSource
from foveate.registry import Entry, entries

# The order in which formats are tried, the more specific first: names that only one corpus uses, files that only one
# tool writes, a table of captions, formats of other packages in alphabetical order, then a folder a class, and last a
# folder of images beside a folder of masks.
ORDER = (
    "cityscapes", "camvid", "voc", "coco", "labelme", "idx", "karpathy", "flickr", "coco_captions", "caption_table",
)  # fmt: skip
BY_CLASS, LAST = "class_folders", "folders"


def recognise(path: str | Path, task: str = "") -> DataSource:
    """The data source whose format lies at `path`, all its options at their defaults.

    task: the family whose formats are tried first, since a folder of COCO may hold objects and captions.
    Raises DataError: nothing there, an empty folder, or no known format, with those that were tried.
    """
    path = Path(path)
    if not path.is_file():
        require_folder(path)
    readers = [(entry, cls) for entry in candidates() if _reads_files(cls := entry.load())]
    readers.sort(key=lambda reader: bool(task) and task not in reader[1].tasks)  # stable
    for entry, cls in readers:
        if cls.recognise(path):
            return cls(str(path), **dict(entry.preset))
    hints = []
    for entry, cls in readers:
        reason = cls.near_miss(path) if not task or task in cls.tasks else ""
        if reason and task:
            raise DataError(f"{path}: {reason}")
        if reason:
            hints.append(f"as {entry.name.replace('_', ' ')} it {reason}; ")
    tried = [entry for entry, _ in readers]
    raise DataError(f"{path}: no known data format{_contents(path)}; {''.join(hints)}looked for {_listing(tried)}")


def _reads_files(cls: type[DataSource]) -> bool:
    """False for generated data, which there is no format to recognise of."""
    return cls.recognise is not DataSource.recognise


def candidates() -> list[Entry]:
    """Every registered data source, in the order in which `recognise` tries them."""
    known = entries("dataset")
    others = sorted(set(known) - {*ORDER, BY_CLASS, LAST})
    return [known[name] for name in (*ORDER, *others, BY_CLASS, LAST) if name in known]


def _listing(tried: list[Entry]) -> str:
    return "; ".join(entry.summary.rstrip(".") or entry.name for entry in tried)


def _contents(path: Path) -> str:
    if path.is_file():
        return " (a file)"
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in path.iterdir() if not is_hidden(p.name))
    if names and all(Path(n).suffix.lower() in PICTURE_SUFFIXES for n in names):
        return f" ({len(names)} pictures without labels)"
    return f" (it holds {', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
