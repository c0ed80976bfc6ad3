"""Digits in clutter: where they are, what is around them, and how canvases grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import put

from foveate.datasets.cluttered_digits import ClutteredDigits
from foveate.errors import ConfigError, DataError
from foveate.metrics.classification import ClassificationMetrics


@pytest.fixture
def mnist(tmp_path: Path) -> str:
    """Digits of one grey value each, in a ring with a hole."""
    images = np.zeros((12, 28, 28), np.uint8)
    images[:, 4:24, 8:20] = np.arange(100, 220, 10, dtype=np.uint8)[:, None, None]
    images[:, 10:18, 12:16] = 0
    for part in ("train", "val"):
        put(tmp_path, part, images, np.arange(12) % 10)
    return str(tmp_path)


def test_the_digit_lies_where_the_sample_says(mnist: str) -> None:
    dataset = ClutteredDigits(mnist, side=60, distractors=0).open("val")
    for index in range(12):
        sample = dataset[index]
        rows, columns = np.nonzero(sample["image"][0].numpy())
        x, y = sample["centre"]
        # Ink in columns 8 to 19 and rows 4 to 23 of a frame whose centre is at 13.5.
        assert (columns.min(), columns.max()) == (x - 5.5, x + 5.5)
        assert (rows.min(), rows.max()) == (y - 9.5, y + 9.5)
        assert sample["image"].max() == 100 + 10 * index and sample["label"] == index % 10


def test_distractors_are_pieces_of_8x8_below_the_digit(mnist: str) -> None:
    plain = ClutteredDigits(mnist, side=100, distractors=0, seed=3).open("val")
    dataset = ClutteredDigits(mnist, side=100, distractors=8, seed=3).open("val")
    more = [int((dataset[i]["image"] > 0).sum() - (plain[i]["image"] > 0).sum()) for i in range(12)]
    assert max(more) <= 8 * 64 and np.mean(more) > 100
    through = 0  # clutter that shows where the digit has no ink
    for index in range(12):
        sample = dataset[index]
        x, y = (int(v - 13.5) for v in sample["centre"])
        window = sample["image"][0, y : y + 28, x : x + 28].numpy()
        own = dataset.digits.images[dataset.digits.members[index], :, :, 0]
        assert (window[own > 0] == own[own > 0]).all()
        through += int((window[own == 0] > 0).sum())
    assert through > 0


def test_training_images_are_drawn_again_each_epoch_and_others_once(mnist: str) -> None:
    source = ClutteredDigits(mnist, side=60, distractors=4)
    train, val = source.open("train"), source.open("val")
    first, again, later = (train.draw([(epoch, 5)])[0]["image"] for epoch in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, later)
    assert torch.equal(val.draw([(0, 5)])[0]["image"], val.draw([(1, 5)])[0]["image"])


def test_canvases_and_clutter_grow_in_training_alone(mnist: str) -> None:
    source = ClutteredDigits(mnist, side=100, distractors=8, grow=4, start=40)
    train = source.open("train")
    assert [train.size(epoch) for epoch in (0, 1, 2, 3, 4, 9)] == [
        (40, 0), (55, 2), (70, 4), (85, 6), (100, 8), (100, 8)
    ]  # fmt: skip
    assert train.draw([(1, 0)])[0]["image"].shape == (1, 55, 55) and train[0]["image"].shape == (1, 100, 100)
    assert source.open("val").size(0) == (100, 8)
    assert "growing from 40x40 in 4 epochs" in source.describe()


def test_window_errors_are_distances_in_pixels() -> None:
    metrics, other = ClassificationMetrics(2), ClassificationMetrics(2)
    metrics.update(torch.tensor([[0.9, 0.1]]), torch.tensor([0]))
    assert "window_error_px" not in metrics.compute().to_json(_table())
    metrics.locate((10.0, 10.0), (13.0, 14.0))  # 5 px
    other.locate((0.0, 0.0), (7.0, 0.0))
    metrics.merge(other.state())
    scores = metrics.compute().to_json(_table())
    assert scores["window_error_px"] == pytest.approx(6.0) and scores["window_near"] == 0.5


def _table() -> object:
    from foveate.records import ClassTable

    return ClassTable(("a", "b"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"side": 20}, "side 20 must be 28 or more"),
        ({"start": 120}, "start 120 28 to the side"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_canvases_that_do_not_fit_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClutteredDigits(**fields)  # type: ignore[arg-type]


def test_a_path_and_grey_digits_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="say where they are with --data PATH"):
        ClutteredDigits().open("train")
    put(tmp_path, "train", np.zeros((5, 8, 8), np.uint8), np.zeros(5))
    with pytest.raises(DataError, match="pictures of 8x8 with 1 channel; cluttered digits are grey and 28x28"):
        ClutteredDigits(str(tmp_path)).open("train")
