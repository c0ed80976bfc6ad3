"""A table of transcripts: a .tsv, .csv, .jsonl or list with bars, a row a recording, beside sound or a features.npz."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from foveate.datasets.captions.album import escape_note
from foveate.datasets.captions.rows import head_of
from foveate.datasets.files import require_folder
from foveate.datasets.names import normal, unescaped
from foveate.datasets.quotes import unquoted
from foveate.datasets.speech import Line, SpeechSource, Utterance, files_of_sound, utterances_of
from foveate.datasets.speech.columns import Layout, layout_of, lowered, named_columns
from foveate.datasets.splits import SPLIT_ORDER, split_called, split_parts, split_within
from foveate.datasets.text_doubts import column_notes, times_note
from foveate.datasets.text_files import read_text
from foveate.disk import is_file, is_hidden
from foveate.errors import DataError, counted
from foveate.records import Problem
from foveate.registry import dataset
from foveate.sounds import SOUND_SUFFIXES

FEATURES = "features.npz"
_LISTS = "filelists"  # the folder that VITS keeps its lists in
_MOST = 20  # files of JSON or lists in a folder, above which they are one a sample
_TRIED = 20  # rows that a table is known by
_VALIDATED = "validated"  # Common Voice's table of what listeners confirmed, of which train, dev and test are parts


@dataset("speech_table")
@dataclass(frozen=True)
class SpeechTable(SpeechSource):
    """A table of transcripts: *.tsv with the columns file, text; or file, speaker, text; a header is optional.

    Without a header, columns of numbers beside the text and one of splits may follow. With one, columns are found by
    name, among them split (train, val or test). A folder without *.tsv may have *.csv with a header, as Hugging Face's
    metadata.csv, or with bars, as LJSpeech's: id|text|normalised text, of which the last is read; or lines of JSON, as
    metadata.jsonl and NeMo's manifests; or *.txt and *.list with bars, here or in `filelists`, as VITS has them:
    file|text, file|speaker|text, file|speaker|language|text. Files are named relative to the table, without or with
    their folder, and with or without their ending; URL escapes count as what they stand for.
    Folders train, val and test with a table each are the splits, and so are several tables with such words in their
    names; without such, of the tables of Common Voice validated.tsv is read. In place of sound, features.npz holds
    `data` (frames, values), `offsets` and `ids`, and `rate`, frames a second, if it is not 100.

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
        if any(SpeechTable.recognise(p) for p in sorted(path.iterdir()) if p.is_dir() and not is_hidden(p.name)):
            return ""  # `recognise` names the folder
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
        """Folder that a table's names are relative to -> name with and without ending -> files below it."""
        found: dict[Path, dict[str, list[Path]]] = {}
        for folder in {_home(table) for _, table in self.tables}:
            names: dict[str, list[Path]] = {}
            for file in files_of_sound(folder):
                for name in {f(own) for own in (file.name, file.stem) for f in (normal, unescaped)}:
                    names.setdefault(name, []).append(file)
            found[folder] = names
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
        return _file_of(line.name, _home(table), self._sounds[_home(table)])

    def unnamed(self, used: set[Path]) -> list[Path]:
        """Files of sound beside the tables that no row names."""
        folders = dict.fromkeys(_home(table) for _, table in self.tables)
        files = dict.fromkeys(p for folder in folders for p in files_of_sound(folder))
        elsewhere = {line.name for table in self._passed_over for line, _ in _rows(table)}
        return [p for p in files if p not in used and p.name not in elsewhere]

    @cached_property
    def _passed_over(self) -> list[Path]:
        """Tables of Common Voice beside those that are read."""
        read = [table for _, table in self.tables]
        folders = dict.fromkeys(table.parent for table in read if _is_common_voice(table))
        files = (p for folder in folders for p in _table_files(folder) if p not in read and _is_common_voice(p))
        return [p for p in files if _rows(p, beginning=True)]

    def notes(self, task: str = "") -> list[str]:
        """The notes of every source, and tables and columns of texts that are not read."""
        read = [table for _, table in self.tables]
        found = list(super().notes(task))
        for folder in dict.fromkeys(table.parent for table in read):
            first = next(table.name for table in read if table.parent == folder)
            if others := [table for table in self._passed_over if table.parent == folder]:
                names = ", ".join(table.name for table in read if table.parent == folder)
                found.append(
                    f"{', '.join(table.name for table in others)}: not read beside {names}, since these tables of "
                    "Common Voice repeat rows of others, or hold recordings that listeners did not confirm"
                )
            for other in _table_files(folder) if not any(map(_is_common_voice, read)) else ():
                if other not in read and _names_recordings(other):
                    found.append(
                        f"{other.name} is not read, beside {first}; name it train, val or test if it is a split, or "
                        "put its rows into that table"
                    )
        for table in read:
            if not (rows := _cells(table)):
                continue
            layout = layout_of(rows)
            if layout.unread:
                name = rows[0][layout.columns["text"]].strip()
                found.append(f"{table.name}: the text is that of column {name}; {', '.join(layout.unread)} not read")
            if layout.head:
                found += times_note(table.name, rows[0], rows[1:], "recording")
                known = [rows[0][place] for place in layout.columns.values()]
                found += column_notes(table.name, rows[0], rows[1:], known)
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
        if not self._features:
            lines = [(line, table) for table in read for line, cells in _rows(table) if len(cells) >= 2]
            files = {line.name: file for line, table in lines if isinstance(file := self.locate(line, table), Path)}
            found += escape_note(files)
        return found


