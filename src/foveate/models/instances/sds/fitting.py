"""The last steps of SDS, which no gradient trains: a support vector machine a class, and the refinement of outlines.

Shapes: of each image R proposals with D features, G true objects; K classes; a grid of GRID x GRID cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foveate.ops.linear import linear_svm, logistic
from foveate.ops.regions import RegionSet
from foveate.ops.roi import paste_masks

NORM = 20.0  # mean length of the features that the machines are fitted on
COST, INTERCEPT, POSITIVE_WEIGHT = 1e-3, 10.0, 2.0
NEGATIVE = 0.2  # proposals that overlap every object of the class by less are its negatives
LATENT = 0.5  # the best proposal that overlaps an object by more replaces it as an example
HARD, EASY = -1.0001, -1.2  # scores above which a negative enters the working set, and under which it leaves it
FIRST_NEGATIVES, ROUNDS = 2000, 10
GRID = 10
GOOD = 0.7  # overlap from which a proposal is an example of the refinement
CELL_COST, LEAF_COST = 0.01, 1.0
LEAF_SHARE = 100 / (500 * 375)  # of the image: superpixels above it are examples of the second classifier
LEAF_COARSE = 0.2  # if their coarse value is above this, or they lie in the region


@dataclass(frozen=True)
class Example:
    """Features, overlaps and cells of one image.

    regions: R proposals. features: (R, D). overlaps: (R, G) IoU of proposals and true objects.
    true_features: (G, D). labels: (G,) classes. shares: (G, N) pixels of each atom that an object covers.
    good: (Q,) the proposals that overlap an object by GOOD or more. owner: (Q,) that object. boxes: (Q, 4), widened.
    grid, target: (Q, GRID, GRID) bool, the cells that the proposal covers, and those that the object does.
    """

    regions: RegionSet
    features: Tensor
    overlaps: Tensor
    true_features: Tensor
    labels: Tensor
    good: Tensor
    owner: Tensor
    boxes: Tensor
    grid: Tensor
    target: Tensor
    shares: Tensor


# Support vector machines


def fit_machines(examples: Sequence[Example], num_classes: int) -> tuple[Tensor, Tensor]:
    """Return weights (K, D) and biases (K,) of a linear support vector machine a class, on features as they are.

    A class without objects gets weights of 0 and a bias of -1, the score of a sure negative.
    """
    features = np.concatenate([e.features.numpy() for e in examples])
    length = np.linalg.norm(features, axis=1).mean()
    scale = NORM / length if length > 0 else 1.0
    weights, biases = [], []
    for label in range(num_classes):
        weight, bias = _fit_machine(examples, label, scale)
        weights.append(torch.from_numpy(weight * scale))
        biases.append(bias)
    return torch.stack(weights).float(), torch.tensor(biases)


def _fit_machine(examples: Sequence[Example], label: int, scale: float) -> tuple[np.ndarray, float]:
    """Weights (D,) and bias for one class, on features times `scale`."""
    positives, others, negatives = [], [], []
    for e in examples:
        mine = e.labels == label
        positives.append(e.true_features[mine])
        others.append(e.true_features[~mine])  # objects of other classes are negatives
        best = e.overlaps[:, mine].amax(1) if mine.any() else torch.zeros(len(e.features))
        negatives.append(e.features[best < NEGATIVE])
    good = torch.cat(positives).numpy() * scale
    bad = torch.cat([*others, *negatives]).numpy() * scale
    if not len(good) or not len(bad):
        return np.zeros(examples[0].features.shape[1]), -1.0
    # First the true regions are the positive examples, then what the machine likes best of the proposals around them.
    weight, bias = _mine(good, bad)
    latent = []
    for e in examples:
        scores = e.features.numpy() @ weight * scale
        for object_ in (e.labels == label).nonzero()[:, 0].tolist():
            near = (e.overlaps[:, object_] > LATENT).nonzero()[:, 0].numpy()
            if len(near):
                latent.append(e.features[near[scores[near].argmax()]].numpy() * scale)
    return _mine(np.stack(latent), bad) if latent else (weight, bias)


def _mine(good: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, float]:
    """A machine on all positives and the negatives that are hard for it: collected, fitted, and sorted out again."""
    generator = np.random.default_rng(0)
    working = np.zeros(len(bad), bool)
    working[generator.permutation(len(bad))[:FIRST_NEGATIVES]] = True
    weight, bias = np.zeros(good.shape[1]), 0.0
    for _ in range(ROUNDS):
        features = np.concatenate([good, bad[working]])
        weight, bias = linear_svm(
            features, np.arange(len(features)) < len(good), COST, intercept=INTERCEPT, positive_weight=POSITIVE_WEIGHT
        )
        scores = bad @ weight + bias
        hard = ~working & (scores > HARD)
        if not hard.any():
            break
        working = (working & (scores >= EASY)) | hard
    return weight, bias


def threshold_for(scores: Tensor, count: int) -> float:
    """Return the score that `count` of the scores (n,) reach: half-way to the next; 0 if there are no more."""
    if len(scores) <= count:
        return 0.0
    ordered = scores.sort(descending=True).values
    return float(ordered[count - 1] + ordered[count]) / 2


# Refinement of outlines


def cell_features(features: Tensor, grid: Tensor) -> Tensor:
    """Return what the cells' classifiers read: features (R, D), the region's cells (R, GRID, GRID) and a one."""
    return torch.cat([features, grid.flatten(1).to(features.dtype), torch.ones_like(features[:, :1])], 1)


def fit_refinement(examples: Sequence[Example], num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the weights of the cells' classifiers (K, D + 101, 100) and of the superpixels' ones (K, 3).

    Those of a class without examples leave regions as they are.
    """
    width = examples[0].features.shape[1] + GRID**2 + 1
    cells, leaves = torch.zeros(num_classes, width, GRID**2), unrefined(num_classes)
    for label in range(num_classes):
        x, y = [], []
        for e in examples:
            mine = e.labels[e.owner] == label
            x.append(cell_features(e.features[e.good[mine]], e.grid[mine]))
            y.append(e.target[mine].flatten(1))
        if not sum(len(part) for part in x):
            continue
        cells[label] = logistic(torch.cat(x), torch.cat(y), CELL_COST).float()
        x, y = [], []
        for e in examples:
            for k in (e.labels[e.owner] == label).nonzero()[:, 0].tolist():
                index = int(e.good[k])
                row = cell_features(e.features[index][None], e.grid[k][None])
                coarse = (row @ cells[label]).sigmoid().unflatten(1, (GRID, GRID))
                values, inside, sizes = leaf_values(e.regions, index, coarse[0], e.boxes[k])
                used = (sizes > LEAF_SHARE * e.regions.atoms.numel()) & ((values > LEAF_COARSE) | inside)
                own = e.regions.leaves[e.regions.origin[index]]
                covered = sizes.new_zeros(len(sizes)).index_add_(0, own, e.shares[e.owner[k]])
                x.append(leaf_features(values, inside)[used])
                y.append((covered > sizes / 2)[used])
        if len(examples_of_leaves := torch.cat(x)):
            leaves[label] = logistic(examples_of_leaves, torch.cat(y)[:, None], LEAF_COST)[:, 0].float()
    return cells, leaves


