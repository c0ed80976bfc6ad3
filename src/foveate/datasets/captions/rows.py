"""Rows of a table of captions: which columns it has, and what each row says.

Two forms: lines with a separator, the first of which names the columns, and JSON lines, an object each. Excel writes
the former in UTF-16 ("Unicode text"), with `;` where a comma is the decimal sign, with a line `sep=;` above the head,
and on old Macs with line ends of their own; all are read.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foveate.datasets.captions import CaptionLine
from foveate.datasets.languages import CODES, NAMES
from foveate.datasets.quotes import are_numbers
from foveate.datasets.text_doubts import column_notes
from foveate.datasets.text_files import decode_text, read_text
from foveate.errors import counted
from foveate.pictures import PICTURE_SUFFIXES
from foveate.records import Problem
from foveate.values import parse_json

JSON_LINES = (".jsonl", ".ndjson")
HEAD = 1 << 16  # bytes that the form of a file is known from

_PICTURE = (
    "image", "image_name", "image_file", "image_filename", "image_file_name", "image_path", "filename", "file_name",
    "file", "filepath", "file_path", "path", "img", "img_name", "img_path", "picture", "photo", "image_id",
)  # fmt: skip
# Of several kinds the first is read: `caption`, `captions`, `caption_1`, `caption2`; then `blip_caption`, `caption_en`.
_CAPTION = [
    re.compile(rf"{name}s?_?\d*") for name in ("caption", "comment", "text", "sentence", "description", "prompt")
]
_CAPTION.append(re.compile(r"\w+_captions?|captions?_\w+"))
# Words in the name of a column that tells something about a caption, as caption_id, and is none itself.
_ABOUT = frozenset({
    "id", "ids", "uid", "number", "num", "no", "nr", "index", "idx", "count", "length", "len", "score", "source",
    "lang", "language", "type", "author", "annotator", "worker", "url", "date", "time", "start", "end", "split",
})  # fmt: skip
_TRIED = 50  # rows that columns of numbers are known by
VIDEO = ("video", "video_name", "video_id", "video_path", "clip", "clip_name", "clip_id", *_PICTURE)
_SPLIT = ("split", "subset", "partition")
_SEPARATORS = ",|;\t"
_LONGEST = 64  # lines of one caption in quotes


@dataclass(frozen=True)
class Form:
    """The form of a table.

    separator: between cells; '' for JSON lines. quote: around cells that hold the separator.
    head: number of the line that names the columns, from 0; -1 for JSON lines.
    picture, captions, split: names of columns, as they are written; split is '' without one. names: all columns, in
    order, of a table with a head. unread: further columns that may hold captions.
    """

    separator: str
    quote: str
    head: int
    picture: str
    captions: tuple[str, ...]
    split: str = ""
    names: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def named_caption(self) -> bool:
        """True if a column is called caption, or after it: such a table is for captioning."""
        return any("caption" in name.lower() for name in self.captions)


def head_of(file: Path) -> list[str]:
    """The first lines of a file, as far as they can be read."""
    try:
        with file.open("rb") as stream:
            text = decode_text(stream.read(HEAD), errors="replace")
    except (OSError, ValueError):
        return []
    return text.split("\n")


def form_of(file: Path, pictures: Sequence[str] = _PICTURE) -> Form | None:
    """The form of a table whose columns name an image and a caption; None for any other file.

    pictures: names of the column of images, the likeliest first.
    """
    lines = head_of(file)
    if file.suffix.lower() in JSON_LINES:
        form = next((form for line in lines[:20] if (form := _json_form(line, pictures)) is not None), None)
    else:
        form = _head_form(lines, pictures)
    return None if form is None else _of_words(file, form, lines)


def _of_words(file: Path, form: Form, lines: Sequence[str]) -> Form:
    """The form without columns that only tell something about captions: their numbers, scores and the like."""
    maybe = (*form.captions, *form.unread)
    if len(maybe) == 1:
        return form
    read = _json_rows if form.head < 0 else _separated_rows
    tried = [row for _, row in itertools.islice(read(file, form, lines, lambda name: False, []), _TRIED)]
    numbers = {name for name in maybe if are_numbers(str(t) for row in tried for t in _texts(row.get(name)))}
    worded = [name for name in maybe if name not in numbers and not _ABOUT & set(_plain(name).split("_"))]
    captions = _first_kind(worded) or form.captions
    return replace(form, captions=captions, unread=tuple(name for name in maybe if name not in captions))


def language_problems(file: Path, form: Form) -> list[Problem]:
    """A problem where the columns of captions are in several languages, by their names, as caption_en, caption_de."""
    columns: dict[str, str] = {}
    for name in form.captions:
        for language in [word for word in _plain(name).split("_") if word in CODES | NAMES]:
            columns.setdefault(language, name)
    if len(columns) < 2:
        return []
    first = next(iter(columns.values()))
    what = f"the columns {', '.join(form.captions)} hold captions in several languages; keep one, or call it caption"
    return [Problem(file, f"{what} instead of {first}")]


def _head_form(lines: Sequence[str], pictures: Sequence[str]) -> Form | None:
    number = next((i for i, line in enumerate(lines) if line.strip() and not _is_separator_line(line)), None)
    if number is None:
        return None
    for separator, quote in itertools.product(_SEPARATORS, "\"'"):
        try:
            names = next(csv.reader([lines[number].strip("\ufeff ")], delimiter=separator, quotechar=quote), [])
        except csv.Error:
            continue
        names = _distinct(names)
        columns = _columns(names, pictures)
        if columns is not None:
            return Form(separator, quote, number, *columns, tuple(names), _others(names, pictures))
    return None


def _distinct(names: Sequence[str]) -> list[str]:
    """The names of columns, a repeated one as `caption_2`."""
    found: list[str] = []
    for name in (name.strip() for name in names):
        longer = (f"{name}_{number}" for number in itertools.count(2))
        found.append(name if name not in found else next(one for one in longer if one not in found))
    return found


def has_one_column(line: str) -> bool:
    """True for a line of column names of which one is that of the images or of the captions."""
    parts = {_plain(part.strip("\"' ")) for separator in _SEPARATORS for part in line.split(separator)}
    return any(part in _PICTURE or any(kind.fullmatch(part) for kind in _CAPTION) for part in parts)


def _is_separator_line(line: str) -> bool:
    """Excel's line `sep=;`."""
    return re.fullmatch(r"\ufeff?\"?sep=.\"?", line.strip(), re.I) is not None