def _home(table: Path) -> Path:
    """The folder that the names in a table are relative to: its own, or for VITS's lists the one above."""
    return table.parent.parent if table.parent.name == _LISTS else table.parent


def _file_of(name: str, folder: Path, names: dict[str, list[Path]]) -> Path | None:
    """The file that a table means whose names are relative to `folder`. None if none or several are meant.

    names: see `SpeechTable._sounds`.
    """
    for direct in (folder / name, folder / "audio" / name):
        if is_file(direct) and direct.suffix.lower() in SOUND_SUFFIXES:
            return direct
    last = Path(name).name
    found = names.get(normal(last)) or names.get(unescaped(last), [])
    return found[0] if len(found) == 1 else None


def _tables(root: Path) -> list[tuple[str, Path]]:
    """(split, file) of every table in the folder, in the folders of its splits, or in that of VITS's lists."""
    if not root.is_dir():
        return []
    own = [("", p) for p in _table_files(root)]
    if own:
        transcripts = [pair for pair in own if pair[1].stem.lower() == "transcripts"]
        return transcripts or _split_tables(own)
    parts = split_parts(root, lambda p: p.is_dir() and bool(_table_files(p)))
    if not parts and (root / _LISTS).is_dir():
        return _tables(root / _LISTS)
    return [(split, table) for split, part in parts.items() for _, table in _tables(part)]


def _table_files(folder: Path) -> list[Path]:
    """The .tsv of a folder; without one, the .csv with bars, or whose first line names columns of files and texts.

    Without these, the files of JSON lines with such names; and without them, lists with bars that name recordings.
    """
    files = sorted(p for p in folder.iterdir() if is_file(p) and not is_hidden(p.name))
    by_ending: dict[str, list[Path]] = {}
    for file in files:
        by_ending.setdefault(file.suffix.lower(), []).append(file)
    if tabs := by_ending.get(".tsv"):
        return tabs
    if commas := [p for p in by_ending.get(".csv", ()) if _has_bars(head_of(p)) or _has_names(p)]:
        return commas
    objects = [p for ending in (".jsonl", ".json") for p in by_ending.get(ending, ())]
    if len(objects) <= _MOST and (named := [p for p in objects if _has_names(p)]):
        return named
    sounds = {p.stem for ending in SOUND_SUFFIXES for p in by_ending.get(ending, ())}  # with their texts beside them
    lists = [p for ending in (".txt", ".list") for p in by_ending.get(ending, ()) if p.stem not in sounds]
    if len(lists) > _MOST:
        return []
    return [p for p in lists if _has_bars(head_of(p)) and _names_recordings(p)]


def _has_names(table: Path) -> bool:
    """True if the first line of a table names columns of files and texts."""
    rows = _cells(table, beginning=True)
    return bool(rows) and bool(named_columns(lowered(rows[0]))[0])


