"""The semantic task: what a batch holds, what is counted of a label map, and what is said of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from foveate.pictures.windows import ArrayWindows
from foveate.records import IGNORE, ClassTable, Preprocessing, SemanticOutput, SemanticPrediction
from foveate.tasks.semantic import task as module
from foveate.tasks.semantic.inference import SemanticOptions
from foveate.tasks.semantic.task import SemanticTask, class_shares

CLASSES = ClassTable(("background", "cell"), ((1, 2, 3), (4, 5, 6)), ignore_index=2)
TASK = SemanticTask({"classes": CLASSES}, Preprocessing((0.5,), (0.25,)))


class Bright(nn.Module):
    """Gives every pixel above the middle grey to 'cell', each with the probability 3/4."""

    def forward(self, x: Tensor) -> SemanticOutput:
        cell = torch.where(x > 0, 0.75, 0.25)
        return SemanticOutput(torch.cat([1 - cell, cell], 1).log())


def sample(pixels: Any, mask: Any, name: str = "x") -> dict[str, Any]:
    image = torch.as_tensor(pixels, dtype=torch.uint8)[None]
    return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(torch.as_tensor(mask).byte()), "name": name}


def test_a_smaller_image_of_a_batch_stands_at_the_upper_left_as_its_mask_does() -> None:
    small, large = (sample(torch.full(size, 255), torch.ones(size)) for size in ((2, 3), (4, 5)))
    batch = TASK.collate([small, large])
    expected = torch.zeros(4, 5)
    expected[:2, :3] = 2  # (1 - 0.5) / 0.25
    assert batch["image"][0, 0].equal(expected)
    assert batch["mask"][0].equal(torch.where(expected > 0, 1, IGNORE))


def test_the_validation_loss_takes_the_middle_of_image_and_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOSS_SIDE", 2)
    values = torch.arange(24).reshape(6, 4)
    found = TASK.validation_sample(sample(values, values))
    assert found["image"][0].tolist() == found["mask"].tolist() == [[9, 10], [13, 14]]


def test_a_label_that_the_table_ignores_has_no_share_though_it_is_the_next_one() -> None:
    assert class_shares([sample([[0] * 4], [[0, 1, 1, 2]])], 2).tolist() == pytest.approx([1 / 3, 2 / 3])


def scored(options: SemanticOptions, whole: bool = True) -> tuple[Any, float]:
    """Scores of one image, three pixels of which count: two are right."""
    one = sample([[255, 0, 0, 0]], [[1, 1, 0, 2]])
    metrics = TASK.metrics(None, whole)
    with torch.inference_mode():
        ((_, own),) = TASK.score(Bright(), [one], [0], metrics, options)
    return metrics.compute(), own


def test_scores_by_hand() -> None:
    scores, own = scored(SemanticOptions())
    assert scores.confusion.tolist() == [[1, 0], [1, 1]]
    assert own == scores.mean_iou == 0.5
    assert scores.calibration.sum(0).tolist() == pytest.approx([3, 3 * 0.75, 2])


@pytest.mark.parametrize(("options", "whole"), [({"superpixels": "slic"}, True), ({}, False)])
def test_without_probabilities_and_in_training_calibration_is_not_scored(options: dict[str, Any], whole: bool) -> None:
    assert not scored(SemanticOptions(**options), whole)[0].calibration.any()


def test_an_image_without_a_scored_pixel_has_no_score_of_its_own() -> None:
    prediction = SemanticPrediction(np.zeros((1, 2), np.uint8), CLASSES)
    assert np.isnan(TASK.count(TASK.metrics(None), 0, sample([[0, 0]], [[2, 2]]), prediction))


def test_a_row_of_the_table_holds_the_classes_of_its_image() -> None:
    per_image = {"mean_iou": np.array([0.0, np.nan]), "per_class_iou": np.array([[np.nan, 0.0], [np.nan, np.nan]])}
    assert TASK.sample_rows(SimpleNamespace(per_image=per_image)) == [
        {"mean_iou": 0.0, "iou cell": 0.0}, {"mean_iou": None},
    ]  # fmt: skip


def test_objects_have_the_options_of_the_call() -> None:
    pixels = np.zeros((12, 12), np.uint8)
    pixels[1, 1:3] = pixels[5:9, 5:9] = 255
    one = sample(pixels, pixels > 0, "a.png")
    (plain,) = TASK.answer(Bright(), [one], SemanticOptions())
    assert plain.objects is None
    (found,) = TASK.answer(Bright(), [one], SemanticOptions(objects=True, least_area=3, pixel_size=0.5))
    assert found.objects.found.areas.tolist() == [16] and found.objects.pixel_size == 0.5
    # An annotation of objects has a background before their classes, as one of single objects does.
    assert TASK.annotation(plain).classes == CLASSES
    assert TASK.annotation(found).classes == ClassTable(("background", "cell"), ((0, 0, 0), (4, 5, 6)))


def test_no_object_is_said_and_nothing_where_none_was_looked_for() -> None:
    assert list(TASK.lines([("a.png", {"count": 0}), ("b.png", {})])) == ["a.png: 0 objects"]


def test_a_frame_is_drawn_at_its_own_size() -> None:
    one = {"image": ArrayWindows(np.zeros((30, 40, 3), np.uint8)), "name": "x"}
    prediction = SemanticPrediction(np.zeros((30, 40), np.uint8), CLASSES)
    assert TASK.draw_frame(prediction, one).size == (40, 30)
    assert TASK.draw(prediction, one).height > 30
