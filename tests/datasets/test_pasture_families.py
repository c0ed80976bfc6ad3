"""The families that the Pasture data set serves: the same scenes, and labels that never change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import pytest
import torch

from foveate.datasets.pasture import Pasture, Question
from foveate.errors import ConfigError
from foveate.registry import find

FIELDS: dict[str, Any] = {"height": 48, "width": 64, "train": 12, "val": 6, "test": 0, "seed": 3}
# (family, further fields) -> digest of every label of train and val, as `pasture_captions`, `pasture_classes` and
# `pasture_cows`, which were data sets of their own, gave them.
LABELS = [
    ("semantic", {}, "8f75a7636144bdc0"),
    ("instances", {}, "d208ff163875db68"),
    ("captioning", {"captions": 4}, "de42c47941d8e6f2"),
    ("classification", {"question": "animal"}, "995201ba3a4e4a6f"),
    ("classification", {"question": "cows"}, "3d849a90f1a17bee"),
    ("colocalisation", {}, "05040fe0bae1580c"),
]  # fmt: skip


def digest(samples: list[dict[str, Any]]) -> str:
    """Of everything but the images, whose pixels are the same on one platform only."""
    found = hashlib.sha256()
    for sample in samples:
        for key in sorted(sample.keys() - {"image"}):
            value = sample[key]
            if isinstance(value, torch.Tensor):
                value = (tuple(value.shape), str(value.dtype), value.as_subclass(torch.Tensor).tolist())
            found.update(f"{key} {value!r}\n".encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(("task", "fields", "expected"), LABELS)
def test_labels_are_pinned_and_images_are_the_scenes(task: str, fields: dict[str, Any], expected: str) -> None:
    source = Pasture(**FIELDS, **fields)
    samples = []
    for split in source.splits():
        scenes, dataset = source.open(split), source.open(split, task)
        places = {scenes.name(i): i for i in range(len(scenes))}
        samples += [dataset[i] for i in range(len(dataset))]
        for sample in samples[-len(dataset) :]:
            assert torch.equal(sample["image"], scenes[places[sample["name"]]]["image"])
    assert digest(samples) == expected


@pytest.mark.parametrize(
    ("earlier", "task", "fields"),
    [
        ("pasture_captions", "captioning", {"captions": 3, **FIELDS}),
        ("pasture_classes", "classification", {"question": "cows", **FIELDS}),
        ("pasture_cows", "colocalisation", FIELDS),
    ],
)
def test_an_earlier_data_set_in_a_recipe_opens_as_a_family(earlier: str, task: str, fields: dict[str, Any]) -> None:
    stored = json.loads(json.dumps({"dataset": earlier, **fields}))
    source = find("dataset", stored.pop("dataset")).load()(**stored)
    assert source == Pasture(**fields)
    assert {**asdict(source), **fields} == asdict(source)
    assert len(source.open("train", task)) > 0


def test_a_question_and_a_number_of_captions_are_checked() -> None:
    with pytest.raises(ConfigError, match="pasture question is 'cow'; expected animal or cows"):
        Pasture(question="cow")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pasture captions=0 of each scene; use 1 to 100"):
        Pasture(captions=0)


def test_each_family_says_its_content() -> None:
    scenes = "the pasture: drawn scenes of 128x128, 2000 train, 200 val, 200 test, seed 0"
    question: Question = "cows"
    source = Pasture(captions=1, question=question)
    assert [source.describe(task) for task in ("", *source.tasks)] == [
        scenes,
        scenes,
        f"{scenes}; their objects",
        f"{scenes}; 1 caption a scene",
        f"{scenes}; no cow, one cow, two cows",
        f"{scenes}; those with a cow",
        f"{scenes}; pairs of a question with two answers",
        f"{scenes}; clips of what happens there, 1 caption each",
    ]
