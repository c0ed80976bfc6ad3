"""Linear classifiers that are fitted at once instead of trained step by step: support vector machine, logistic one.

Shapes: n examples of d features, m independent problems.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, counted

TOLERANCE = 1e-3  # of the dual's largest violated condition, where fitting stops
EPOCHS = 1000  # at most
STEPS = 200  # of L-BFGS, at most


def linear_svm(
    features: np.ndarray,
    positive: np.ndarray,
    cost: float,
    *,
    intercept: float = 1.0,
    positive_weight: float = 1.0,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """Return weights (d,) and bias of the linear support vector machine with the hinge loss.

    min over w, b:  (|w|^2 + b^2) / 2 + sum_i C_i max(0, 1 - y_i (w x_i + b B))

    features: x, (n, d). positive: (n,) bool, y = 1 where true and -1 elsewhere. cost: C; C_i is `positive_weight` times
    as much for positive examples. intercept: B, the constant feature of the bias, which is regularised like a weight.
    The returned bias is b B. seed: of the order in which examples are visited.

    Dual coordinate descent: Hsieh, Chang, Lin, Keerthi and Sundararajan, "A Dual Coordinate Descent Method for
    Large-scale Linear SVM" (2008), algorithm 3, which leaves out examples whose multiplier stays at a bound. Raises
    ConfigError without an example of each kind.
    """
    if features.ndim != 2 or len(features) != len(positive) or positive.all() or not positive.any():
        raise ConfigError(
            f"{int(positive.sum())} positive of {counted(len(positive), 'example')} with features of shape "
            f"{features.shape}; give "
            "(n, d) features and at least one example of each kind"
        )
    sign = np.where(positive, 1.0, -1.0)
    x = np.concatenate([features, np.full((len(features), 1), intercept)], 1).astype(np.float64) * sign[:, None]  # y x
    bound = np.where(positive, positive_weight * cost, cost).tolist()
    curvature = (x**2).sum(1).tolist()
    multiplier = [0.0] * len(x)
    weight = np.zeros(x.shape[1])
    generator = np.random.default_rng(seed)
    active = np.arange(len(x))
    highest, lowest = np.inf, -np.inf  # violations of the last pass, beyond which an example is left out
    for _ in range(EPOCHS):
        most, least = -np.inf, np.inf
        kept = []
        for i in generator.permutation(active).tolist():
            gradient = float(x[i] @ weight) - 1.0
            before = multiplier[i]
            if (before == 0.0 and gradient > highest) or (before == bound[i] and gradient < lowest):
                continue
            kept.append(i)
            at_bound = (before == 0.0 and gradient > 0.0) or (before == bound[i] and gradient < 0.0)
            violation = 0.0 if at_bound else gradient
            most, least = max(most, violation), min(least, violation)
            if violation:
                after = min(max(before - gradient / curvature[i], 0.0), bound[i])
                multiplier[i] = after
                weight += (after - before) * x[i]
        if most - least <= TOLERANCE:
            if len(kept) == len(x):
                break
            active, highest, lowest = np.arange(len(x)), np.inf, -np.inf  # all examples once more
            continue
        active = np.array(kept)
        highest, lowest = (most if most > 0 else np.inf), (least if least < 0 else -np.inf)
    return weight[:-1], float(weight[-1] * intercept)


def logistic(features: Tensor, targets: Tensor, cost: float) -> Tensor:
    """Return weights (d, m) of m logistic classifiers on the same features.

    min over W:  |W|^2 / 2 + C sum_ij log(1 + exp(-y_ij x_i w_j)),  y = 1 where the target is 1, and -1 where it is 0

    features: x, (n, d), with a column of ones where a bias is wanted; it is regularised like any weight.
    targets: (n, m), 0 or 1. cost: C. By L-BFGS in float64, from 0.
    """
    x, y = features.double(), targets.double()
    weight = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64, device=x.device)
    optimizer = torch.optim.LBFGS([weight], max_iter=STEPS, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> float:
        scores = x @ weight
        # The gradient of the log loss is the probability less the target.
        weight.grad = weight + cost * (x.T @ (scores.sigmoid() - y))
        losses = torch.nn.functional.softplus(scores) - scores * y
        return float(weight.square().sum() / 2 + cost * losses.sum())

    with torch.no_grad():
        optimizer.step(closure)
    return weight
