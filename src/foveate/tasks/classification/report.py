"""The part of report.html that belongs to image classification."""

from __future__ import annotations

from typing import Any

import torch

from foveate.tasks.classification.figures import (
    ClassificationExample,
    ClassMean,
    class_mean_section,
    example_section,
)
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.reporting import absent_note, calibration_section, scoring_note
from foveate.visualize.report import ReportPart, ReportText
from foveate.visualize.report.classes import class_row, class_section, class_strip, class_summary, confusion_section

NUM_FOR_MEANS = 1000  # samples that the mean image of a class is taken over
TEXT = ReportText(
    title="Classification report",
    score=("top1", "Top-1 accuracy", "The share of pictures whose most likely class is the right one. 1 is perfect."),
    found=("top1", "gave {share:.2f} % of {samples} the right class"),
    facts=(
        ("top5", "Top-5 accuracy", "have the right class among the five most likely"),
        ("error_percent", "Error, %", "of the pictures got a wrong class"),
        ("mean_accuracy", "Mean accuracy", "the share of each class, then averaged"),
        ("calibration_error", "Calibration error", "how far confidence and accuracy are apart, on average"),
    ),
    class_score="accuracy",
    unit="picture",
    curves=(("top1", "top-1 accuracy"),),
    classes="The longer the bar, the more pictures of the class were recognised. Pictures is each class's share.",
    confusion="Each row is one true class: the percentage of its pictures that got each label. Blue is right, orange "
    "is wrong, a stronger colour is a larger share; a dot is less than half a per cent.",
)


def report(evaluation: Evaluation) -> ReportPart:
    """Scores by class, the confusion matrix, calibration, mean images, and the best and worst examples."""
    scores, confusion = evaluation.to_json(), evaluation.scores.confusion
    classes: Any = evaluation.task.tables["classes"]
    examples = [
        ClassificationExample(sample["name"], classes.names[sample["label"]], prediction, own)
        for sample, prediction, own in evaluation.examples()
    ]
    sections = (
        class_section(scores, classes, confusion, TEXT),
        confusion_section(scores, classes, confusion, TEXT),
        calibration_section(scores, "pictures"),
        class_mean_section(class_means(evaluation)),
        example_section(examples),
    )
    absent = [classes.names[label] for label in evaluation.scores.absent]
    return ReportPart(
        TEXT,
        [section for section in sections if section],
        class_strip(scores, classes, TEXT),
        class_summary(scores, classes, TEXT),
        [class_row(classes)],
        [scoring_note(evaluation, "in one pass, without its mirrored image"), *absent_note(absent)],
    )


def class_means(evaluation: Evaluation) -> list[ClassMean]:
    """The mean image of each class, and the mean output of the first spatial transformer, over the first samples.

    [] for a model without a spatial transformer on the image, and for images of several sizes.
    """
    task, dataset, model = evaluation.task, evaluation.dataset, evaluation.loaded.model
    count = min(NUM_FOR_MEANS, len(dataset))
    sums: dict[int, list[Any]] = {}  # label -> number of samples, sum of images, sum of outputs
    shapes = set()
    for start in range(0, count, task.batch_size):
        samples = [task.prepare(dataset[index]) for index in range(start, min(start + task.batch_size, count))]
        with torch.inference_mode():
            predictions = task.answer(model, samples, evaluation.options)
        for sample, prediction in zip(samples, predictions, strict=True):
            output = prediction.transforms[0].output if prediction.transforms else None
            if output is None:
                return []
            shapes.add((prediction.seen.shape, output.shape))
            if len(shapes) > 1:
                return []
            entry = sums.setdefault(int(sample["label"]), [0, 0.0, 0.0])
            entry[0] += 1
            entry[1] = entry[1] + prediction.seen / 255.0
            entry[2] = entry[2] + output
    names = task.tables["classes"].names
    return [ClassMean(names[label], before / n, after / n) for label, (n, before, after) in sorted(sums.items())]
