"""A table of captions of clips: a file with a column of clips and one of captions, JSON lines, or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from foveate.datasets.captions import CaptionLine, CaptionScan, Collector
from foveate.datasets.captions.album import Album, nearby
from foveate.datasets.captions.lists import split_lists
from foveate.datasets.captions.rows import (
    VIDEO,
    Form,
    form_notes,
    form_of,
    head_of,
    language_problems,
    rows,
    table_rows,
)
from foveate.datasets.captions.table import PATTERNS, below, split_of
from foveate.datasets.files import require_folder
from foveate.datasets.text_doubts import times_note
from foveate.datasets.text_files import read_json
from foveate.datasets.videos import VideoSource, library
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

_TRIED = 50  # captions that a table is known by


class Table(NamedTuple):
    """One table: its file, its form (None for JSON), and the split that its name or its folder says ('' for none)."""

    file: Path
    form: Form | None
    split: str = ""


@dataset("video_table")
@dataclass(frozen=True)
class VideoTable(VideoSource):
    """A table of captions of clips: *.csv, *.tsv, *.jsonl or captions.txt with columns as video,caption; or a .json.

    Clips are videos (MP4, MOV, WebM, MKV, AVI, GIF, WebP) and folders of frames whose names end in their number, found
    by name anywhere below DATA. A caption a row, several rows a clip. JSON: {"clip.mp4": ["a caption", ...]}, or
    MSR-VTT's {"videos": [...], "sentences": [...]}. A column split holds train, val or test; without it the tables'
    names or folders, the clips' folders or lists as train.txt do, or a split is drawn.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if a table names a clip that is there."""
        if not path.is_dir():
            return False
        album = library(path)
        return bool(list(album)) and any(_names_a_clip(path, table, album) for table in _tables(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """Clips without a table, or a table that names none of them; folders of frames alone may be other data."""
        if not path.is_dir():
            return ""
        first = next((clip for clip in library(path) if clip.is_file()), None)
        if first is None:
            return ""
        if found := _tables(path):
            line = next(_lines(found[0], []), None)
            named = f"; its first clip is '{line[0].picture}'" if line else ""
            return f"has {found[0].file.name}, which names none of the clips ({first.name}, ...){named}: name the files"
        for file in (file for pattern in PATTERNS for file in nearby(path, pattern)):
            head = next((line.strip() for line in head_of(file) if line.strip()), "")[:60]
            return (
                f"needs a column of clips and one of captions: {file.name} begins with '{head}'; name the columns "
                "video and caption"
            )
        return (
            f"has clips ({first.name}, ...), but no captions; add captions.tsv with the columns video and caption, a "
            "row a caption"
        )

    @cached_property
    def tables(self) -> list[Table]:
        """The tables that are read. Raises DataError if there is none."""
        root = require_folder(self.path)
        album = library(root)
        found = [table for table in _tables(root) if _names_a_clip(root, table, album)]
        if not found:
            raise DataError(f"{root}: no table of captions; expected a file whose columns are video,caption")
        splits = [split_of(root, table.file) for table in found] if len(found) > 1 else [""]
        return [table._replace(split=split) for table, split in zip(found, splits, strict=True)]

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        files = ", ".join(table.file.relative_to(self.path).as_posix() for table in self.tables)
        return f"captions of clips ({files}): {self.scan.counts()}"

    def read(self) -> CaptionScan:
        """Read the rows and find their clips. Raises DataError."""
        root = require_folder(self.path)
        collector = Collector([table.file for table in self.tables], "clip")
        album = library(root)
        for table in self.tables:
            if table.form is not None:
                collector.problems += language_problems(table.file, table.form)
            for line, place in _lines(table, collector.problems, album):
                named = below(root, table.file, line.picture)
                collector.add(CaptionLine(named, line.text, line.split or table.split), table.file, place)
        scan = collector.scan(root, self.seed, split_lists(root), album=album)
        for table in self.tables:
            if table.form is not None and table.form.head >= 0:
                cells = (list(row.values()) for row in table_rows(table.file, table.form))
                scan.notes += times_note(table.file.name, table.form.names, cells, "clip")
                scan.notes += form_notes(table.file, table.form)
        for pair in (pair for pairs in scan.pairs.values() for pair in pairs):
            if pair.picture.is_file() and pair.picture.stat().st_size == 0:
                scan.problems.append(Problem(pair.picture, "an empty file; record it again, or remove its captions"))
        return scan


def _tables(root: Path) -> list[Table]:
    """Files that are tables of captions by their form, in the folder and in its folders."""
    found = []
    for pattern in (*PATTERNS, "*.json"):
        for file in nearby(root, pattern):
            form = None if file.suffix.lower() == ".json" else form_of(file, VIDEO)
            if form is not None or (file.suffix.lower() == ".json" and _json_captions(file)):
                found.append(Table(file, form))
    inside = [table for table in found if table.file.parent == root]
    return inside or found


def _names_a_clip(root: Path, table: Table, album: Album) -> bool:
    try:
        for number, (line, _) in enumerate(_lines(table, [], album, beginning=True)):
            if album.find(below(root, table.file, line.picture)):
                return True
            if number == _TRIED:
                break
    except DataError:
        pass
    return False


def _lines(
    table: Table, problems: list[Problem], album: Album | None = None, beginning: bool = False
) -> Iterator[tuple[CaptionLine, str]]:
    """The captions of a table, each with its place. beginning: see `rows`."""
    if table.form is None:
        yield from ((line, f"entry {i}") for i, line in enumerate(_json_captions(table.file), 1))
    else:

        def is_clip(name: str) -> bool:
            return album is not None and bool(album.find(name))

        yield from rows(table.file, table.form, is_clip, problems, beginning)


def _json_captions(file: Path) -> list[CaptionLine]:
    """The captions of a JSON file; [] for one of another form."""
    try:
        data: Any = read_json(file)
    except DataError:
        return []
    if isinstance(data, dict) and isinstance(data.get("sentences"), list) and isinstance(data.get("videos"), list):
        splits = {one.get("video_id"): one.get("split", "") for one in data["videos"] if isinstance(one, dict)}
        return [
            CaptionLine(str(one["video_id"]), str(one["caption"]), str(splits.get(one["video_id"], "") or ""))
            for one in data["sentences"]
            if isinstance(one, dict) and {"video_id", "caption"} <= set(one)
        ]
    if isinstance(data, list):
        names = [next((key for key in VIDEO if key in one), "") if isinstance(one, dict) else "" for one in data]
        if not data or not all(name and "caption" in one for name, one in zip(names, data, strict=True)):
            return []
        return [
            CaptionLine(str(one[name]), str(one["caption"]), str(one.get("split", "")))
            for name, one in zip(names, data, strict=True)
        ]
    if not isinstance(data, dict) or not data:
        return []
    texts = {name: [value] if isinstance(value, str) else value for name, value in data.items()}
    if not all(isinstance(own, list) and own and all(isinstance(t, str) for t in own) for own in texts.values()):
        return []
    return [CaptionLine(name, text) for name, own in texts.items() for text in own]
