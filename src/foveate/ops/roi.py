"""Regions of interest: reading a feature map inside boxes, masks in the frame of a box, and masks put back.

Shapes: a map (C, H, W) of one image; R boxes, left, top, right and bottom in pixels of the image, right and bottom
exclusive; masks of m x m cells that divide a box evenly.

Dai, He and Sun, "Instance-aware Semantic Segmentation via Multi-task Network Cascades" (2015),
"Differentiable RoI Warping Layers". Unlike RoI pooling, and unlike torchvision's `roi_align`, warping has a gradient in
the boxes.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.deferred import torchvision_ops
from foveate.errors import ConfigError

Points = Literal["corner", "centre"]


def roi_warp(features: Tensor, boxes: Tensor, size: int, stride: float, points: Points = "corner") -> Tensor:
    """Return the map inside each box, (R, C, size, size): bilinear, with gradients in the map and in the boxes.

    F_roi(u', v') = sum_uv G(u, x + u' / W' w) G(v, y + v' / H' h) F(u, v),  G(a, b) = max(0, 1 - |a - b|)

    features: F, (C, H, W). boxes: (R, 4) in pixels. stride: pixels between two cells of the map.
    points: 'corner' reads as in the paper's equation: at the left and upper edges of W' = H' = `size` cells, box and
        map in the same units without a shift; outside the map all is 0. 'centre' reads at the middles of the cells and
        takes a map's cell to lie around its middle, as `roi_align` with one sample a cell; outside the map is the
        value of its border.

    The release rounds the scaled corners of a box to whole cells first, so that its answer jumps as a box moves; the
    equation does not, and is followed here. Raises ConfigError where shapes do not fit.
    """
    x, y = _points(features, boxes, size, stride, 0.5 if points == "centre" else 0.0)
    return _read(features, x, y, "border" if points == "centre" else "zeros").transpose(0, 1)


def roi_warp_max(features: Tensor, boxes: Tensor, size: int, stride: float) -> Tensor:
    """Return the largest of 2 x 2 points in each cell of each box, (R, C, size, size).

    Equal to `max_pool2d(roi_warp(features, boxes, 2 * size, stride), 2)`, but for points of one value, which share the
    gradient. Arguments and errors are those of `roi_warp`.
    """
    x, y = _points(features, boxes, 2 * size, stride, 0.0)
    # The four points of the cells are read into four maps: their maximum is several times as fast as a pooling layer.
    points = ((x[:, column::2], y[:, row::2]) for row in (0, 1) for column in (0, 1))
    first, *others = (_read(features, *point, "zeros") for point in points)
    return reduce(torch.maximum, others, first).transpose(0, 1)


def _points(features: Tensor, boxes: Tensor, size: int, stride: float, offset: float) -> tuple[Tensor, Tensor]:
    """Return where boxes are read, x and y, each (R, size), in cells of the map."""
    if features.ndim != 3 or boxes.ndim != 2 or boxes.shape[1] != 4 or size < 1:
        raise ConfigError(
            f"features of shape {tuple(features.shape)}, boxes of {tuple(boxes.shape)} and a size of {size}; expected "
            "(C, H, W), (R, 4) and 1 or more"
        )
    left, top, right, bottom = (boxes / stride).unbind(1)
    steps = (torch.arange(size, dtype=boxes.dtype, device=boxes.device) + offset) / size  # u' / W'
    x = left[:, None] + steps * (right - left)[:, None] - offset
    y = top[:, None] + steps * (bottom - top)[:, None] - offset
    return x, y


def _read(features: Tensor, x: Tensor, y: Tensor, padding: str) -> Tensor:
    """Return a map (C, H, W) at columns x and rows y of each box, (R, n) in cells, as (C, R, n, n)."""
    channels, height, width = features.shape
    size = x.shape[1]
    grid = torch.stack(
        [
            ((2 * x + 1) / width - 1)[:, None, :].expand(-1, size, -1),
            ((2 * y + 1) / height - 1)[:, :, None].expand(-1, -1, size),
        ],
        -1,
    )  # (R, n, n, 2)
    # All boxes of the image are the rows of one grid, so that the map is not copied for each.
    grid = grid.reshape(1, -1, size, 2).to(features.dtype)
    read = F.grid_sample(features[None], grid, padding_mode=padding, align_corners=False)
    return read[0].reshape(channels, -1, size, size)


def roi_warp_one(maps: Tensor, which: Tensor, boxes: Tensor, size: int, stride: float) -> Tensor:
    """Return one of K maps inside each box, (R, C, size, size), read as `roi_warp` does at 'centre'.

    maps: (K, C, H, W). which: (R,) int64, the map of each box. boxes: (R, 4) in pixels.

    The map is chosen before it is interpolated, so that the cost does not grow with K. Raises ConfigError where shapes
    do not fit.
    """
    if maps.ndim != 4 or boxes.ndim != 2 or boxes.shape[1] != 4 or which.shape != boxes.shape[:1] or size < 1:
        raise ConfigError(
            f"maps of shape {tuple(maps.shape)}, choices of {tuple(which.shape)}, boxes of {tuple(boxes.shape)} and a "
            f"size of {size}; expected (K, C, H, W), (R,), (R, 4) and 1 or more"
        )
    _, channels, height, width = maps.shape
    left, top, right, bottom = (boxes / stride).unbind(1)
    steps = (torch.arange(size, dtype=boxes.dtype, device=boxes.device) + 0.5) / size
    x = (left[:, None] + steps * (right - left)[:, None] - 0.5).clamp(0, width - 1)  # (R, size), in cells
    y = (top[:, None] + steps * (bottom - top)[:, None] - 0.5).clamp(0, height - 1)
    column, row = x.floor().long(), y.floor().long()
    along_x, along_y = (x - column)[:, None, :, None], (y - row)[:, :, None, None]
    next_column, next_row = (column + 1).clamp(max=width - 1), (row + 1).clamp(max=height - 1)
    cells = maps.permute(0, 2, 3, 1).reshape(-1, channels)

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        places = (which[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
        return cells[places]  # (R, size, size, C)

    upper = torch.lerp(at(row, column), at(row, next_column), along_x.to(maps.dtype))
    lower = torch.lerp(at(next_row, column), at(next_row, next_column), along_x.to(maps.dtype))
    return torch.lerp(upper, lower, along_y.to(maps.dtype)).permute(0, 3, 1, 2)


def crop_masks(masks: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Return the share of each cell of each box that its mask covers, (R, size, size) float32 in 0..1.

    masks: (R, H, W) bool or float, one a box. boxes: (R, 4). Four points a cell are read.
    """
    index = torch.arange(len(boxes), dtype=boxes.dtype, device=boxes.device)[:, None]
    rois = torch.cat([index, boxes], 1)
    return _shares(masks, rois, size)


