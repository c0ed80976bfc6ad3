"""Warping, cropping and pasting against explicit sums, torchvision, and their laws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from foveate.errors import ConfigError
from foveate.ops.roi import Points, crop_masks, crop_region, paste_masks, roi_warp, roi_warp_max

# Off the kinks, which lie where a point falls on a cell.
BOXES = torch.tensor([[9.3, 5.1, 40.7, 33.9], [3.37, 11.9, 21.3, 47.21], [20.1, 20.7, 25.9, 24.3]], dtype=torch.float64)
STRIDE = 4


def feature_map(channels: int = 3, height: int = 16, width: int = 13) -> Tensor:
    return torch.randn(channels, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def explicit_sums(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The equation, term by term."""
    out = torch.zeros(len(boxes), len(features), size, size, dtype=features.dtype)
    for r, box in enumerate((boxes / STRIDE).tolist()):
        left, top, right, bottom = box
        for i in range(size):
            for j in range(size):
                x, y = left + j / size * (right - left), top + i / size * (bottom - top)
                for v in range(features.shape[1]):
                    for u in range(features.shape[2]):
                        weight = max(0.0, 1 - abs(u - x)) * max(0.0, 1 - abs(v - y))
                        out[r, :, i, j] += weight * features[:, v, u]
    return out


def test_equals_the_sums_of_the_paper_beyond_the_border_too() -> None:
    features = feature_map()
    boxes = torch.cat([BOXES, torch.tensor([[-9.0, -3.0, 30.0, 90.0]], dtype=torch.float64)])
    torch.testing.assert_close(
        roi_warp(features, boxes, 5, STRIDE), explicit_sums(features, boxes, 5), rtol=0, atol=1e-12
    )


def test_in_centre_mode_equals_roi_align() -> None:
    features = feature_map()
    rois = torch.cat([torch.zeros(len(BOXES), 1, dtype=torch.float64), BOXES], 1)
    theirs = roi_align(features[None], rois, 7, 1 / STRIDE, sampling_ratio=1, aligned=True)
    torch.testing.assert_close(roi_warp(features, BOXES, 7, STRIDE, "centre"), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("points", ["corner", "centre"])
def test_gradients_in_the_map_and_in_the_boxes(points: Points) -> None:
    features, boxes = feature_map(2, 9, 8).requires_grad_(), (BOXES * 0.6 + 1.234).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, b: roi_warp(f, b, 3, STRIDE, points), (features, boxes))


@pytest.mark.parametrize("points", ["corner", "centre"])
def test_a_constant_stays_and_a_ramp_stays_linear(points: Points) -> None:
    height, width = 16, 16
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    maps = torch.stack([torch.full((height, width), 2.5), 3 * x - 2 * y + 1]).double()
    warped = roi_warp(maps, BOXES, 6, STRIDE, points)
    torch.testing.assert_close(warped[:, 0], torch.full_like(warped[:, 0], 2.5))
    for difference in (warped[:, 1].diff(dim=1), warped[:, 1].diff(dim=2)):
        torch.testing.assert_close(difference, difference[:, :1, :1].expand_as(difference))


def test_moving_map_and_boxes_by_a_cell_changes_nothing() -> None:
    features = feature_map(2, 20, 20)
    moved = torch.zeros_like(features)
    moved[:, 2:, 1:] = features[:, :-2, :-1]
    shift = torch.tensor([1.0, 2.0, 1.0, 2.0], dtype=torch.float64) * STRIDE
    torch.testing.assert_close(roi_warp(moved, BOXES + shift, 5, STRIDE), roi_warp(features, BOXES, 5, STRIDE))


def test_the_largest_of_four_points_is_a_pooling_layer_after_warping() -> None:
    features = feature_map(3, 20, 20)
    pooled = F.max_pool2d(roi_warp(features, BOXES, 10, STRIDE), 2)
    torch.testing.assert_close(roi_warp_max(features, BOXES, 5, STRIDE), pooled, rtol=0, atol=0)


