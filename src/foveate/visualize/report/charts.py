"""The sections in figures: learning curves, class bars, the confusion matrix, scores at the outlines."""

from __future__ import annotations

import numpy as np

from foveate.visualize.bars import boundary_pairs, class_bars
from foveate.visualize.confusion import MATRIX_LIMIT, confusion_list, matrix_table, row_shares
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import card, chart_figure, in_sentence, key, scroll_box, section
from foveate.visualize.report.record import Report, number


def learning(report: Report) -> Markup:
    """Small charts over the epochs: loss, scores, learning rate."""
    key, name = report.words.chosen or report.words.score[:2]
    scored = [(number(row.get(key)), number(row.get("epoch"))) for row in report.history]
    best = max(((iou, -epoch) for iou, epoch in scored if iou is not None and epoch is not None), default=None)
    split = report.chosen_split
    charts = [
        _curve(
            report,
            "Loss",
            {"train_loss": "training", "val_loss": split},
            f"What training makes small. If {split} rises while training falls, it learns its pictures by heart.",
            (-best[1], "best") if best else None,
        ),
        _curve(
            report,
            "Score",
            dict(report.words.curves),
            f"Measured on {split} pictures after each epoch. The dotted line marks the epoch with the best "
            f"{in_sentence(name)}.",
            (-best[1], f"best: {best[0]:.3f}") if best else None,
        ),
        _curve(report, "Learning rate", {"lr": "learning rate"}, "How large the steps of training were.", None),
    ]
    drawn = [chart for chart in charts if chart]
    if not drawn:
        return Markup("")
    lead = "One epoch is one pass over all training pictures. A score still rising at the end asks for more of them."
    return section("learning", "How it learnt", lead, tag("div", drawn, class_="charts"))


def _curve(report: Report, title: str, keys: dict[str, str], words: str, mark: tuple[float, str] | None) -> Markup:
    """One chart of the history, or nothing if none of its values was logged."""
    rows = [(epoch, row) for row in report.history if (epoch := number(row.get("epoch"))) is not None]
    series = [Series(name, [(epoch, number(row.get(column))) for epoch, row in rows]) for column, name in keys.items()]
    known = [(line.name, line.finite()) for line in series if line.finite()]
    said = [f"{name}: from {points[0][1]:.4g} to {points[-1][1]:.4g}" for name, points in known]
    chart = line_chart(f"{title} by epoch. {'. '.join(said)}", series, x_name="epoch", mark=mark)
    return chart_figure(title, chart, words)


def classes(report: Report) -> Markup:
    """Per-class bars, where there are classes."""
    if report.classes is None:
        return Markup("")
    totals = report.confusion.sum(axis=1)
    scored = max(int(totals.sum()), 1)
    found = np.diagonal(row_shares(report.confusion))
    names = report.classes.names
    accuracies = {name: float(found[i]) if totals[i] else None for i, name in enumerate(names)}
    shares = {name: float(totals[i]) / scored for i, name in enumerate(names)}
    words = report.words
    scores = report.by_class("per_class")
    table = class_bars(scores, accuracies, shares, report.classes, words.class_score, words.unit)
    return section("classes", "Class by class", words.classes, scroll_box("Scores by class", table, "card scroll"))


def confusion(report: Report) -> Markup:
    """The matrix up to a readable number of classes, and the mistakes made most; nothing without classes."""
    if report.classes is None:
        return Markup("")
    title, count = "What it mistakes for what", len(report.classes)
    if count > MATRIX_LIMIT:
        lead = f"A matrix of {count} classes is too large to read; these mistakes cover the most {report.words.unit}s."
        listed = card(confusion_list(report.confusion, report.classes, 20, report.words.unit))
        return section("confusion", title, lead, listed)
    matrix = scroll_box("Confusion matrix", matrix_table(report.confusion, report.classes), "card scroll")
    listed = card(
        tag("h3", "The costliest mistakes"), confusion_list(report.confusion, report.classes, 7, report.words.unit)
    )
    return section("confusion", title, report.words.confusion, tag("div", matrix, listed, class_="duo"))


def boundaries(report: Report) -> Markup:
    """The trimap curve, and region against boundary IoU per class."""
    figures = [figure for figure in (_trimap(report), _gaps(report)) if figure]
    if not figures:
        return Markup("")
    lead = "Most mistakes sit where one thing ends and another begins; scores over whole areas hide them."
    return section("boundaries", "At the outlines", lead, tag("div", figures, class_="charts two"))


def _trimap(report: Report) -> Markup:
    """Mean IoU by distance from a true outline."""
    given = report.scores.get("trimap_iou") or {}
    band = sorted((float(width), number(value)) for width, value in given.items())
    near = Series("near outlines", band)
    if not near.finite():
        return Markup("")
    everywhere = Series("everywhere", [(width, report.score("mean_iou")) for width, _ in band], dashed=True)
    said = ", ".join(f"{width:g} pixels: {value:.3f}" for width, value in near.finite())
    chart = line_chart(
        f"Mean IoU by distance from a true outline. {said}",
        [near, everywhere],
        x_name="distance from a true outline, in pixels",
        x_ticks=[width for width, _ in band],
    )
    words = (
        "Mean IoU over only those pixels that lie this close to a true outline. "
        "The lower the left end, the rougher the outlines."
    )
    return chart_figure("Near the outlines", chart, words)


def _gaps(report: Report) -> Markup:
    """Region and boundary IoU of each class."""
    boundary = report.by_class("per_class_boundary_iou")
    if report.classes is None or all(value is None for value in boundary.values()):
        return Markup("")
    keys = tag("p", key(_dot("s1"), "whole area"), key(_dot("s2"), "near its outline"), class_="keys")
    table = boundary_pairs(report.by_class("per_class"), boundary, report.classes)
    words = (
        "IoU of each class twice: over its whole area, and only near its outline. "
        "A wide gap is a class that is found but not cut out well."
    )
    title = "Area and outline, class by class"
    return tag("figure", tag("h3", title), keys, scroll_box(title, table), tag("figcaption", words), class_="card")


def _dot(series: str) -> Markup:
    mark = tag("circle", cx=7, cy=7, r=5, class_=f"dot {series}")
    return tag("svg", mark, viewbox="0 0 14 14", class_="swatch", aria_hidden="true")
