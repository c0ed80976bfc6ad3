"""Shapes that several sections share."""

from __future__ import annotations

from collections.abc import Iterable

from foveate.visualize.markup import Markup, tag


def section(name: str, title: str, lead: object, *parts: object) -> Markup:
    """A section with its heading and the sentence that says how to read it."""
    return tag("section", tag("h2", title, id=name), tag("p", lead, class_="lead"), parts, aria_labelledby=name)


def in_sentence(name: str) -> str:
    """A name as it stands inside a sentence: 'Mean IoU' -> 'mean IoU', but 'CIDEr-D' and 'CorLoc' as they are."""
    first = name.split()[0] if name else ""
    return name if any(c.isupper() for c in first[1:]) else name[:1].lower() + name[1:]


def card(*parts: object) -> Markup:
    """A framed block."""
    return tag("div", parts, class_="card")


def scroll_box(label: str, content: Markup, style: str = "scroll") -> Markup:
    """A box in which something wide scrolls by itself; reachable by keyboard."""
    return tag("div", content, class_=style, tabindex=0, role="region", aria_label=label)


def pairs(rows: Iterable[tuple[object, object]]) -> Markup:
    """Words and their values, one pair a line."""
    return tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in rows], class_="pairs")


def fact(title: object, value: Markup, words: str) -> Markup:
    """A number in large, with its name above and its meaning below."""
    return tag("div", tag("dt", title), tag("dd", value, class_="value"), tag("dd", words, class_="faint"))


def chart_figure(title: str, chart: Markup, words: str) -> Markup:
    """A framed chart with its heading and its sentence; nothing if there is no chart."""
    if not chart:
        return Markup("")
    return tag("figure", tag("h3", title), chart, tag("figcaption", words), class_="card")


def key(mark: Markup, words: str) -> Markup:
    """One entry of a legend."""
    return tag("span", mark, words, class_="key")
