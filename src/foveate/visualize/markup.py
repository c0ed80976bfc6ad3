"""HTML and SVG elements with escaping: all text is escaped unless it was returned by `tag`."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID_ELEMENTS = frozenset({
    "meta", "img", "br", "hr", "rect", "line", "link", "circle", "path", "polyline", "col", "input", "image",
})  # fmt: skip


class Markup(str):
    """Text that is already markup and is not escaped."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Build the element <name attribute="...">children</name>.

    Children are escaped unless they are Markup; iterables are flattened; None and False are left out.
    Attribute names: `class_` becomes `class` and underscores become hyphens. Values: True writes the name alone, None
    and False write nothing.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = "".join(_escaped(child) for child in children)
    if name in _VOID_ELEMENTS and not inside:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{inside}</{name}>")


def join(*children: object) -> Markup:
    """Concatenate children without an enclosing element."""
    return Markup("".join(_escaped(child) for child in children))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    key = "viewBox" if key == "viewbox" else "preserveAspectRatio" if key == "preserveaspectratio" else key
    if value is True:
        return f" {key}"
    return f' {key}="{html.escape(_plain(value))}"'


def _escaped(child: object) -> str:
    if child is None or child is False:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, Iterable) and not isinstance(child, str):
        return "".join(_escaped(part) for part in child)
    return html.escape(_plain(child))


def _plain(value: object) -> str:
    """Format a value; floats get at most two decimals, which is enough for coordinates."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
