"""The part of report.html that belongs to drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from foveate.errors import counted
from foveate.records import DrawingPrediction
from foveate.tasks.drawing.figures import canvas_with_window, draw_grid, enlarged, outline, row_of, scale_of
from foveate.tasks.drawing.inputs import fitted
from foveate.tasks.evaluation import Evaluation
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, example_figure

if TYPE_CHECKING:
    from foveate.tasks.base import Task

SAMPLES, NEAREST = 32, 8  # generated for the report; of which the nearest training images are looked up
STRIPS = 4  # samples whose drawing is shown
STEPS = 10  # canvases of a strip
COMPARED = 20_000  # training images that samples are compared with
TEXT = ReportText(
    title="Report on drawing images",
    score=(
        "bound",
        "Bound",
        "Reconstruction and divergence together, the mean over pictures; lower is better. For binary and discrete "
        "pixels it is an upper bound on the negative log-likelihood of a picture, in nats.",
    ),
    found=("bound", "draws {samples} with a bound of {score:.2f}"),
    facts=(
        ("nats_iw50", "Bound with 50 samples, nats", "importance-weighted: closer to the negative log-likelihood"),
        (
            "nats_static",
            "Bound, static binarisation",
            "of pictures that were binarised once, before training",
        ),
        ("kl", "Divergence, nats", "of the latent numbers from their prior: how much was read"),
        ("reconstruction", "Reconstruction", "negative log-likelihood of the picture under its last canvas"),
        ("bits_per_dimension", "Bits per dimension", "of discrete pixels"),
    ),
    curves=(("bound", "bound"), ("reconstruction", "reconstruction"), ("kl", "divergence")),
)


def report(task: Task, evaluation: Evaluation) -> ReportPart:
    """Samples with the training images nearest to them, their drawing, the paths of windows, and reconstructions."""
    model = evaluation.loaded.model
    with torch.inference_mode():
        samples = list(task.generate(model, SAMPLES, 0, evaluation.options).predictions)
    examples = list(evaluation.examples())
    sections = [
        _samples_section(samples),
        _strip_section(samples[:STRIPS]),
        _nearest_section(task, evaluation, samples[:NEAREST]),
        _path_section([prediction for _, prediction, _ in examples[:STRIPS]]),
        _example_section(examples),
    ]
    pixels = {
        "binary": "Pixels are binary: each was sampled from its intensity, under a fixed seed.",
        "discrete": "Pixels have 256 values; the bound is in nats of these.",
        "intensity": "Intensities are taken as probabilities, so that the bound is no log-likelihood of a picture, and "
        "no bits per dimension follow from it.",
    }
    weighted = evaluation.scores.iw_images
    notes = [pixels[task.preprocessing.pixels]]
    notes += [f"The bound with 50 samples is over the first {weighted} pictures."] if weighted else []
    return ReportPart(TEXT, [one for one in sections if one], notes=notes)


def _picture(drawn: Image.Image, words: str) -> Markup:
    """A drawing at its own size."""
    image = tag("img", src=data_uri(np.asarray(drawn)), alt=words, decoding="async", width=drawn.width)
    return tag("figure", tag("div", image, class_="wide-panel"), tag("figcaption", words, class_="faint"))


def _samples_section(samples: list[DrawingPrediction]) -> Section:
    lead = "Drawn from noise alone: each pixel is the mean of its distribution. The seed is 0, and none was left out."
    drawn = draw_grid([sample.canvases[-1] for sample in samples])
    return section(
        "samples", "Samples", "Samples", lead, _picture(drawn, f"{counted(len(samples), 'generated picture')}.")
    )


def _strip_section(samples: list[DrawingPrediction]) -> Section:
    lead = (
        "The canvas after some of the steps, from left to right. The red outline runs through the outermost filters of "
        "the window that wrote last; its line is as wide as two standard deviations of a filter, so that a sharp "
        "window has a thin line."
    )
    last = len(samples[0].canvases) - 1
    steps = np.unique(np.linspace(0, last, STEPS).round().astype(int)).tolist()
    rows = [row_of([canvas_with_window(sample, step) for step in steps]) for sample in samples]
    words = f"Canvases after steps {', '.join(map(str, steps))}."
    return section("drawing", "Drawing", "Step by step", lead, [_picture(row, words) for row in rows])


def _path_section(predictions: list[DrawingPrediction]) -> Section | None:
    """Pictures that were read, with the windows of every step; None without attention."""
    if not predictions or predictions[0].read is None:
        return None
    rows = []
    for prediction in predictions:
        assert prediction.image is not None and prediction.read is not None
        scale = scale_of(prediction.image)
        steps = np.unique(np.linspace(0, len(prediction.read) - 1, STEPS).round().astype(int)).tolist()
        cells = []
        for step in steps:
            cell = enlarged(prediction.image)
            outline(cell, prediction.read[step], scale, prediction.filters[1])
            cells.append(cell)
        rows.append(
            _picture(row_of(cells), f"{prediction.name}: windows of steps {', '.join(str(s + 1) for s in steps)}.")
        )
    lead = "Where the network read the picture, step by step; the outline is drawn as above."
    return section("reading", "Reading", "Paths of the window that reads", lead, rows)


def _nearest_section(task: Task, evaluation: Evaluation, samples: list[DrawingPrediction]) -> Section | None:
    """Samples above the training images nearest to them; None where the training images are not at hand."""
    if evaluation.training_set is None:
        return None
    training = evaluation.training_set()
    chosen = np.unique(np.linspace(0, len(training) - 1, COMPARED).astype(int)).tolist()
    wanted = torch.from_numpy(np.stack([sample.canvases[-1] for sample in samples])).permute(0, 3, 1, 2)
    best, found = torch.full((len(samples),), np.inf), wanted.clone()
    for index in chosen:
        image = fitted(training[index]["image"], task.preprocessing)
        distance = (wanted - image).square().flatten(1).sum(1)
        nearer = distance < best
        best[nearer], found[nearer] = distance[nearer], image
    nearest = [image.permute(1, 2, 0).numpy() for image in found]
    lead = (
        f"Generated pictures, and below each the nearest of {counted(len(chosen), 'training picture')} by the "
        f"sum of squared "
        "differences. Memorised pictures would be equal to theirs."
    )
    drawn = draw_grid([*(sample.canvases[-1] for sample in samples), *nearest], len(samples))
    return section("nearest", "Nearest", "Nearest training pictures", lead, _picture(drawn, "Generated; nearest."))


def _example_section(examples: list[tuple[Any, DrawingPrediction, float]]) -> Section | None:
    if not examples:
        return None
    lead = "The picture as the network got it, and some of the canvases on which it was drawn again, the last one last."
    return section("pictures", "Reconstructions", "Reconstructions", lead, best_and_worst(examples, _figure))


def _figure(example: tuple[Any, DrawingPrediction, float]) -> Markup:
    sample, prediction, bound = example
    assert prediction.image is not None
    last = len(prediction.canvases) - 1
    steps = np.unique(np.linspace(last / 4, last, 4).round().astype(int)).tolist()
    drawn = draw_grid([prediction.image, *(prediction.canvases[step] for step in steps)], 1 + len(steps))
    words = f"Reconstruction {prediction.reconstruction:.1f}, divergence {bound - prediction.reconstruction:.1f}."
    return example_figure(sample["name"], drawn, words, bound, words)