def crop_region(region: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Return the share of each cell of each box (R, 4) that a region (H, W) bool covers, (R, size, size) float32."""
    rois = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], 1)
    return _shares(region[None], rois, size)


def _shares(masks: Tensor, rois: Tensor, size: int) -> Tensor:
    """Average masks (N, H, W) over the cells of boxes (R, 5), each the mask's number and its corners."""
    cells = torchvision_ops.roi_align(masks[:, None].float(), rois.float(), size, 1.0, sampling_ratio=2, aligned=True)
    return cells[:, 0]


def paste_masks(masks: Tensor, boxes: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """Return masks at the pixels of a window of the image, (R, h, w); 0 outside of their boxes.

    masks: (R, m, m), values of the cells of each box. boxes: (R, 4) in pixels of the image.
    window: left, top, right and bottom of the part of the image, whole numbers; h = bottom - top, w = right - left.

    A pixel's value is read at its middle, bilinearly between the middles of the cells; a pixel whose middle lies
    outside of the box is 0. The inverse of `crop_masks` where cells and pixels coincide.
    """
    start_x, start_y, end_x, end_y = window
    left, top, right, bottom = boxes.unbind(1)
    px = torch.arange(start_x, end_x, dtype=boxes.dtype, device=boxes.device) + 0.5
    py = torch.arange(start_y, end_y, dtype=boxes.dtype, device=boxes.device) + 0.5
    # -1 and 1 are the edges of the box; a box without a width holds no pixel.
    x = 2 * (px - left[:, None]) / (right - left).clamp(min=1e-6)[:, None] - 1  # (R, w)
    y = 2 * (py - top[:, None]) / (bottom - top).clamp(min=1e-6)[:, None] - 1  # (R, h)
    grid = torch.stack([x[:, None].expand(-1, len(py), -1), y[:, :, None].expand(-1, -1, len(px))], -1)
    pasted = F.grid_sample(
        masks[:, None], grid.to(masks.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )[:, 0]
    inside = (x.abs() < 1)[:, None, :] & (y.abs() < 1)[:, :, None]
    return pasted * inside
