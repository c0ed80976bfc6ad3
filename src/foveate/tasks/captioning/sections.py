"""Sections on captions: examples with their sentences, and attention compared with chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foveate.errors import counted
from foveate.tasks.captioning.figure import CaptionFigure, caption_figure
from foveate.visualize.bars import score_text
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import Section, section
from foveate.visualize.report.parts import best_and_worst, card, pairs, scroll_box
from foveate.visualize.report.record import number

AGAINST_CHANCE = (
    ("Its peak", "attention_hit", "attention_chance", "the place with the most attention lies on the object"),
    ("Its mass", "attention_mass", "attention_mass_chance", "share of the attention that lies on the object"),
)


def caption_section(examples: Sequence[CaptionFigure]) -> Section | None:
    """The examples with their sentences, best first; None if there are none."""
    if not examples:
        return None
    maps = any(example.prediction.sentences[0].attention is not None for example in examples)
    lead = "The model's sentence, and the sentences of people. CIDEr-D is that of the one picture." + (
        " Point at a word, tap it or go to it with the Tab key, to see its attention map." if maps else ""
    )
    numbers = {id(example): i for i, example in enumerate(examples, start=1)}

    def figure(example: CaptionFigure) -> Markup:
        own = own_score_and_references(example.score, example.references)
        return caption_figure(example, numbers[id(example)], own)

    figures = best_and_worst(examples, figure)
    return section("pictures", "Examples", "Examples", lead, figures)


def own_score_and_references(score: float | None, references: Sequence[str]) -> Markup:
    """Return an example's own score, and the sentences that people wrote for it."""
    own = tag("p", "CIDEr-D ", score_text(score), class_="strong") if score is not None else None
    listed = tag("ul", [tag("li", text) for text in references], class_="people")
    return tag("div", own, tag("p", "People said", class_="faint"), listed)


def attention_section(scores: Mapping[str, Any]) -> Section | None:
    """The attention on the object that a word names, compared with chance; None if no attention was measured."""
    rows = [
        (name, number(scores.get(key)), number(scores.get(chance)), words)
        for name, key, chance, words in AGAINST_CHANCE
        if number(scores.get(key)) is not None
    ]
    change = number(scores.get("attention_change"))
    if change is None and not rows:
        return None
    moves = [
        ("Moves from word to word", change, "0: never, 1: wholly"),
        ("Spread", number(scores.get("attention_entropy_share")), "0: on one place, 1: evenly over all"),
    ]
    lead = (
        "Attention is useful if it falls on the object that a word names more often than by chance. "
        "Only words whose objects cover less than 15 % of the picture count, where chance is low."
        if rows
        else "The data does not say which object each word names; these numbers describe the maps alone."
    )
    count = scores.get("attention_words")
    note = tag("p", f"Over {counted(count, 'word')}.", class_="faint") if rows and count else None
    facts = pairs(
        (name, tag("span", score_text(value), " ", tag("span", f"({hint})", class_="faint")))
        for name, value, hint in moves
    )
    return section("attention", "Attention", "Attention", lead, card(_table(rows) if rows else None, note, facts))


def _table(rows: Sequence[tuple[str, float | None, float | None, str]]) -> Markup:
    """A table: the measured value, that of chance, and their ratio."""
    head = tag(
        "tr",
        [tag("th", "Attention", scope="col")]
        + [tag("th", name, scope="col", class_="number") for name in ("Measured", "Chance", "Times chance")],
    )
    body = []
    for name, value, chance, words in rows:
        ratio = value / chance if value is not None and chance else None
        cells = [tag("td", score_text(value), class_="number strong"), tag("td", score_text(chance), class_="number")]
        about = tag("th", tag("b", name), tag("br"), tag("span", words, class_="faint"), scope="row")
        body.append(tag("tr", about, cells, tag("td", score_text(ratio, 1), class_="number")))
    return scroll_box("Attention against chance", tag("table", tag("thead", head), tag("tbody", body), class_="bars"))
