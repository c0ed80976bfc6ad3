"""Steps of every optimiser by hand, with momentum and weight decay of the recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from foveate.engine.optim import make_optimizer
from foveate.engine.recipe import Optim

GRADIENTS = (0.3, -1.0, 0.02, 1e-3)
LR, MOMENTUM, DECAY = 0.1, 0.5, 0.2


def adamw() -> Iterator[float]:
    """Loshchilov and Hutter (2019), algorithm 2; beta2 0.999, epsilon 1e-8."""
    w, m, v = 2.0, 0.0, 0.0
    for step, g in enumerate(GRADIENTS, 1):
        m, v = MOMENTUM * m + (1 - MOMENTUM) * g, 0.999 * v + 0.001 * g**2
        w -= LR * DECAY * w
        w -= LR * m / (1 - MOMENTUM**step) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
        yield w


def sgd() -> Iterator[float]:
    w, d = 2.0, None
    for g in GRADIENTS:
        g += DECAY * w
        d = g if d is None else MOMENTUM * d + g
        w -= LR * d
        yield w


def adadelta() -> Iterator[float]:
    """Zeiler (2012), algorithm 1; rho 0.95, epsilon 1e-6."""
    w, v, x = 2.0, 0.0, 0.0
    for g in GRADIENTS:
        g += DECAY * w
        v = 0.95 * v + 0.05 * g**2
        step = math.sqrt(x + 1e-6) / math.sqrt(v + 1e-6) * g
        x = 0.95 * x + 0.05 * step**2
        w -= LR * step
        yield w


def rmsprop() -> Iterator[float]:
    """Graves (2013), equations 38 to 41."""
    w, n, m, d = 2.0, 0.0, 0.0, 0.0
    for g in GRADIENTS:
        g += DECAY * w
        n, m = 0.95 * n + 0.05 * g**2, 0.95 * m + 0.05 * g
        d = MOMENTUM * d - LR * g / math.sqrt(n - m**2 + 1e-4)
        w += d
        yield w


@pytest.mark.parametrize("steps", [adamw, sgd, adadelta, rmsprop])
def test_steps_by_hand_beside_a_weight_without_a_gradient(steps: Callable[[], Iterator[float]]) -> None:
    holder: Any = nn.Module()
    holder.idle, holder.weight = (nn.Parameter(torch.full((1, 1), 2.0, dtype=torch.float64)) for _ in range(2))
    name: Any = steps.__name__
    optimizer = make_optimizer(holder, Optim(name=name, lr=LR, momentum=MOMENTUM, weight_decay=DECAY))
    for gradient, expected in zip(GRADIENTS, steps(), strict=True):
        holder.weight.grad = torch.full((1, 1), gradient, dtype=torch.float64)
        optimizer.step()
        assert holder.weight.item() == pytest.approx(expected, rel=1e-9)
    assert holder.idle.item() == 2.0
