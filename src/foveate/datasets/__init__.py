"""Data formats, one file each: folders -> samples. `recognise` finds the format of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.contents import inventory, labels_of_a_tool, nearest, partners_in
from foveate.datasets.files import require_folder
from foveate.datasets.folders import IMAGE_FOLDERS, LABEL_FOLDERS, Folders, find_parts, holds_pictures
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.disk import is_hidden
from foveate.errors import DataError, counted
from foveate.pictures import PICTURE_SUFFIXES
from foveate.records import DataSource
from foveate.registry import Entry, entries

# The order in which formats are tried, the more specific first: names that only one corpus uses, files that only one
# tool writes, tables of captions, transcripts and questions, formats of other packages in alphabetical order, then a
# folder a sample, masks beside their images, a folder a class, and last a folder of images beside a folder of masks.
ORDER = (
    "cityscapes", "camvid", "voc", "coco", "labelme", "idx", "video_table", "video_features", "karpathy", "flickr",
    "coco_captions", "caption_table", "kaldi", "speech_table", "speech_corpus", "speech_files", "vqa", "question_table",
    "cvat", "label_studio", "yolo",
)  # fmt: skip
BY_CLASS = "class_folders"
TAIL = ("sample_folders", "masks_beside", BY_CLASS, "folders")
LAST = TAIL[-1]
_FOLDERS = 50  # folders inside that are tried where the folder itself has no known format


def recognise(path: str | Path, task: str = "") -> DataSource:
    """The data source whose format lies at `path`, all its options at their defaults.

    task: the family whose formats are tried first, since a folder of COCO may hold objects and captions.
    Raises DataError: nothing there, an empty folder, or no known format, with those that were tried.
    """
    path = Path(path)
    if not path.is_file():
        require_folder(path)
    readers = [(entry, cls) for entry in candidates() if _reads_files(cls := entry.load())]
    readers = [(entry, cls) for entry, cls in readers if not cls.unlabelled or task in cls.tasks]
    readers.sort(key=lambda reader: bool(task) and task not in reader[1].tasks)  # stable
    for entry, cls in readers:
        if cls.recognise(path):
            if task and task not in cls.tasks and entry.name == BY_CLASS and (reason := _instead(path, task, readers)):
                raise DataError(f"{path}: looks like class folders, which is not for {task}; {reason}")
            if task and task not in cls.tasks and (reason := _near_miss(path, task, readers)):
                raise DataError(f"{path}: {reason}")
            return cls(str(path), **dict(entry.preset))
    if task and (reason := _near_miss(path, task, readers)):
        raise DataError(f"{path}: {reason}")
    hints = []
    for entry, cls in readers if not task else ():
        if reason := cls.near_miss(path):
            hints.append(f"as {entry.name.replace('_', ' ')} it {reason}")
    raise DataError(f"{path}: no known data format{_contents(path)}; {_nearest(path, hints, readers, task)}")


def _near_miss(path: Path, task: str, readers: list[tuple[Entry, type[DataSource]]]) -> str:
    """The reason why data is nearly of a format of the family; '' if it is of none."""
    return next((reason for _, cls in readers if task in cls.tasks and (reason := cls.near_miss(path))), "")


def _instead(path: Path, task: str, readers: list[tuple[Entry, type[DataSource]]]) -> str:
    """The clause on what class folders lack to serve a family: a near miss, or masks under another name; else ''."""
    misses = (cls.near_miss(path) for _, cls in readers if task in cls.tasks)
    return next((f"it {reason}" for reason in misses if reason), "") or partners_in(path)


def _nearest(path: Path, hints: list[str], readers: list[tuple[Entry, type[DataSource]]], task: str) -> str:
    """The nearest format and what to do: data in a folder above or below, a near miss, or labels of another tool."""
    if path.is_dir():
        inside = [p for p in sorted(path.iterdir()) if p.is_dir() and p.name[0] != "."][:_FOLDERS]
        wanted = [cls for _, cls in readers if not task or task in cls.tasks]
        data = [p for p in inside if _would_be_read(p, wanted)]
        if data:
            if deep := _classes_too_deep(path, data, wanted):
                return deep
            names = " and ".join(f"{p.name}/" for p in data[:2]) + (" and others" if len(data) > 2 else "")
            return f"{names} inside would be read: give {data[0]}, or call parts of one set train, val and test"
        above = path.parent
        if _is_a_part(path.name) and any(cls.recognise(above) for _, cls in readers):
            return f"it is a part of the data in {above}: give that folder"
    if tool := labels_of_a_tool(path) if path.is_dir() and not task else "":
        return tool
    if hints:
        names = ", ".join(entry.summary.partition(":")[0] for entry, _ in readers)
        return f"{'; '.join(hints)}; looked for {names}"
    reason = nearest(path, task) if path.is_dir() else ""
    tried = [entry for entry, cls in readers if not task or task in cls.tasks]
    return reason or f"looked for {_listing(tried)}"


def _would_be_read(path: Path, wanted: Sequence[type[DataSource]]) -> bool:
    """True if a format recognises a folder; a folder of labels that holds no masks is no data."""
    found = next((cls for cls in wanted if cls.recognise(path)), None)
    return found is not None and (
        found is not Folders or any(holds_pictures(p.labels) for p in find_parts(path).values())
    )


def _classes_too_deep(path: Path, data: Sequence[Path], wanted: Sequence[type[DataSource]]) -> str:
    """The clause on folders that hold class folders, as cat/2019/; '' if they hold anything else."""
    by_class = [p for p in data if next(c for c in wanted if c.recognise(p)) is ClassFolders]
    if len(data) < 2 or len(by_class) < len(data):
        return ""
    inner = next(p for p in sorted(data[0].iterdir()) if p.is_dir())
    return (
        f"pictures lie in {inner.relative_to(path).as_posix()}/ and the like; if {data[0].name} and {data[1].name} are "
        f"classes, move their pictures into {data[0].name}/ and {data[1].name}/, and if {inner.name} is one, give "
        f"{data[0]}, or call parts of one set train, val and test"
    )


def _is_a_part(name: str) -> bool:
    """True for names of folders inside a data set."""
    parts = (*IMAGE_FOLDERS, *LABEL_FOLDERS, "jpegimages", "segmentationclass")
    return split_called(name) in SPLIT_ORDER or name.lower() in parts


def _reads_files(cls: type[DataSource]) -> bool:
    """False for generated data, which there is no format to recognise of."""
    return cls.recognise is not DataSource.recognise


def candidates() -> list[Entry]:
    """Every registered data source, in the order in which `recognise` tries them."""
    known = entries("dataset")
    others = sorted(set(known) - {*ORDER, *TAIL})
    return [known[name] for name in (*ORDER, *others, *TAIL) if name in known]


def _listing(tried: list[Entry]) -> str:
    return "; ".join(entry.summary.rstrip(".") or entry.name for entry in tried)


def _contents(path: Path) -> str:
    if path.is_file():
        return " (a file)"
    names = [p.name for p in path.iterdir() if not is_hidden(p.name)]
    if names and all(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in names):
        return f" ({counted(len(names), 'picture')} without labels)"
    return f" (it holds {inventory(path) or 'hidden files alone'})"
