"""Frames of clips: their differences, their place in time, and a small 3-D CNN over them.

Shapes: B clips of K frames, C channels, H x W pixels. A mask (B, K) is True within each clip; padding is at its end.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

WAVES = (0.5, 1.0, 2.0, 4.0)  # of the time code: periods over the whole clip


class MotionCNN(nn.Module):
    """A small 3-D CNN: frames (B, K, C, H, W) and the mask (B, K) -> (B, K, M), of each frame and its neighbours.

    It reads three frames on either side. Frames outside of the mask are zeros to every layer, as is what lies beyond
    the ends of a clip, so that padding changes nothing.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        widths = (channels, 16, 32, size)
        self.layers = nn.ModuleList(
            nn.Conv3d(before, after, 3, (1, 2, 2), 1) for before, after in itertools.pairwise(widths)
        )

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """See the class."""
        inside = mask[:, None, :, None, None]
        x = frames.transpose(1, 2)
        for layer in self.layers:
            x = torch.relu(layer(x * inside))
        return x.mean((3, 4)).transpose(1, 2)


def differences(x: Tensor) -> Tensor:
    """Each frame minus the one before, of (B, K, ...); zeros for the first."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]], 1)


def time_code(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the place (i + 1/2) / length of each frame in its clip as sines and cosines, (B, K, 2 len(WAVES))."""
    steps = torch.arange(mask.shape[1], device=mask.device) + 0.5
    place = steps / mask.sum(1, keepdim=True).clamp(min=1)
    angle = 2 * math.pi * place[..., None] * torch.tensor(WAVES, device=mask.device)
    return torch.cat([angle.sin(), angle.cos()], 2).to(dtype)
