"""Augmentation of images with objects: image and layers move alike, and every option does something."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision import tv_tensors

from foveate.transforms.instances import InstanceAugment

STILL: dict[str, Any] = {"scale": (1.0, 1.0), "crop": (), "flip": False, "color": 0.0}


def sample() -> Any:
    """Four objects in an image whose values are 50 times their numbers."""
    layer = torch.zeros(1, 96, 80, dtype=torch.int32)
    for number, (top, left) in enumerate(((4, 6), (10, 50), (60, 12), (50, 44)), 1):
        layer[0, top : top + 30, left : left + 22] = number
    image = tv_tensors.Image((layer * 50).to(torch.uint8).expand(3, -1, -1).clone())
    return {
        "image": image, "layers": tv_tensors.Mask(layer), "labels": torch.zeros(4, dtype=torch.int64),
        "crowd": torch.zeros(4, dtype=torch.bool), "name": "a",
    }  # fmt: skip


def applied(seed: int, **options: Any) -> Any:
    torch.manual_seed(seed)
    return InstanceAugment(**(STILL | options)).build({}, None)(sample())


def agreement(changed: Any) -> float:
    return float((changed["image"][0] == changed["layers"][0] * 50).float().mean())


@pytest.mark.parametrize("option", ["flip", "flip_vertical", "turn"])
def test_flips_and_turns_move_both_exactly(option: str) -> None:
    seen = [applied(seed, **{option: True}) for seed in range(12)]
    assert all(agreement(one) == 1.0 for one in seen)
    before = sample()["layers"]
    assert any(one["layers"].shape != before.shape or not torch.equal(one["layers"], before) for one in seen)


@pytest.mark.parametrize("options", [{"elastic": 8.0}, {"scale": (0.6, 1.6), "crop": (64, 64)}])
def test_deformations_move_both_alike(options: dict[str, Any]) -> None:
    for seed in range(8):
        changed = applied(seed, **options)
        assert changed["image"].shape[1:] == changed["layers"].shape[1:]
        assert agreement(changed) > 0.8  # all but the blended edges
        assert not torch.equal(changed["layers"], sample()["layers"])


@pytest.mark.parametrize("options", [{"blur": 3.0}, {"color": 0.5}, {"stain": 0.5}])
def test_the_look_changes_and_the_objects_stay(options: dict[str, Any]) -> None:
    seen = [applied(seed, **options) for seed in range(6)]
    assert all(torch.equal(one["layers"], sample()["layers"]) for one in seen)
    assert any(not torch.equal(one["image"], sample()["image"]) for one in seen)


def test_without_options_nothing_changes() -> None:
    assert agreement(applied(0)) == 1.0 and torch.equal(applied(0)["layers"], sample()["layers"])
