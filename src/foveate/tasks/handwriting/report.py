"""The part of report.html that belongs to handwriting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from foveate.errors import counted
from foveate.records import HandwritingPrediction
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.handwriting.figures import draw, draw_window
from foveate.tasks.handwriting.writing import write
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, example_figure

if TYPE_CHECKING:
    from foveate.tasks.base import Task

TEXTS = 4  # texts of the scored split that are written
BIASES = (0.0, 0.5, 1.0)
WIDTH = 560
TEXT = ReportText(
    title="Report on handwriting",
    score=(
        "nats_per_point",
        "Nats a point",
        "Mean negative log-likelihood of a real pen movement, with offsets divided by their deviation in training; "
        "lower is better, and below 0 where a density exceeds 1.",
    ),
    found=("nats_per_point", "gives the pen movements of {samples} {score:.3f} nats a point"),
    facts=(
        ("sse", "Squared error", "of the mean of the mixture, in the same units"),
        ("nats_per_piece", "Nats a piece", "summed over its points"),
        ("stop_percent", "Stops, %", "of texts whose writing ended by itself"),
    ),
    curves=(("nats_per_point", "nats a point"), ("sse", "squared error")),
)


def report(task: Task, evaluation: Evaluation) -> ReportPart:
    """Written texts at several biases, the window's slide over real pieces, and the best and worst of these."""
    examples = list(evaluation.examples())
    sections = [
        _written_section(task, evaluation),
        _window_section([prediction for _, prediction, _ in examples]),
        _example_section(examples),
    ]
    grid = task.preprocessing.grid
    notes = []
    if any(grid):
        notes.append(
            f"Offsets lie on a grid of {grid[0]:g} by {grid[1]:g} units; they were spread evenly over its cells, under "
            "a seed that depends on the piece alone."
        )
    return ReportPart(TEXT, [one for one in sections if one], notes=notes)


def _picture(drawn: Image.Image, words: str) -> Markup:
    image = tag("img", src=data_uri(np.asarray(drawn)), alt=words, decoding="async", width=drawn.width)
    return tag("figure", tag("div", image, class_="wide-panel"), tag("figcaption", words, class_="faint"))


def _written_section(task: Any, evaluation: Evaluation) -> Section | None:
    """Some texts of the scored split, written at several biases."""
    model: Any = evaluation.loaded.model
    if not model.config.text:
        return None
    texts = list(dict.fromkeys(text for text in evaluation.dataset.texts if text))[:TEXTS]
    if not texts:
        return None
    figures = []
    for bias in BIASES:
        generators = [torch.Generator().manual_seed(number) for number in range(len(texts))]
        drawn = write(model, [task.characters.encode(t) for t in texts], task.preprocessing, generators, bias)
        for text, one in zip(texts, drawn, strict=True):
            ended = "" if one.finished else " It did not end by itself."
            figures.append(_picture(draw(one.strokes, width=WIDTH), f"“{text}”, bias {bias:g}.{ended}"))
    lead = "Texts of the scored split, written by the model; a larger bias is neater. No piece was left out."
    return section("written", "Written texts", "Written texts", lead, figures)


def _window_section(predictions: list[HandwritingPrediction]) -> Section | None:
    """The window over the text of some real pieces."""
    shown = [prediction for prediction in predictions if prediction.window is not None][:TEXTS]
    if not shown:
        return None
    lead = (
        "Characters from the first one down, points of the pen from left to right; dark is where the window reads as "
        "the point is placed. It only moves forwards."
    )
    figures = [_picture(draw_window(prediction), f"{prediction.name}: “{prediction.text}”.") for prediction in shown]
    return section("window", "Window", "The window's slide over the text", lead, figures)


def _example_section(examples: list[tuple[Any, HandwritingPrediction, float]]) -> Section | None:
    if not examples:
        return None
    lead = "Real pieces; the number is the mean over their points, in nats."
    return section("pictures", "Examples", "Likely and unlikely pieces", lead, best_and_worst(examples, _figure))


def _figure(example: tuple[Any, HandwritingPrediction, float]) -> Markup:
    sample, prediction, own = example
    words = f"“{prediction.text}”, {counted(len(prediction.strokes), 'point')}."
    return example_figure(sample["name"], draw(prediction.strokes, width=WIDTH), words, own, words)
