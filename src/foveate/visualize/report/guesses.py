"""Sections on pictures seen whole: a classifier's guesses, its trustworthiness, its looks; a co-localiser's finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from foveate.visualize.bars import score_text
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.document import data_uri
from foveate.visualize.looks import draw_classification, draw_colocalisation
from foveate.visualize.markup import Markup, tag
from foveate.visualize.pixels import rgb8
from foveate.visualize.report.parts import chart_figure, section
from foveate.visualize.report.record import ExampleFind, ExampleGuess, Report

Example = TypeVar("Example")
CANONICAL_HEIGHT = 96  # pixels of a class's mean picture


def guesses(report: Report) -> Markup:
    """The surest right answers and the worst mistakes, or nothing if there are none."""
    shown = [example for example in report.examples if isinstance(example, ExampleGuess)]
    if not shown:
        return Markup("")
    lead = (
        "What the network saw, where its transformers looked if it has any, and the likeliest classes. The number is "
        "the probability it gave to the true class."
    )
    return section("pictures", "Pictures", lead, _best_and_worst(shown, _guess))


def finds(report: Report) -> Markup:
    """Where common objects were found best and worst, or nothing if there are no such pictures."""
    shown = [example for example in report.examples if isinstance(example, ExampleFind)]
    if not shown:
        return Markup("")
    lead = (
        "The picture with the windows on it, and what each window holds. The number is the mean IoU of windows and the "
        "boxes of the objects that they fit best."
    )
    return section("pictures", "Pictures", lead, _best_and_worst(shown, _find))


def _best_and_worst(shown: Sequence[Example], figure: Callable[[Example], Markup]) -> list[tuple[Markup, list[Markup]]]:
    best, worst = shown[: math.ceil(len(shown) / 2)], shown[math.ceil(len(shown) / 2) :][::-1]
    groups = [("Where it does best", best), ("Where it does worst", worst)]
    return [(tag("h3", title), [figure(example) for example in group]) for title, group in groups if group]


def _guess(example: ExampleGuess) -> Markup:
    guess = example.prediction.top(1)[0][0]
    verdict = "right" if guess == example.truth else f"taken for {guess}"
    return _figure(
        example.name,
        draw_classification(example.prediction),
        f"a {example.truth}, {verdict}",
        example.share,
        f"True class: {example.truth}; {verdict}.",
    )


def _find(example: ExampleFind) -> Markup:
    corners = ["left {:.0f}, top {:.0f}, right {:.0f}, bottom {:.0f}".format(*box) for box in example.prediction.boxes]
    words = f"Found at {'; at '.join(corners)}."
    return _figure(example.name, draw_colocalisation(example.prediction), words, example.iou, words)


def _figure(name: str, drawn: Image.Image, alt: str, number: float | None, words: str) -> Markup:
    pixels = np.asarray(drawn)
    picture = tag(
        "img", src=data_uri(pixels), alt=f"{name}: {alt}",
        width=pixels.shape[1], height=pixels.shape[0], decoding="async",
    )  # fmt: skip
    score = tag("span", score_text(number), class_="number") if number is not None else None
    caption = tag(
        "figcaption",
        tag("span", tag("b", name), score, class_="headline"),
        tag("span", words, class_="faint"),
    )
    return tag("figure", tag("div", picture, class_="wide-panel"), caption, class_="example")


def calibration(report: Report) -> Markup:
    """How often it is right, by how sure it was."""
    bins = np.asarray(report.scores.get("calibration") or np.zeros((0, 3)), float)
    held = bins[bins[:, 0] > 0]
    if not len(held):
        return Markup("")
    points = [(float(confidence / count), float(right / count)) for count, confidence, right in held]
    said = ", ".join(f"{x:.2f} sure: {y:.2f} right" for x, y in points)
    chart = line_chart(
        f"Accuracy by confidence. {said}",
        [Series("measured", points), Series("as it should be", [(0.0, 0.0), (1.0, 1.0)], dashed=True)],
        x_name="probability of the likeliest class",
        x_ticks=[0.0, 0.25, 0.5, 0.75, 1.0],
    )
    words = "Of the pictures it was so sure of, how many it got right. Below the dashed line it is too sure of itself."
    lead = "Probabilities are worth something if they come true as often as they say."
    figure = chart_figure("Sure and right", chart, words)
    return section("calibration", "Can its confidence be believed", lead, tag("div", figure, class_="charts two"))


def looks(report: Report) -> Markup:
    """The mean picture of each class, before and after the spatial transformer."""
    if not report.canonical:
        return Markup("")
    lead = (
        "The mean of each class's pictures, as they come (above) and as the spatial transformer hands them on (below). "
        "Where it brings a class into one pose, the lower picture is the sharper one."
    )
    cells = [
        tag(
            "figure",
            _mean(one.before, f"mean {one.name} before the transformer"),
            _mean(one.after, f"mean {one.name} after the transformer"),
            tag("figcaption", one.name),
            class_="canonical",
        )
        for one in report.canonical
    ]
    return section("looks", "What its looks do", lead, tag("div", cells, class_="canonicals"))


def _mean(picture: np.ndarray, alt: str) -> Markup:
    image = Image.fromarray(np.ascontiguousarray(rgb8(picture)))
    size = (max(1, round(image.width * CANONICAL_HEIGHT / image.height)), CANONICAL_HEIGHT)
    pixels = np.asarray(image.resize(size, Image.Resampling.NEAREST))
    return tag("img", src=data_uri(pixels), alt=alt, width=size[0], height=size[1], decoding="async")
