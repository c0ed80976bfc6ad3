"""Comparison of Inception-v4 and Inception-ResNet: speed of convergence and final error.

Shapes: images (N, 3, S, S) uint8; labels (N,), K classes.

The questions of `Pasture.question` are too hard for such short trainings: Inception-v4 learned nothing of them that
generalizes to other scenes. The images are therefore crops of single objects of the synthetic Pasture data set, and the
classes are their kinds: as on ImageNet, one object in the centre. The learning rate is constant and weights are
averaged, so that each point of a curve shows the network's progress.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF

from foveate.claims import Claim, cached
from foveate.claims.fitting import fit
from foveate.datasets.pasture import Pasture
from foveate.registry import claim, create_model
from foveate.transforms import MARGIN, MIN_CROP

SECTION = "Inception-v4"
# As in their recipes. The paper's variant has Inception-v4's stem. With these numbers of modules the two cost about the
# same: 25.2 and 23.5 million multiply-adds, 1.24 and 1.26 million weights.
NETWORKS: dict[str, dict[str, Any]] = {
    "inception_v4": {"modules": (2, 3, 1)},
    "inception_resnet_v2": {"modules": (3, 5, 3), "variant": "paper"},
}
SIDE, SCENE, TRAIN, TEST = 64, 128, 400, 200  # pixels of an image and of a scene; scenes
MIN_PIXELS = 16  # smallest number of visible pixels of an object
STEPS, BATCH, RATE, DECAY = 300, 32, 1e-3, 0.98
EVAL_EVERY, EVAL_IMAGES = 20, 500  # steps between two points of a curve, and images for each; the last point uses all
FASTER, SLIGHTLY_FASTER = 1.25, 1.05  # ratios of steps
# Gaps in points. Two equally good networks differ by one or two points on a thousand images of which they miss a third.
GAP, LARGER_GAP = 3.0, 6.0


@claim("residual_inception_converges_faster")
def residual_inception_converges_faster() -> Claim:
    """Train slim versions of Inception-v4 and Inception-ResNet on the same batches, for the same number of steps.

    The number of steps to reach an error is averaged over all errors between chance and the final error of the worse of
    the two.
    """
    return Claim(
        section=SECTION,
        claim="Inception-ResNet converges faster than Inception-v4.",
        effect="{:.2f} times as many steps for Inception-v4 ({:.0f}) as for Inception-ResNet ({:.0f}), on average over "
        "all errors from {:.0f} %, of the commonest answer, down to {:.0f} %, the end of the worse one",
        measure=_residual_inception_converges_faster,
        holds=FASTER,
        partly=SLIGHTLY_FASTER,
        long=True,
    )


def _residual_inception_converges_faster(seed: int) -> tuple[float, ...]:
    plain, residual = (curve(name, seed) for name in NETWORKS)
    floor = max(plain[-1], residual[-1])
    plain_steps, residual_steps = steps_taken(plain, floor), steps_taken(residual, floor)
    return plain_steps / residual_steps, plain_steps, residual_steps, plain[0], floor


@claim("residual_inception_ends_equal")
def residual_inception_ends_equal() -> Claim:
    """Compare the same two networks after the last step; a difference in either direction counts against the claim.

    That is after four epochs; the lecture's chart ends after 160.
    """
    return Claim(
        section=SECTION,
        claim="Inception-v4 and Inception-ResNet perform about the same.",
        effect="{:.1f} points for the gap in error: {:.1f} % for Inception-v4, {:.1f} % for Inception-ResNet",
        measure=_residual_inception_ends_equal,
        holds=-GAP,
        partly=-LARGER_GAP,
        long=True,
    )


def _residual_inception_ends_equal(seed: int) -> tuple[float, float, float]:
    plain, residual = (curve(name, seed)[-1] for name in NETWORKS)
    return -abs(plain - residual), plain, residual


def steps_taken(errors: Sequence[float], floor: float) -> float:
    """Return the number of steps to reach an error, averaged over all errors from the first one down to `floor`.

    For a decreasing curve, this is the area between the curve and the floor, divided by the first value's height above
    the floor. Returns nan if the floor is not below the first value: then nothing was learned.
    """
    if floor >= errors[0]:
        return math.nan
    heights = [max(error - floor, 0.0) / (errors[0] - floor) for error in errors]
    return sum(EVAL_EVERY * (left + right) / 2 for left, right in pairwise(heights))


@cached
def curve(name: str, seed: int) -> tuple[float, ...]:
    """Return a network's error in percent every EVAL_EVERY steps; the first is that of always predicting one class.

    That class is the most frequent one.
    """
    images, labels = objects(seed, "train")
    test_images, test_labels = objects(seed, "test")
    torch.manual_seed(seed)
    model: nn.Module = create_model(
        name, num_classes=int(test_labels.max()) + 1, width=0.25, valid=False, norm_momentum=0.1,
        image_size=(SIDE, SIDE), **NETWORKS[name],
    ).to(memory_format=torch.channels_last)  # fmt: skip
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    # The state of the global generator depends on the number of weights.
    generator = torch.Generator().manual_seed(seed)

    def prepared(batch: Tensor) -> Tensor:
        x: Tensor = model.preprocessing(batch)  # type: ignore[operator]
        return x.contiguous(memory_format=torch.channels_last)

    def loss(batch: Tensor) -> Tensor:
        mirrored = torch.rand(len(batch), 1, 1, 1, generator=generator) < 0.5
        augmented = torch.where(mirrored, images[batch].flip(-1), images[batch])
        losses: dict[str, Tensor] = model.loss({"image": prepared(augmented), "label": labels[batch]})  # type: ignore[operator]
        return losses["loss"]

    def error(count: int) -> float:
        with torch.inference_mode():
            predictions = [averaged(prepared(batch)).logits.argmax(1) for batch in test_images[:count].split(100)]
        return 100 * float((torch.cat(predictions) != test_labels[:count]).float().mean())

    errors = [100 * (1 - float(test_labels.bincount().max()) / len(test_labels))]
    for step in fit(model, loss, len(images), STEPS, seed=seed, batch=BATCH, constant=RATE):
        _update_average(averaged, model, min(DECAY, (1 + step) / (10 + step)))
        if step % EVAL_EVERY == 0:
            errors.append(error(len(test_images) if step == STEPS else EVAL_IMAGES))
    return tuple(errors)


def _update_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Update the moving average a <- decay a + (1 - decay) w of weights and batch statistics."""
    for average, value in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(value, 1 - decay)
        else:
            average.copy_(value)


@cache
def objects(seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Crop the objects of a split's scenes as squares, in random order; returns images and labels."""
    scenes = Pasture(height=SCENE, width=SCENE, train=TRAIN, test=TEST, seed=seed).open(split)
    images, labels = [], []
    for i in range(len(scenes)):
        scene = scenes.instances(i)
        image = scene["image"].as_subclass(Tensor)
        visible = scene["masks"].flatten(1).sum(1) >= MIN_PIXELS
        for (left, top, right, bottom), label in zip(
            scene["boxes"][visible].tolist(), scene["labels"][visible].tolist(), strict=True
        ):
            side = max(MIN_CROP, round(MARGIN * max(right - left, bottom - top)))
            corner = round((top + bottom - side) / 2), round((left + right - side) / 2)
            images.append(TF.resized_crop(image, *corner, side, side, [SIDE, SIDE], antialias=True))
            labels.append(label)
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.stack(images)[shuffled], torch.tensor(labels).unique(return_inverse=True)[1][shuffled]
