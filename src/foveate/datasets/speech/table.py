"""A table of transcripts: a .tsv or .csv with a row a recording, beside files of sound or a features.npz."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from foveate.datasets.captions.rows import head_of
from foveate.datasets.files import require_folder
from foveate.datasets.names import normal
from foveate.datasets.quotes import are_numbers, unquoted
from foveate.datasets.speech import Line, SpeechSource, Utterance, files_of_sound, utterances_of
from foveate.datasets.splits import SPLIT_ORDER, split_called, split_parts
from foveate.datasets.text_doubts import times_note
from foveate.datasets.text_files import read_text
from foveate.disk import is_file, is_hidden
from foveate.errors import DataError, counted
from foveate.records import Problem
from foveate.registry import dataset
from foveate.sounds import SOUND_SUFFIXES

FEATURES = "features.npz"
_FILE = ("file", "path", "audio", "utterance", "id", "name", "file_name", "filename", "wav", "clip", "recording")
_TEXT = ("text", "transcript", "transcription", "sentence", "transcripts")
_SPEAKER = ("speaker", "speaker_id", "client_id", "spk")
_SPLIT = ("split", "subset", "partition")
_TRIED = 20  # rows that a table is known by


@dataset("speech_table")
@dataclass(frozen=True)
class SpeechTable(SpeechSource):
    """A table of transcripts: *.tsv with the columns file, text; or file, speaker, text; a header is optional.

    Without a header, columns of numbers beside the text and one of splits may follow. With one, columns are found by
    name, among them split (train, val or test). A folder without *.tsv may have *.csv with a header, as Hugging Face's
    metadata.csv, or with bars, as LJSpeech's: id|text|normalised text, of which the last is read. Files are named
    relative to the table, without or with their folder, and with or without their ending.
    Folders train, val and test with a table each are the splits. In place of sound, features.npz holds `data` (frames,
    values), `offsets` and `ids`, and `rate`, frames a second, if it is not 100.

    path: the folder.
    rate: samples a second that recordings are resampled to; 0 for the rate of most of them, 16000 at most.
    seed: of the drawn split.
    whole: all recordings are the split test.
    """

    path: str
    rate: int = 0
    seed: int = 0
    whole: bool = False
    title = "speech with a table of transcripts"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if a table here, or in a folder train, names files of sound or of features."""
        return any(_names_recordings(table) for _, table in _tables(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """A table of which no file is there, or files of sound without one."""
        first = (
            next((p for p in path.rglob("*") if p.suffix.lower() in SOUND_SUFFIXES), None) if path.is_dir() else None
        )
        found = _tables(path)
        if first is None and not any((table.parent / FEATURES).is_file() for _, table in found):
            return ""
        for _, table in found:
            rows = _rows(table)
            if rows and len(rows[0][1]) >= 2:
                name = rows[0][0].name
                return f"has {table.name}, whose recording '{name}' is not there; name files relative to the table"
            return f"has {table.name} without two columns; write a line FILE, a tab, TEXT a recording"
        return (
            f"has sound ({first.name if first else ''}), but no transcripts; add transcripts.tsv with a line FILE, a "
            "tab, TEXT a recording, or a file .txt beside each"
        )

    @cached_property
    def tables(self) -> list[tuple[str, Path]]:
        """(split, file) of every table. Raises DataError."""
        root = require_folder(self.path)
        found = [pair for pair in _tables(root) if _names_recordings(pair[1])]
        if not found:
            raise DataError(f"{root}: no table of transcripts; expected a .tsv or .csv with columns file and text")
        return found

    @cached_property
    def _sounds(self) -> dict[Path, dict[str, list[Path]]]:
        """Folder of a table -> name with and without ending -> files below it."""
        found: dict[Path, dict[str, list[Path]]] = {}
        for _, table in self.tables:
            names: dict[str, list[Path]] = {}
            for file in files_of_sound(table.parent):
                for name in {normal(file.name), normal(file.stem)}:
                    names.setdefault(name, []).append(file)
            found[table.parent] = names
        return found

    @cached_property
    def _features(self) -> dict[Path, dict[str, Utterance]]:
        files = {table.parent: table.parent / FEATURES for _, table in self.tables}
        return {folder: utterances_of(file) for folder, file in files.items() if file.is_file()}

    def lines(self, problems: list[Problem]) -> list[tuple[Line, Path]]:
        """The rows of all tables."""
        found = []
        for split, table in self.tables:
            for line, cells in _rows(table):
                if len(cells) < 2:
                    problems.append(
                        Problem(table, f"one column, '{cells[0][:40]}'; expected a file, a tab, and a text")
                    )
                    continue
                found.append((line._replace(split=line.split or split), table))
        return found

    def locate(self, line: Line, table: Path) -> Path | Utterance | None:
        """The file of a row."""
        if (features := self._features.get(table.parent)) is not None:
            return features.get(line.name)
        return _file_of(line.name, table.parent, self._sounds[table.parent])

    def unnamed(self, used: set[Path]) -> list[Path]:
        """Files of sound beside the tables that no row names."""
        folders = dict.fromkeys(table.parent for _, table in self.tables)
        files = dict.fromkeys(p for folder in folders for p in files_of_sound(folder))
        return [p for p in files if p not in used]

    def notes(self, task: str = "") -> list[str]:
        """The notes of every source, and tables and columns of texts that are not read."""
        read = [table for _, table in self.tables]
        found = list(super().notes(task))
        for folder in dict.fromkeys(table.parent for table in read):
            first = next(table.name for table in read if table.parent == folder)
            for other in sorted(p for p in folder.glob("*.tsv") if p not in read and not is_hidden(p.name)):
                if _names_recordings(other):
                    found.append(
                        f"{other.name} is not read, beside {first}; name it train, val or test if it is a split, or "
                        "put its rows into that table"
                    )
        for table in read:
            if not (rows := _cells(table)):
                continue
            layout = _layout(rows)
            if layout.unread:
                name = rows[0][layout.columns["text"]].strip()
                found.append(f"{table.name}: the text is that of column {name}; {', '.join(layout.unread)} not read")
            if layout.head:
                found += times_note(table.name, rows[0], rows[1:], "recording")
            if layout.twice:
                place = layout.columns["text"]
                found.append(
                    f"{table.name} has no line of names, and each text twice: column {place + 1} is read, as it is "
                    f"spoken in LJSpeech's ('{rows[0][place].strip()[:40]}'), column {place} is not"
                )
            if layout.unsure:
                speaker, text = (rows[0][layout.columns[key]].strip() for key in ("speaker", "text"))
                found.append(
                    f"{table.name} has no line of names, and one word in each column: '{speaker}' is taken for a "
                    f"speaker and '{text}' for what is said; write file, text, speaker above the columns if it is "
                    "the reverse"
                )
        return found


def _file_of(name: str, folder: Path, names: dict[str, list[Path]]) -> Path | None:
    """The file that a table in `folder` means; names: see `SpeechTable._sounds`. None if none or several are meant."""
    for direct in (folder / name, folder / "audio" / name):
        if is_file(direct) and direct.suffix.lower() in SOUND_SUFFIXES:
            return direct
    last = normal(Path(name).name)
    found = names.get(last, [])
    return found[0] if len(found) == 1 else None


def _tables(root: Path) -> list[tuple[str, Path]]:
    """(split, file) of every .tsv in the folder, or in the folders of its splits."""
    if not root.is_dir():
        return []
    own = [("", p) for p in _table_files(root)]
    if own:
        transcripts = [pair for pair in own if pair[1].stem.lower() == "transcripts"]
        return transcripts or _split_tables(own)
    parts = split_parts(root, lambda p: p.is_dir() and bool(_table_files(p)))
    return [(split, table) for split, part in parts.items() for _, table in _tables(part)]


def _table_files(folder: Path) -> list[Path]:
    """The .tsv of a folder; without one, the .csv with bars, or whose first line names columns of files and texts."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".tsv", ".csv") and is_file(p))
    found = [p for p in found if not is_hidden(p.name)]
    tabs = [p for p in found if p.suffix.lower() == ".tsv"]
    return tabs or [
        p
        for p in found
        if _has_bars(head_of(p)) or ((rows := _cells(p, beginning=True)) and _columns(_lower(rows[0]))[0])
    ]


def _split_tables(tables: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Tables that are called train.tsv, val.tsv and so on are those of the splits."""
    named = [(split_called(p.stem), p) for _, p in tables]
    return [pair for pair in named if pair[0] in SPLIT_ORDER] or tables


class _Layout(NamedTuple):
    """Columns of a table by what they hold: file, text, and where there are such, speaker and split.

    head: True if the first line names them. unread: names of further columns that may hold the text. unsure: True
    where nothing but their order tells speakers from texts. twice: True if the column before holds the same texts in
    another form.
    """

    columns: dict[str, int]
    head: bool = False
    unread: tuple[str, ...] = ()
    unsure: bool = False
    twice: bool = False


def _rows(table: Path, beginning: bool = False) -> list[tuple[Line, list[str]]]:
    """The rows of a table, each with its cells. Raises DataError for a file that is no text, or of unclear columns.

    beginning: only the first rows, whatever bytes they hold, so that a damaged table is still known as one.
    """
    rows = _cells(table, beginning)
    if not rows:
        return []
    try:
        layout = _layout(rows)
    except DataError as error:
        if not beginning:
            raise DataError(f"{table}: {error}") from None
        layout = _Layout({"file": 0, "text": 1})

    def cell(cells: list[str], key: str) -> str:
        index = layout.columns.get(key, -1)
        return cells[index].strip() if 0 <= index < len(cells) else ""

    return [
        (Line(cell(cells, "file"), cell(cells, "text"), cell(cells, "speaker"), cell(cells, "split").lower()), cells)
        for cells in rows[layout.head :]
    ]


def _cells(table: Path, beginning: bool = False) -> list[list[str]]:
    lines = head_of(table) if beginning else read_text(table).splitlines()
    if table.suffix.lower() == ".csv":
        if _has_bars(lines):
            return _split_at_bars(table, lines, beginning)
        try:
            return [row for row in csv.reader(f"{line}\n" for line in lines) if any(map(str.strip, row))]
        except csv.Error as error:
            raise DataError(f"{table}: no table as CSV writes it: {error}") from None
    return unquoted([line.split("\t") for line in lines if line.strip()])


def _has_bars(lines: Sequence[str]) -> bool:
    """True for lines of two cells or more with bars between them, as LJSpeech's metadata.csv has."""
    first = [line for line in lines[:_TRIED] if line.strip()]
    return bool(first) and first[0].count("|") > 0 and len({line.count("|") for line in first}) == 1


def _split_at_bars(table: Path, lines: Sequence[str], beginning: bool) -> list[list[str]]:
    """The cells of lines with bars, in which quotes belong to the text. Raises DataError for another number of them."""
    rows = [(number, line.split("|")) for number, line in enumerate(lines, 1) if line.strip()]
    for number, cells in rows:
        if len(cells) != len(rows[0][1]) and not beginning:
            raise DataError(
                f"{table}: line {number} has {counted(len(cells), 'cell')} between bars (|), and the first line "
                f"{len(rows[0][1])}; write as many in every line, and no bar inside a text"
            )
    return [cells for _, cells in rows]


def _layout(rows: Sequence[Sequence[str]]) -> _Layout:
    """The columns of a table, by its header or by what they hold. Raises DataError where that is not clear."""
    columns, texts = _columns(_lower(rows[0]))
    if columns:
        worded = [name for name, place in texts.items() if not are_numbers(_column(rows[1:], place))] or list(texts)
        return _Layout(columns | {"text": texts[worded[0]]}, True, tuple(worded[1:]))
    count = max(map(len, rows))
    while count > 2 and not any(_column(rows, count - 1)):
        count -= 1
    if count < 3:
        return _Layout({"file": 0, "text": 1})
    held = {place: cells for place in range(1, count) if (cells := _column(rows, place))}
    splits = [p for p, cells in held.items() if all(split_called(cell) in SPLIT_ORDER for cell in cells)]
    numbers = [p for p, cells in held.items() if are_numbers(cells)]
    last = max((p for p in held if p not in (*numbers, *splits)), default=0)
    # Lengths and the like, which are no speakers and not the text.
    is_long = last > 0 and _words(held[last]) > 1
    beside = [p for p in numbers if (is_long and p > last) or any("." in cell for cell in held[p])]
    left = [p for p in held if p not in (*beside, *splits[:1])]
    split = {"split": splits[0]} if splits else {}
    if len(left) == 1:
        return _Layout({"file": 0, "text": left[0]} | split)
    if len(left) == 2 and _are_one_text(rows, left[0], left[1]):
        return _Layout({"file": 0, "text": left[1]} | split, twice=True)
    if len(left) != 2 or _are_reversed(held[left[0]], held[left[1]]):
        second, third = ([*rows[0], "", ""][place].strip()[:20] for place in (1, 2))
        raise DataError(
            f"{counted(count, 'column')} without a line of names, '{second}' in the second and '{third}' in the third; "
            "expected file, speaker, text: write the names of the columns above them, such as file, text, speaker"
        )
    speakers, said, names = held[left[0]], held[left[1]], _column(rows, 0)
    sure = _words(said) > 1 or _are_numbered(speakers) or (_are_in(speakers, names) and not _are_in(said, names))
    return _Layout({"file": 0, "speaker": left[0], "text": left[1]} | split, unsure=not sure)


def _are_one_text(rows: Sequence[Sequence[str]], one: int, other: int) -> bool:
    """True if in most rows two columns share half of their words, as LJSpeech's text and its normalised form do."""
    both = [(row[one].lower().split(), row[other].lower().split()) for row in rows if max(one, other) < len(row)]
    alike = [2 * len(set(a) & set(b)) >= max(len(set(a)), len(set(b))) for a, b in both if a and b]
    return 2 * sum(alike) > len(alike)


def _are_reversed(speakers: Sequence[str], texts: Sequence[str]) -> bool:
    """True if the column before looks like the texts, and the last one like speakers."""
    if _words(speakers) > max(1.0, _words(texts)):
        return True
    return _words(texts) <= 1 and _are_numbered(texts) and not _are_numbered(speakers)


def _are_numbered(cells: Sequence[str]) -> bool:
    """True for words of letters and digits, as spk1 and p225."""
    return all(re.fullmatch(r"[^\W\d]+[_-]?\d+|\d+[_-]?[^\W\d]+", cell) for cell in cells)


def _are_in(cells: Sequence[str], names: Sequence[str]) -> bool:
    """True if each cell is part of the name of its row's file, as a speaker's name often is."""
    return len(cells) == len(names) and all(
        cell.lower() in name.lower() for cell, name in zip(cells, names, strict=True)
    )


def _lower(row: Sequence[str]) -> list[str]:
    return [cell.strip().lower() for cell in row]


def _column(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    """The cells of a column that are not empty."""
    return [row[place].strip() for row in rows if place < len(row) and row[place].strip()]


def _words(cells: Sequence[str]) -> float:
    """Words a cell."""
    return sum(len(cell.split()) for cell in cells) / max(1, len(cells))


def _columns(names: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """(what it holds -> column, name -> column of every text) of a header; ({}, {}) if the row is none."""
    found: dict[str, int] = {}
    for key, known in (("file", _FILE), ("text", _TEXT), ("speaker", _SPEAKER), ("split", _SPLIT)):
        if name := next((name for name in known if name in names), ""):
            found[key] = names.index(name)
    texts = {name: names.index(name) for name in _TEXT if name in names}
    return (found, texts) if {"file", "text"} <= set(found) else ({}, {})


def _names_recordings(table: Path) -> bool:
    """True if one of the first rows names a file of sound, or there are features beside the table."""
    rows = _rows(table, beginning=True)[:_TRIED]
    rows = [row for row in rows if len(row[1]) >= 2]
    if (table.parent / FEATURES).is_file():
        return bool(rows)
    inside = (p for p in sorted(table.parent.iterdir()) if p.is_dir() and not is_hidden(p.name))
    folders = [table.parent, *inside]
    return any(_exists(line.name, table.parent, folders) for line, _ in rows)


def _exists(name: str, folder: Path, folders: Sequence[Path]) -> bool:
    """True if a name in a table means a file of sound: from the table's folder, or in one of the folders."""
    if not name:
        return False
    if Path(name).suffix.lower() in SOUND_SUFFIXES and any(is_file(p / name) for p in (folder, folder / "audio")):
        return True
    last = Path(name).name
    names = [last, *(last + suffix for suffix in SOUND_SUFFIXES)]
    return any(is_file(p / one) for p in folders for one in names if Path(one).suffix.lower() in SOUND_SUFFIXES)
