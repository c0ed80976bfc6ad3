"""What networks cost: multiply-adds, weights, depth, and the time of one against another's."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, fx, nn
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


def depth(model: nn.Module) -> int:
    """How many layers deep a network is: the most convolutions and fully connected layers on any path through it.

    Counted are modules with weights of their own (nn.Conv2d, nn.Linear), the classifier and linear 1x1 convolutions
    among them; batch norms, activations, poolings, sums and concatenations are not. Shortcuts are shorter paths. The
    model is traced with torch.fx and never run.
    """
    graph = fx.Tracer().trace(model)
    layers = dict(model.named_modules())
    longest: dict[fx.Node, int] = {}
    for node in graph.nodes:  # in the order of computation
        before = max((longest[source] for source in node.all_input_nodes), default=0)
        counted = node.op == "call_module" and isinstance(layers[node.target], (nn.Conv2d, nn.Linear))
        longest[node] = before + counted
    return max(longest.values())


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
