"""Anchors: the boxes of a few sizes and shapes that a region proposal network starts from at each place of its map.

Ren, He, Girshick and Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks" (2015),
section 3.1.1; the numbers are those of the released Python code.

Boxes hold left, top, right and bottom in pixels, right and bottom exclusive.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foveate.errors import ConfigError


def base_anchors(
    stride: int = 16, scales: Sequence[float] = (8, 16, 32), ratios: Sequence[float] = (0.5, 1, 2)
) -> Tensor:
    """Return the anchors (A, 4), float32, of the map's first place; A = len(ratios) * len(scales), ratios outermost.

    stride: side of the cell, in pixels, that the anchors are centred on.
    scales: sides of the square anchor, in cells. ratios: height / width.

    As in the release, the width of the cell's square at each ratio is rounded to a whole number, then the height, then
    both are scaled. The release counts right and bottom inclusively, so its anchors end one pixel earlier.

    Raises ConfigError for numbers that are not above 0.
    """
    if not scales or not ratios or min(stride, *scales, *ratios) <= 0:
        raise ConfigError(
            f"anchors of stride {stride}, scales {list(scales)}, ratios {list(ratios)}; all must be above 0"
        )
    ratio = torch.tensor(list(ratios), dtype=torch.float64)
    width = (stride**2 / ratio).sqrt().round()
    height = (width * ratio).round()
    size = torch.stack([width, height], 1)[:, None] * torch.tensor(list(scales), dtype=torch.float64)[:, None]
    half, middle = size.flatten(0, 1) / 2, stride / 2
    return torch.cat([middle - half, middle + half], 1).float()


def place_anchors(base: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Return the anchors (h * w * A, 4) of a map of a size (h, w): row by row, all anchors of a place together."""
    height, width = size
    y = torch.arange(height, dtype=base.dtype, device=base.device) * stride
    x = torch.arange(width, dtype=base.dtype, device=base.device) * stride
    shift = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).repeat(1, 1, 2)
    return (shift[:, :, None] + base).flatten(0, 2)
