"""The part of report.html that belongs to co-localisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from foveate.records import ColocalisationPrediction
from foveate.tasks.evaluation import NUM_EXAMPLES, Evaluation
from foveate.tasks.reporting import scoring_note
from foveate.tasks.views import draw_views
from foveate.visualize.markup import Markup
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, example_figure

TEXT = ReportText(
    title="Co-localisation report",
    score=(
        "corloc",
        "CorLoc",
        "The share of windows that lie on an object of the common kind: their intersection is more than half of "
        "their union. No box was seen in training.",
    ),
    found=("corloc", "looked for what {samples} have in common; {share:.1f} % of its windows lie on it"),
    facts=(
        ("mean_iou", "Mean IoU", "of windows and the objects they fit best"),
        ("pointing", "Pointing", "have their middle in an object's box"),
        ("random_corloc", "CorLoc at random", "of windows of this size at any place"),
        ("centre_corloc", "CorLoc of the middle", "of windows in the middle of the picture"),
        ("contrast", "Contrast", "how much more alike windows are to each other than to windows at random"),
    ),
    curves=(("corloc", "CorLoc"), ("contrast", "contrast")),
    chosen=("contrast", "contrast"),
)


@dataclass
class Detection:
    """An image with its windows: its name, the prediction, the mean IoU of windows and objects."""

    name: str
    prediction: ColocalisationPrediction
    iou: float | None = None


def report(evaluation: Evaluation) -> ReportPart:
    """The best and worst detections; where no box is known, those in the first images."""
    examples = [Detection(sample["name"], prediction, own) for sample, prediction, own in evaluation.examples()]
    without = evaluation.scores.without
    if without and without == evaluation.scores.images:
        shown = _unscored_section(evaluation)
        notes = ["No boxes are known of these pictures, so that only the contrast has a value: it needs none."]
    else:
        shown = detection_section(examples)
        notes = [f"{without} of these pictures hold no object; no share counts them."] if without else []
    return ReportPart(TEXT, [shown] if shown else [], notes=[scoring_note(evaluation), *notes], own_score="IoU")


def draw_prediction(prediction: ColocalisationPrediction) -> Image.Image:
    """The image with the outlines of its windows, and the content of each."""
    return draw_views(prediction.seen, prediction.transforms)


def detection_section(examples: Sequence[Detection]) -> Section | None:
    """The detections, best first; None if there are none."""
    if not examples:
        return None
    lead = (
        "The picture with the outlines of its windows, and the content of each window. The number is the mean IoU of "
        "windows and the boxes of the objects that they fit best."
    )
    return section("pictures", "Examples", "Examples", lead, best_and_worst(examples, _figure))


def _unscored_section(evaluation: Evaluation) -> Section | None:
    samples = [evaluation.dataset[index] for index, _ in evaluation.samples[: 2 * NUM_EXAMPLES]]
    with torch.inference_mode():
        found = evaluation.task.answer(evaluation.loaded.model, samples, evaluation.options)
    figures = [_figure(Detection(one["name"], prediction)) for one, prediction in zip(samples, found, strict=True)]
    lead = "The first pictures, each with the outlines of its windows, and the content of each window."
    return section("pictures", "Examples", "Examples", lead, figures)


def _figure(example: Detection) -> Markup:
    boxes = ["left {:.0f}, top {:.0f}, right {:.0f}, bottom {:.0f}".format(*box) for box in example.prediction.boxes]
    words = f"Found at {'; at '.join(boxes)}."
    return example_figure(example.name, draw_prediction(example.prediction), words, example.iou, words)
