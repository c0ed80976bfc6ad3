"""Helpers that the reports of several families share: notes, sizes, images of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from foveate.pictures.intensities import window_text
from foveate.records import Preprocessing
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.inputs import IMAGE
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.markup import tag
from foveate.visualize.report import Picture, Section, section
from foveate.visualize.report.listing import list_picture, pictured
from foveate.visualize.report.parts import chart_figure


def scoring_note(evaluation: Evaluation, plain: str = "in one pass") -> str:
    """A sentence on how each image was scored: at which size, with which options; plain: with the defaults."""
    options = evaluation.options.describe()
    way = f"with {options}" if options else plain
    preprocessing = evaluation.loaded.preprocessing
    window = f" Values {window_text(preprocessing.window)} are black to white." if preprocessing.window else ""
    return f"Each picture was scored {input_size(preprocessing)}, {way}.{window}"


MOST_NAMES = 12  # classes that a sentence lists


def input_size(preprocessing: Preprocessing) -> str:
    """The size that the network takes, as a phrase: 'resized to 224x224 pixels'."""
    size = preprocessing.size
    return f"resized to {size[1]}x{size[0]} pixels" if size else "at its own size"


def absent_note(names: Sequence[str]) -> list[str]:
    """A sentence on classes that no sample has; [] if there are none."""
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return [f"Not in these pictures, and left out of every mean: {', '.join(names[:MOST_NAMES])}{more}."]


def image_pixels(sample: Any) -> np.ndarray:
    """A sample's image as (H, W, C) uint8."""
    image = sample["image"].as_subclass(Tensor)
    pixels: Tensor = (image * 255).byte() if image.is_floating_point() else image
    return pixels.permute(1, 2, 0).cpu().numpy()


def input_pictures(evaluation: Evaluation) -> dict[int, Sequence[Picture]]:
    """The images of the samples that a report lists with pictures, by place; {} for a family of other inputs."""
    if not any(one is IMAGE for one in evaluation.task.inputs):
        return {}
    pictures: dict[int, Sequence[Picture]] = {}
    for place in pictured([own for _, own in evaluation.samples], evaluation.task.greater_is_better):
        sample = evaluation.dataset[evaluation.samples[place][0]]
        pictures[place] = [list_picture("Picture", "the picture", image_pixels(sample))]
    return pictures


def calibration_section(scores: Mapping[str, Any], nouns: str) -> Section | None:
    """Accuracy by confidence; None if nothing was counted.

    scores: 'calibration' holds the number of `nouns`, the sum of their confidences, and the number of right ones, for
    each bin of confidence (`metrics.calibration`); 'calibration_error' is their score.
    """
    bins = np.asarray(scores.get("calibration") or np.zeros((0, 3)), float)
    filled = bins[bins[:, 0] > 0]
    if not len(filled):
        return None
    points = [(float(confidence / count), float(right / count)) for count, confidence, right in filled]
    values = ", ".join(f"{x:.2f} sure: {y:.2f} right" for x, y in points)
    chart = line_chart(
        f"Accuracy by confidence. {values}",
        [Series("measured", points), Series("ideal", [(0.0, 0.0), (1.0, 1.0)], dashed=True)],
        x_name="probability of the most likely class",
        x_ticks=[0.0, 0.25, 0.5, 0.75, 1.0],
    )
    words = f"Accuracy among the {nouns} of each level of confidence. Below the dashed line the model is overconfident."
    lead = (
        "Probabilities are useful if they come true as often as they say. On average, confidence and accuracy are "
        f"{scores['calibration_error']:.3f} apart."
    )
    figure = chart_figure("Accuracy by confidence", chart, words)
    return section("calibration", "Calibration", "Calibration", lead, tag("div", figure, class_="charts two"))
