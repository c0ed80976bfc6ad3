"""A table of questions: a file with columns of images, questions and answers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from foveate.datasets.captions.album import nearby
from foveate.datasets.captions.cells import listed
from foveate.datasets.captions.rows import head_of
from foveate.datasets.files import require_folder
from foveate.datasets.questions import Asked, Collector, QuestionScan, QuestionSource
from foveate.datasets.splits import SPLIT_ORDER, split_called, split_within
from foveate.datasets.text_doubts import column_notes, separated_note
from foveate.datasets.text_files import read_text
from foveate.disk import is_file
from foveate.errors import DataError, counted
from foveate.pictures import PICTURE_SUFFIXES
from foveate.records import Problem
from foveate.registry import dataset

_SEPARATORS = {".tsv": ("\t",), ".csv": (",", ";", "\t")}
_IMAGE = (
    "image", "image_name", "image_file", "image_path", "filename", "file_name", "file", "path", "img", "picture",
    "photo", "image_id",
)  # fmt: skip
_QUESTION = ("question", "questions")
_ANSWER = ("answer", "answers")
_KIND = ("kind", "type", "question_type", "question_kind", "answer_type")
_SPLIT = ("split", "subset", "partition")
_ASKING = frozenset({"what", "which", "who", "where", "when", "why", "how", "is", "are", "does", "do", "can"})
_NAMES = ("qa", "questions", "vqa")  # of a table without a head
_CHOICE = re.compile(r"[a-h]|(multiple_)?(choices|options)|(choice|option|answer)_?[a-h0-9]")  # of several choices


@dataclass(frozen=True)
class Columns:
    """Places of the columns in a table, from 0; -1 for one that it does not have.

    separator: between cells. count: of cells in a row. head: True if the first line names the columns. unread: names of
    further columns.
    """

    separator: str
    count: int
    image: int
    question: int
    answer: int
    kind: int = -1
    split: int = -1
    head: bool = True
    unread: tuple[str, ...] = ()

    @property
    def read(self) -> list[int]:
        """The places of the columns that are read."""
        return [p for p in (self.image, self.question, self.answer, self.kind, self.split) if p >= 0]


@dataclass(frozen=True)
class TableFile:
    """One table: its file, its columns, and the split that its name or its folder says ('' for none)."""

    file: Path
    columns: Columns
    split: str = ""


@dataset("question_table")
@dataclass(frozen=True)
class QuestionTable(QuestionSource):
    """A table of questions: *.csv or *.tsv with the columns image, question, answer, and images.

    A list in a cell of answers, as Python or JSON writes it, is several answers.
    Columns are found by the names in the first line; without such a line they are image, question, answer in this
    order. A column kind groups the questions for scoring; a column split holds train, val or test. Without it the
    tables' names or folders say so, or a split is drawn by image. Images are found by name anywhere below DATA.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a table with images, questions and answers."""
        return bool(tables(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """A table of questions that lacks images or answers."""
        for file in _candidates(path):
            first = _first_row(file)
            names = [_plain(cell) for cell in first]
            if any(name in _QUESTION for name in names):
                lacking = "answers" if any(name in _IMAGE for name in names) else "images"
                return (
                    f"has a table of questions without {lacking}: {file.name} has the columns {', '.join(first)}; name "
                    "them image, question and answer"
                )
        return ""

    @cached_property
    def tables(self) -> list[TableFile]:
        """The tables that are read. Raises DataError if there is none."""
        found = tables(root := require_folder(self.path))
        if not found:
            raise DataError(
                f"{root}: no table of questions; expected a *.csv or *.tsv with the columns image, question, answer"
            )
        return found

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        root = Path(self.path)
        files = ", ".join(table.file.relative_to(root).as_posix() for table in self.tables)
        unread = sorted({name for table in self.tables for name in table.columns.unread})
        remark = f"; column{'s' * (len(unread) > 1)} {', '.join(unread)} not read" if unread else ""
        return f"question table ({files}{remark}): {self.scan.counts()}"

    def read(self) -> QuestionScan:
        """Read the rows and find their images. Raises DataError."""
        root = require_folder(self.path)
        collector = Collector(root, [table.file for table in self.tables])
        for table in self.tables:
            for asked, place in _rows(table, collector.problems):
                name = _below(root, table.file, asked.picture)
                collector.add(asked._replace(picture=name, split=asked.split or table.split), table.file, place)
            if what := _choices(table, [asked.answers[0] for asked, file, _ in collector.asked if file == table.file]):
                collector.problems.append(Problem(table.file, what))
            own = [asked for asked, file, _ in collector.asked if file == table.file]
            if not table.columns.head and (what := _exchanged(own)):
                collector.problems.append(Problem(table.file, what))
        scan = collector.scan(self.seed)
        scan.notes += separated_note([answer for asked, *_ in collector.asked for answer in asked.answers], "answer")
        for table in self.tables:
            if table.columns.head:
                first, *cells = _table_cells(table)
                columns = table.columns
                scan.notes += column_notes(table.file.name, first, cells, [first[place] for place in columns.read])
        return scan


def _choices(table: TableFile, answers: Sequence[str]) -> str:
    """The complaint about answers that are letters or numbers of choices in other columns; '' where they are texts."""
    columns = [name for name in table.columns.unread if _CHOICE.fullmatch(_plain(name))]
    if not columns or not answers or not all(re.fullmatch(r"\(?[A-Ha-h0-9]\)?", answer) for answer in answers):
        return ""
    return (
        f"the answers, such as '{answers[0]}', are letters or numbers of the choices in column"
        f"{'s' * (len(columns) > 1)} {', '.join(columns)}; write the text of the right choice as the answer"
    )


def _exchanged(asked: Sequence[Asked]) -> str:
    """The complaint about a table without a line of names whose third column asks, and the second does not."""
    asking = [one.answers[0] for one in asked if _asks(one.answers[0])]
    if 2 * len(asking) <= len(asked) or any(_asks(one.question) for one in asked):
        return ""
    return (
        f"no line of names, and questions in the third column ('{asking[0][:40]}'); expected image, question, answer: "
        "write the names of the columns above them"
    )


def _asks(text: str) -> bool:
    return text.rstrip().endswith(("?", "\uff1f")) or text.lower().partition(" ")[0] in _ASKING


def tables(root: Path) -> list[TableFile]:
    """The tables of questions of a folder; those in folders of it only if it has none itself."""
    found = [TableFile(file, columns) for file in _candidates(root) if (columns := columns_of(file)) is not None]
    inside = [table for table in found if table.file.parent == root]
    chosen = inside or found
    splits = [_split_of(root, table.file) for table in chosen]
    if len(chosen) > 1 and any(splits):
        return [TableFile(t.file, t.columns, split) for t, split in zip(chosen, splits, strict=True)]
    return chosen


def _candidates(root: Path) -> list[Path]:
    return [file for suffix in _SEPARATORS for file in nearby(root, f"*{suffix}")]


def columns_of(file: Path) -> Columns | None:
    """The columns of a table of questions, by its first line; None for any other file."""
    line = next((line for line in head_of(file) if line.strip()), "")
    for separator in _SEPARATORS[file.suffix.lower()]:
        cells = _cells(line, separator)
        names = [_plain(cell) for cell in cells]
        image, question, answer, kind, split = (
            next((names.index(name) for name in known if name in names), -1)
            for known in (_IMAGE, _QUESTION, _ANSWER, _KIND, _SPLIT)
        )
        if min(image, question, answer) >= 0:
            read = {image, question, answer, kind, split}
            unread = tuple(cell for i, cell in enumerate(cells) if i not in read)
            return Columns(separator, len(cells), image, question, answer, kind, split, True, unread)
        known = {*_IMAGE, *_QUESTION, *_ANSWER}
        is_name = Path(cells[0]).suffix.lower() in PICTURE_SUFFIXES or file.stem.lower() in _NAMES
        if len(cells) >= 3 and not known & set(names) and is_name:
            unread = tuple(f"{i + 1}" for i in range(3, len(cells)))
            return Columns(separator, len(cells), 0, 1, 2, head=False, unread=unread)
    return None


def _first_row(file: Path) -> list[str]:
    line = next((line for line in head_of(file) if line.strip()), "")
    return max((_cells(line, separator) for separator in _SEPARATORS[file.suffix.lower()]), key=len)


def _cells(line: str, separator: str) -> list[str]:
    """The cells of one line. Quotes that do not pair are part of the text."""
    try:
        cells = next(csv.reader([line], delimiter=separator, strict=True), [])
        return [cell.strip() for cell in cells] or [""]
    except csv.Error:
        return [cell.strip() for cell in line.split(separator)]


def _rows(table: TableFile, problems: list[Problem]) -> Iterator[tuple[Asked, str]]:
    """The questions of a table, each with its place, 'line 3'. Rows that cannot be read become problems."""
    columns, seen = table.columns, False
    for number, line in enumerate(read_text(table.file).split("\n"), 1):
        if not line.strip():
            continue
        if columns.head and not seen:
            seen = True
            continue
        cells, place = _cells(line, columns.separator), f"line {number}"
        if len(cells) != columns.count:
            quotes = "; put quotes around cells that hold the separator" if len(cells) > columns.count else ""
            what = f"{place}: '{line.strip()[:40]}' has {counted(len(cells), 'cell')}; expected {columns.count}{quotes}"
            problems.append(Problem(table.file, what))
            continue
        answer = cells[columns.answer]
        try:
            answers = listed(answer) or [answer]
        except ValueError as error:
            what = f"{place}: the answer {answer[:40]!r} {error}; write one answer, or a list of texts"
            problems.append(Problem(table.file, what))
            continue
        yield (
            Asked(
                cells[columns.image],
                cells[columns.question],
                tuple(answers),
                _optional(cells, columns.kind),
                _optional(cells, columns.split),
            ),
            place,
        )


def _table_cells(table: TableFile) -> list[list[str]]:
    """The cells of the line of names, and of the lines below that have as many."""
    lines = (_cells(line, table.columns.separator) for line in read_text(table.file).split("\n") if line.strip())
    return [cells for cells in lines if len(cells) == table.columns.count]


def _optional(cells: Sequence[str], column: int) -> str:
    return cells[column] if column >= 0 else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip("\ufeff \t").lower())


def _below(root: Path, file: Path, name: str) -> str:
    """An image's name as seen from the root: names are relative to their table, or to its folder `images`."""
    for folder in (file.parent, file.parent / "images"):
        if name and ".." not in Path(name).parts and not Path(name).is_absolute() and is_file(folder / name):
            return (folder / name).relative_to(root).as_posix()
    return name


def _split_of(root: Path, file: Path) -> str:
    """The split that a table's name says, or else its folder; '' for none."""
    folders = (split_called(part) for part in reversed(file.relative_to(root).parent.parts))
    return split_within(file.stem) or next((split for split in folders if split in SPLIT_ORDER), "")
