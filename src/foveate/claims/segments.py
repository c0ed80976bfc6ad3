"""Segments proposed and classified (SDS): do they outline objects, and do features of the masked region help?

Scenes of the Pasture data set; of each image its best region proposals, (R, D) features of the box and of the region
without its background. The networks keep their ImageNet weights, so that all arms read the same features; support
vector machines are fitted on those of one network, of the other, or of both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from foveate.claims import GAIN, Claim, cached
from foveate.datasets.pasture import Pasture
from foveate.metrics.instances import InstanceMetrics, InstanceScores
from foveate.models.instances.sds import SDS, Config
from foveate.models.instances.sds.fitting import Example, fit_svms
from foveate.ops.suppress import survivors
from foveate.records import Instances, RegionOutput
from foveate.records.instances import encode_mask, instances_of
from foveate.registry import claim
from foveate.tasks import create_task
from foveate.tasks.instances.detect import detections, truth_of

SECTION = "SDS"
Crops = Literal["both", "box", "region"]
DATA: dict[str, Any] = {"height": 128, "width": 128, "train": 50, "val": 1, "test": 40}
CONFIG = Config(
    num_classes=5, backbone="tf_efficientnet_lite0", pretrained=True, side=48, context=5, hidden=256, proposals=120,
    refine=False,
)  # fmt: skip
SIGNIFICANT = 5.0  # points; as much as a better outline has to bring
BETTER = 2.0  # points, by which one kind of features has to beat another


@claim("segments_outline_objects")
def segments_outline_objects() -> Claim:
    """Score SDS's detections on the Pasture data set as regions, and as the boxes around them."""
    return Claim(
        section=SECTION,
        claim="Segments that are proposed and classified find objects that boxes alone do not outline.",
        effect="{:+.1f} points of AP^r at IoU 0.7: {:.1f} of detections as regions, {:.1f} of the same as filled boxes",
        measure=_segments_outline_objects,
        holds=SIGNIFICANT,
        partly=GAIN,
        long=True,
    )


def _segments_outline_objects(seed: int) -> tuple[float, ...]:
    images = described(seed)
    found = [detected(image, fitted_svms(seed, "both"), "both") for image in images.test]
    regions = 100 * score(images.truth, found).ap_r70
    boxes = 100 * score(images.truth, [filled(one) for one in found]).ap_r70
    return regions - boxes, regions, boxes


@claim("masked_background_helps")
def masked_background_helps() -> Claim:
    """Compare SDS's SVMs on features of regions without their background, and on features of their boxes."""
    return Claim(
        section=SECTION,
        claim="Features of a region without its background classify it better than features of its box.",
        effect="{:+.1f} points of AP^r at IoU 0.5: {:.1f} without the background, {:.1f} with it",
        measure=_masked_background_helps,
        holds=BETTER,
        partly=GAIN,
        long=True,
    )


def _masked_background_helps(seed: int) -> tuple[float, ...]:
    region, box = (_accuracy(seed, crops) for crops in ("region", "box"))
    return region - box, region, box


@claim("box_and_region_beat_either")
def box_and_region_beat_either() -> Claim:
    """Compare SDS's SVMs on features of both crops, and of each of them alone."""
    return Claim(
        section=SECTION,
        claim="Features of a region and of its box together classify it better than either alone.",
        effect="{:+.1f} points of AP^r at IoU 0.5 over the better one alone: {:.1f} with both, {:.1f} with the region, "
        "{:.1f} with the box",
        measure=_box_and_region_beat_either,
        holds=BETTER,
        partly=GAIN,
        long=True,
    )


def _box_and_region_beat_either(seed: int) -> tuple[float, ...]:
    both, region, box = (_accuracy(seed, crops) for crops in ("both", "region", "box"))
    return both - max(region, box), both, region, box


def _accuracy(seed: int, crops: Any) -> float:
    images = described(seed)
    found = [detected(image, fitted_svms(seed, crops), crops) for image in images.test]
    return 100 * score(images.truth, found).ap_r50


@dataclass(frozen=True)
class Described:
    """Features of the proposals of training and test images, and the true objects of the test images."""

    train: Sequence[Example]
    test: Sequence[Example]
    truth: Sequence[Instances]


@cached
def described(seed: int) -> Described:
    """Describe the regions of a seed's scenes by ImageNet features; cached for the process."""
    torch.manual_seed(seed)
    model = SDS(CONFIG).eval()
    source = Pasture(**(DATA | {"seed": seed}))
    train, test = (source.open(split, "instances") for split in ("train", "test"))
    task: Any = create_task("instances", {"classes": train.classes}, model.preprocessing)
    made = [[model.example(task.collate([samples[i]])) for i in range(len(samples))] for samples in (train, test)]
    return Described(made[0], made[1], [truth_of(test[i]) for i in range(len(test))])


@cached
def fitted_svms(seed: int, crops: Crops) -> tuple[Tensor, Tensor]:
    """Fit SVMs on these features of the training images; cached for the process."""
    train = [
        dataclasses.replace(e, features=part(e.features, crops), true_features=part(e.true_features, crops))
        for e in described(seed).train
    ]
    return fit_svms(train, CONFIG.num_classes)


def part(features: Tensor, crops: Crops) -> Tensor:
    """Return the features (R, D) of the box, of the region, or both, of (R, 2 x hidden)."""
    if crops == "both":
        return features
    return features[:, : CONFIG.hidden] if crops == "box" else features[:, CONFIG.hidden :]


def detected(image: Example, fitted: tuple[Tensor, Tensor], crops: Crops) -> Instances:
    """Return the regions of an image that survive, ranked by SVMs: weights (K, D) and biases (K,)."""
    scores = (part(image.features, crops) @ fitted[0].T + fitted[1]).sigmoid()
    index, labels, best = survivors(image.regions.members, scores, CONFIG.detections)
    regions = image.regions.select(index)
    found = detections(RegionOutput(regions.boxes, labels, best, regions.members, regions.atoms), regions.size)
    masks = [encode_mask(one.mask, regions.size, one.window[0], one.window[1]) for one in found]
    return instances_of(regions.size, masks, [one.label for one in found], [one.score for one in found])


def filled(objects: Instances) -> Instances:
    """Return objects whose masks are their whole boxes."""
    masks = []
    for left, top, right, bottom in objects.boxes.round().astype(int).tolist():
        masks.append(encode_mask(np.ones((bottom - top, right - left), bool), objects.size, left, top))
    return dataclasses.replace(objects, masks=tuple(masks))


def score(truth: Sequence[Instances], found: Sequence[Instances]) -> InstanceScores:
    """Score detections of images."""
    metrics = InstanceMetrics(CONFIG.num_classes)
    for true, one in zip(truth, found, strict=True):
        metrics.update(true, one)
    return metrics.compute()
