"""Segments proposed and classified (SDS): do they outline objects, and does a network gain by seeing them alone?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from foveate.claims import GAIN, Claim, cached
from foveate.claims.trained import train_on_pasture
from foveate.datasets.pasture import Pasture
from foveate.metrics.instances import InstanceScores
from foveate.predictor import Predictor
from foveate.records import Instances
from foveate.records.instances import encode_mask
from foveate.registry import claim

SECTION = "SDS"
EPOCHS = 4
DATA: dict[str, Any] = {"height": 96, "width": 96, "train": 120, "val": 4, "test": 40}
SMALL: dict[str, Any] = {
    "config__side": 48, "config__context": 5, "config__hidden": 64, "config__proposals": 200, "config__fit_images": 60,
}  # fmt: skip
SIGNIFICANT = 5.0  # points; as much as a better outline has to bring
BETTER = 2.0  # points, by which one network has to beat another


@claim("segments_outline_objects")
def segments_outline_objects() -> Claim:
    """Score SDS's detections on the Pasture data set as regions, and as the boxes around them."""
    return Claim(
        section=SECTION,
        claim="Segments that are proposed and classified find objects that boxes alone do not outline.",
        effect="{:+.1f} points of AP^r at IoU 0.5 as regions, {:.1f}, against the same detections as filled boxes, "
        "{:.1f}; {:.1f} % of the objects are found as regions, {:.1f} % as boxes",
        measure=_segments_outline_objects,
        holds=SIGNIFICANT,
        partly=GAIN,
        long=True,
    )


def _segments_outline_objects(seed: int) -> tuple[float, ...]:
    network = trained(seed, "both")
    regions, boxes = network.score(), network.score(filled)
    return (
        100 * (regions.ap_r50 - boxes.ap_r50), 100 * regions.ap_r50, 100 * boxes.ap_r50,
        100 * regions.recall50, 100 * boxes.recall50,
    )  # fmt: skip


@claim("masked_background_helps")
def masked_background_helps() -> Claim:
    """Compare SDS with the region network alone and with the box network alone: the same but for the background."""
    return Claim(
        section=SECTION,
        claim="A network that sees a region without its background classifies it better than one that sees its box.",
        effect="{:+.1f} points of AP^r at IoU 0.5 without the background: {:.1f} on regions, {:.1f} on their boxes",
        measure=_masked_background_helps,
        holds=BETTER,
        partly=GAIN,
        long=True,
    )


def _masked_background_helps(seed: int) -> tuple[float, ...]:
    region, box = (100 * trained(seed, crops).score().ap_r50 for crops in ("region", "box"))
    return region - box, region, box


@claim("box_and_region_beat_either")
def box_and_region_beat_either() -> Claim:
    """Compare SDS with both networks, trained together, and with each of them alone."""
    return Claim(
        section=SECTION,
        claim="Features of a region and of its box together classify it better than either alone.",
        effect="{:+.1f} points of AP^r at IoU 0.5 over the better of the two alone: {:.1f} with both, {:.1f} with the "
        "region, {:.1f} with the box",
        measure=_box_and_region_beat_either,
        holds=BETTER,
        partly=GAIN,
        long=True,
    )


def _box_and_region_beat_either(seed: int) -> tuple[float, ...]:
    both, region, box = (100 * trained(seed, crops).score().ap_r50 for crops in ("both", "region", "box"))
    return both - max(region, box), both, region, box


@dataclass(frozen=True)
class Trained:
    """A trained network and its test scenes, with their true objects."""

    predictor: Predictor
    scenes: Sequence[Any]

    def score(self, change: Callable[[Instances], Instances] = lambda objects: objects) -> InstanceScores:
        """Score the network's detections, changed, on the test scenes."""
        task: Any = self.predictor.family
        metrics = task.metrics(self.scenes)
        for index, scene in enumerate(self.scenes):
            with torch.inference_mode():
                (prediction,) = task.answer(self.predictor.runner, [scene], task.options)
            prediction.objects = change(prediction.objects)
            task.count(metrics, index, scene, prediction)
        scores: InstanceScores = metrics.compute()
        return scores


@cached
def trained(seed: int, crops: str) -> Trained:
    """Train SDS on a small version of the Pasture data set, with these crops; cached for the process."""
    data = DATA | {"seed": seed}
    predictor = train_on_pasture("sds_pasture", seed, EPOCHS, data, config__crops=crops, **SMALL)
    test = Pasture(**data).open("test", "instances")
    return Trained(predictor, [test[i] for i in range(len(test))])


def filled(objects: Instances) -> Instances:
    """Return objects whose masks are their whole boxes."""
    masks = []
    for left, top, right, bottom in objects.boxes.round().astype(int).tolist():
        masks.append(encode_mask(np.ones((bottom - top, right - left), bool), objects.size, left, top))
    return dataclasses.replace(objects, masks=tuple(masks))
