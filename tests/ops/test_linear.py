"""Linear classifiers against scikit-learn, and their optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from foveate.errors import ConfigError
from foveate.ops.linear import linear_svm, logistic


def examples(seed: int, count: int = 400, width: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Features of a mean length of 20, and noisy classes."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, width))
    features *= 20 / np.linalg.norm(features, axis=1).mean()
    return features, features @ random.normal(size=width) + 15 * random.normal(size=count) > 12


def objective(weight: np.ndarray, bias: float, features: np.ndarray, positive: np.ndarray) -> float:
    losses = np.maximum(0, 1 - np.where(positive, 1, -1) * (features @ weight + bias))
    return float((weight @ weight + (bias / 10) ** 2) / 2 + 1e-3 * (np.where(positive, 2, 1) * losses).sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_machine_reaches_the_objective_of_liblinear(seed: int) -> None:
    features, positive = examples(seed)
    weight, bias = linear_svm(features, positive, 1e-3, intercept=10, positive_weight=2)
    reference = LinearSVC(
        loss="hinge", C=1e-3, intercept_scaling=10, class_weight={1: 2}, dual=True, max_iter=100_000, tol=1e-5
    ).fit(features, positive.astype(int))
    theirs = objective(reference.coef_[0], float(reference.intercept_[0]), features, positive)
    assert objective(weight, bias, features, positive) == pytest.approx(theirs, rel=1e-3)
    assert np.abs(features @ weight + bias - reference.decision_function(features)).max() < 0.02


def test_two_points_have_the_machine_between_them() -> None:
    # Without a bias to pay for: w x = 1 and -1 at the points, so w = (0.5, 0); intercept 0 has no bias at all.
    weight, bias = linear_svm(np.array([[2.0, 0.0], [-2.0, 0.0]]), np.array([True, False]), 10.0, intercept=0.0)
    np.testing.assert_allclose(weight, [0.5, 0.0], atol=1e-3)
    assert bias == 0


def test_positive_examples_weigh_more() -> None:
    # Two examples at the same place that contradict each other: the heavier one wins.
    features = np.ones((2, 1))
    heavy, _ = linear_svm(features, np.array([True, False]), 0.1, intercept=0.0, positive_weight=2)
    light, _ = linear_svm(features, np.array([True, False]), 0.1, intercept=0.0, positive_weight=0.5)
    assert heavy[0] == pytest.approx(0.1, abs=1e-3) and light[0] == pytest.approx(-0.05, abs=1e-3)


@pytest.mark.parametrize("positive", [np.zeros(3, bool), np.ones(3, bool)])
def test_one_kind_of_examples_is_refused(positive: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="at least one example of each kind"):
        linear_svm(np.ones((3, 2)), positive, 1.0)


def test_logistic_classifiers_are_those_of_scikit_learn_each_alone() -> None:
    features, first = examples(3)
    _, second = examples(4)
    weights = logistic(torch.from_numpy(features), torch.from_numpy(np.stack([first, second], 1)), 0.01)
    for column, target in zip(weights.T, (first, second), strict=True):
        reference = LogisticRegression(C=0.01, fit_intercept=False, tol=1e-9).fit(features, target)
        np.testing.assert_allclose(column.numpy(), reference.coef_[0], atol=1e-4)
    assert torch.equal(
        logistic(torch.from_numpy(features), torch.from_numpy(first)[:, None], 0.01)[:, 0] > 0, weights[:, 0] > 0
    )


def test_the_gradient_of_the_logistic_objective_is_zero() -> None:
    features, positive = examples(5)
    x, y = torch.from_numpy(features), torch.from_numpy(positive)[:, None].double()
    weight = logistic(x, y, 0.5).requires_grad_()
    scores = x @ weight
    loss = weight.square().sum() / 2 + 0.5 * torch.nn.functional.binary_cross_entropy_with_logits(
        scores, y, reduction="sum"
    )
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.abs().max() < 1e-3
