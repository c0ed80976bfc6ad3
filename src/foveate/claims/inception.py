"""Inception-v4 beside Inception-ResNet: how fast they learn, and where they end.

Shapes: images (N, 3, S, S) uint8; labels (N,), K classes.

The questions of the pasture (`Pasture.question`) are too hard for such short trainings: Inception-v4 learned nothing of
them that held for other scenes. So the images are the pasture's objects, each cut out by itself, and the classes what
they are: as on ImageNet, one thing in the middle. Learning rates do not fall and weights are averaged, so that a curve
says at each point how far its network has come.
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

import foveate
from foveate.claims import Claim
from foveate.claims.fitting import fit
from foveate.datasets.pasture import Pasture
from foveate.registry import claim
from foveate.transforms import MARGIN, MIN_CROP

SECTION = "Inception-v4"
# As their recipes have them. The paper's variant has Inception-v4's stem, and so many modules cost about the same: 25.2
# and 23.5 million multiply-adds, 1.24 and 1.26 million weights.
NETWORKS: dict[str, dict[str, Any]] = {
    "inception_v4": {"modules": (2, 3, 1)},
    "inception_resnet_v2": {"modules": (3, 5, 3), "variant": "paper"},
}
SIDE, SCENE, TRAIN, TEST = 64, 128, 400, 200  # pixels of an image and of a scene; scenes
VISIBLE = 16  # pixels of a scene; an object with fewer is not shown
STEPS, BATCH, RATE, DECAY = 300, 32, 1e-3, 0.98
EVERY, LOOKED_AT = 20, 500  # steps between two points of a curve, and how many images it takes; its end takes all
FASTER, HARDLY = 1.25, 1.05
# Two networks that are equally good differ by one or two points on a thousand images of which they miss a third.
ROOM, WIDER = 3.0, 6.0


@claim("residual_inception_converges_faster")
def residual_inception_converges_faster() -> Claim:
    """Slim Inception-v4 and Inception-ResNet on the same images in the same order, for as many steps.

    How long a curve takes is averaged over all levels between knowing nothing and the end of the worse of the two.
    """
    return Claim(
        section=SECTION,
        claim="Inception-ResNet converges faster than Inception-v4.",
        effect="{:.2f} times as many steps for Inception-v4 ({:.0f}) as for Inception-ResNet ({:.0f}), on average over "
        "all errors from {:.0f} %, of the commonest answer, down to {:.0f} %, the end of the worse one",
        measure=_residual_inception_converges_faster,
        holds=FASTER,
        partly=HARDLY,
        long=True,
    )


def _residual_inception_converges_faster(seed: int) -> tuple[float, ...]:
    plain, residual = (curve(name, seed) for name in NETWORKS)
    floor = max(plain[-1], residual[-1])
    one, other = steps_taken(plain, floor), steps_taken(residual, floor)
    return one / other, one, other, plain[0], floor


@claim("residual_inception_ends_equal")
def residual_inception_ends_equal() -> Claim:
    """The same two networks after the last step; the difference counts against the claim, whoever is ahead.

    That is after four passes over the images; the lecture's chart ends after 160.
    """
    return Claim(
        section=SECTION,
        claim="Inception-v4 and Inception-ResNet perform about the same.",
        effect="{:.1f} points for the gap in error: {:.1f} % for Inception-v4, {:.1f} % for Inception-ResNet",
        measure=_residual_inception_ends_equal,
        holds=-ROOM,
        partly=-WIDER,
        long=True,
    )


def _residual_inception_ends_equal(seed: int) -> tuple[float, float, float]:
    plain, residual = (curve(name, seed)[-1] for name in NETWORKS)
    return -abs(plain - residual), plain, residual


def steps_taken(errors: Sequence[float], floor: float) -> float:
    """When a curve falls to a level, on average over all levels from its first value down to `floor`, in steps.

    For a curve that only falls, that is the area between it and the floor, as a share of the first value's height. Not
    a number where the floor is no lower than the first value: then nothing was learned.
    """
    if floor >= errors[0]:
        return math.nan
    heights = [max(error - floor, 0.0) / (errors[0] - floor) for error in errors]
    return sum(EVERY * (one + other) / 2 for one, other in pairwise(heights))


@cache
def curve(name: str, seed: int) -> tuple[float, ...]:
    """A network's error in percent every EVERY steps; at first, that of always giving the commonest answer."""
    images, labels = objects(seed, "train")
    others, truth = objects(seed, "test")
    torch.manual_seed(seed)
    model: nn.Module = foveate.create(
        name, num_classes=int(truth.max()) + 1, width=0.25, valid=False, norm_momentum=0.1, image_size=(SIDE, SIDE),
        **NETWORKS[name],
    ).to(memory_format=torch.channels_last)  # fmt: skip
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    coins = torch.Generator().manual_seed(seed)  # the global one has been used up by as many numbers as weights

    def prepared(pictures: Tensor) -> Tensor:
        x: Tensor = model.preprocessing(pictures)  # type: ignore[operator]
        return x.contiguous(memory_format=torch.channels_last)

    def loss(batch: Tensor) -> Tensor:
        mirrored = torch.rand(len(batch), 1, 1, 1, generator=coins) < 0.5
        pictures = torch.where(mirrored, images[batch].flip(-1), images[batch])
        found: dict[str, Tensor] = model.loss({"image": prepared(pictures), "label": labels[batch]})  # type: ignore[operator]
        return found["loss"]

    def error(count: int) -> float:
        with torch.inference_mode():
            answers = [averaged(prepared(some)).logits.argmax(1) for some in others[:count].split(100)]
        return 100 * float((torch.cat(answers) != truth[:count]).float().mean())

    errors = [100 * (1 - float(truth.bincount().max()) / len(truth))]
    for step in fit(model, loss, len(images), STEPS, seed=seed, batch=BATCH, constant=RATE):
        _follow(averaged, model, min(DECAY, (1 + step) / (10 + step)))
        if step % EVERY == 0:
            errors.append(error(len(others) if step == STEPS else LOOKED_AT))
    return tuple(errors)


def _follow(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """a <- decay a + (1 - decay) w, of weights and statistics alike."""
    for mine, theirs in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs, 1 - decay)
        else:
            mine.copy_(theirs)


@cache
def objects(seed: int, split: str) -> tuple[Tensor, Tensor]:
    """The objects of the pasture's scenes, each in a square of its own, in random order; and what each is."""
    scenes = Pasture(height=SCENE, width=SCENE, train=TRAIN, test=TEST, seed=seed).open(split)
    pictures, labels = [], []
    for i in range(len(scenes)):
        scene = scenes.instances(i)
        image = scene["image"].as_subclass(Tensor)
        visible = scene["masks"].flatten(1).sum(1) >= VISIBLE
        for (left, top, right, bottom), label in zip(
            scene["boxes"][visible].tolist(), scene["labels"][visible].tolist(), strict=True
        ):
            side = max(MIN_CROP, round(MARGIN * max(right - left, bottom - top)))
            corner = round((top + bottom - side) / 2), round((left + right - side) / 2)
            pictures.append(TF.resized_crop(image, *corner, side, side, [SIDE, SIDE], antialias=True))
            labels.append(label)
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.stack(pictures)[shuffled], torch.tensor(labels).unique(return_inverse=True)[1][shuffled]
