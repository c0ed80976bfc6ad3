"""The part of report.html that belongs to instance segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foveate.metrics.instances import CAP, InstanceScores
from foveate.metrics.instances.coco import THRESHOLDS
from foveate.records import InstancePrediction, Instances
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.instances.detect import counted_truth
from foveate.tasks.instances.figures import draw_objects
from foveate.tasks.reporting import image_pixels, scoring_note
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, card, chart_figure, counted
from foveate.visualize.sheets import fitted

TEXT = ReportText(
    title="Instance segmentation report",
    score=(
        "ap",
        "Mask AP",
        "COCO's average precision of masks: precision averaged over recall, over IoU thresholds from 0.5 to 0.95, and "
        "over classes. Every detection counts, ranked by its score. 1 is perfect.",
    ),
    found=("tp_ratio50", "found objects in {samples}; {share:.1f} % of all true and found objects match at IoU 0.5"),
    facts=(
        ("ap50", "AP at IoU 0.5", "outlines need only be roughly right"),
        ("recall50", "Recall at IoU 0.5", "of the true objects have a detection, whatever its score"),
        ("recall50_touching", "Recall, touching", "the same, of objects within a pixel of another one"),
        (
            "proposals_recall50",
            "Proposed",
            "of the true objects match some region proposal at IoU 0.5; others cannot be found",
        ),
        ("pq", "Panoptic quality", "mean IoU of matches times their share"),
        ("count_mape", "Count error", "mean absolute error of the number of objects, as a share of it"),
    ),
    class_score="AP",
    unit="object",
    curves=(("ap", "mask AP"), ("ap50", "AP at IoU 0.5"), ("recall50", "recall at IoU 0.5")),
)
PANEL = 480  # pixels: the widest embedded image


@dataclass
class Example:
    """An image that was scored: its truth, what was found, and TP / (TP + FP + FN)."""

    name: str
    image: np.ndarray
    truth: Instances
    prediction: InstancePrediction
    ratio: float


def report(evaluation: Evaluation) -> ReportPart:
    """Precision and recall, counts, classes, and the best and worst images."""
    scores: InstanceScores = evaluation.scores
    classes: Any = evaluation.task.tables["classes"]
    examples = [
        Example(sample["name"], image_pixels(sample), counted_truth(sample), prediction, own)
        for sample, prediction, own in evaluation.examples()
    ]
    sections = [
        ranking_section(scores),
        count_section(scores),
        class_section(scores, classes.names),
        example_section(examples),
    ]
    notes = [
        scoring_note(evaluation),
        f"An object counts as found from a score of {scores.score_threshold:.2f}; AP and recall look at every "
        f"detection, at most {CAP} in a picture.",
    ]
    if not np.isnan(scores.mask_iou_true_boxes):
        notes.append(
            f"In the true boxes, the outlines have a mean IoU of {scores.mask_iou_true_boxes:.3f} with the true ones: "
            "what they would be if every object were found exactly."
        )
    if scores.without:
        notes.append(
            f"{counted(scores.without, 'picture', 'pictures')} without objects: every detection there is wrong."
        )
    return ReportPart(TEXT, [one for one in sections if one], notes=notes)


def ranking_section(scores: InstanceScores) -> Section | None:
    """Precision over recall at two IoU thresholds, mean over classes."""
    present = scores.precision[0, 0] > -1
    if not present.any():
        return None
    recall = np.arange(101) / 100
    series = []
    for threshold in (0.5, 0.75):
        mean = scores.precision[THRESHOLDS.index(threshold)][:, present].mean(1)
        points = [(float(r), float(p)) for r, p in zip(recall, mean, strict=True)]
        series.append(Series(f"IoU {threshold:g}", points, dashed=threshold > 0.5))
    chart = line_chart("Precision over recall", series, x_name="recall", x_ticks=[0.0, 0.25, 0.5, 0.75, 1.0])
    words = (
        "From left to right the score threshold falls: more objects are found, and fewer of the detections are right. "
        "Where the line ends at 0, the rest is never found."
    )
    lead = "Precision: the share of detections that are right. Recall: the share of true objects that are found."
    return section(
        "ranking", "Precision and recall", "Precision and recall", lead, chart_figure("Over all classes", chart, words)
    )


def count_section(scores: InstanceScores) -> Section | None:
    """True and found numbers of objects of each image, as a table of ranges."""
    counts = scores.counts
    if not len(counts):
        return None
    order = np.argsort(counts[:, 0], kind="stable")
    points = [(float(k), counts[i]) for k, i in enumerate(order)]
    chart = line_chart(
        "Objects in each picture",
        [
            Series("true", [(x, float(pair[0])) for x, pair in points]),
            Series("found", [(x, float(pair[1])) for x, pair in points], dashed=True),
        ],
        x_name="pictures, from few objects to many",
    )
    total_true, total_found = (int(v) for v in counts.sum(0))
    total = counted(total_true, "true object", "true objects")
    words = f"{total}, {total_found} found from a score of {scores.score_threshold:.2f}."
    lead = "Number of objects in each picture: those that are there, and those that were found."
    return section("counts", "Counts", "Counts", lead, chart_figure("Objects in each picture", chart, words))


def class_section(scores: InstanceScores, names: tuple[str, ...]) -> Section | None:
    """AP of each class; None for a single one."""
    if len(names) < 2:
        return None
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", "not in these pictures" if np.isnan(ap) else f"{ap:.3f}"))
        for name, ap in zip(names, scores.ap_per_class, strict=True)
    ]
    head = tag("tr", tag("th", "class", scope="col"), tag("th", "mask AP", scope="col"))
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return section("classes", "Classes", "AP by class", "Mask AP of each class alone.", card(table))


def example_section(examples: list[Example]) -> Section | None:
    """The examples, best first; None if there are none."""
    if not examples:
        return None
    lead = (
        "The outlines of the true objects, and of those that were found. The number is the share of true and found "
        "objects that match at IoU 0.5 in that picture."
    )
    return section("pictures", "Examples", "Examples", lead, best_and_worst(examples, _figure))


def _figure(example: Example) -> Markup:
    classes, found = example.prediction.classes, example.prediction.found
    panels = (
        ("Truth", example.truth, "the outlines of " + counted(len(example.truth), "true object", "true objects")),
        ("Found", found, "the outlines of " + counted(len(found), "found object", "found objects")),
    )
    drawn = []
    for title, objects, words in panels:
        pixels = _at_page_size(draw_objects(example.image, objects, classes))
        image = tag(
            "img", src=data_uri(pixels), alt=f"{example.name}: {words}", width=pixels.shape[1], height=pixels.shape[0],
            decoding="async",
        )  # fmt: skip
        drawn.append(tag("div", image, tag("span", title), class_="panel"))
    caption = tag(
        "figcaption",
        tag("span", tag("b", example.name), tag("span", f"{example.ratio:.3f}", class_="number"), class_="headline"),
        tag("span", f"{len(example.truth)} true, {len(found)} found.", class_="faint"),
    )
    return tag("figure", tag("div", drawn, class_="panels"), caption, class_="example")


def _at_page_size(drawn: np.ndarray) -> np.ndarray:
    if max(drawn.shape[:2]) <= PANEL:
        return drawn
    return fitted(drawn, np.zeros(drawn.shape[:2], np.uint8), PANEL, PANEL)[0]
