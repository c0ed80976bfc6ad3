"""Masks of many objects as a few maps of object numbers, which transforms move as fast as one mask.

Shapes: N objects in an image of H x W pixels, L layers. A layer holds object numbers, 0 where there is none; every
object has its number, 1 to N, in exactly one layer. Objects that overlap lie in different layers.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError


def pack(masks: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return the layers (L, H, W) int32 of masks (H, W) bool, at least one; mask k has the number k + 1.

    Each mask goes into the first layer where it overlaps no other. An empty one has its number in none.
    """
    layers = [np.zeros(size, np.int32)]
    for number, mask in enumerate(masks, 1):
        free = next((layer for layer in layers if not layer[mask].any()), None)
        if free is None:
            free = np.zeros(size, np.int32)
            layers.append(free)
        free[mask] = number
    return np.stack(layers)


def unpack(layers: Tensor, count: int) -> Tensor:
    """Return the masks (N, H, W) bool of the objects 1 to `count` in layers (L, H, W).

    Raises ConfigError for a number above `count`.
    """
    masks = torch.zeros(count, *layers.shape[1:], dtype=torch.bool, device=layers.device)
    for layer in layers:
        rows, columns = layer.nonzero(as_tuple=True)
        numbers = layer[rows, columns].long()
        if len(numbers) and int(numbers.max()) > count:
            raise ConfigError(f"object number {int(numbers.max())} among {count} objects; numbers go from 1 to {count}")
        masks[numbers - 1, rows, columns] = True
    return masks


def areas(layers: Tensor, count: int) -> Tensor:
    """Return the pixels (N,) int64 of the objects 1 to `count` in layers (L, H, W)."""
    return torch.bincount(layers.flatten().long(), minlength=count + 1)[1 : count + 1]
