"""Columns of a table of parallel text: a line of names, the two of sentences, and those of ids or kinds of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from foveate.datasets.languages import CODES, NAMES

HEADS = (("source", "target"), ("src", "tgt"), ("src", "trg"))
_CODE = re.compile(r"[a-z]{2,3}(?:[-_](?:[A-Z][a-z]{3}|[A-Za-z]{2}|\d{3}))?|[A-Z]{2,3}")
_ID = re.compile(r"\S*\d\S*")
_OFTEN = 5  # times that each word of a column occurs on average which says the kind of a row
_SHORT = 12  # letters of a cell, up to which a table is a list of words
_TRIED = 20  # rows that a list of words is known by


class Columns(NamedTuple):
    """Contents of the columns of a table.

    sides: places of those that may be a side, from 0, without numbers, ids and kinds of rows. names: theirs, as the
    first line has them; () without such a line. total: number of all columns.
    """

    sides: tuple[int, ...]
    names: tuple[str, ...]
    total: int


def columns_of(rows: Sequence[Sequence[str]], given: Sequence[str] = ()) -> Columns:
    """The columns of a table by its rows. given: languages that were asked for, and are names where a line has them."""
    count = max((p + 1 for row in rows for p, cell in enumerate(row) if cell.strip()), default=0)
    cells = {p: [row[p].strip() for row in rows[1:] if p < len(row) and row[p].strip()] for p in range(count)}
    sides = tuple(p for p in range(count) if not _are_ids(cells[p]) and not _are_kinds(cells[p]))
    if count < 3 or len(sides) < 2:
        sides = tuple(range(count))
    first = [cell.strip() for cell in rows[0]] if rows else []
    names = tuple(first[p] if p < len(first) else "" for p in sides)
    lower = [name.lower() for name in names]
    for pair in HEADS:
        if set(pair) <= set(lower):
            return Columns(tuple(sides[lower.index(name)] for name in pair), ("source", "target"), count)
    return Columns(sides, names if _are_languages(names, rows[1:], given) else (), count)


def _are_ids(cells: Sequence[str]) -> bool:
    return bool(cells) and all(_ID.fullmatch(cell) for cell in cells)


def _are_kinds(cells: Sequence[str]) -> bool:
    """True for single words of which each occurs often, as the domain or the source of a row."""
    return len(cells) >= _OFTEN * len(set(cells)) and not any(" " in cell for cell in cells)


def _are_languages(names: Sequence[str], rows: Sequence[Sequence[str]], given: Sequence[str]) -> bool:
    """True for names of languages: words that are none known count above sentences, not above a list of words."""
    if len(names) < 2 or len(set(names)) < len(names):
        return False
    if all(re.split("[-_]", name.lower())[0] in CODES and _CODE.fullmatch(name) for name in names):
        return True
    if all(name.lower() in NAMES for name in names):
        return True
    if not all(_CODE.fullmatch(name) and name[0].islower() for name in names):
        return False
    cells = [cell.strip() for row in rows[:_TRIED] for cell in row if cell.strip()]
    is_long = sum(map(len, cells)) > _SHORT * len(cells)
    return is_long or (bool(given) and all(language in names for language in given))
