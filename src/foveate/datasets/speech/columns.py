"""Columns of a table of transcripts: by their names, or by what they hold where no line names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from foveate.datasets.languages import CODES
from foveate.datasets.quotes import are_numbers
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.errors import DataError, counted

_FILE = (
    "file", "path", "audio", "utterance", "id", "name", "file_name", "filename", "wav", "clip", "recording",
    "wav_filename", "audio_filepath", "audio_file", "audio_path", "wav_path", "file_path",
)  # fmt: skip
_TEXT = ("text", "transcript", "transcription", "sentence", "transcripts")
_SPEAKER = ("speaker", "speaker_id", "client_id", "spk")
_SPLIT = ("split", "subset", "partition")


class Layout(NamedTuple):
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


def layout_of(rows: Sequence[Sequence[str]]) -> Layout:
    """The columns of a table, by its header or by what they hold. Raises DataError where that is not clear."""
    columns, texts = named_columns(lowered(rows[0]))
    if columns:
        worded = [name for name, place in texts.items() if not are_numbers(_column(rows[1:], place))] or list(texts)
        return Layout(columns | {"text": texts[worded[0]]}, True, tuple(worded[1:]))
    count = max(map(len, rows))
    while count > 2 and not any(_column(rows, count - 1)):
        count -= 1
    if count < 3:
        return Layout({"file": 0, "text": 1})
    held = {place: cells for place in range(1, count) if (cells := _column(rows, place))}
    splits = [p for p, cells in held.items() if all(split_called(cell) in SPLIT_ORDER for cell in cells)]
    numbers = [p for p, cells in held.items() if are_numbers(cells)]
    last = max((p for p in held if p not in (*numbers, *splits)), default=0)
    # Lengths and the like, which are no speakers and not the text.
    is_long = last > 0 and _words(held[last]) > 1
    beside = [p for p in numbers if (is_long and p > last) or any("." in cell for cell in held[p])]
    left = [p for p in held if p not in (*beside, *splits[:1])]
    if len(left) > 2:  # VITS's lists for several languages have their codes before the text
        left = [p for p in left if p == last or not all(cell.lower() in CODES for cell in held[p])]
    split = {"split": splits[0]} if splits else {}
    if len(left) == 1:
        return Layout({"file": 0, "text": left[0]} | split)
    if len(left) == 2 and _are_one_text(rows, left[0], left[1]):
        return Layout({"file": 0, "text": left[1]} | split, twice=True)
    if len(left) != 2 or _are_reversed(held[left[0]], held[left[1]]) or _are_sentences(held[left[0]]):
        second, third = ([*rows[0], "", ""][place].strip()[:20] for place in (1, 2))
        raise DataError(
            f"{counted(count, 'column')} without a line of names, '{second}' in the second and '{third}' in the third; "
            "expected file, speaker, text: write the names of the columns above them, such as file, text, speaker"
        )
    speakers, said, names = held[left[0]], held[left[1]], _column(rows, 0)
    sure = _words(said) > 1 or _are_numbered(speakers) or (_are_in(speakers, names) and not _are_in(said, names))
    return Layout({"file": 0, "speaker": left[0], "text": left[1]} | split, unsure=not sure)


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


def _are_sentences(cells: Sequence[str]) -> bool:
    """True for texts of more than two words, none of them twice, which names of speakers are not."""
    return len(cells) > 1 and len(set(cells)) == len(cells) and _words(cells) > 2


def _are_numbered(cells: Sequence[str]) -> bool:
    """True for words of letters and digits, as spk1 and p225."""
    return all(re.fullmatch(r"[^\W\d]+[_-]?\d+|\d+[_-]?[^\W\d]+", cell) for cell in cells)


def _are_in(cells: Sequence[str], names: Sequence[str]) -> bool:
    """True if each cell is part of the name of its row's file, as a speaker's name often is."""
    return len(cells) == len(names) and all(
        cell.lower() in name.lower() for cell, name in zip(cells, names, strict=True)
    )


def lowered(row: Sequence[str]) -> list[str]:
    """The names of a line without blanks around them, in small letters."""
    return [cell.strip().lower() for cell in row]


def _column(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    """The cells of a column that are not empty."""
    return [row[place].strip() for row in rows if place < len(row) and row[place].strip()]


def _words(cells: Sequence[str]) -> float:
    """Words a cell."""
    return sum(len(cell.split()) for cell in cells) / max(1, len(cells))


def named_columns(names: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """(what it holds -> column, name -> column of every text) of a header; ({}, {}) if the row is none."""
    found: dict[str, int] = {}
    for key, known in (("file", _FILE), ("text", _TEXT), ("speaker", _SPEAKER), ("split", _SPLIT)):
        if name := next((name for name in known if name in names), ""):
            found[key] = names.index(name)
    texts = {name: names.index(name) for name in _TEXT if name in names}
    return (found, texts) if {"file", "text"} <= set(found) else ({}, {})
