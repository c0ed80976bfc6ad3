"""The learning curves: losses, scores and learning rate by epoch."""

from __future__ import annotations

import math

from foveate.visualize.curves import Series, line_chart
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import chart_figure, in_sentence, section
from foveate.visualize.report.record import Report, Section, number


def learning(report: Report) -> Section | None:
    """Small charts over the epochs; None if nothing was logged."""
    name = (report.text.chosen or report.text.score)[1]
    split, samples = report.chosen_split, report.nouns[1]
    best = best_epoch(report)
    charts = [
        _curve(
            report,
            "Loss",
            {"train_loss": "training", "val_loss": split},
            f"The quantity that training minimises. If it rises on {split} while it falls on training, the model "
            f"overfits: it memorises its training {samples}.",
            (best[0], "best") if best else None,
        ),
        _curve(
            report,
            "Score",
            dict(report.text.curves),
            f"Measured on {split} {samples} after each epoch. The dotted line marks the epoch with the best "
            f"{in_sentence(name)}.",
            (best[0], f"best: {best[1]:.3f}") if best else None,
        ),
        _curve(report, "Learning rate", {"lr": "learning rate"}, "The size of the training steps.", None),
    ]
    drawn = [chart for chart in charts if chart]
    if not drawn:
        return None
    lead = (
        f"One epoch is one pass over all training {samples}. A score that still improves at the end suggests training "
        "for more epochs."
    )
    return section("learning", "Learning curves", "Learning curves", lead, tag("div", drawn, class_="charts"))


def best_epoch(report: Report) -> tuple[float, float] | None:
    """The best epoch and its score; None if no epoch was scored.

    Of equal ones it is that with the lower validation loss, then the last, as trainings rank them.
    """
    key = (report.text.chosen or report.text.score)[0]
    rows = [[number(row.get(name)) for name in (key, "val_loss", "epoch")] for row in report.history]
    sign = 1 if report.greater_is_better else -1
    scored = [
        (sign * score, -math.inf if loss is None else -loss, epoch)
        for score, loss, epoch in rows
        if score is not None and epoch is not None
    ]
    if not scored:
        return None
    score, _, epoch = max(scored)
    return epoch, sign * score


def _curve(report: Report, title: str, keys: dict[str, str], words: str, mark: tuple[float, str] | None) -> Markup:
    """One chart of the history; nothing if none of its values was logged."""
    rows = [(epoch, row) for row in report.history if (epoch := number(row.get("epoch"))) is not None]
    series = [Series(name, [(epoch, number(row.get(column))) for epoch, row in rows]) for column, name in keys.items()]
    known = [(line.name, line.finite()) for line in series if line.finite()]
    ranges = [f"{name}: from {points[0][1]:.4g} to {points[-1][1]:.4g}" for name, points in known]
    chart = line_chart(f"{title} by epoch. {'. '.join(ranges)}", series, x_name="epoch", mark=mark)
    return chart_figure(title, chart, words)