def _split_tables(tables: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Tables that are called train.tsv, val.tsv and so on are those of the splits, or else several with such words.

    Of Common Voice, whose small languages have splits without a row, those with rows.
    """
    tables = [pair for pair in tables if not _is_common_voice(pair[1]) or _rows(pair[1], beginning=True)]
    for called in (split_called, split_within):
        named = [(called(p.stem), p) for _, p in tables]
        named = [pair for pair in named if pair[0] in SPLIT_ORDER]
        if named and (called is split_called or len(tables) > 1):
            return named
    return [pair for pair in tables if pair[1].stem.lower() == _VALIDATED and _is_common_voice(pair[1])] or tables


def _is_common_voice(table: Path) -> bool:
    """True for tables with Common Voice's columns, which lie beside its folder clips."""
    rows = _cells(table, beginning=True) if (table.parent / "clips").is_dir() else []
    return bool(rows) and {"client_id", "path", "sentence"} <= set(lowered(rows[0]))


def _rows(table: Path, beginning: bool = False) -> list[tuple[Line, list[str]]]:
    """The rows of a table, each with its cells. Raises DataError for a file that is no text, or of unclear columns.

    beginning: only the first rows, whatever bytes they hold, so that a damaged table is still known as one.
    """
    rows = _cells(table, beginning)
    if not rows:
        return []
    try:
        layout = layout_of(rows)
    except DataError as error:
        if not beginning:
            raise DataError(f"{table}: {error}") from None
        layout = Layout({"file": 0, "text": 1})

    def cell(cells: list[str], key: str) -> str:
        index = layout.columns.get(key, -1)
        return cells[index].strip() if 0 <= index < len(cells) else ""

    return [
        (Line(cell(cells, "file"), cell(cells, "text"), cell(cells, "speaker"), cell(cells, "split").lower()), cells)
        for cells in rows[layout.head :]
    ]


def _cells(table: Path, beginning: bool = False) -> list[list[str]]:
    lines = head_of(table) if beginning else read_text(table).splitlines()
    ending = table.suffix.lower()
    if ending in (".jsonl", ".json"):
        return _objects(table, lines, beginning)
    if ending in (".txt", ".list"):
        return _split_at_bars(table, lines, beginning)
    if ending == ".csv":
        if _has_bars(lines):
            return _split_at_bars(table, lines, beginning)
        try:
            return [row for row in csv.reader(f"{line}\n" for line in lines) if any(map(str.strip, row))]
        except csv.Error as error:
            raise DataError(f"{table}: no table as CSV writes it: {error}") from None
    return unquoted([line.split("\t") for line in lines if line.strip()])


def _objects(table: Path, lines: Sequence[str], beginning: bool) -> list[list[str]]:
    """The cells of lines of JSON below the names of the first one; [] for another file. Raises DataError for a line."""
    rows: list[list[str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            if beginning or not rows:
                return rows
            raise DataError(f"{table}: line {number} is no object of JSON; expected one a line, with {rows[0]}")
        rows = rows or [list(row)]
        cells = (row.get(name) for name in rows[0])
        rows.append(["" if cell is None else str(cell) for cell in cells])
    return rows


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


def _names_recordings(table: Path) -> bool:
    """True if one of the first rows names a file of sound, or there are features beside the table."""
    rows = _rows(table, beginning=True)[:_TRIED]
    rows = [row for row in rows if len(row[1]) >= 2]
    if (table.parent / FEATURES).is_file():
        return bool(rows)
    home = _home(table)
    inside = (p for p in sorted(home.iterdir()) if p.is_dir() and not is_hidden(p.name))
    folders = [home, *inside]
    names = {name for line, _ in rows for name in (line.name, unescaped(line.name), quote(line.name))}
    return any(_exists(name, home, folders) for name in names)


def _exists(name: str, folder: Path, folders: Sequence[Path]) -> bool:
    """True if a name in a table means a file of sound: from the table's folder, or in one of the folders."""
    if not name:
        return False
    if Path(name).suffix.lower() in SOUND_SUFFIXES and any(is_file(p / name) for p in (folder, folder / "audio")):
        return True
    last = Path(name).name
    names = [last, *(last + suffix for suffix in SOUND_SUFFIXES)]
    return any(is_file(p / one) for p in folders for one in names if Path(one).suffix.lower() in SOUND_SUFFIXES)
