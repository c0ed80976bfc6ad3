"""Crops of the image for the two networks: the box around a region, with and without its background.

Shapes: an image (C, H, W); R boxes, left, top, right and bottom in pixels; crops of S x S pixels.

A box is widened about its middle so that the crop has `context` pixels around it, and warped to a square, bilinearly
and without smoothing. What lies outside of the image is 0, which is the mean colour of a normalised image; so is the
background of a region.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.ops.regions import RegionSet


class Places(NamedTuple):
    """The points of the image that the pixels of crops are read at."""

    x: Tensor  # (R, S) columns, in pixels; the middle of the first one is 0.5
    y: Tensor  # (R, S) rows


def widened(boxes: Tensor, side: int, context: int) -> Tensor:
    """Return boxes (R, 4) that crops of a side of `side` pixels show with `context` pixels around the given ones."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half * (side / (side - 2 * context))
    return torch.cat([centre - half, centre + half], 1)


def places(boxes: Tensor, side: int) -> Places:
    """Return the middles of the side x side cells of boxes (R, 4)."""
    steps = (torch.arange(side, device=boxes.device) + 0.5) / side
    size = boxes[:, 2:] - boxes[:, :2]
    return Places(boxes[:, :1] + steps * size[:, :1], boxes[:, 1:2] + steps * size[:, 1:])


def crop_image(image: Tensor, at: Places) -> Tensor:
    """Return the image (C, H, W) at places, (R, C, S, S); 0 outside of it."""
    height, width = image.shape[-2:]
    count, side = at.x.shape
    grid = torch.stack(
        [
            (2 * at.x / width - 1)[:, None, :].expand(-1, side, -1),
            (2 * at.y / height - 1)[:, :, None].expand(-1, -1, side),
        ],
        -1,
    )
    # All crops are the rows of one grid, so that the image is not copied for each.
    read = F.grid_sample(
        image[None], grid.reshape(1, -1, side, 2).to(image.dtype), padding_mode="border", align_corners=False
    )[0]
    crops = read.reshape(-1, count, side, side).transpose(0, 1)
    return crops * _inside(at, height, width)[:, None]


def crop_regions(regions: RegionSet, at: Places) -> Tensor:
    """Return each region's own mask at its places, (R, S, S) bool, by the nearest pixel."""
    rows, columns = _pixels(at, *regions.size)
    atoms = regions.atoms[rows[:, :, None], columns[:, None, :]]
    mask = regions.members.gather(1, atoms.flatten(1)).unflatten(1, atoms.shape[1:])
    return mask & _inside(at, *regions.size)


def masks_at(masks: Tensor, owner: Tensor, at: Places) -> Tensor:
    """Return the masks (G, H, W) bool that `owner` (R,) names at the places of each, (R, S, S) bool; nearest pixels."""
    height, width = masks.shape[-2:]
    rows, columns = _pixels(at, height, width)
    found = masks[owner[:, None, None], rows[:, :, None], columns[:, None, :]]
    return found & _inside(at, height, width)


def mirrored(crops: Tensor) -> Tensor:
    """Return crops (R, ..., S, S), each mirrored left-right with probability 0.5."""
    return torch.where(_coins(crops), crops.flip(-1), crops)


def turned(crops: Tensor) -> Tensor:
    """Return crops (R, ..., S, S), each mirrored and turned by a random number of quarters."""
    crops = mirrored(crops)
    crops = torch.where(_coins(crops), crops.flip(-2), crops)
    return torch.where(_coins(crops), crops.transpose(-2, -1), crops)


def covered_cells(masks: Tensor) -> Tensor:
    """Return which cells of 4 x 4 points (R, 4 n, 4 n) bool are covered by more than half, (R, n, n) bool."""
    return F.avg_pool2d(masks[:, None].float(), 4)[:, 0] > 0.5


def _pixels(at: Places, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the pixels nearest to the places."""
    return at.y.floor().long().clamp(0, height - 1), at.x.floor().long().clamp(0, width - 1)


def _inside(at: Places, height: int, width: int) -> Tensor:
    """(R, S, S) bool: which places lie in the image."""
    across, down = (at.x >= 0) & (at.x < width), (at.y >= 0) & (at.y < height)
    return down[:, :, None] & across[:, None, :]


def _coins(crops: Tensor) -> Tensor:
    return (torch.rand(len(crops), device=crops.device) < 0.5).view(-1, *[1] * (crops.ndim - 1))
