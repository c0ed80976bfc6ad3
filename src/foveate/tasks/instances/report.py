"""The part of report.html that belongs to instance segmentation."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from foveate.metrics.instances import CAP, VISIBLE, InstanceScores
from foveate.metrics.instances.coco import THRESHOLDS
from foveate.records import ClassTable, InstancePrediction, Instances
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.instances.detect import counted_truth
from foveate.tasks.instances.figures import draw_objects
from foveate.tasks.instances.slider import chosen_images, slider_section, style
from foveate.tasks.reporting import image_pixels, scoring_note
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.classes import confusion_section
from foveate.visualize.report.listing import list_picture
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
NOTHING = "nothing"  # the name, in the confusion matrix, of what is not there or was not found
MOST_SIZES = 8  # ranges of size
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
    """Precision and recall, counts, sizes, classes, a slider of the threshold, and the best and worst images."""
    scores: InstanceScores = evaluation.scores
    classes: Any = evaluation.task.tables["classes"]
    examples = [
        Example(sample["name"], image_pixels(sample), counted_truth(sample), prediction, own)
        for sample, prediction, own in evaluation.examples()
    ]
    sections = [
        ranking_section(scores),
        count_section(scores),
        size_section(scores),
        class_section(scores, classes.names),
        mistake_section(scores, classes),
        slider_section(
            [(e.name, e.image, e.truth, e.prediction) for e in (examples[k] for k in chosen_images(len(examples)))],
            scores,
        ),
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
    notes += score_notes(scores)
    return ReportPart(
        TEXT,
        [one for one in sections if one],
        notes=notes,
        style=style(),
        pictures={
            place: [
                list_picture(title, words, pixels)
                for title, words, pixels in _drawn(image_pixels(sample), counted_truth(sample), prediction)
            ]
            for place, sample, prediction in evaluation.listed()
        },
        own_score="Matched at IoU 0.5",
        columns=(("objects", "True objects"), ("found", "Found")),
    )


def score_notes(scores: InstanceScores) -> list[str]:
    """Sentences on images without objects, those with more than are ranked, and those that reached the model's cap."""
    notes = []
    if scores.without:
        images = counted(scores.without, "picture", "pictures")
        notes.append(f"{images} without objects: every detection there is wrong, and the count error leaves them out.")
    if crowded := int((scores.counts[:, 0] > CAP).sum()):
        notes.append(
            f"{counted(crowded, 'picture holds', 'pictures hold')} more than {CAP} objects, of which at most {CAP} "
            "detections are ranked: AP and recall are lower there than the model deserves."
        )
    if 0 < scores.model_cap < CAP:
        notes.append(
            f"{counted(scores.at_model_cap, 'picture', 'pictures')} reached the {scores.model_cap} detections that the "
            f"model gives at most, fewer than the {CAP} that are ranked: AP and recall may be lower for it; try "
            "smaller tiles (--tile), or train with more detections in the model's config."
        )
    return notes


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
    """Found numbers of objects over the true ones, a point an image."""
    counts = scores.counts
    if not len(counts):
        return None
    most = float(max(1, counts.max()))
    points = sorted((float(true), float(found)) for true, found in counts)
    chart = line_chart(
        "Objects found over objects there",
        [
            Series("a picture", [(x, y) for x, y in points], joined=False),
            Series("as many as there are", [(0.0, 0.0), (most, most)], dashed=True),
        ],
        x_name="true objects in a picture",
    )
    total_true, total_found = (int(v) for v in counts.sum(0))
    total = counted(total_true, "true object", "true objects")
    words = f"{total}, {total_found} found from a score of {scores.score_threshold:.2f}."
    if np.isfinite(scores.count_mae):
        words += f" A picture's number is off by {scores.count_mae:.1f} on average"
        bias = abs(scores.count_bias)
        words += f", too {'high' if scores.count_bias > 0 else 'low'} by {bias:.1f}." if bias >= 0.05 else "."
    lead = "Number of objects in each picture: those that are there, and those that were found."
    return section("counts", "Counts", "Counts", lead, chart_figure("Found over true", chart, words))