def _json_form(line: str, pictures: Sequence[str]) -> Form | None:
    entry = _object(line)
    if entry is None:
        return None
    columns = _columns(list(entry), pictures)
    return None if columns is None else Form("", "", -1, *columns, (), _others(list(entry), pictures))


def _columns(names: Sequence[str], pictures: Sequence[str]) -> tuple[str, tuple[str, ...], str] | None:
    """(column of the image, columns of captions, column of the split or '') among the names; None if one is missing."""
    plain = {_plain(name): name for name in reversed(names)}  # of equal names the first
    picture = next((plain[name] for name in pictures if name in plain), None)
    captions = _first_kind(names)
    if picture is None or not captions:
        return None
    return picture, captions, next((plain[name] for name in _SPLIT if name in plain), "")


def _first_kind(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of captions of the first kind that there is, see `_CAPTION`."""
    kinds = ([name for name in names if kind.fullmatch(_plain(name))] for kind in _CAPTION)
    return next((tuple(found) for found in kinds if found), ())


def _others(names: Sequence[str], pictures: Sequence[str]) -> tuple[str, ...]:
    """Columns that may hold captions, too, and are not read."""
    columns = _columns(names, pictures)
    read = columns[1] if columns else ()
    maybe = (name for name in names if any(kind.fullmatch(_plain(name)) for kind in _CAPTION))
    return tuple(name for name in maybe if name not in read)


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


# Rows


def rows(
    file: Path, form: Form, is_picture: Callable[[str], bool], problems: list[Problem], beginning: bool = False
) -> Iterator[tuple[CaptionLine, str]]:
    """The captions of a table, each with its place, 'line 3'. Rows that cannot be read become problems.

    is_picture: True for the name of an image file that is there. beginning: only the first rows, whatever bytes they
    hold, so that a damaged table is still known as one.
    """
    lines = head_of(file) if beginning else read_text(file).split("\n")
    found = _json_rows if form.head < 0 else _separated_rows
    for place, row in found(file, form, lines, is_picture, problems):
        picture = row.get(form.picture)
        if not isinstance(picture, str) or not picture.strip():
            problems.append(Problem(file, f"{place}: no name of an image in '{form.picture}'; write one"))
            continue
        split = row.get(form.split) if form.split else ""
        texts = [text for name in form.captions for text in _texts(row.get(name))]
        written = [text for text in texts if not isinstance(text, str) or text.strip()]
        for text in written or [""]:
            if isinstance(text, str):
                yield CaptionLine(picture.strip(), text, str(split or "").strip()), place
            else:
                what = f"{place}: {text!r:.40} among the captions of '{picture}'; expected a text, or a list of texts"
                problems.append(Problem(file, what))


def table_rows(file: Path, form: Form) -> Iterator[Mapping[str, str]]:
    """The rows of a table with a head, name -> cell, without those that cannot be read."""
    return (row for _, row in _separated_rows(file, form, read_text(file).split("\n"), lambda name: False, []))


def form_notes(file: Path, form: Form) -> list[str]:
    """Notes on columns of a table with a head that are not read and divide its rows, or say several languages."""
    if form.head < 0:
        return []
    cells = [list(row.values()) for row in table_rows(file, form)]
    return column_notes(file.name, form.names, cells, (form.picture, form.split, *form.captions))


def _texts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _json_rows(
    file: Path, form: Form, lines: Sequence[str], is_picture: Callable[[str], bool], problems: list[Problem]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _object(line)
        if entry is None or form.picture not in entry:
            what = f"line {number}: '{line.strip()[:40]}'; expected a JSON object with '{form.picture}' and "
            problems.append(Problem(file, f"{what}'{form.captions[0]}' on one line"))
        else:
            yield f"line {number}", entry


def _object(line: str) -> dict[str, Any] | None:
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _separated_rows(
    file: Path, form: Form, lines: Sequence[str], is_picture: Callable[[str], bool], problems: list[Problem]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    count = len(form.names)
    # A caption with separators but without quotes, in the last column, is joined again.
    joined = form.names[-1] in form.captions
    number = form.head + 1
    while number < len(lines):
        place = f"line {number + 1}"
        reader = csv.reader(
            (line + "\n" for line in lines[number : number + _LONGEST]),
            delimiter=form.separator,
            quotechar=form.quote,
            strict=True,
        )
        row, wrong = [], ""
        try:
            row = next(reader)
        except csv.Error as error:
            wrong = str(error)
        further = lines[number + 1 : number + reader.line_num]
        swallowed = next((line for line in further if _begins_row(line, form, is_picture)), None)
        if wrong and (swallowed is None or "end of data" in wrong):
            what = f"{place}: {wrong}; put quotes around captions that hold the separator or quotes, and double these"
            problems.append(Problem(file, what))
            number += 1
            continue
        if swallowed is not None:
            what = f"{place}: a quote is opened and not closed before the next row ('{swallowed[:30]}'); close it, or "
            problems.append(Problem(file, f"{what}double it"))
            number += 1
            continue
        number += reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        cells = [*row[: count - 1], form.separator.join(row[count - 1 :])] if joined and len(row) > count else row
        if len(cells) != count or not cells[form.names.index(form.picture)].strip():
            shown = form.separator.join(row)[:40]
            problems.append(
                Problem(file, f"{place}: '{shown}'; expected {counted(count, 'cell')}, with captions in quotes")
            )
            continue
        yield place, dict(zip(form.names, (cell.strip(" \n") for cell in cells), strict=True))


def _begins_row(line: str, form: Form, is_picture: Callable[[str], bool]) -> bool:
    """True if a line inside of a quoted cell looks like a row of its own: one of its cells is an image's name."""
    cells = line.split(form.separator)
    if len(cells) < 2:
        return False
    names = [cell.strip().strip(form.quote).strip() for cell in cells]
    return any(Path(name).suffix.lower() in PICTURE_SUFFIXES or is_picture(name) for name in names if name)