def unrefined(num_classes: int) -> Tensor:
    """Return weights (K, 3) of superpixels' classifiers that take exactly those of the region."""
    return torch.tensor([0.0, 2.0, -1.0]).repeat(num_classes, 1)


def leaf_features(values: Tensor, inside: Tensor) -> Tensor:
    """Return what the superpixels' classifiers read, (L, 3): coarse value, whether it is the region's, and a one."""
    return torch.stack([values, inside.to(values.dtype), torch.ones_like(values)], 1)


def leaf_values(regions: RegionSet, index: int, coarse: Tensor, box: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each leaf of a region's own segmentation: mean coarse value, whether it is the region's, its pixels.

    coarse: (GRID, GRID) probabilities of the cells of `box` (4,); outside of the box the value is 0. All (L,).
    """
    leaves = regions.leaves[regions.origin[index]]
    count = int(leaves.max()) + 1
    sizes = regions.areas.new_zeros(count).index_add_(0, leaves, regions.areas)
    inside = torch.zeros(count, dtype=torch.bool)
    inside[leaves[regions.members[index]]] = True
    height, width = regions.size
    left, top = (max(0, int(v)) for v in box[:2].floor())
    right, bottom = min(width, int(box[2].ceil())), min(height, int(box[3].ceil()))
    pasted = paste_masks(coarse[None], box[None], (left, top, right, bottom))[0]
    sums = torch.bincount(
        leaves[regions.atoms[top:bottom, left:right]].flatten(), pasted.flatten().double(), minlength=count
    )
    return sums / sizes, inside, sizes


def refine_region(
    regions: RegionSet, index: int, features: Tensor, grid: Tensor, box: Tensor, cells: Tensor, leaves: Tensor
) -> Tensor:
    """Return the atoms (N,) bool of a refined region: whole leaves of its segmentation; the region itself for none.

    features: (D,). grid: (GRID, GRID) bool. box: (4,), widened. cells: (D + 101, 100). leaves: (3,).
    """
    coarse = (cell_features(features[None], grid[None]) @ cells).sigmoid().unflatten(1, (GRID, GRID))[0]
    values, inside, _ = leaf_values(regions, index, coarse, box)
    chosen = leaf_features(values, inside) @ leaves.to(values.dtype) >= 0
    members = chosen[regions.leaves[regions.origin[index]]]
    return members if members.any() else regions.members[index]
