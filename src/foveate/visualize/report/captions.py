"""A captioner's sections: single pictures with what was said of them, and whether attention falls on what is named."""

from __future__ import annotations

import math

from foveate.visualize.bars import score_text
from foveate.visualize.captions import Told, told_figure, told_style
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import card, pairs, scroll_box, section
from foveate.visualize.report.record import Report

AGAINST_CHANCE = (
    ("Its peak", "attention_hit", "attention_chance", "the place with the most attention lies on the thing"),
    ("Its mass", "attention_mass", "attention_mass_chance", "share of the attention that lies on the thing"),
)


def style(report: Report) -> str:
    """The rules that the sentences of a report need, or nothing."""
    sentences = [told.prediction.sentences[0] for told in _told(report)]
    return told_style(max(len(s.words) for s in sentences)) if sentences else ""


def captions(report: Report) -> Markup:
    """Best and worst pictures with their sentences, or nothing if there are none."""
    shown = _told(report)
    if not shown:
        return Markup("")
    half = math.ceil(len(shown) / 2)
    maps = any(told.prediction.sentences[0].attention is not None for told in shown)
    lead = "What the model says, and what people said. CIDEr-D is that of the one picture." + (
        " Point at a word, tap it or go to it with the Tab key, to see where the model looked." if maps else ""
    )
    numbers = {id(told): number for number, told in enumerate(shown, start=1)}
    groups = [("Where it does best", shown[:half]), ("Where it does worst", shown[half:][::-1])]
    drawn = [
        (tag("h3", title), [told_figure(told, numbers[id(told)], _people(told)) for told in group])
        for title, group in groups
        if group
    ]
    return section("pictures", "Pictures", lead, drawn)


def _told(report: Report) -> list[Told]:
    return [example for example in report.examples if isinstance(example, Told)]


def _people(told: Told) -> Markup:
    """The picture's own score, and what people said of it."""
    score = tag("p", "CIDEr-D ", score_text(told.score), class_="strong") if told.score is not None else None
    said = tag("ul", [tag("li", text) for text in told.references], class_="people")
    return tag("div", score, tag("p", "People said", class_="faint"), said)


def attention(report: Report) -> Markup:
    """Whether attention falls on what a word names, beside chance; nothing where that is not known."""
    rows = [
        (name, report.score(key), report.score(chance), words)
        for name, key, chance, words in AGAINST_CHANCE
        if report.score(key) is not None
    ]
    moved = [
        ("Moves from word to word", score_text(report.score("attention_change")), "0: never, 1: wholly"),
        ("Spread", score_text(report.score("attention_entropy_share")), "0: on one place, 1: alike on all"),
    ]
    if report.score("attention_change") is None and not rows:
        return Markup("")
    lead = (
        "Attention is worth something if it falls on the thing that a word names, more often than if it fell anywhere. "
        "Counted are words whose things cover less than 15 % of the picture, where chance is low."
        if rows
        else "It is not known what each word names in these pictures; this is how the maps behave."
    )
    words = report.scores.get("attention_words")
    note = tag("p", f"Over {words:,} words.", class_="faint") if rows and words else None
    facts = pairs(
        (name, tag("span", value, " ", tag("span", f"({hint})", class_="faint"))) for name, value, hint in moved
    )
    return section("attention", "Where it looks", lead, card(_against_chance(rows) if rows else None, note, facts))


def _against_chance(rows: list[tuple[str, float | None, float | None, str]]) -> Markup:
    """A table: measured, by chance, and how many times chance that is."""
    head = tag(
        "tr",
        [tag("th", "Attention", scope="col")]
        + [tag("th", name, scope="col", class_="number") for name in ("Measured", "Chance", "Times chance")],
    )
    body = []
    for name, value, chance, words in rows:
        times = value / chance if value is not None and chance else None
        cells = [tag("td", score_text(value), class_="number strong"), tag("td", score_text(chance), class_="number")]
        about = tag("th", tag("b", name), tag("br"), tag("span", words, class_="faint"), scope="row")
        body.append(tag("tr", about, cells, tag("td", score_text(times, 1), class_="number")))
    return scroll_box("Attention against chance", tag("table", tag("thead", head), tag("tbody", body), class_="bars"))
