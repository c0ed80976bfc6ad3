"""The multi-task network cascade: its stages, its training as a whole, its proposals, and what it tells apart.

Networks are trained on the small Pasture data set, whose scenes tell the visible share of each object, and scored on
test scenes of the same set.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from foveate.claims import GAIN, HINT, Claim, cached
from foveate.claims.trained import small_pasture, train_on_pasture
from foveate.datasets.pasture import Pasture, PastureDataset
from foveate.metrics.instances import InstanceMetrics
from foveate.metrics.instances.counted import touching
from foveate.ops.proposals import propose
from foveate.predictor import Predictor
from foveate.records import ClassTable, Instances, SemanticPrediction
from foveate.registry import claim
from foveate.tasks.instances.detect import truth_of
from foveate.tasks.semantic.objects import objects_in

SECTION = "Mask R-CNN"  # the lecture's heading for the cascade
EPOCHS = 8
SCENES = 300  # of the test: touching objects of one class are few
TIMED = 20  # scenes whose proposals are timed
SIGNIFICANT = 5.0  # points by which touching objects have to be found better
FASTER = 20.0  # times
REMAINS, REMAINS_PARTLY = 0.8, 0.6  # of the recall of objects in full view, for those that are partly hidden
THINGS = PastureDataset.things.names
HIDDEN, IN_VIEW = (0.25, 0.75), 0.75  # visible shares of the two


@claim("five_stages_beat_three")
def five_stages_beat_three() -> Claim:
    """Compare cascades of five and of three stages, each trained as a whole."""
    return Claim(
        section=SECTION,
        claim="A cascade that repeats its mask and class stages on the boxes that it corrected finds objects better.",
        effect="{:+.1f} points of mask AP: {:.1f} with five stages, {:.1f} with three",
        measure=_five_stages_beat_three,
        holds=GAIN,
        partly=HINT,
        long=True,
    )


def _five_stages_beat_three(seed: int) -> tuple[float, ...]:
    five, three = precision(seed), precision(seed, config__stages=3)
    return five - three, five, three


@claim("end_to_end_beats_stage_by_stage")
def end_to_end_beats_stage_by_stage() -> Claim:
    """Compare a cascade with gradients through boxes and masks with one whose stages get none from later ones."""
    return Claim(
        section=SECTION,
        claim="A cascade trained as a whole finds objects better than one whose stages are trained side by side.",
        effect="{:+.1f} points of mask AP: {:.1f} end to end, {:.1f} stage by stage",
        measure=_end_to_end_beats_stage_by_stage,
        holds=GAIN,
        partly=HINT,
        long=True,
    )


def _end_to_end_beats_stage_by_stage(seed: int) -> tuple[float, ...]:
    whole, apart = precision(seed), precision(seed, config__end_to_end=False)
    return whole - apart, whole, apart


@claim("learned_proposals_are_faster")
def learned_proposals_are_faster() -> Claim:
    """Time the proposals of a trained cascade, backbone included, and selective search on the same scenes.

    The first figure is 0 where the learned proposals have a lower recall.
    """
    return Claim(
        section=SECTION,
        claim="Learned region proposals are at least 20 times faster than external ones, at equal recall.",
        effect="{:.1f} times faster with a recall of {:.3f} at IoU 0.5; selective search has {:.3f}",
        measure=_learned_proposals_are_faster,
        holds=FASTER,
        partly=FASTER / 2,
        long=True,
        timed=True,
    )


def _learned_proposals_are_faster(seed: int) -> tuple[float, ...]:
    predictor = cascade(seed)
    samples = [sample for sample in scenes(seed, TIMED).samples if len(sample["truth"])]
    learned, external, objects, times = 0, 0, 0, []
    for sample in samples:
        truth = torch.from_numpy(sample["truth"].boxes)
        image = predictor.preprocessing(sample["image"].as_subclass(Tensor))[None]
        pixels = np.ascontiguousarray(sample["image"].as_subclass(Tensor).permute(1, 2, 0).numpy())
        fast, own = timed(lambda image=image: learned_boxes(predictor.runner, image))  # type: ignore[misc]
        slow, others = timed(lambda pixels=pixels: propose(pixels).boxes)  # type: ignore[misc]
        learned += covered(own, truth)
        external += covered(others, truth)
        objects += len(truth)
        times.append(slow / fast)
    recall, other = learned / objects, external / objects
    return statistics.median(times) if recall >= other else 0.0, recall, other


@claim("touching_objects_come_apart")
def touching_objects_come_apart() -> Claim:
    """Compare a cascade with the objects of label maps without a mistake, on objects that touch one of their class.

    Objects of a label map are its connected parts, as they are or split by distance and watershed, whichever is better.
    """
    return Claim(
        section=SECTION,
        claim="Objects of one class that touch are told apart where even a label map without a mistake cannot.",
        effect="{:+.1f} points of recall at IoU 0.5 of objects that touch one of their class: {:.1f} of the cascade, "
        "{:.1f} of connected parts of the true label map, {:.1f} of these split by watershed",
        measure=_touching_objects_come_apart,
        holds=SIGNIFICANT,
        partly=GAIN,
        long=True,
    )


def _touching_objects_come_apart(seed: int) -> tuple[float, ...]:
    test = scenes(seed)
    near = [touching_own_class(truth) for truth in test.truth]
    parts, divided = (
        [objects_of_label_map(sample, divide) for sample in test.samples] for divide in (False, True)
    )  # fmt: skip
    ours, connected, split = (recall(test.truth, one, near) for one in (found(seed), parts, divided))
    return ours - max(connected, split), ours, connected, split


@claim("results_hold_under_occlusion")
def results_hold_under_occlusion() -> Claim:
    """Compare a cascade's recall of objects that are partly hidden with that of objects in full view."""
    return Claim(
        section=SECTION,
        claim="Objects of which a quarter to three quarters is visible are found nearly as well as those in full view.",
        effect="{:.2f} of the recall at IoU 0.5 remains: {:.1f} % of partly hidden objects, {:.1f} % of those in view",
        measure=_results_hold_under_occlusion,
        holds=REMAINS,
        partly=REMAINS_PARTLY,
        long=True,
    )


