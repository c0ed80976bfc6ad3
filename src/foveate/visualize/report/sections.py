"""The sections in words: what came out, what went in, how to do it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foveate.visualize.bars import ranked, score_strip, score_text
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.report.parts import fact, pairs, scroll_box, section
from foveate.visualize.report.record import Report

CONTENTS = {
    "training": "Data",
    "learning": "Training",
    "classes": "Classes",
    "confusion": "Mistakes",
    "boundaries": "Outlines",
    "calibration": "Confidence",
    "looks": "Looks",
    "attention": "Attention",
    "pictures": "Pictures",
    "again": "Do it again",
}


def opening(report: Report, sections: Sequence[str]) -> Markup:
    """Title, the score in large, and what it means in plain words. `sections`: the ids that the page has."""
    links = [tag("a", CONTENTS[name], href=f"#{name}") for name in sections]
    facts = [
        fact(title, score_text(report.score(key)), words)
        for key, title, words in report.words.facts
        if report.score(key) is not None
    ]
    return join(
        tag(
            "header",
            tag("p", report.words.title, class_="eyebrow"),
            tag("h1", report.title),
            tag("p", _summary(report), class_="summary"),
            tag("nav", links, class_="contents", aria_label="Contents"),
        ),
        tag("div", _hero(report), tag("dl", facts, class_="facts") if facts else None, class_="top"),
    )


def _hero(report: Report) -> Markup:
    """The family's score, its definition in one sentence, and the classes it is made of."""
    key, _, _ = report.words.score
    mean = report.score(key)
    classes = report.classes
    strip = score_strip(report.by_class("per_class"), mean, classes, report.words.class_score) if classes else None
    return tag(
        "div",
        [
            (
                tag("p", name, class_="eyebrow"),
                tag("p", score_text(report.score(key)), class_="big"),
                tag("p", words, class_="faint"),
            )
            for key, name, words in filter(None, (report.words.score, report.words.beside))
        ],
        strip,
        tag("p", "Each dot is one class.", class_="faint") if strip else None,
        class_="card hero",
    )


def _summary(report: Report) -> Markup:
    """Two sentences that a reader may stop after."""
    key, told = report.words.found
    images, share = report.scores.get("images"), report.score(key)
    sentences: list[object] = [tag("code", report.recipe)]
    if images and share is not None:
        pictures = f"{images} {report.scored_split} pictures" if images != 1 else f"one {report.scored_split} picture"
        sentences.append(f" {told.format(share=share * 100, score=share, pictures=pictures)}.")
    else:
        sentences.append(" was trained and scored.")
    known = [(name, score) for name, score in ranked(report.by_class("per_class")) if score is not None]
    if len(known) > 1:
        (strong, high), (weak, low) = known[0], known[-1]
        sentences += [" It is strongest at ", tag("b", strong), f" ({report.words.class_score} {high:.2f})"]
        sentences += [" and weakest at ", tag("b", weak), f" ({low:.2f})."]
    return join(sentences)


def notes(report: Report) -> Markup:
    """What has to be known before the score is quoted."""
    if not report.notes:
        return Markup("")
    heading = tag("h2", "Before you quote the score", id="notes")
    return tag(
        "aside", heading, tag("ul", [tag("li", r) for r in report.notes]), class_="callout", aria_labelledby="notes"
    )


def training(report: Report) -> Markup:
    """What was trained on what."""
    splits = [
        fact(
            split,
            tag("data", f"{count:,}", value=count),
            "scored here" if split == report.scored_split else "pictures",
        )
        for split, count in report.splits.items()
    ]
    rows: list[tuple[object, object]] = [
        ("Recipe", tag("code", report.recipe)),
        ("Data", report.data),
        *report.facts,
    ]
    if report.classes is not None:
        rows.append(("Classes", f"{len(report.classes)}: {', '.join(report.classes.names)}"))
    if report.minutes is not None:
        rows.append(("Training time", duration(report.minutes)))
    return section(
        "training",
        "What was trained on what",
        "A score means little without the pictures it was learnt from and measured on.",
        tag("dl", splits, class_="facts small") if splits else None,
        pairs(rows),
    )


def duration(minutes: float) -> str:
    """Minutes in the unit that reads best."""
    if minutes < 1:
        return f"{minutes * 60:.0f} seconds"
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def again(report: Report) -> Markup:
    """How to do it again, where the model is, and everything that was set."""
    command = tag("pre", tag("code", report.command), class_="command")
    lead = "This line trains the same model" + ("; the files are what it left behind." if report.files else ".")
    return section(
        "again",
        "Do it again",
        lead,
        command,
        pairs((what, tag("code", where)) for what, where in report.files.items()) if report.files else None,
        _fold("Every setting", report.settings),
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
