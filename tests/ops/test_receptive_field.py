"""The field of a chain of convolutions, worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foveate.errors import ConfigError
from foveate.ops.receptive_field import NOTEWORTHY, field_side, receptive_field


def ones(channels: int = 1, stride: int = 1) -> nn.Conv2d:
    """A 3x3 sum over all channels."""
    conv = nn.Conv2d(channels, 1, 3, stride, padding=1, bias=False)
    nn.init.ones_(conv.weight)
    return conv


def test_two_sums_of_three_pixels_weigh_as_the_number_of_paths():
    """111 * 111 = 12321, down and across."""
    field = receptive_field(nn.Sequential(ones(), ones()), torch.randn(1, 1, 9, 11))
    paths = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0])
    expected = torch.zeros(9, 11)
    expected[2:7, 3:8] = torch.outer(paths, paths)
    assert torch.equal(field, expected)
    assert field_side(field) == 5  # the corners, 1 of 9, are above 4.55 %


def test_a_stride_spreads_the_second_filter():
    """111 0 0, 0 0 111 0 0 and so on: 11211 11 with a stride of two, around pixel 2 (h // 2) = 8 of 16."""
    network = nn.Sequential(ones(stride=2), ones())
    field = receptive_field(network, torch.randn(1, 1, 16, 16))
    paths = torch.tensor([1.0, 1.0, 2.0, 1.0, 2.0, 1.0, 1.0])
    expected = torch.zeros(16, 16)
    expected[5:12, 5:12] = torch.outer(paths, paths)
    assert torch.equal(field, expected)


def test_only_the_largest_answer_counts_and_channels_add_up():
    network = nn.Conv2d(2, 2, 1, bias=True)
    with torch.no_grad():
        network.weight[:, :, 0, 0] = torch.tensor([[3.0, -4.0], [100.0, 100.0]])
        network.bias.copy_(torch.tensor([1000.0, 0.0]))
    field = receptive_field(network, torch.rand(1, 2, 3, 3))
    assert field[1, 1] == 7
    assert field.sum() == 7


def test_a_pixel_below_the_bound_is_not_noteworthy():
    field = torch.zeros(5, 5)
    field[2, 2], field[2, 3], field[2, 1] = 1.0, NOTEWORTHY * 1.01, NOTEWORTHY * 0.99
    assert field_side(field) == pytest.approx(2**0.5)
    assert field_side(torch.zeros(3, 3)) == 0


def test_neither_the_image_nor_the_weights_keep_a_gradient():
    network, image = ones(), torch.randn(1, 1, 5, 5)
    with torch.no_grad():
        receptive_field(network, image)
    assert image.grad is None and not image.requires_grad and network.weight.grad is None


def test_several_images_are_refused():
    with pytest.raises(ConfigError, match=r"a batch of shape \(2, 1, 5, 5\); give one image, \(1, C, H, W\)"):
        receptive_field(ones(), torch.randn(2, 1, 5, 5))
