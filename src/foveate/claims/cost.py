"""Cost of networks: multiply-adds, number of weights, depth, and relative run time."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(network: Callable[[Tensor], object], image: Tensor) -> int:
    """Count the multiply-adds of the convolutions and matrix products of one forward pass.

    They are counted where torch dispatches them, also on the device "meta". Elementwise operations are not counted.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops() // 2  # torch counts the multiplication and the addition


def weights(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def depth(model: nn.Module) -> int:
    """Count the layers of a network: the largest number of convolutions and linear layers on any path through it.

    Modules of the types nn.Conv2d and nn.Linear are counted, including the classifier and linear 1x1 convolutions;
    batch norms, activations, poolings, sums and concatenations are not. Shortcuts are shorter paths. The model is
    traced with torch.fx and not run.
    """
    graph = fx.Tracer().trace(model)
    layers = dict(model.named_modules())
    longest: dict[fx.Node, int] = {}
    for node in graph.nodes:  # in the order of computation
        previous = max((longest[source] for source in node.all_input_nodes), default=0)
        counted = node.op == "call_module" and isinstance(layers[node.target], (nn.Conv2d, nn.Linear))
        longest[node] = previous + counted
    return max(longest.values())


def times_as_long(slow: Callable[[], object], fast: Callable[[], object], repeats: int = 15) -> float:
    """Return the median of the run time ratio slow / fast over some repeats.

    Each pair runs back to back, so that other load on the machine slows both.
    """
    slow(), fast()  # the first pass of a network also plans and allocates
    ratios = []
    for _ in range(repeats):
        started = time.perf_counter()
        slow()
        middle = time.perf_counter()
        fast()
        ratios.append((middle - started) / (time.perf_counter() - middle))
    return median(ratios)
