"""Channels-last order of a model's tensors."""

import copy

import torch
from torch import nn

from foveate.ops.layout import channels_last


def test_four_axes_change_their_order_and_no_value():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3))
    before = copy.deepcopy(model.state_dict())
    assert channels_last(model) is model
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert model[2].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_models_with_other_tensors_are_left_as_they_are():
    model = channels_last(nn.Sequential(nn.Conv3d(3, 4, 3), nn.Linear(4, 2), nn.Conv1d(2, 2, 1)))
    assert all(p.is_contiguous() for p in model.parameters())
    assert model[0](torch.zeros(1, 3, 5, 5, 5)).shape == (1, 4, 3, 3, 3)


def test_shared_parameters_stay_shared_and_keep_their_gradient_flag():
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(False)
    channels_last(model)
    assert model[1].weight is model[0].weight and not model[0].bias.requires_grad


def test_strides_are_those_of_module_to():
    """A depthwise kernel has one input channel, so its strides are ambiguous; gradients follow `Module.to`'s."""
    ours, theirs = (nn.Conv2d(6, 6, 3, groups=6) for _ in range(2))
    theirs.to(memory_format=torch.channels_last)
    assert channels_last(ours).weight.stride() == theirs.weight.stride()
