"""Figures on image classification: examples, calibration, and the mean image of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from foveate.records import ClassificationPrediction
from foveate.tasks.views import draw_views
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.pixels import rgb8
from foveate.visualize.report import Section, section
from foveate.visualize.report.parts import best_and_worst, example_figure

MEAN_HEIGHT = 96  # pixels of a class's mean image


@dataclass
class ClassificationExample:
    """An image that was classified: its name, its true class, the prediction, the probability of the true class."""

    name: str
    truth: str
    prediction: ClassificationPrediction
    probability: float | None = None


@dataclass
class ClassMean:
    """A class's mean image, and the mean output of a spatial transformer on it: (h, w, C) float in 0..1 each."""

    name: str
    before: np.ndarray
    after: np.ndarray


def draw_prediction(prediction: ClassificationPrediction) -> Image.Image:
    """The image with the outlines of its transforms, the output of each, and the five most likely classes."""
    return draw_views(prediction.seen, prediction.transforms, prediction.top())


def example_section(examples: Sequence[ClassificationExample]) -> Section | None:
    """The examples, best first; None if there are none."""
    if not examples:
        return None
    lead = (
        "The network's input, outlined where its spatial transformers sampled it if it has any, and the most likely "
        "classes. The number is the probability of the true class."
    )
    return section("pictures", "Examples", "Examples", lead, best_and_worst(examples, _figure))


def _figure(example: ClassificationExample) -> Markup:
    predicted = example.prediction.top(1)[0][0]
    verdict = "right" if predicted == example.truth else f"taken for {predicted}"
    return example_figure(
        example.name,
        draw_prediction(example.prediction),
        f"a {example.truth}, {verdict}",
        example.probability,
        f"True class: {example.truth}; {verdict}.",
    )


def class_mean_section(means: Sequence[ClassMean]) -> Section | None:
    """The mean image of each class, before and after the spatial transformer; None if there are none."""
    if not means:
        return None
    lead = (
        "The mean of each class's pictures, as they come (above) and after the spatial transformer (below). "
        "Where it brings a class into one pose, the lower picture is the sharper one."
    )
    tiles = [
        tag(
            "figure",
            _mean(one.before, f"mean {one.name} before the transformer"),
            _mean(one.after, f"mean {one.name} after the transformer"),
            tag("figcaption", one.name),
            class_="tile",
        )
        for one in means
    ]
    title = "Effect of the spatial transformer"
    return section("transformer", "Transformer", title, lead, tag("div", tiles, class_="tiles"))


def _mean(mean: np.ndarray, alt: str) -> Markup:
    image = Image.fromarray(np.ascontiguousarray(rgb8(mean)))
    size = (max(1, round(image.width * MEAN_HEIGHT / image.height)), MEAN_HEIGHT)
    pixels = np.asarray(image.resize(size, Image.Resampling.NEAREST))
    return tag("img", src=data_uri(pixels), alt=alt, width=size[0], height=size[1], decoding="async")
