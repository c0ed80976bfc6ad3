"""Boxes: their encoding relative to other boxes, clipping, and the boxes around masks.

Shapes: boxes (..., 4) hold left, top, right and bottom in pixels, real numbers; right and bottom are exclusive, so that
a box is right - left wide and a box of one pixel at the origin is (0, 0, 1, 1).

Source of the encoding: Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies for accurate object detection
and semantic segmentation" (2014), appendix C.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError

# The largest growth that a delta can ask for: exp of more would overflow in the first steps of a training.
MAX_LOG_GROWTH = math.log(1000 / 16)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return deltas (..., 4) that turn anchors into boxes, both (..., 4) with sides above 0.

    dx = (x - x_a) / w_a,  dy = (y - y_a) / h_a,  dw = log(w / w_a),  dh = log(h / h_a)

    x and y are centres, w and h sides.
    """
    centre, size = _centre_and_size(boxes)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    return torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], -1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes (..., 4) that deltas (..., 4) make of anchors (..., 4): the inverse of `encode`.

    x = x_a + w_a dx,  y = y_a + h_a dy,  w = w_a exp(dw),  h = h_a exp(dh)

    dw and dh are limited to log(1000 / 16).
    """
    shift, growth = deltas.split(2, -1)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    centre = anchor_centre + anchor_size * shift
    half = anchor_size * growth.clamp(max=MAX_LOG_GROWTH).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes (..., 4) cut at the borders of an image of a size (height, width)."""
    height, width = size
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([left.clamp(0, width), top.clamp(0, height), right.clamp(0, width), bottom.clamp(0, height)], -1)


def sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return width and height (...) of boxes (..., 4)."""
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]


def tight_boxes(masks: Tensor) -> Tensor:
    """Return the boxes (N, 4), float32, around the pixels of masks (N, H, W) bool.

    Raises ConfigError for a mask without a pixel.
    """
    rows, columns = masks.any(2), masks.any(1)
    if not bool(rows.any(1).all()):
        empty = int((~rows.any(1)).nonzero()[0])
        raise ConfigError(f"mask {empty} has no pixel, so no box; leave empty masks out")
    left, right = _first_and_last(columns)
    top, bottom = _first_and_last(rows)
    return torch.stack([left, top, right + 1, bottom + 1], 1).float()


def covered_share(boxes: Tensor, region: Tensor) -> Tensor:
    """Return the share of each box (N, 4) that a region (H, W) bool of the image covers, (N,); exact for any box.

    The sum of all pixels above and left of a point is bilinear between the corners of pixels.
    """
    if not bool(region.any()):
        return boxes.new_zeros(len(boxes))
    sums = F.pad(region.double().cumsum(0).cumsum(1), (1, 0, 1, 0))  # (H + 1, W + 1), at the corners of pixels
    left, top, right, bottom = clip(boxes.double(), (region.shape[0], region.shape[1])).unbind(1)

    def above_left(x: Tensor, y: Tensor) -> Tensor:
        column, row = x.long().clamp(max=sums.shape[1] - 2), y.long().clamp(max=sums.shape[0] - 2)
        upper = torch.lerp(sums[row, column], sums[row, column + 1], x - column)
        lower = torch.lerp(sums[row + 1, column], sums[row + 1, column + 1], x - column)
        return torch.lerp(upper, lower, y - row)

    covered = above_left(right, bottom) - above_left(left, bottom) - above_left(right, top) + above_left(left, top)
    return (covered / (boxes[:, 2:] - boxes[:, :2]).double().prod(1).clamp(min=1e-6)).to(boxes.dtype)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    start, end = boxes.split(2, -1)
    return (start + end) / 2, end - start


def _first_and_last(hits: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the first and of the last True of each row of (N, L)."""
    hits = hits.to(torch.uint8)
    return hits.argmax(1), hits.shape[1] - 1 - hits.flip(1).argmax(1)
