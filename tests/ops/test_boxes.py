"""Boxes and anchors against their equations, torchvision and the integers of the released code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import masks_to_boxes

from foveate.errors import ConfigError
from foveate.ops.anchors import base_anchors, place_anchors
from foveate.ops.boxes import MAX_LOG_GROWTH, clip, covered_share, decode, encode, sides, tight_boxes

# As the released function returns them, right and bottom inclusive: stride 16, scales 8, 16, 32, ratios 0.5, 1, 2.
RELEASED = [
    (-84, -40, 99, 55), (-176, -88, 191, 103), (-360, -184, 375, 199),
    (-56, -56, 71, 71), (-120, -120, 135, 135), (-248, -248, 263, 263),
    (-36, -80, 51, 95), (-80, -168, 95, 183), (-168, -344, 183, 359),
]  # fmt: skip


def some_boxes(count: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random, dtype=torch.float64) * 100
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=random, dtype=torch.float64) * 80], 1)


def test_the_nine_anchors_of_the_release() -> None:
    exclusive = torch.tensor(RELEASED, dtype=torch.float32) + torch.tensor([0, 0, 1, 1])
    assert torch.equal(base_anchors(), exclusive)


def test_anchors_are_placed_row_by_row() -> None:
    base = base_anchors(4, (2,), (1, 2))
    placed = place_anchors(base, (3, 5), 4)
    assert placed.shape == (3 * 5 * 2, 4)
    row, column, which = 2, 3, 1
    expected = base[which] + torch.tensor([12.0, 8.0, 12.0, 8.0])
    assert torch.equal(placed[(row * 5 + column) * 2 + which], expected)


def test_anchors_of_nothing() -> None:
    with pytest.raises(
        ConfigError, match=r"anchors of stride 16, scales \[0\], ratios \[0.5, 1, 2\]; all must be above"
    ):
        base_anchors(scales=(0,))


def test_encoding_by_hand() -> None:
    anchor = torch.tensor([0.0, 0.0, 10.0, 20.0])  # centre (5, 10)
    box = torch.tensor([6.0, 5.0, 26.0, 25.0])  # centre (16, 15), 20 x 20
    assert encode(box, anchor).tolist() == pytest.approx([1.1, 0.25, math.log(2), 0.0])


def test_decoding_is_the_inverse_of_encoding() -> None:
    boxes, anchors = some_boxes(200, 1), some_boxes(200, 2)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes, rtol=0, atol=1e-10)


def test_growth_is_limited() -> None:
    grown = decode(torch.tensor([0.0, 0.0, 50.0, -1.0]), torch.tensor([0.0, 0.0, 16.0, 16.0]))
    width, height = sides(grown)
    assert float(width) == pytest.approx(1000, rel=1e-5)
    assert float(height) == pytest.approx(16 / math.e)
    assert math.exp(MAX_LOG_GROWTH) == pytest.approx(62.5)


def test_clipping() -> None:
    boxes = torch.tensor([[-5.0, 2.0, 40.0, 90.0], [50.0, 60.0, 70.0, 80.0]])
    assert clip(boxes, (30, 60)).tolist() == [[0, 2, 40, 30], [50, 30, 60, 30]]


def test_boxes_around_masks() -> None:
    masks = torch.rand(20, 17, 23, generator=torch.Generator().manual_seed(0)) > 0.97
    masks[:, 8, 11] = True
    inclusive = masks_to_boxes(masks)
    assert torch.equal(tight_boxes(masks), inclusive + torch.tensor([0, 0, 1, 1]))
    assert tight_boxes(masks[:0]).shape == (0, 4)
    masks[3] = False
    with pytest.raises(ConfigError, match="mask 3 has no pixel, so no box; leave empty masks out"):
        tight_boxes(masks)


def test_covered_share_is_the_share_of_fine_points() -> None:
    random = np.random.default_rng(0)
    region = torch.from_numpy(random.random((9, 13)) < 0.4)
    boxes = torch.tensor(
        [
            [2.0, 3, 7, 8],
            [0, 0, 13, 9],
            [1.25, 2.5, 6.75, 8.125],
            [-4, -2, 5, 3],
            [10, 7, 20, 15.5],
            [3.25, 4.5, 3.75, 5],
        ]
    )
    fine = region.repeat_interleave(8, 0).repeat_interleave(8, 1)
    for box, share in zip(boxes, covered_share(boxes, region), strict=True):
        left, top, right, bottom = (round(float(v) * 8) for v in box)
        inside = fine[max(0, top) : bottom, max(0, left) : right].sum()
        assert float(share) == pytest.approx(float(inside) / ((right - left) * (bottom - top)), abs=1e-6)
    assert covered_share(boxes, torch.zeros(9, 13, dtype=torch.bool)).tolist() == [0] * 6
    assert covered_share(boxes[:2], torch.ones(9, 13, dtype=torch.bool)).tolist() == [1, 1]
    assert covered_share(boxes[:0], region).shape == (0,)
