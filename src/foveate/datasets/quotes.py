"""Cells of a table with tabs that another program put into quotes, and columns that hold numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?")


def unquoted(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows of cells without the quotes around them, two quotes inside as one, as CSV writes them.

    A column has such quotes if all of its quotes are CSV's, and they are around every cell or double one inside;
    those of other columns belong to the text.
    """
    columns: dict[int, list[str]] = {}
    for row in rows:
        for place, cell in enumerate(row):
            if cell.strip():
                columns.setdefault(place, []).append(cell.strip())
    quoted = {place for place, cells in columns.items() if _are_quoted(cells)}
    return [[_plain(cell) if place in quoted else cell for place, cell in enumerate(row)] for row in rows]


def _are_quoted(cells: Sequence[str]) -> bool:
    marked = [cell for cell in cells if '"' in cell]
    if not marked or not all(_QUOTED.fullmatch(cell) for cell in marked):
        return False
    return len(marked) == len(cells) or any('""' in cell[1:-1] for cell in marked)


def _plain(cell: str) -> str:
    inner = cell.strip()
    return inner[1:-1].replace('""', '"') if _QUOTED.fullmatch(inner) else cell


def are_numbers(cells: Iterable[str]) -> bool:
    """True if all cells that are not empty are numbers, and there is one."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)