def _results_hold_under_occlusion(seed: int) -> tuple[float, ...]:
    test, detections = scenes(seed), found(seed)
    partly = [(share >= HIDDEN[0]) & (share < HIDDEN[1]) for share in test.visible]
    hidden = recall(test.truth, detections, partly)
    seen = recall(test.truth, detections, [share >= IN_VIEW for share in test.visible])
    return hidden / max(seen, 1e-9), hidden, seen


# What they share


@dataclass(frozen=True)
class Scenes:
    """Test scenes: samples with 'image', 'truth' and 'layers', the true objects, and the visible share of each."""

    samples: Sequence[dict[str, Any]]
    truth: Sequence[Instances]
    visible: Sequence[np.ndarray]


@cached
def scenes(seed: int, count: int = SCENES) -> Scenes:
    """Draw test scenes of a seed; cached for the process."""
    source = Pasture(**small_pasture(seed, test=count)).open("test", "instances")
    samples = [source[index] for index in range(len(source))]
    made = [{**sample, "truth": truth_of(sample)} for sample in samples]
    shares = [source.visible_shares(index) for index in range(len(source))]
    return Scenes(made, [sample["truth"] for sample in made], shares)


def cascade(seed: int, **fields: Any) -> Predictor:
    """Train a cascade; cached for the process."""
    return train_on_pasture("mnc_pasture", seed, EPOCHS, **fields)


@cached
def found(seed: int, **fields: Any) -> list[Instances]:
    """Return what a trained cascade finds in the test scenes; cached for the process."""
    predictor, test = cascade(seed, **fields), scenes(seed)
    return [one.objects for one in predictor.answer(test.samples, predictor.family.make_options(None))]


def precision(seed: int, **fields: Any) -> float:
    """Return the mask AP of a trained cascade on the test scenes, in points."""
    metrics = InstanceMetrics(len(THINGS), whole=False)
    for truth, detections in zip(scenes(seed).truth, found(seed, **fields), strict=True):
        metrics.update(truth, detections)
    return 100 * float(metrics.compute().ap)


def recall(truth: Sequence[Instances], detections: Sequence[Instances], chosen: Sequence[np.ndarray]) -> float:
    """Return the share of the chosen true objects with a detection of their class at IoU 0.5, in points.

    Each detection stands for one object, whatever its score. chosen: which objects of each image, (N,) bool.
    """
    covered_ones, total = 0, 0
    for true, one, which in zip(truth, detections, chosen, strict=True):
        for label in np.unique(true.labels[which]):
            mine, real = one.select(one.labels == label), np.flatnonzero(true.labels == label)
            overlaps = mine.overlaps(true.select(real))
            taken = np.zeros(len(real), bool)
            for row in overlaps:  # the best first
                free = np.where(taken, -1.0, row)
                if free.max(initial=-1.0) >= 0.5:
                    taken[int(free.argmax())] = True
            covered_ones += int(taken[which[real]].sum())
        total += int(which.sum())
    return 100 * covered_ones / max(total, 1)


def touching_own_class(truth: Instances) -> np.ndarray:
    """Return which objects lie within 1 pixel of another one of their class, (N,) bool."""
    near = np.zeros(len(truth), bool)
    for label in np.unique(truth.labels):
        own = np.flatnonzero(truth.labels == label)
        near[own] = touching(truth.select(own))
    return near


def objects_of_label_map(sample: dict[str, Any], divide: bool) -> Instances:
    """Return the objects that the true label map of a sample gives, labelled as its objects are."""
    numbers = sample["layers"].as_subclass(Tensor).numpy()[0]
    values = np.concatenate([[0], sample["labels"].numpy() + 1])  # 0 is the background
    labels = values[numbers].astype(np.uint8)
    return objects_in(SemanticPrediction(labels, ClassTable(("background", *THINGS))), divide=divide).objects


def learned_boxes(model: Any, image: Tensor) -> Tensor:
    """Return the proposals (R, 4) of a cascade for an image (1, C, H, W), from the pixels on."""
    with torch.inference_mode():
        out = model.proposals(model.features(image))
        boxes: Tensor = model.proposals.propose(
            out.scores[0], out.deltas[0], out.anchors, (image.shape[-2], image.shape[-1])
        )
    return boxes


def covered(boxes: Tensor, truth: Tensor) -> int:
    """Return the number of true boxes (N, 4) that some box (R, 4) overlaps by half."""
    return int((box_iou(boxes.float(), truth.float()).amax(0) >= 0.5).sum()) if len(boxes) else 0


def timed(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Return the median seconds of five runs after one, and what they return."""
    result, seconds = run(), []
    for _ in range(5):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), result
