"""Digits on a canvas: their images, their boxes, and the drawing of each epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import put

from foveate.datasets.common_digits import CommonDigits
from foveate.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 pictures of 28x28 a part, full of their label: digit d is all 10 d + 5."""
    root = tmp_path_factory.mktemp("idx")
    labels = np.arange(240) % 4
    for part in ("train", "t10k"):
        put(root, part, np.broadcast_to((10 * labels + 5)[:, None, None], (240, 28, 28)), labels)
    return root


def test_a_digit_lies_in_its_box(digits: Path) -> None:
    dataset = CommonDigits(str(digits), digits=(3,)).open("test")
    assert dataset.classes.names == ("3",)
    for i in range(len(dataset)):
        sample = dataset[i]
        left, top, right, bottom = (int(v) for v in sample["boxes"][0])
        image = sample["image"].clone()
        assert image.shape == (1, 84, 84) and image.dtype == torch.uint8
        assert (right - left, bottom - top) == (28, 28)
        assert (image[:, top:bottom, left:right] == 35).all()
        image[:, top:bottom, left:right] = 0
        assert not image.any()


def test_several_kinds_share_a_canvas_without_overlap(digits: Path) -> None:
    dataset = CommonDigits(str(digits), digits=(3, 1), side=64).open("train")
    for sample in dataset.draw([(0, i) for i in range(len(dataset))]):
        assert sample["labels"].tolist() == [0, 1]
        counts = [int((sample["image"] == value).sum()) for value in (35, 15)]
        assert counts == [784, 784]
        for box, value in zip(sample["boxes"].int().tolist(), (35, 15), strict=True):
            assert (sample["image"][0, box[1] : box[3], box[0] : box[2]] == value).all()


def test_clutter_is_the_maximum_of_patches(digits: Path) -> None:
    plain = CommonDigits(str(digits), digits=(1,)).open("test")[0]["image"].int()
    cluttered = CommonDigits(str(digits), digits=(1,), patches=16).open("test")[0]["image"].int()
    assert (cluttered >= plain).all()
    laid = (cluttered > plain).sum()
    assert 6 * 6 <= laid <= 16 * 36
    assert set(cluttered.unique().tolist()) <= {0, 5, 15, 25, 35}


def test_patches_are_anyones_and_from_anywhere(tmp_path: Path) -> None:
    """Digit d is 60 d + 2 column + 1 in each of its columns: a pixel says whose it is, and from where."""
    labels = np.arange(240) % 4
    images = (60 * labels[:, None] + 2 * np.arange(28) + 1)[:, None].repeat(28, 1)
    for part in ("train", "t10k"):
        put(tmp_path, part, images, labels)
    dataset = CommonDigits(str(tmp_path), digits=(0,), patches=16).open("test")
    seen = np.concatenate([dataset[i]["image"].numpy().ravel() for i in range(40)])
    seen = seen[seen > 60]  # not the common digit's
    assert set((seen // 60).tolist()) == {1, 2, 3}
    assert set((seen % 60 // 2).tolist()) == set(range(28))


def test_training_is_drawn_anew_and_the_rest_once(digits: Path) -> None:
    source = CommonDigits(str(digits), patches=4)
    for split, again in (("train", False), ("val", True), ("test", True)):
        first, other = source.open(split).draw([(0, 0), (7, 0)])
        assert torch.equal(first["image"], other["image"]) == again
        assert torch.equal(first["image"], source.open(split).draw([(0, 0)])[0]["image"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"digits": ()}, r"digits are \(\); expected one label or several that differ"),
        ({"digits": (3, 3)}, r"digits are \(3, 3\); expected one label or several that differ"),
        ({"side": 20}, "side 20 must be at least 28"),
        ({"patches": -1}, "patches -1 0 or more"),
        ({"seed": -1}, r"seed -1 is outside 0..4294967295"),
    ],
)
def test_what_cannot_be_drawn_says_why(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CommonDigits(**fields)  # type: ignore[arg-type]


def test_a_digit_that_is_not_there(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train holds no digit 7, only 0, 1, 2, 3"):
        CommonDigits(str(digits), digits=(7,)).open("train")
    with pytest.raises(ConfigError, match="say where they are with --data PATH"):
        CommonDigits().open("train")
    for part in ("train", "t10k"):
        put(tmp_path, part, np.zeros((10, 20, 20)), np.arange(10) % 2)
    with pytest.raises(DataError, match="pictures of 20x20 with 1 channel; common digits are grey and 28x28"):
        CommonDigits(str(tmp_path), digits=(1,)).open("train")
