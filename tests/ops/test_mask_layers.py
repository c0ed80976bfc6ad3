"""Layers of object numbers: the round trip, few layers, many objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError
from foveate.ops.mask_layers import areas, pack, unpack


def test_masks_survive_the_round_trip() -> None:
    random = np.random.default_rng(0)
    masks = random.random((9, 7, 5)) > 0.7
    masks[4] = False
    layers = torch.from_numpy(pack(masks, (7, 5)))
    assert np.array_equal(unpack(layers, 9).numpy(), masks)
    assert areas(layers, 9).tolist() == masks.sum((1, 2)).tolist()


def test_objects_apart_share_a_layer_and_overlapping_ones_do_not() -> None:
    masks = np.zeros((4, 6, 6), bool)
    masks[0, :3, :3] = masks[1, 3:, 3:] = masks[2, 2:4, 2:4] = masks[3, 0, 5] = True
    layers = pack(masks, (6, 6))
    assert layers.shape == (2, 6, 6)
    assert sorted(np.unique(layers[0])) == [0, 1, 2, 4] and sorted(np.unique(layers[1])) == [0, 3]


def test_no_objects_one_empty_layer() -> None:
    layers = torch.from_numpy(pack([], (3, 4)))
    assert layers.shape == (1, 3, 4) and not layers.any()
    assert unpack(layers, 0).shape == (0, 3, 4)


def test_a_number_too_high_is_refused() -> None:
    with pytest.raises(ConfigError, match="object number 3 among 2 objects; numbers go from 1 to 2"):
        unpack(torch.tensor([[[0, 3]]]), 2)
