"""Animated clips: the poses of an image that rotates, or moves and scales, and the writing of GIF files.

Shapes: N frames of an image (C, H, W), float in 0..1.
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
PALETTE_FRAMES = 4  # approximate number of frames from which the palette of a clip is computed
REACH, ZOOM = 0.35, 0.3  # of 'move': radius of the circle, as a share of half the side, and amplitude of the scale


def poses(image: Tensor, motion: Motion, background: float = 0.0, frames: int = FRAMES) -> Tensor:
    """Transform an image (C, H, W), float in 0..1, into N poses (N, C, H, W).

    The last frame is one step before the first, so that the clip loops.

    motion: 'turn' rotates the image once around its centre, clockwise; 'move' moves it once around a circle while its
        scale grows and shrinks twice.
    background: value outside the image, 0..1.
    frames: N.
    """
    height, width = image.shape[-2:]
    angle = 2 * math.pi * torch.arange(frames) / frames
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(frames)
    if motion == "turn":
        # Coordinates are relative to each side, so that the rotation of a non-square image rescales them.
        theta = torch.stack([cos, sin * height / width, zero, -sin * width / height, cos, zero], 1)
    else:
        scale = 1 / (1 + ZOOM * (2 * angle).sin())
        theta = torch.stack([scale, zero, -REACH * cos * scale, zero, scale, -REACH * sin * scale], 1)
    grid = Affine()(theta, (height, width))
    return bilinear_sample(image.expand(frames, -1, -1, -1), grid, background)


def write_clip(
    frames: Sequence[Image.Image], path: Path, milliseconds: int | list[int] = FRAME_MS, photographs: bool = False
) -> None:
    """Write frames of one size as a looping GIF.

    milliseconds: duration of each frame, or one duration a frame.
    photographs: use one palette of 256 colours for all frames, and dithering, to avoid false contours.
    Raises OutputError if the file cannot be written.
    """
    if photographs:
        palette = _stacked(frames[:: -(-len(frames) // PALETTE_FRAMES)]).quantize(256)
        first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    else:
        first, *rest = [frame.quantize(128, dither=Image.Dither.NONE) for frame in frames]
    with atomic_write(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)


def _stacked(frames: Sequence[Image.Image]) -> Image.Image:
    """Stack frames of one size vertically, at a quarter of their size, to compute a palette from."""
    sheet = Image.new("RGB", (frames[0].width, sum(frame.height for frame in frames)))
    for i, frame in enumerate(frames):
        sheet.paste(frame, (0, i * frame.height))
    return sheet.reduce(4)
