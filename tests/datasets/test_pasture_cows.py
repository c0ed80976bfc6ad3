"""Scenes with a cow, for co-localisation."""

from __future__ import annotations

import pytest
import torch

from foveate.datasets.pasture import CLASSES, Pasture, cows
from foveate.datasets.pasture.cows import MIN_COW


def test_a_cow_of_a_few_pixels_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its visible pixels; so few are rare, so that here more are too few."""
    least = 1 / 32
    monkeypatch.setattr(cows, "MIN_COW", least)
    source = Pasture(32, 32, 60, 0, 0)
    dataset, scenes = source.open("train", "colocalisation"), source.open("train")
    cow = CLASSES.names.index("cow")
    counted, small = 0, 0
    for i in range(60):
        truth = scenes.instances(i)
        pixels = truth["masks"].flatten(1).sum(1)[truth["labels"] == cow]
        counted += int((pixels >= least * 32 * 32).sum())
        small += int((pixels < least * 32 * 32).sum())
    assert min(small, counted) > 5
    assert sum(len(dataset[i]["boxes"]) for i in range(len(dataset))) == counted


def test_cows_are_the_pastures() -> None:
    assert MIN_COW == 1 / 512  # as documented
    source = Pasture(64, 64, train=12, val=0, test=0)
    assert source.describe("colocalisation").endswith("; those with a cow")
    dataset, scenes = source.open("train", "colocalisation"), source.open("train")
    cow = CLASSES.names.index("cow")
    with_cow = [i for i in range(12) if any(thing.category == cow for thing in scenes.scene(i).things)]
    assert [dataset.name(i) for i in range(len(dataset))] == [scenes.name(i) for i in with_cow]
    boxes = 0
    for i, index in enumerate(with_cow):
        sample, truth = dataset[i], scenes.instances(index)
        assert torch.equal(sample["image"], truth["image"])
        pixels = truth["masks"].flatten(1).sum(1)
        seen = (truth["labels"] == cow) & (pixels >= MIN_COW * 64 * 64)
        assert torch.equal(sample["boxes"].as_subclass(torch.Tensor), truth["boxes"][seen].as_subclass(torch.Tensor))
        boxes += len(sample["boxes"])
    assert boxes > len(with_cow) // 2
