"""Pictures in the report: each as photograph, truth, prediction and errors, as JPEG inside the page."""

from __future__ import annotations

import math

import numpy as np

from foveate.records import ClassTable
from foveate.visualize.bars import score_text, swatch
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.overlay import ERROR_COLORS, UNSCORED, WRONG_FAR, WRONG_NEAR, error_kinds, error_map, overlay
from foveate.visualize.report.parts import key, section
from foveate.visualize.report.record import ExamplePicture, Report
from foveate.visualize.sheets import fitted

MAX_WIDTH, MAX_HEIGHT = 480, 640  # pixels of an embedded picture
MIN_WIDTH = 320  # smaller ones are enlarged before colours go on, so that contours stay thin
LEGEND_LIMIT = 8  # classes named under one example


def pictures(report: Report) -> Markup:
    """Best and worst pictures, or nothing if there are none."""
    shown = [example for example in report.examples if isinstance(example, ExamplePicture)]
    classes = report.classes
    if not shown or classes is None:
        return Markup("")
    in_order = sorted(shown, key=lambda e: -1.0 if e.iou is None else e.iou, reverse=True)
    best = in_order[: math.ceil(len(in_order) / 2)]
    worst = in_order[len(best) :][::-1]
    keys = tag(
        "p",
        key(swatch(ERROR_COLORS[WRONG_FAR]), "wrong, away from any outline"),
        key(swatch(ERROR_COLORS[WRONG_NEAR]), "wrong, but close to a true outline"),
        key(swatch(ERROR_COLORS[UNSCORED]), "not scored"),
        class_="keys",
    )
    lead = (
        "The same picture four times: as it is, as it should be labelled, as it was labelled, and where the two "
        "differ. The number is the mean IoU on that picture alone."
    )
    groups = [("Where it does best", best), ("Where it does worst", worst)]
    drawn = [(tag("h3", title), [_figure(e, classes) for e in group]) for title, group in groups if group]
    return section("pictures", "Pictures", lead, keys, drawn)


def _figure(example: ExamplePicture, classes: ClassTable) -> Markup:
    """One example: four pictures, its name and score, and the classes in it."""
    image, truth, prediction = _at_page_size(example)
    words = _error_words(example, classes)
    panels = [
        ("Picture", image, "the picture"),
        ("Truth", overlay(image, truth, classes), "true labels over the picture"),
        ("Prediction", overlay(image, prediction, classes), "predicted labels over the picture"),
        ("Errors", error_map(prediction, truth, classes, image), words),
    ]
    score = tag("span", "IoU ", score_text(example.iou), class_="number") if example.iou is not None else None
    caption = tag(
        "figcaption",
        tag("span", tag("b", example.name), score, class_="headline"),
        tag("span", words[0].upper() + words[1:] + ".", class_="faint"),
        tag("span", _present(example, classes), class_="keys"),
    )
    drawn = [_panel(title, pixels, f"{example.name}: {alt}") for title, pixels, alt in panels]
    return tag("figure", tag("div", drawn, class_="panels"), caption, class_="example")


def _panel(title: str, pixels: np.ndarray, alt: str) -> Markup:
    height, width = pixels.shape[:2]
    picture = tag("img", src=data_uri(pixels), alt=alt, width=width, height=height, decoding="async")
    return tag("div", picture, tag("span", title), class_="panel")


def _at_page_size(example: ExamplePicture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, truth and prediction at the size they are embedded at."""
    width = example.truth.shape[1]
    box_width = min(MAX_WIDTH, max(width, MIN_WIDTH))
    image, truth = fitted(example.image, example.truth, box_width, MAX_HEIGHT)
    return image, truth, fitted(example.image, example.prediction, box_width, MAX_HEIGHT)[1]


def _error_words(example: ExamplePicture, classes: ClassTable) -> str:
    """How much is wrong, and how much of that lies near outlines, counted at full size."""
    counts = np.bincount(error_kinds(example.prediction, example.truth, classes).ravel(), minlength=4)
    scored = int(counts.sum() - counts[UNSCORED])
    wrong = int(counts[WRONG_NEAR] + counts[WRONG_FAR])
    if scored == 0:
        return "nothing in this picture is scored"
    if wrong == 0:
        return "every scored pixel is right"
    near = counts[WRONG_NEAR] / wrong
    return f"{wrong / scored * 100:.1f} % of the pixels are wrong, {near * 100:.0f} % of those close to an outline"


def _present(example: ExamplePicture, classes: ClassTable) -> list[Markup]:
    """The largest classes in truth or prediction, as a legend."""
    counts = np.zeros(len(classes), np.int64)
    for labels in (example.truth, example.prediction):
        inside = labels[(labels >= 0) & (labels < len(classes))]
        counts += np.bincount(inside.ravel().astype(np.intp), minlength=len(classes))
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i] > 0]
    keys = [key(swatch(classes.colors[i]), classes.names[i]) for i in order[:LEGEND_LIMIT]]
    if len(order) > LEGEND_LIMIT:
        keys.append(tag("span", f"and {len(order) - LEGEND_LIMIT} more", class_="key"))
    return keys
