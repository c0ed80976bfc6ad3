"""Records of objects, one by one.

Shapes: an image of C channels, H x W pixels, N objects.
"""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor
from torchvision import tv_tensors


class InstanceSample(TypedDict):
    """One image with its objects, N of them."""

    image: tv_tensors.Image  # (C, H, W) uint8
    masks: tv_tensors.Mask  # (N, H, W) bool: the visible pixels of each object
    boxes: tv_tensors.BoundingBoxes  # (N, 4) float32, XYXY, tight around each mask
    labels: Tensor  # (N,) int64, class indices
    name: str
