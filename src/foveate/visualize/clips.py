"""Clips: a picture that turns, or moves and grows, and what is made of each of its poses.

Shapes: N frames of a picture (C, H, W), float in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from foveate.disk import atomic_write
from foveate.ops.sample import Affine, bilinear_sample

Motion = Literal["turn", "move"]
FRAMES, FRAME_MS = 48, 80
REACH, ZOOM = 0.35, 0.3  # of 'move': how far it goes, as a share of half the side, and how much it grows and shrinks


def poses(picture: Tensor, motion: Motion, background: float = 0.0, frames: int = FRAMES) -> Tensor:
    """A picture (C, H, W), float in 0..1 -> (N, C, H, W).

    turn: once around its middle, clockwise. move: once around a circle, growing and shrinking twice. The last frame is
    a step before the first one, so that the clip can go round. background: what comes in from outside.
    """
    height, width = picture.shape[-2:]
    angle = 2 * math.pi * torch.arange(frames) / frames
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(frames)
    if motion == "turn":
        # Coordinates are shares of each side, so a turn of a picture that is no square stretches and shrinks them.
        theta = torch.stack([cos, sin * height / width, zero, -sin * width / height, cos, zero], 1)
    else:
        scale = 1 / (1 + ZOOM * (2 * angle).sin())
        theta = torch.stack([scale, zero, -REACH * cos * scale, zero, scale, -REACH * sin * scale], 1)
    grid = Affine()(theta, (height, width))
    return bilinear_sample(picture.expand(frames, -1, -1, -1), grid, background)


def write_clip(
    frames: Sequence[Image.Image], path: Path, milliseconds: int | list[int] = FRAME_MS, photographs: bool = False
) -> None:
    """Write drawings of one size as a GIF that goes round.

    milliseconds: that each frame stands, or one number a frame. photographs: more colours, found faster and less well.
    Raises OutputError.
    """
    colors, method = (256, Image.Quantize.FASTOCTREE) if photographs else (128, None)
    first, *rest = [frame.quantize(colors, method=method, dither=Image.Dither.NONE) for frame in frames]
    with atomic_write(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)
