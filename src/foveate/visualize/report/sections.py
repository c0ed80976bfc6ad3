"""The sections of the report, in the order of the page. Each opens with one sentence on how to read it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from foveate.visualize.bars import boundary_pairs, class_bars, ranked, score_strip, score_text
from foveate.visualize.confusion import MATRIX_LIMIT, confusion_list, matrix_table, row_shares
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.report.record import Report, number

FACTS = (
    ("pixel_accuracy", "Pixel accuracy", "of all pixels got the right label"),
    ("mean_accuracy", "Mean accuracy", "the same for each class, then averaged"),
    ("frequency_weighted_iou", "Weighted IoU", "IoU with each class counted by its size"),
    ("boundary_iou", "Boundary IoU", "IoU near the outlines only"),
)


def opening(report: Report) -> Markup:
    """Title, the score in large, and what it means in plain words."""
    mean = report.score("mean_iou")
    facts = [
        tag(
            "div",
            tag("dt", title),
            tag("dd", score_text(report.score(key)), class_="value"),
            tag("dd", words, class_="faint"),
        )
        for key, title, words in FACTS
        if report.score(key) is not None
    ]
    score = tag(
        "div",
        tag("p", "Mean IoU", class_="eyebrow"),
        tag("p", score_text(mean), class_="big"),
        tag("p", "For each class, the area where label and truth agree, divided by the area that either one claims; "
            "then averaged over the classes. 1 is perfect.", class_="faint"),
        score_strip(report.by_class("per_class"), mean, report.classes),
        tag("p", "Each dot is one class.", class_="faint"),
        class_="card hero",
    )  # fmt: skip
    return join(
        tag(
            "header",
            tag("p", "Segmentation report", class_="eyebrow"),
            tag("h1", report.title),
            tag("p", _summary(report), class_="summary"),
        ),
        tag("div", score, tag("dl", facts, class_="facts") if facts else None, class_="top"),
    )


def _summary(report: Report) -> Markup:
    """Two sentences that a reader may stop after."""
    images, accuracy = report.scores.get("images"), report.score("pixel_accuracy")
    known = [(name, score) for name, score in ranked(report.by_class("per_class")) if score is not None]
    first: list[object] = [tag("code", report.recipe)]
    if images and accuracy is not None:
        pictures = f"{images} {report.scored_split} pictures" if images != 1 else f"one {report.scored_split} picture"
        first += [f" gave {accuracy * 100:.1f} % of the pixels in {pictures} the right label."]
    else:
        first += [" was trained and scored."]
    if len(known) > 1:
        (strong, high), (weak, low) = known[0], known[-1]
        first += [
            " It is strongest at ",
            tag("b", strong),
            f" (IoU {high:.2f}) and weakest at ",
            tag("b", weak),
            f" ({low:.2f}).",
        ]
    return join(first)


def notes(report: Report) -> Markup:
    """What has to be known before the score is quoted."""
    absent = list(report.scores.get("absent_classes") or ())
    remarks = list(report.notes)
    if absent and not any(name in remark for remark in remarks for name in absent):
        remarks.append(
            f"In neither truth nor prediction, so without a score and out of the means: {', '.join(absent)}."
        )
    if not remarks:
        return Markup("")
    items = tag("ul", [tag("li", remark) for remark in remarks])
    return tag(
        "aside", tag("h2", "Before you quote the score", id="notes"), items, class_="callout", aria_labelledby="notes"
    )


def training(report: Report) -> Markup:
    """What was trained on what."""
    splits = [
        tag("div", tag("dt", split), tag("dd", tag("data", f"{count:,}", value=count), class_="value"),
            tag("dd", "scored here" if split == report.scored_split else "pictures", class_="faint"))
        for split, count in report.splits.items()
    ]  # fmt: skip
    rows = [("Recipe", tag("code", report.recipe)), ("Data", report.data)]
    rows += [("Classes", f"{len(report.classes)}: {', '.join(report.classes.names)}")]
    if report.minutes is not None:
        rows.append(("Training time", _duration(report.minutes)))
    return _section(
        "training",
        "What was trained on what",
        "A score means little without the pictures it was learnt from and measured on.",
        tag("dl", splits, class_="facts small") if splits else None,
        tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in rows], class_="pairs"),
    )


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} seconds"
    if minutes < 120:
        return f"{minutes:.1f} minutes"
    return f"{minutes / 60:.1f} hours"


def learning(report: Report) -> Markup:
    """Small charts over the epochs: loss, scores, learning rate."""
    scored = [(number(row.get("epoch")), number(row.get("mean_iou"))) for row in report.history]
    best = max(((iou, -epoch) for epoch, iou in scored if epoch is not None and iou is not None), default=None)
    mark = (-best[1], f"best: {best[0]:.3f}") if best else None
    charts = [
        _curve(report, "Loss", {"train_loss": "training", "val_loss": report.scored_split},
               "What training makes small. If the two part, the model is learning its pictures by heart.", mark and (mark[0], "best")),
        _curve(report, "Score", {"mean_iou": "mean IoU", "pixel_accuracy": "pixel accuracy"},
               f"Measured on the {report.scored_split} pictures after each epoch. The dotted line is the epoch that was kept.", mark),
        _curve(report, "Learning rate", {"lr": "learning rate"},
               "How large the steps were: small at first, then large, then smaller and smaller, as the recipe says.", None),
    ]  # fmt: skip
    drawn = [chart for chart in charts if chart]
    if not drawn:
        return Markup("")
    lead = "One epoch is one pass over all training pictures; a curve still rising at the end asks for more of them."
    return _section("learning", "How it learnt", lead, tag("div", drawn, class_="charts"))


def _curve(report: Report, title: str, keys: dict[str, str], words: str, mark: tuple[float, str] | None) -> Markup:
    """One chart of the history, or nothing if none of its values was logged."""
    series = []
    for key, name in keys.items():
        points = [
            (epoch, number(row.get(key))) for row in report.history if (epoch := number(row.get("epoch"))) is not None
        ]
        series.append(Series(name, points))
    known = [(s.name, s.finite()) for s in series if s.finite()]
    label = f"{title} by epoch. " + ". ".join(f"{name}: from {p[0][1]:.4g} to {p[-1][1]:.4g}" for name, p in known)
    chart = line_chart(label, series, x_name="epoch", mark=mark)
    return _chart_figure(title, chart, words)


def _chart_figure(title: str, chart: Markup, words: str) -> Markup:
    if not chart:
        return Markup("")
    return tag("figure", tag("h3", title), chart, tag("figcaption", words), class_="card")


def classes(report: Report) -> Markup:
    """Per-class bars."""
    totals = report.confusion.sum(axis=1)
    scored = max(int(totals.sum()), 1)
    found = np.diagonal(row_shares(report.confusion))
    names = report.classes.names
    accuracies = {name: float(found[i]) if totals[i] else None for i, name in enumerate(names)}
    shares = {name: float(totals[i]) / scored for i, name in enumerate(names)}
    return _section(
        "classes",
        "Class by class",
        join("The longer the bar, the better label and truth agree. ", tag("b", "Found"), " is how much of the class got "
             "its label; ", tag("b", "Pixels"), " is how much of the pictures the class covers: rare classes are hard."),
        tag("div", class_bars(report.by_class("per_class"), accuracies, shares, report.classes), class_="card scroll"),
    )  # fmt: skip


def confusion(report: Report) -> Markup:
    """The matrix up to a readable number of classes, and the mistakes made most."""
    readable = len(report.classes) <= MATRIX_LIMIT
    listed = tag(
        "div",
        tag("h3", "Made most often"),
        confusion_list(report.confusion, report.classes, 8 if readable else 20),
        class_="card",
    )
    if not readable:
        lead = (
            f"With {len(report.classes)} classes a matrix is too large to read; these mistakes cover the most pixels."
        )
        return _section("confusion", "What it mistakes for what", lead, listed)
    table = tag(
        "div",
        matrix_table(report.confusion, report.classes),
        class_="card scroll",
        tabindex=0,
        role="region",
        aria_label="Confusion matrix",
    )
    lead = (
        "Each row is one true class: of its pixels, how many per cent got which label. Blue is right, orange is "
        "mistaken, the darker the more; a dot is less than half a per cent."
    )
    return _section("confusion", "What it mistakes for what", lead, table, listed)


def boundaries(report: Report) -> Markup:
    """The trimap curve, and region against boundary IoU per class."""
    widths = {int(width): number(value) for width, value in (report.scores.get("trimap_iou") or {}).items()}
    band = [(float(width), widths[width]) for width in sorted(widths)]
    whole = [(float(width), report.score("mean_iou")) for width in sorted(widths)]
    known = [(width, value) for width, value in band if value is not None]
    label = "Mean IoU by distance from a true outline. " + ", ".join(f"{w:g} pixels: {v:.3f}" for w, v in known)
    curve = line_chart(
        label,
        [Series("near outlines", band), Series("everywhere", whole, dashed=True)] if known else [],
        x_name="distance from a true outline, in pixels",
        x_ticks=[width for width, _ in band],
    )
    words = "Mean IoU over only those pixels that lie this close to a true outline. The lower the left end, the rougher the outlines."
    per_class = report.by_class("per_class_boundary_iou")
    pairs = Markup("")
    if any(value is not None for value in per_class.values()):
        keys = tag(
            "p",
            tag("span", _dot("s1"), "whole area", class_="key"),
            tag("span", _dot("s2"), "near its outline", class_="key"),
            class_="keys",
        )
        table = tag("div", boundary_pairs(report.by_class("per_class"), per_class, report.classes), class_="scroll")
        said = tag(
            "figcaption",
            "IoU of each class twice: over its whole area, and only near its outline. A wide gap is a class that is found but not cut out well.",
        )
        pairs = tag("figure", tag("h3", "Area and outline, class by class"), keys, table, said, class_="card")
    if not curve and not pairs:
        return Markup("")
    lead = "Most mistakes sit where one thing ends and another begins; scores over whole areas hide them."
    parts = tag("div", _chart_figure("Near the outlines", curve, words), pairs, class_="charts two")
    return _section("boundaries", "At the outlines", lead, parts)


def _dot(series: str) -> Markup:
    return tag(
        "svg",
        tag("circle", cx=7, cy=7, r=5, class_=f"dot {series}"),
        viewbox="0 0 14 14",
        class_="swatch",
        aria_hidden="true",
    )


def again(report: Report) -> Markup:
    """How to do it again, where the model is, and everything that was set."""
    parts: list[Markup] = [
        tag("pre", tag("code", report.command), class_="command", tabindex=0, role="region", aria_label="Command")
    ]
    if report.files:
        rows = [tag("div", tag("dt", what), tag("dd", tag("code", where))) for what, where in report.files.items()]
        parts.append(tag("dl", rows, class_="pairs"))
    for title, values in (("Every setting", report.settings), ("Environment", report.environment)):
        if values:
            rows = [tag("tr", tag("th", _breakable(key), scope="row"), tag("td", value)) for key, value in flat(values)]
            table = tag(
                "div",
                tag("table", tag("tbody", rows), class_="settings"),
                class_="scroll",
                tabindex=0,
                role="region",
                aria_label=title,
            )
            parts.append(tag("details", tag("summary", title, tag("span", f" {len(rows)}", class_="faint")), table))
    return _section(
        "again", "Do it again", "This line trains the same model; the files are what it left behind.", parts
    )


def _breakable(key: str) -> Markup:
    """A dotted key that may break after its dots."""
    return join(*(join(part, Markup("<wbr/>")) for part in re.split(r"(?<=\.)", key)))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted keys and short texts."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            yield f"{prefix}{key}", ", ".join(str(item) for item in value) or "none"
        else:
            yield f"{prefix}{key}", "none" if value is None or value == {} else str(value)


def _section(name: str, title: str, lead: Markup | str, *parts: object) -> Markup:
    return tag("section", tag("h2", title, id=name), tag("p", lead, class_="lead"), parts, aria_labelledby=name)
