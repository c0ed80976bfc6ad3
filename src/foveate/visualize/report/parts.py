"""Building blocks that several sections share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from foveate.visualize.bars import score_text
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.record import Section

Example = TypeVar("Example")


def section(name: str, label: str, title: str, lead: object, *parts: object) -> Section:
    """A section with its heading and a sentence that says how to read it.

    name: its id. label: its entry in the line of contents: the title itself, or a word of it where that is longer than
    two, since this line stays in sight above what is read, and should be one line.
    """
    content = tag("section", tag("h2", title, id=name), tag("p", lead, class_="lead"), parts, aria_labelledby=name)
    return Section(name, label, content)


def best_and_worst(examples: Sequence[Example], figure: Callable[[Example], Markup]) -> list[Markup]:
    """Figures of examples under two headings: the better half, best first, and the rest, worst first.

    examples: best first.
    """
    half = math.ceil(len(examples) / 2)
    groups = [("Best results", examples[:half]), ("Worst results", examples[half:][::-1])]
    return [piece for title, group in groups if group for piece in (tag("h3", title), *map(figure, group))]


def example_figure(name: str, drawn: Image.Image, alt: str, number: float | None, words: str) -> Markup:
    """One example as a single drawing, with its name, its own score and a sentence below.

    alt: the drawing in words, for readers who do not see it.
    """
    size = {"width": drawn.width, "height": drawn.height}
    image = tag("img", src=data_uri(np.asarray(drawn)), alt=f"{name}: {alt}", decoding="async", **size)
    score = tag("span", score_text(number), class_="number") if number is not None else None
    caption = tag(
        "figcaption",
        tag("span", tag("b", name), score, class_="headline"),
        tag("span", words, class_="faint"),
    )
    return tag("figure", tag("div", image, class_="wide-panel"), caption, class_="example")


def in_sentence(name: str) -> str:
    """A name as it stands inside a sentence: 'Mean IoU' -> 'mean IoU', but 'CIDEr-D' and 'CorLoc' as they are."""
    first = name.split()[0] if name else ""
    return name if any(c.isupper() for c in first[1:]) else name[:1].lower() + name[1:]


def counted(count: int, noun: str, nouns: str) -> str:
    """A number with its noun: 'one picture', '7 pictures'."""
    return f"one {noun}" if count == 1 else f"{count} {nouns}"


def card(*parts: object) -> Markup:
    """A framed block."""
    return tag("div", parts, class_="card")


def scroll_box(label: str, content: Markup, style: str = "scroll") -> Markup:
    """A box in which wide content scrolls by itself; reachable by keyboard."""
    return tag("div", content, class_=style, tabindex=0, role="region", aria_label=label)


def pairs(rows: Iterable[tuple[object, object]]) -> Markup:
    """Names and their values, one pair per line."""
    return tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in rows], class_="pairs")


def fact(title: object, value: Markup, words: str) -> Markup:
    """A large number, with its name above and its meaning below."""
    meaning = tag("dd", words, class_="faint") if words else None
    return tag("div", tag("dt", title), tag("dd", value, class_="value"), meaning)


def chart_figure(title: str, chart: Markup, words: str) -> Markup:
    """A framed chart with its heading and a sentence below; nothing if there is no chart."""
    if not chart:
        return Markup("")
    return tag("figure", tag("h3", title), chart, tag("figcaption", words), class_="card")


def key(mark: Markup, words: str) -> Markup:
    """One entry of a legend."""
    return tag("span", mark, words, class_="key")
