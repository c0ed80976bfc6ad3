"""Hypercolumns: outlines from many layers, and from the last one alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from foveate.claims import GAIN, Claim
from foveate.claims.trained import small_pasture, train_on_pasture
from foveate.datasets.pasture import Pasture
from foveate.registry import claim
from foveate.tasks.instances.outlines import true_box_ious

SECTION = "Hypercolumns"
EPOCHS = 2
VISIBLE = 1.0  # points of mean IoU, about what the removal of one layer of several should cost
# The paper's grid of classifiers, since with a coarser one the last layer alone could not draw details.
SMALL: dict[str, Any] = {"config__grid": 10, "config__boxes": 8}


@claim("many_layers_give_finer_outlines")
def many_layers_give_finer_outlines() -> Claim:
    """Compare outlines in true boxes from layers at strides 4, 8 and 16 and fc7 of the box with those from fc7 alone.

    Everything else is the same, the classifiers' grid included. Each network is trained as a whole on the synthetic
    Pasture data set.
    """
    return Claim(
        section=SECTION,
        claim="Many layers together give finer outlines of objects than the last layer alone.",
        effect="{:+.1f} points of mean IoU in the true boxes of objects: {:.1f} with all layers, {:.1f} with the last",
        measure=_many_layers_give_finer_outlines,
        holds=VISIBLE,
        partly=GAIN,
        long=True,
    )


def _many_layers_give_finer_outlines(seed: int) -> tuple[float, ...]:
    many, last = (outline_iou(seed, config__strides=strides, **SMALL) for strides in ("4,8,16", ""))
    return many - last, many, last


def outline_iou(seed: int, **fields: Any) -> float:
    """Train hypercolumns, and return their mean IoU, in points, over the objects of the test scenes in true boxes."""
    predictor = train_on_pasture("hypercolumns_pasture", seed, EPOCHS, **fields)
    scenes = Pasture(**small_pasture(seed)).open("test", predictor.task)
    samples = (predictor.family.prepare(scenes[i]) for i in range(len(scenes)))
    ious = [
        true_box_ious(predictor.runner, sample["image"].as_subclass(Tensor), predictor.preprocessing, sample["truth"])
        for sample in samples
    ]
    return 100 * float(np.concatenate(ious).mean())