def test_gradients_of_the_largest_point() -> None:
    features, boxes = feature_map(2, 9, 8).requires_grad_(), (BOXES * 0.3 + 1.234).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, b: roi_warp_max(f, b, 3, STRIDE), (features, boxes))


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"features of shape \(1, 3, 16, 13\), boxes of \(3, 4\) and a size of 5"):
        roi_warp(feature_map()[None], BOXES, 5, STRIDE)


def test_no_boxes_no_rois() -> None:
    assert roi_warp(feature_map(), BOXES[:0], 5, STRIDE).shape == (0, 3, 5, 5)
    assert roi_warp_max(feature_map(), BOXES[:0], 5, STRIDE).shape == (0, 3, 5, 5)


def test_cropped_cells_hold_the_covered_share() -> None:
    mask = torch.zeros(1, 12, 12, dtype=torch.bool)
    mask[0, 4:8, 2:6] = True
    whole = crop_masks(mask, torch.tensor([[2.0, 4.0, 6.0, 8.0]]), 4)
    assert torch.equal(whole[0, 1:3, 1:3], torch.ones(2, 2))
    half = crop_masks(mask, torch.tensor([[0.0, 4.0, 8.0, 8.0]]), 4)[0]  # cells of 2 x 1 pixels
    assert half[1].tolist() == pytest.approx([0, 1, 1, 0], abs=0.26)


def test_pasting_undoes_cropping_where_cells_are_pixels() -> None:
    mask = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5
    box = torch.tensor([[5.0, 3.0, 13.0, 11.0]])
    pasted = paste_masks(mask.double(), box.double(), (0, 0, 20, 15))
    assert pasted.shape == (1, 15, 20)
    assert torch.equal(pasted[0, 3:11, 5:13] > 0.5, mask[0])
    assert float(pasted.sum()) == pytest.approx(float(mask.sum()))


def test_a_window_of_a_pasted_mask_is_that_part_of_it() -> None:
    masks = torch.rand(3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    whole = paste_masks(masks, BOXES, (0, 0, 60, 50))
    assert torch.equal(paste_masks(masks, BOXES, (10, 20, 30, 45)), whole[:, 20:45, 10:30])


def test_crops_are_means_of_four_points_a_cell_read_between_the_middles_of_pixels() -> None:
    mask = torch.rand(12, 14, generator=torch.Generator().manual_seed(3)) > 0.5
    left, top, right, bottom = box = (2.0, 3.5, 11.0, 9.0)

    def read(x: float, y: float) -> float:
        """The value between the four nearest pixels, whose middles are at 0.5, 1.5, ..."""
        column, row = int(x - 0.5), int(y - 0.5)
        a, b = x - 0.5 - column, y - 0.5 - row
        (p, q), (r, s) = mask[row : row + 2, column : column + 2].float().tolist()
        return (1 - b) * ((1 - a) * p + a * q) + b * ((1 - a) * r + a * s)

    size = 3
    width, height = (right - left) / size, (bottom - top) / size
    expected = [
        [
            sum(read(left + (j + u) * width, top + (i + v) * height) for u in (0.25, 0.75) for v in (0.25, 0.75)) / 4
            for j in range(size)
        ]
        for i in range(size)
    ]
    boxes = torch.tensor([box, box])
    empty = torch.zeros_like(mask)
    found = crop_masks(torch.stack([mask, empty]), boxes, size)
    torch.testing.assert_close(found, torch.stack([torch.tensor(expected), torch.zeros(size, size)]))
    torch.testing.assert_close(crop_region(mask, boxes, size), torch.tensor([expected, expected]))


def test_a_mask_of_ones_fills_its_box_up_to_the_border() -> None:
    pasted = paste_masks(torch.ones(1, 2, 2), torch.tensor([[3.0, 1.0, 11.0, 7.0]]), (0, 0, 15, 9))
    expected = torch.zeros(1, 9, 15)
    expected[:, 1:7, 3:11] = 1
    torch.testing.assert_close(pasted, expected)
