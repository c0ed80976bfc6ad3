from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from foveate.datasets.pasture import CLASSES, Pasture
from foveate.datasets.pasture.classes import ANSWERS, answer
from foveate.errors import ConfigError
from foveate.records import ObjectSample

COW, BIRD, TREE = (CLASSES.names.index(name) for name in ("cow", "bird", "tree"))


def scene(*things: tuple[int, int], side: int = 64) -> ObjectSample:
    """Things as (category, visible pixels)."""
    masks = torch.zeros((len(things), side * side), dtype=torch.bool)
    for mask, (_, pixels) in zip(masks, things, strict=True):
        mask[:pixels] = True
    return ObjectSample(
        image=tv_tensors.Image(torch.zeros((3, side, side), dtype=torch.uint8)),
        masks=tv_tensors.Mask(masks.reshape(-1, side, side)),
        boxes=tv_tensors.BoundingBoxes(torch.zeros((len(things), 4)), format="XYXY", canvas_size=(side, side)),
        labels=torch.tensor([category for category, _ in things], dtype=torch.int64),
        name="s",
    )


@pytest.mark.parametrize(
    ("things", "animal", "cows"),
    [
        ((), "none", "no cow"),
        (((TREE, 900),), "none", "no cow"),
        (((COW, 8),), "cow", "one cow"),  # 1/512 of 64 x 64
        (((COW, 7),), "none", "no cow"),
        (((BIRD, 2),), "bird", "no cow"),  # 1/2048
        (((BIRD, 1),), "none", "no cow"),
        (((BIRD, 1), (BIRD, 1), (COW, 7), (COW, 7)), "none", "no cow"),  # parts of several make no whole
        (((COW, 100), (TREE, 5), (COW, 9)), "cow", "two cows"),
        (((COW, 100), (BIRD, 5), (COW, 3)), "both", "one cow"),
    ],
)
def test_answers_by_hand(things: tuple[tuple[int, int], ...], animal: str, cows: str) -> None:
    assert ANSWERS["animal"][answer("animal", scene(*things))] == animal
    assert ANSWERS["cows"][answer("cows", scene(*things))] == cows


def test_pictures_are_the_pastures_and_labels_are_what_is_seen() -> None:
    world = Pasture(height=64, width=80, train=30, seed=5).open("train")
    opened = [
        Pasture(64, 80, train=30, seed=5, question=q).open("train", "classification")  # type: ignore[arg-type]
        for q in ANSWERS
    ]
    seen = set()
    for i in range(30):
        animal, cows = (dataset[i] for dataset in opened)
        semantic = world[i]
        assert torch.equal(animal["image"], semantic["image"])
        assert animal["name"] == opened[0].name(i) == semantic["name"]
        counts = np.bincount(semantic["mask"].numpy().ravel(), minlength=9)
        name = ANSWERS["animal"][animal["label"]]
        assert (name in ("cow", "both")) == (cows["label"] > 0)
        # Where the semantic map holds no pixel of a kind no such answer can be given, and many pixels demand it.
        assert name not in ("cow", "both") or counts[COW] >= 64 * 80 / 512
        assert name in ("cow", "both") or counts[COW] < 2 * 64 * 80 / 512
        assert name not in ("bird", "both") or counts[BIRD] >= 64 * 80 / 2048
        assert name in ("bird", "both") or counts[BIRD] < 3 * 64 * 80 / 2048
        seen.add(name)
    assert len(seen) > 2


def test_source() -> None:
    source = Pasture(32, 48, train=3, val=0, test=2, seed=1, question="cows")
    assert source.splits() == ("train", "test")
    described = source.describe("classification")
    assert described == "the pasture: drawn scenes of 48x32, 3 train, 2 test, seed 1; no cow, one cow, two cows"
    dataset = source.open("test", "classification")
    assert (len(dataset), dataset.channels, dataset.classes.names) == (2, 3, ANSWERS["cows"])
    assert dataset[0]["image"].shape == (3, 32, 48)
    assert Pasture(**json.loads(json.dumps(asdict(source)))) == source


def test_errors() -> None:
    with pytest.raises(ConfigError, match="pasture question is 'cow'; expected animal or cows"):
        Pasture(question="cow")  # type: ignore[arg-type]
