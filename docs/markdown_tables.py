"""The little Markdown that the generated pages need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [tuple(head), ("---",) * len(head), *(tuple(line) for line in lines)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def number(value: float | None, digits: int = 3) -> str:
    """A recorded figure, or a dash where none is recorded."""
    return "–" if value is None else f"{value:,.{digits}f}"


def grouped(rows: Iterable[Row], key: str = "part") -> dict[str, list[Row]]:
    """Rows by one of their fields, in the order of its first appearance."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def between(text: str, name: str, content: str) -> str:
    """The text with what stands between <!-- name --> and <!-- /name --> replaced."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"README.md has no '{begin.strip()}' ... '{end}'; put both back")
    return f"{before}{begin}\n{content}\n{end}{after}"
