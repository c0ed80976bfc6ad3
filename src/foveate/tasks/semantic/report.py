"""The part of report.html that belongs to semantic segmentation."""

from __future__ import annotations

from typing import Any

from foveate.tasks.evaluation import Evaluation
from foveate.tasks.reporting import absent_note, calibration_section, image_pixels, scoring_note
from foveate.tasks.semantic.boundaries import boundary_section
from foveate.tasks.semantic.figures import SemanticExample, example_pictures, example_section
from foveate.visualize.report import ReportPart, ReportText
from foveate.visualize.report.classes import class_row, class_section, class_strip, class_summary, confusion_section

PLAIN = "in one pass (above 1.5 megapixels: in overlapping tiles), without flips, several scales or refinement"
MOST_CLASSES = 12  # with a column each in the list of all images
TEXT = ReportText(
    title="Segmentation report",
    score=(
        "mean_iou",
        "Mean IoU",
        "For each class, the area where prediction and truth agree, divided by the area that either one claims; "
        "then averaged over the classes. 1 is perfect.",
    ),
    found=("pixel_accuracy", "gave {share:.1f} % of the pixels in {samples} the right label"),
    facts=(
        ("pixel_accuracy", "Pixel accuracy", "of all pixels got the right label"),
        ("mean_accuracy", "Mean accuracy", "the same for each class, then averaged"),
        ("frequency_weighted_iou", "Weighted IoU", "IoU with each class weighted by its size"),
        ("boundary_iou", "Boundary IoU", "IoU near the outlines only"),
    ),
    class_score="IoU",
    unit="pixel",
    curves=(("mean_iou", "mean IoU"), ("pixel_accuracy", "pixel accuracy")),
    classes="The longer the bar, the better prediction and truth agree. Found is the share of the class that got its "
    "label; pixels is the share of the pictures that the class covers. Rare classes are hard.",
    confusion="Each row is one true class: the percentage of its pixels that got each label. Blue is right, orange is "
    "wrong, a stronger colour is a larger share; a dot is less than half a per cent.",
)


def report(evaluation: Evaluation) -> ReportPart:
    """Scores by class, the confusion matrix, scores near outlines, and the best and worst examples."""
    scores, confusion = evaluation.to_json(), evaluation.scores.confusion
    classes: Any = evaluation.task.tables["classes"]
    examples = [
        SemanticExample(sample["name"], image_pixels(sample), sample["mask"].numpy(), prediction.mask, own)
        for sample, prediction, own in evaluation.examples()
    ]
    sections = (
        class_section(scores, classes, confusion, TEXT),
        confusion_section(scores, classes, confusion, TEXT),
        boundary_section(scores, classes),
        calibration_section(scores, "pixels"),
        example_section(examples, classes),
    )
    pictures = {
        place: example_pictures(
            SemanticExample(sample["name"], image_pixels(sample), sample["mask"].numpy(), prediction.mask), classes
        )
        for place, sample, prediction in evaluation.listed()
    }
    absent = [classes.names[label] for label in evaluation.scores.absent]
    return ReportPart(
        TEXT,
        [section for section in sections if section],
        class_strip(scores, classes, TEXT),
        class_summary(scores, classes, TEXT),
        [class_row(classes)],
        [
            *(f"{note[0].upper()}{note[1:]}." for note in evaluation.task.score_notes(evaluation.scores)),
            scoring_note(evaluation, PLAIN),
            *absent_note(absent),
        ],
        pictures=pictures,
        columns=[
            ("pixel_accuracy", "Pixel accuracy"),
            *((f"iou {name}", f"IoU {name}") for name in (classes.names if len(classes) <= MOST_CLASSES else ())),
        ],
    )
