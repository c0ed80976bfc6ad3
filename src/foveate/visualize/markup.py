"""HTML and SVG, built so that nothing unescaped can get in: text is escaped unless it came out of `tag`."""

from __future__ import annotations

import html
from collections.abc import Iterable

_EMPTY = frozenset({"meta", "img", "br", "hr", "rect", "line", "link", "circle", "path", "polyline", "col"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """<name attribute="...">children</name>.

    Children are escaped unless they are Markup; iterables are flattened; None and False are left out.
    Attribute names: `class_` is `class`, an underscore is a hyphen; True writes the bare name, None and False nothing.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = "".join(_escaped(child) for child in children)
    if name in _EMPTY and not inside:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{inside}</{name}>")


def join(*children: object) -> Markup:
    """Pieces one after the other, with no element around them."""
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
    """Numbers short: coordinates need no more than two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
