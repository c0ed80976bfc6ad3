"""The sections in words that every report has: the outcome, the model and its data, how to train it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foveate.errors import duration_text
from foveate.visualize.bars import score_text
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.report.parts import counted, fact, pairs, scroll_box, section
from foveate.visualize.report.record import Report, Section

LONGEST = 400  # characters of a value that is shown whole


def opening(report: Report, sections: Sequence[Section]) -> Markup:
    """Title, the large score, and a summary in plain words. sections: all of the page, for the line of contents."""
    links = [tag("a", part.label, href=f"#{part.name}") for part in sections]
    facts = [
        fact(title, score_text(report.score(key)), words)
        for key, title, words in report.text.facts
        if report.score(key) is not None
    ]
    return join(
        tag(
            "header",
            tag("p", report.text.title, class_="eyebrow"),
            tag("h1", report.title),
            tag("p", _summary(report), class_="summary"),
        ),
        tag("nav", links, class_="contents", aria_label="Contents"),
        tag("div", _hero(report), tag("dl", facts, class_="facts") if facts else None, class_="top"),
    )


def _hero(report: Report) -> Markup:
    """The family's score, its definition in one sentence, and what the family puts below it."""
    large = [
        (
            tag("p", name, class_="eyebrow"),
            tag("p", score_text(report.score(key)), class_="big"),
            tag("p", words, class_="faint"),
        )
        for key, name, words in filter(None, (report.text.score, report.text.beside))
    ]
    return tag("div", large, report.part.strip, class_="card hero")


def _summary(report: Report) -> Markup:
    """Two sentences for a reader who stops there."""
    key, sentence = report.text.found
    count, score = report.scores.get("samples"), report.score(key)
    if count and score is not None:
        samples = counted(count, *(f"{report.scored_split} {noun}" for noun in report.nouns))
        first = f" {sentence.format(share=score * 100, score=score, samples=samples)}."
    else:
        first = " was trained and scored."
    return join(tag("code", report.recipe), first, " " if report.part.summary else "", report.part.summary)


def notes(report: Report) -> Markup:
    """Sentences to know before quoting the score."""
    sentences = [*report.notes, *report.part.notes]
    if not sentences:
        return Markup("")
    heading = tag("h2", "Before you quote the score", id="notes")
    items = tag("ul", [tag("li", sentence) for sentence in sentences])
    return tag("aside", heading, items, class_="callout", aria_labelledby="notes")


def training(report: Report) -> Section:
    """The model and the data that it was trained on."""
    samples = report.nouns[1]
    splits = [
        fact(
            split,
            tag("data", f"{count:,}", value=count),
            "scored here" if split == report.scored_split else samples,
        )
        for split, count in report.splits.items()
    ]
    rows: list[tuple[object, object]] = [
        ("Recipe", tag("code", report.recipe)),
        ("Data", report.data),
        *report.part.rows,
    ]
    if report.minutes is not None:
        rows.append(("Training time", duration_text(60 * report.minutes)))
    return section(
        "training",
        "Data",
        "Model and data",
        f"A score means little without the {samples} that the model was trained on and those that it was measured on.",
        tag("dl", splits, class_="facts small") if splits else None,
        pairs((name, _folded(value)) for name, value in rows),
    )


def _folded(value: object) -> object:
    """A value; of a text beyond LONGEST characters, such as a hundred names, the beginning alone until it is opened."""
    if isinstance(value, Markup) or not isinstance(value, str) or len(value) <= LONGEST:
        return value
    return tag("details", tag("summary", f"{value[:LONGEST].rpartition(' ')[0]} ..."), tag("p", value), class_="folded")


def again(report: Report) -> Section:
    """The command that trains the model again, where the model is, and all settings."""
    command = tag("pre", tag("code", report.command), class_="command")
    lead = "This command trains the same model again" + ("; these files came out of it." if report.files else ".")
    return section(
        "again",
        "Reproduce",
        "Reproduce this run",
        lead,
        command,
        pairs((name, tag("code", path)) for name, path in report.files.items()) if report.files else None,
        _fold("All settings", report.settings),
        _fold("Environment", report.environment),
    )


def _fold(title: str, values: Mapping[str, Any]) -> Markup:
    """A table that opens when asked."""
    rows = [tag("tr", tag("th", _breakable(name), scope="row"), tag("td", value)) for name, value in flat(values)]
    if not rows:
        return Markup("")
    summary = tag("summary", title, tag("span", f" {len(rows)}", class_="faint"))
    return tag("details", summary, scroll_box(title, tag("table", tag("tbody", rows), class_="settings")))


def _breakable(key: str) -> Markup:
    """A dotted key that may break after its dots."""
    return join([join(part, Markup("<wbr/>")) for part in re.split(r"(?<=\.)", key)])


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted keys and short texts."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(str(item) for item in value) or "none"
        else:
            yield f"{prefix}{key}", "none" if value is None or value == {} else str(value)
