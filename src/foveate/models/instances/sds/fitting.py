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

NORM = 20.0  # mean length of the features that the SVMs are fitted on
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


def fit_svms(examples: Sequence[Example], num_classes: int) -> tuple[Tensor, Tensor]:
    """Return weights (K, D) and biases (K,) of a linear support vector machine a class, on features as they are.

    A class without objects, or without negatives, gets weights of 0 and a bias of -1, the score of a sure negative.
    """
    pool = np.concatenate([e.features.numpy() for e in examples] + [e.true_features.numpy() for e in examples])
    proposals = sum(len(e.features) for e in examples)
    length = float(np.linalg.norm(pool[:proposals], axis=1).mean())
    scale = NORM / length if length > 0 else 1.0
    pool *= scale
    weights, biases = zip(*(_fit_svm(examples, pool, label) for label in range(num_classes)), strict=True)
    return torch.from_numpy(np.stack(weights) * scale).float(), torch.tensor(biases)


def _fit_svm(examples: Sequence[Example], pool: np.ndarray, label: int) -> tuple[np.ndarray, float]:
    """Weights (D,) and bias for one class.

    pool: (n, D), the scaled features of all proposals, image by image, then those of all true objects.
    """
    true = torch.cat([e.labels for e in examples]).numpy() == label
    far, near = [], []  # negatives among the proposals; for each object, the proposals that could take its place
    start = 0
    for e in examples:
        mine = e.overlaps[:, e.labels == label]
        far.append((mine.amax(1) < NEGATIVE).numpy() if mine.shape[1] else np.ones(len(mine), bool))
        near += [start + np.flatnonzero(column > LATENT) for column in mine.T.numpy()]
        start += len(mine)
    negative = np.concatenate([*far, ~true])  # objects of other classes are negatives, too
    positive = start + np.flatnonzero(true)
    if not len(positive) or not negative.any():
        return np.zeros(pool.shape[1]), -1.0
    # First the true regions are the positive examples, then of the proposals around each the one with the best score.
    weight, bias = _mine(pool, positive, negative)
    latent = [rows[(pool[rows] @ weight).argmax()] for rows in near if len(rows)]
    return _mine(pool, np.array(latent), negative) if latent else (weight, bias)


def _mine(pool: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (D,) and bias of an SVM that is fitted on positives and mined hard negatives, in several rounds.

    positive: indices of rows of the pool (n, D). negative: (n,) bool.
    """
    candidates = np.flatnonzero(negative)
    working = np.zeros(len(pool), bool)
    working[np.random.default_rng(0).permutation(candidates)[:FIRST_NEGATIVES]] = True
    weight, bias = np.zeros(pool.shape[1]), 0.0
    for _ in range(ROUNDS):
        features = np.concatenate([pool[positive], pool[working]])
        good = np.arange(len(features)) < len(positive)
        weight, bias = linear_svm(features, good, COST, intercept=INTERCEPT, positive_weight=POSITIVE_WEIGHT)
        scores = pool @ weight.astype(pool.dtype) + bias
        hard = negative & ~working & (scores > HARD)
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
        targets = torch.cat(y)
        if targets.any() and not targets.all():  # examples of one kind alone would take every superpixel, or none
            leaves[label] = logistic(torch.cat(x), targets[:, None], LEAF_COST)[:, 0].float()
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

    A leaf that neither the box touches nor the region holds stays out.

    features: (D,). grid: (GRID, GRID) bool. box: (4,), widened. cells: (D + 101, 100). leaves: (3,).
    """
    coarse = (cell_features(features[None], grid[None]) @ cells).sigmoid().unflatten(1, (GRID, GRID))[0]
    values, inside, _ = leaf_values(regions, index, coarse, box)
    chosen = (leaf_features(values, inside) @ leaves.to(values.dtype) >= 0) & ((values > 0) | inside)
    members = chosen[regions.leaves[regions.origin[index]]]
    return members if members.any() else regions.members[index]
