"""Examples of semantic segmentation: each as image, truth, prediction and errors, as JPEG inside the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foveate.records import ClassTable
from foveate.visualize.bars import score_text, swatch
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.overlay import ERROR_COLORS, UNSCORED, WRONG_FAR, WRONG_NEAR, error_kinds, error_map, overlay
from foveate.visualize.report import Picture, Section, section
from foveate.visualize.report.listing import LONGEST, list_picture
from foveate.visualize.report.parts import best_and_worst, key
from foveate.visualize.sheets import fitted

MAX_WIDTH, MAX_HEIGHT = 480, 640  # pixels of an embedded image
MIN_WIDTH = 320  # smaller images are enlarged before colours go on, so that contours stay thin
LEGEND_LIMIT = 8  # classes named under one example


@dataclass
class SemanticExample:
    """An image that was scored.

    image: (H, W[, C]) as overlays take it. truth, prediction: (H, W) labels. iou: mean IoU on this image alone.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    iou: float | None = None


def example_section(examples: Sequence[SemanticExample], classes: ClassTable) -> Section | None:
    """The examples by their IoU; None if there are none."""
    if not examples:
        return None
    in_order = sorted(examples, key=lambda e: -1.0 if e.iou is None else e.iou, reverse=True)
    keys = tag(
        "p",
        key(swatch(ERROR_COLORS[WRONG_FAR]), "wrong, away from any outline"),
        key(swatch(ERROR_COLORS[WRONG_NEAR]), "wrong, but close to a true outline"),
        key(swatch(ERROR_COLORS[UNSCORED]), "not scored"),
        class_="keys",
    )
    lead = (
        "The same picture four times: the picture itself, its true labels, its predicted labels, and the errors. "
        "The number is the mean IoU on that picture alone."
    )
    figures = best_and_worst(in_order, lambda example: _figure(example, classes))
    return section("pictures", "Examples", "Examples", lead, keys, figures)


def example_pictures(example: SemanticExample, classes: ClassTable) -> list[Picture]:
    """Truth, prediction and errors of an example, for the list of all images."""
    image, truth, prediction = _at_page_size(example, LONGEST, LONGEST)
    words = _error_words(example, classes)
    return [
        list_picture("Truth", "true labels over the picture", overlay(image, truth, classes)),
        list_picture("Prediction", "predicted labels over the picture", overlay(image, prediction, classes)),
        list_picture("Errors", words, error_map(prediction, truth, classes, image)),
    ]


def _figure(example: SemanticExample, classes: ClassTable) -> Markup:
    """One example: four images, its name and score, and the classes in it."""
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
    image = tag("img", src=data_uri(pixels), alt=alt, width=width, height=height, decoding="async")
    return tag("div", image, tag("span", title), class_="panel")


def _at_page_size(
    example: SemanticExample, width: int = MAX_WIDTH, height: int = MAX_HEIGHT
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, truth and prediction at the size they are embedded at, which is at most width x height."""
    box = min(width, max(example.truth.shape[1], MIN_WIDTH)), height
    image, truth = fitted(example.image, example.truth, *box)
    return image, truth, fitted(example.image, example.prediction, *box)[1]


def _error_words(example: SemanticExample, classes: ClassTable) -> str:
    """The share of wrong pixels, and the share of those near outlines, counted at full size."""
    counts = np.bincount(error_kinds(example.prediction, example.truth, classes).ravel(), minlength=4)
    scored = int(counts.sum() - counts[UNSCORED])
    wrong = int(counts[WRONG_NEAR] + counts[WRONG_FAR])
    if scored == 0:
        return "nothing in this picture is scored"
    if wrong == 0:
        return "every scored pixel is right"
    near = counts[WRONG_NEAR] / wrong
    return f"{wrong / scored * 100:.1f} % of the pixels are wrong, {near * 100:.0f} % of those close to an outline"


def _present(example: SemanticExample, classes: ClassTable) -> list[Markup]:
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
