"""Clips: a known dot goes where a turn or a move takes it, and a GIF holds every frame."""

import math

import pytest
import torch
from PIL import Image

from foveate.visualize.clips import FRAME_MS, REACH, ZOOM, poses, write_clip


def dot(x, y, height=60, width=60):
    """A blurred dot at (x, y), in pixels from the middle."""
    rows = torch.arange(height) - (height - 1) / 2
    columns = torch.arange(width) - (width - 1) / 2
    return torch.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / 8)[None]


def centre(frame):
    """Centre of mass in pixels from the middle, (x, y)."""
    height, width = frame.shape[-2:]
    total = frame.sum()
    x = (frame.sum((0, 1)) * (torch.arange(width) - (width - 1) / 2)).sum() / total
    y = (frame.sum((0, 2)) * (torch.arange(height) - (height - 1) / 2)).sum() / total
    return float(x), float(y)


@pytest.mark.parametrize("width", [60, 90])
def test_a_turn_is_a_turn_in_pixels_whatever_the_shape(width):
    frames = poses(dot(15, 0, width=width), "turn", frames=8)
    assert frames.shape == (8, 1, 60, width)
    for i, frame in enumerate(frames):
        angle = 2 * math.pi * i / 8
        # Clockwise, with y down: from the right downwards.
        assert centre(frame) == pytest.approx((15 * math.cos(angle), 15 * math.sin(angle)), abs=0.05)


def test_a_move_goes_round_and_grows():
    frames = poses(dot(0, 0), "move", frames=16)
    for i, frame in enumerate(frames):
        angle = 2 * math.pi * i / 16
        assert centre(frame) == pytest.approx((30 * REACH * math.cos(angle), 30 * REACH * math.sin(angle)), abs=0.1)
    assert float(frames[2].sum() / frames[0].sum()) == pytest.approx((1 + ZOOM) ** 2, rel=0.02)  # at 45 degrees


def test_the_background_comes_in_from_outside():
    frames = poses(torch.zeros(1, 20, 20), "turn", background=0.6, frames=8)
    assert frames[0].abs().max() < 1e-6
    assert frames[1][0, 0, 0] == pytest.approx(0.6)


def test_a_clip_holds_every_frame(tmp_path):
    drawn = [Image.new("RGB", (30, 20), (10 * i, 0, 0)) for i in range(5)]
    write_clip(drawn, tmp_path / "a.gif")
    clip = Image.open(tmp_path / "a.gif")
    assert (clip.n_frames, clip.size, clip.info["duration"], clip.info["loop"]) == (5, (30, 20), FRAME_MS, 0)
    for i in range(5):
        clip.seek(i)
        assert abs(clip.convert("RGB").getpixel((3, 3))[0] - 10 * i) <= 2
