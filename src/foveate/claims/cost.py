"""What networks cost: multiply-adds, weights, and the time of one against another's."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(network: nn.Module, picture: Tensor) -> int:
    """How many multiply-adds the convolutions and matrix products of one pass take; on the device "meta", too.

    Counted where torch dispatches them, whatever the modules say of themselves. What is elementwise is not counted.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(picture)
    return counter.get_total_flops() // 2  # torch counts the multiplication and the addition


def weights(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in network.parameters())


def times_as_long(slow: Callable[[], object], fast: Callable[[], object], repeats: int = 15) -> float:
    """The median of some ratios; each pair runs back to back, so that a busy moment slows both."""
    slow(), fast()  # the first pass of a network also plans and allocates
    ratios = []
    for _ in range(repeats):
        started = time.perf_counter()
        slow()
        middle = time.perf_counter()
        fast()
        ratios.append((middle - started) / (time.perf_counter() - middle))
    return median(ratios)
