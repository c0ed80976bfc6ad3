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
SAMPLED = 4  # frames that the colours of a clip are taken from, about
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

    milliseconds: that each frame stands, or one number a frame. photographs: more colours, the same for all frames, and
    dithered, so that no contour shows where there is none. Raises OutputError.
    """
    if photographs:
        palette = _together(frames[:: -(-len(frames) // SAMPLED)]).quantize(256)
        first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    else:
        first, *rest = [frame.quantize(128, dither=Image.Dither.NONE) for frame in frames]
    with atomic_write(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)


def _together(frames: Sequence[Image.Image]) -> Image.Image:
    """Frames of one size below each other, at a quarter of their size: it is about their colours."""
    sheet = Image.new("RGB", (frames[0].width, sum(frame.height for frame in frames)))
    for i, frame in enumerate(frames):
        sheet.paste(frame, (0, i * frame.height))
    return sheet.reduce(4)
