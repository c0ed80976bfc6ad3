"""Docstrings name each argument or field on a line of its own, `name: what it is`; the site shows them as a list."""

from __future__ import annotations

import re
from typing import Any

import griffe

FIELD = re.compile(r"^(?P<names>[a-z]\w*(?:, [a-z]\w*)*): (?P<words>.*)$")


class FieldLists(griffe.Extension):
    """Turn `name: words` lines, with the indented lines that go on, into Markdown lists."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of whatever was just read."""
        if obj.docstring is not None:
            obj.docstring.value = as_list(obj.docstring.value)


def as_list(text: str) -> str:
    """The docstring with its fields as a list; code blocks (indented by four after a blank line) stay as they are."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        field = FIELD.match(line)
        if field and not inside and lines and lines[-1]:
            lines.append("")  # a list starts after a blank line
        if field:
            names = ", ".join(f"`{name}`" for name in field["names"].split(", "))
            lines.append(f"- {names}: {field['words']}")
            inside = True
        elif inside and line.startswith("    "):
            lines.append(line)
        else:
            if inside and line:
                lines.append("")
            inside = False
            lines.append(line)
    return "\n".join(lines)
