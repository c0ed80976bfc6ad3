"""Calibration of label maps against numbers computed by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError
from foveate.metrics.classification import BINS
from foveate.tasks.semantic import calibration
from foveate.tasks.semantic.calibration import bins_of, calibration_error, calibration_part, measure


def test_bins_and_error_by_hand() -> None:
    # 0.9 sure and right, 0.9 sure and wrong, 0.6 sure and right, and three pixels that are not scored.
    first = np.array([[0.9, 0.9, 0.6, 0.99, 0.99, 0.01]])
    probabilities = np.stack([first, 1 - first])
    bins = bins_of(probabilities, np.array([[0, 1, 0, -100, 255, -1]]))
    assert bins.shape == (BINS, 3) and bins.sum(0).tolist() == pytest.approx([3, 2.4, 2])
    # 0.9 is in (13/15, 14/15], 0.6 in (8/15, 9/15].
    assert bins[13].tolist() == pytest.approx([2, 1.8, 1]) and bins[8].tolist() == pytest.approx([1, 0.6, 1])
    assert calibration_error(bins) == pytest.approx((abs(1 - 1.8) + abs(1 - 0.6)) / 3)
    assert np.isnan(calibration_error(np.zeros((BINS, 3))))
    sure = bins_of(np.stack([np.ones((2, 2)), np.zeros((2, 2))]), np.zeros((2, 2), int))
    assert sure[-1].tolist() == [4, 4, 4] and calibration_error(sure) == 0


def evaluation(images: int, refuses: bool = False) -> Any:
    """Images of 2 x 2 pixels whose model is 0.75 sure of class 0, which is right in three of four pixels."""

    def probabilities(*_: Any) -> np.ndarray:
        if refuses:
            raise ConfigError("no probabilities")
        return np.stack([np.full((2, 2), 0.75), np.full((2, 2), 0.25)])

    task = SimpleNamespace(
        tables={"classes": ("a", "b")}, probabilities=probabilities, truth=lambda sample: sample["mask"].numpy()
    )
    samples = [{"mask": torch.tensor([[0, 0], [0, 1]])} for _ in range(images)]
    return SimpleNamespace(task=task, dataset=samples, loaded=SimpleNamespace(model=None), options=None)


def test_it_is_measured_on_some_images_and_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    bins, count = measure(evaluation(100))  # type: ignore[misc]
    assert count == calibration.IMAGES and bins.sum(0).tolist() == [4 * count, 3 * count, 3 * count]
    looked_at = []

    class Watched(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            looked_at.append(index)
            return super().__getitem__(index)

    some = evaluation(311)
    some.dataset = Watched(some.dataset)
    measure(some)
    assert looked_at == list(range(0, 311, 10))  # from the first to the last
    section = calibration_part(evaluation(100))
    assert section is not None and "On 32 of 100 pictures, the calibration error is 0.000." in section.content
    assert calibration_part(evaluation(3, refuses=True)) is None  # superpixels have no probabilities
    monkeypatch.setattr(calibration, "LARGEST", 4)
    assert calibration_part(evaluation(3)) is None  # too large
