"""Max pooling with switches, and the unpooling that puts values back at the positions of the maxima.

Shapes: x (B, C, H, W); k the side of the pooling window, which is also its stride; h = H // k, w = W // k.

Source: Zeiler and Fergus (2014), section 2.1, "switches"; Noh, Hong and Han, "Learning Deconvolution Network for
Semantic Segmentation" (2015), section 3.2.1 and figure 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError


def pool(x: Tensor, k: int = 2) -> tuple[Tensor, Tensor]:
    """Return the maxima (B, C, h, w) and their switches, int64: the position of each in the flattened H x W plane.

    Rows and columns that fill no window are dropped. Raises ConfigError if not one window fits, or k is below 1.
    """
    if k < 1:
        raise ConfigError(f"a pooling window of {k}x{k} is empty; give k of 1 or more")
    if min(x.shape[-2:]) < k:
        raise ConfigError(f"a window of {k}x{k} does not fit into a map of shape {tuple(x.shape)}; give larger images")
    return F.max_pool2d(x, k, return_indices=True)


def unpool(x: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Unpool (B, C, h, w) by the switches of a pooling -> (B, C, H, W): each value at its switch, zeros elsewhere.

    size: (H, W) before pooling.

    Pooling inverts it: pool(unpool(pool(x))) = pool(x) for x >= 0. Raises ConfigError if the shapes of x and switches
    differ, or size is smaller than x.
    """
    if x.shape != switches.shape:
        raise ConfigError(
            f"values of shape {tuple(x.shape)} and switches of {tuple(switches.shape)}; give both from the same pooling"
        )
    if size[0] < x.shape[-2] or size[1] < x.shape[-1]:
        raise ConfigError(
            f"values of shape {tuple(x.shape)} were not pooled from {size[0]}x{size[1]}; give the size before pooling"
        )
    plane = torch.zeros(*x.shape[:2], size[0] * size[1], dtype=x.dtype, device=x.device)
    return plane.scatter(2, switches.flatten(2), x.flatten(2)).unflatten(2, size)


def unpool_fixed(x: Tensor, size: tuple[int, int], k: int = 2) -> Tensor:
    """Unpool without switches, each value to the upper left corner of its window: the baseline for switches."""
    grid = torch.arange(size[0] * size[1], device=x.device).unflatten(0, size)
    corners = grid[: k * x.shape[-2] : k, : k * x.shape[-1] : k]
    return unpool(x, corners.expand(x.shape), size)
