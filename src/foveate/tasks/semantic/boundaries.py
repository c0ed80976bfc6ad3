"""Scores near the outlines of objects, as figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.records import ClassTable
from foveate.visualize.bars import boundary_pairs
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import Section, section
from foveate.visualize.report.classes import by_class
from foveate.visualize.report.parts import chart_figure, key, scroll_box
from foveate.visualize.report.record import number


def boundary_section(scores: Mapping[str, Any], classes: ClassTable) -> Section | None:
    """The trimap curve, and region IoU beside boundary IoU for each class; None if neither was measured."""
    figures = [figure for figure in (_trimap(scores), _gaps(scores, classes)) if figure]
    if not figures:
        return None
    lead = "Most mistakes lie where one object ends and another begins; scores over whole areas hide them."
    return section("boundaries", "Outlines", "Scores near outlines", lead, tag("div", figures, class_="charts two"))


def _trimap(scores: Mapping[str, Any]) -> Markup:
    """Mean IoU by distance from a true outline."""
    given = scores.get("trimap_iou") or {}
    band = sorted((float(width), number(value)) for width, value in given.items())
    near = Series("near outlines", band)
    if not near.finite():
        return Markup("")
    mean = number(scores.get("mean_iou"))
    everywhere = Series("everywhere", [(width, mean) for width, _ in band], dashed=True)
    values = ", ".join(f"{width:g} pixels: {value:.3f}" for width, value in near.finite())
    chart = line_chart(
        f"Mean IoU by distance from a true outline. {values}",
        [near, everywhere],
        x_name="distance from a true outline, in pixels",
        x_ticks=[width for width, _ in band],
    )
    words = (
        "Mean IoU over only those pixels that lie this close to a true outline. "
        "The lower the left end, the rougher the outlines."
    )
    return chart_figure("Near the outlines", chart, words)


def _gaps(scores: Mapping[str, Any], classes: ClassTable) -> Markup:
    """Region and boundary IoU of each class."""
    boundary = by_class(scores, "per_class_boundary_iou", classes)
    if all(value is None for value in boundary.values()):
        return Markup("")
    keys = tag("p", key(_dot("s1"), "whole area"), key(_dot("s2"), "near its outline"), class_="keys")
    table = boundary_pairs(by_class(scores, "per_class", classes), boundary, classes)
    words = (
        "IoU of each class twice: over its whole area, and only near its outline. "
        "A wide gap means that a class is found but not cut out well."
    )
    title = "Area and outline, class by class"
    return tag("figure", tag("h3", title), keys, scroll_box(title, table), tag("figcaption", words), class_="card")


def _dot(series: str) -> Markup:
    mark = tag("circle", cx=7, cy=7, r=5, class_=f"dot {series}")
    return tag("svg", mark, viewbox="0 0 14 14", class_="swatch", aria_hidden="true")
