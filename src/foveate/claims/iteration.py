"""Iterative refinement: the benefit of further iterations of a recurrent CNN.

Shapes: an image (1, C, H, W); step p predicts at stride 2^p, and its logits are interpolated to (1, K, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from skimage import measure
from torch import Tensor
from torch.nn import functional as F

from foveate.claims import GAIN, HINT, NEW_SEEDS, Claim
from foveate.claims.trained import Trained, trained
from foveate.ops.receptive_field import field_side, receptive_field
from foveate.registry import claim

SECTION = "Iterative Refinement"
EPOCHS = 8
SPECK = 16  # largest size in pixels; the smallest objects of these scenes are about three pixels wide


def recurrent(seed: int) -> Trained:
    """Train the network of these claims: three iterations, on the synthetic Pasture data set."""
    return trained("recurrent_cnn_pasture", seed, EPOCHS, batch_size=4)


@claim("iterating_removes_noise")
def iterating_removes_noise() -> Claim:
    """Compare the wrong specks after the last iteration with those after the first one on the same coarse grid.

    The last iteration predicts on a grid four times as coarse as the first, which alone reduces the number of specks.
    The first iteration's probabilities are therefore averaged over the cells of the last one's grid.
    """
    return Claim(
        section=SECTION,
        claim="After one iteration there is quite some noise; two or three clean up a lot of it.",
        effect="{:.2f} times fewer wrong specks a picture after three iterations ({:.2f}) than after one on the same "
        "coarse grid ({:.2f}); {:.2f} after one as it is",
        measure=_iterating_removes_noise,
        holds=2.0,  # "a lot": more than half
        partly=1.1,
        seeds=NEW_SEEDS,
        long=True,
    )


def _iterating_removes_noise(seed: int) -> tuple[float, ...]:
    network = recurrent(seed)
    first, coarse, last = 0.0, 0.0, 0.0
    for scene in network.scenes:
        truth = network.task.truth(scene)
        specks = [wrong_specks(labels, truth) for labels in _labels(network, network.input(scene))]
        first, coarse, last = first + specks[0], coarse + specks[1], last + specks[2]
    count = len(network.scenes)
    fewer = max(coarse, 1.0) / max(last, 1.0)  # zero counts as one, so that the ratio is defined
    return fewer, last / count, coarse / count, first / count


def wrong_specks(labels: np.ndarray, truth: np.ndarray) -> int:
    """Count the connected regions of one label, of at most SPECK pixels, most of which are wrong.

    labels, truth: (H, W).
    """
    regions = measure.label(labels, background=-1, connectivity=1) - 1
    sizes = np.bincount(regions.ravel())
    wrong = np.bincount(regions.ravel(), weights=(labels != truth).ravel())
    return int(((sizes <= SPECK) & (2 * wrong > sizes)).sum())


def _labels(network: Trained, image: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict labels (H, W) after the first iteration, after it on the last one's grid, and after the last."""
    with torch.inference_mode():
        steps: Sequence[Tensor] = network.model(image).steps
    cell = 2 ** len(steps)
    probabilities = F.avg_pool2d(steps[0].softmax(1), cell, ceil_mode=True)
    coarse = F.interpolate(probabilities, steps[0].shape[-2:], mode="bilinear", align_corners=False)
    first, blurred, last = (x[0].argmax(0).numpy() for x in (steps[0], coarse, steps[-1]))
    return first, blurred, last


@claim("iterating_improves_labels")
def iterating_improves_labels() -> Claim:
    """Compare mean IoU after the last iteration with that after the first, unchanged or on the last one's grid.

    The better of the two is taken.
    """
    return Claim(
        section=SECTION,
        claim="The results after two or three iterations are nicer than after one.",
        effect="{:+.1f} points of mean IoU after three iterations ({:.1f}), against the better of one as it is "
        "({:.1f}) and one on the same coarse grid ({:.1f})",
        measure=_iterating_improves_labels,
        holds=GAIN,
        partly=HINT,
        seeds=NEW_SEEDS,
        long=True,
    )


def _iterating_improves_labels(seed: int) -> tuple[float, ...]:
    network = recurrent(seed)
    metrics = [network.task.metrics(network.scenes, whole=False) for _ in range(3)]
    for scene in network.scenes:
        truth = network.task.truth(scene)
        for metric, labels in zip(metrics, _labels(network, network.input(scene)), strict=True):
            metric.update(labels, truth)
    first, coarse, last = (100 * metric.compute().mean_iou for metric in metrics)
    return last - max(first, coarse), last, first, coarse


@claim("iterating_widens_the_view")
def iterating_widens_the_view() -> Claim:
    """Measure the effective receptive field of the central pixel after each iteration, over test scenes."""
    return Claim(
        section=SECTION,
        claim="Iterating increases the effective receptive field of the output.",
        effect="the effective field is {:.2f} times as wide after three iterations as after one: {:.0f}, {:.0f} and "
        "{:.0f} px after one, two and three",
        measure=_iterating_widens_the_view,
        holds=1.5,
        partly=1.1,
        seeds=NEW_SEEDS,
        long=True,
    )


def _iterating_widens_the_view(seed: int) -> tuple[float, ...]:
    sides = [field_side(field) for field in fields(recurrent(seed))]
    return sides[-1] / sides[0], *sides


def fields(network: Trained, scenes: int = 20) -> list[Tensor]:
    """Return the receptive field (H, W) of the central pixel after each iteration, averaged over some test scenes."""
    images = [network.input(scene) for scene in network.scenes[:scenes]]
    with torch.inference_mode():
        count = len(network.model(images[0]).steps)
    return [
        torch.stack([receptive_field(lambda x, p=p: network.model(x).steps[p], x) for x in images]).mean(0)  # type: ignore[misc]
        for p in range(count)
    ]
