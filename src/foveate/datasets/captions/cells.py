"""Lists of captions that were written into one text, as in a cell of a table that pandas wrote."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import Any

from foveate.values import parse_json

# A bracket and then a quote, another bracket or nothing; NumPy's array(...) and the like.
_LIST = re.compile(r"""[\[({]\s*[ubr]?['"“”‘’„\[{(]|\[\s*\]$|(array|list|tuple|set|dict|Series)\(\s*[\[({]""")


def listed(text: str) -> list[str] | None:
    """The captions of a list, as Python or JSON writes it; None for a text that is no list.

    Raises ValueError, with the reason, for what looks like a list of captions and is none.
    """
    text = text.strip()
    if _LIST.match(text) is None:
        return None
    try:
        value, separate = parse_json(text), True
    except ValueError:
        value = _python(text)
        separate = isinstance(value, str) or _strings(text) == len(value)
    if isinstance(value, str):  # one text in parentheses
        return None
    if not isinstance(value, list | tuple):
        raise ValueError(f"is a {type(value).__name__} in one cell")
    if not value:
        raise ValueError("is an empty list")
    if not all(isinstance(one, str) for one in value):
        raise ValueError("is a list that holds more than texts")
    if not separate:
        raise ValueError("is a list without commas between its texts, as NumPy prints it")
    return list(value)


def _python(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("looks like a list, but is not one as Python or JSON writes it") from None
    if isinstance(value, str | list | tuple | dict | set):
        return value
    raise ValueError(f"is a {type(value).__name__} in one cell")


def _strings(text: str) -> int:
    """Number of quoted texts; Python joins two that have no comma between them."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.STRING for token in tokens)