def size_section(scores: InstanceScores) -> Section | None:
    """Found and missed objects by size, and those that touch another one apart; None without true objects."""
    truths = scores.truths
    if not len(truths):
        return None
    areas, near, seen = truths[:, 1], truths[:, 2] > 0, truths[:, 3] > 0
    edges = size_edges(areas)
    bins = np.searchsorted(edges, areas, side="right") - 1
    ranges = [
        (f"{low:,} px" if low == high - 1 else f"{low:,} to {high - 1:,} px", bins == k)
        for k, (low, high) in enumerate(itertools.pairwise(edges))
    ]
    sizes = _found_table("area", ranges, seen)
    touching = _found_table("", [("touching another", near), ("alone", ~near)], seen)
    visible = scores.visible
    hidden = None
    if np.isfinite(visible).any():
        shares = [
            (f"{low:.0%} to {high:.0%}", (visible >= low) & ((visible < high) | (high == 1)))
            for low, high in itertools.pairwise(VISIBLE)
        ]
        hidden = card(tag("h3", "By visible share"), _found_table("visible", shares, seen))
    lead = (
        f"True objects by their area, and how many of them were found from a score of {scores.score_threshold:.2f}, "
        "with an IoU above 0.5 and the right class. Objects touch when they lie within one pixel."
    )
    parts = (card(tag("h3", "By size"), sizes), card(tag("h3", "Touching objects"), touching))
    return section("sizes", "Sizes", "Found and missed", lead, tag("div", parts, hidden, class_="charts"))


def size_edges(areas: np.ndarray) -> list[int]:
    """Bounds of at most MOST_SIZES ranges of area in pixels, each a power of two times as wide as the one before."""
    low, high = max(1, int(areas.min())), int(areas.max()) + 1
    first = int(np.log2(low))
    last = max(first + 1, int(np.ceil(np.log2(high))))
    step = -(-(last - first) // MOST_SIZES)
    return [2**k for k in range(first, last + step, step)]


def _found_table(title: str, rows: list[tuple[str, np.ndarray]], seen: np.ndarray) -> Markup:
    """Numbers of true objects of several kinds, found and missed ones. rows: name, and which objects (N,) bool."""
    head = tag("tr", [tag("th", name, scope="col") for name in (title, "objects", "found", "missed", "share found")])
    lines = []
    for name, which in rows:
        count, found = int(which.sum()), int(seen[which].sum())
        if count:
            cells = [tag("td", value, class_="number") for value in (count, found, count - found)]
            lines.append(
                tag("tr", tag("th", name, scope="row"), cells, tag("td", f"{found / count:.0%}", class_="number"))
            )
    return tag("table", tag("thead", head), tag("tbody", lines), class_="bars")


def mistake_section(scores: InstanceScores, classes: ClassTable) -> Section | None:
    """True by found classes, missed objects and found ones that are not there; None for a single class."""
    if len(classes) < 2:
        return None
    table = ClassTable((*classes.names, NOTHING), (*classes.colors, (128, 128, 128)), max(255, len(classes) + 1))
    text = dataclasses.replace(
        TEXT,
        confusion=(
            "True objects by row, found ones by column, in per cent of the row, paired where they overlap by an IoU "
            f"above 0.5. Column '{NOTHING}': missed. Row '{NOTHING}': found where nothing is."
        ),
    )
    return confusion_section({}, table, scores.confusion, text)


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


def _drawn(image: np.ndarray, truth: Instances, prediction: InstancePrediction) -> list[tuple[str, str, np.ndarray]]:
    """The outlines of the true and of the found objects over the image: title, words and pixels of each."""
    found = prediction.found
    panels = (
        ("Truth", truth, "the outlines of " + counted(len(truth), "true object", "true objects")),
        ("Found", found, "the outlines of " + counted(len(found), "found object", "found objects")),
    )
    return [(title, words, draw_objects(image, objects, prediction.classes)) for title, objects, words in panels]


def _figure(example: Example) -> Markup:
    drawn = []
    for title, words, full in _drawn(example.image, example.truth, example.prediction):
        pixels = _at_page_size(full)
        image = tag(
            "img", src=data_uri(pixels), alt=f"{example.name}: {words}", width=pixels.shape[1], height=pixels.shape[0],
            decoding="async",
        )  # fmt: skip
        drawn.append(tag("div", image, tag("span", title), class_="panel"))
    caption = tag(
        "figcaption",
        tag("span", tag("b", example.name), tag("span", f"{example.ratio:.3f}", class_="number"), class_="headline"),
        tag("span", f"{len(example.truth)} true, {len(example.prediction.found)} found.", class_="faint"),
    )
    return tag("figure", tag("div", drawn, class_="panels"), caption, class_="example")


def _at_page_size(drawn: np.ndarray) -> np.ndarray:
    if max(drawn.shape[:2]) <= PANEL:
        return drawn
    return fitted(drawn, np.zeros(drawn.shape[:2], np.uint8), PANEL, PANEL)[0]
