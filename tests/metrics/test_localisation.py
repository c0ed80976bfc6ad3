"""CorLoc, pointing and contrast by hand, and IoU against torchvision's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from foveate.errors import ConfigError, DataError
from foveate.metrics.localisation import LocalisationMetrics, iou
from foveate.records import ClassTable


def box(*corners: float) -> torch.Tensor:
    return torch.tensor([corners], dtype=torch.float32)


NONE = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)


def test_iou_is_torchvisions() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(n, 4, generator=generator, dtype=torch.float64) for n in (40, 30))
    for boxes in (first, second):
        boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(iou(first.numpy(), second.numpy()), box_iou(first, second).numpy(), atol=1e-12)


def test_boxes_without_area_overlap_nothing() -> None:
    assert iou(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0]]


def test_scores_by_hand() -> None:
    """A window of 10x10 on an image of 20x20."""
    metrics = LocalisationMetrics(2)
    # Shifted by 2: 80 of 120, found. By 5: 50 of 150, not found, though its middle lies in it.
    assert metrics.update(box(2, 0, 12, 10), box(0, 0, 10, 10), torch.tensor([0]), (20, 20)) == pytest.approx(2 / 3)
    assert metrics.update(box(5, 0, 15, 10), box(0, 0, 10, 10), torch.tensor([0]), (20, 20)) == pytest.approx(1 / 3)
    assert math.isnan(metrics.update(box(5, 0, 15, 10), *NONE, (20, 20)))
    scores = metrics.compute()
    assert scores.corloc == 0.5
    assert scores.mean_iou == pytest.approx(0.5)
    assert scores.pointing == 1
    # The middle window shares 25 of 175, and its middle is the object's corner.
    assert (scores.centre_corloc, scores.centre_pointing) == (0, 1)
    # Of 29 x 29 windows at offsets i * 10 / 28, those with (10 - x)(10 - y) > 100 * 2 / 3 (intersection over union
    # above a half), and those with both offsets up to 5.
    near = [i * 10 / 28 for i in range(29)]
    found = sum((10 - x) * (10 - y) > 200 / 3 for x in near for y in near)
    assert scores.random_corloc == pytest.approx(found / 29**2)
    assert scores.random_pointing == pytest.approx((15 / 29) ** 2)
    assert scores.per_kind[0] == 0.5
    assert (scores.images, scores.without, scores.absent) == (3, 1, (1,))
    result = scores.to_json(ClassTable(("cow", "horse")))
    assert result["per_kind"] == {"cow": 0.5, "horse": None}
    assert (result["absent_kinds"], result["images"], result["without_objects"], result["contrast"]) == (
        ["horse"], 3, 1, None,
    )  # fmt: skip


def test_an_overlap_of_exactly_a_half_is_no_hit() -> None:
    """Windows of 10x10 in an image 38 high and 10 wide: an object of 10x20 holds 11 of the 29 positions whole."""
    metrics = LocalisationMetrics(1)
    assert metrics.update(box(0, 10, 10, 20), box(0, 9, 10, 29), torch.tensor([0]), (38, 10)) == 0.5
    scores = metrics.compute()
    assert (scores.corloc, scores.random_corloc, scores.centre_corloc, scores.per_kind) == (0, 0, 0, (0,))
    assert (scores.pointing, scores.random_pointing, scores.centre_pointing) == (1, pytest.approx(21 / 29), 1)


def test_a_random_window_as_wide_as_the_image_or_wider_has_one_place() -> None:
    metrics = LocalisationMetrics(1)
    metrics.update(box(0, 0, 20, 10), box(9, 0, 11, 10), torch.tensor([0]), (10, 16))
    assert metrics.compute().random_pointing == 1


def test_two_windows_on_one_object_count_once() -> None:
    metrics = LocalisationMetrics(2)
    objects = torch.cat([box(0, 0, 10, 10), box(20, 20, 30, 30)])
    metrics.update(box(0, 0, 10, 10).expand(2, 4), objects, torch.tensor([0, 1]), (40, 40))
    scores = metrics.compute()
    assert scores.corloc == 0.5
    assert scores.per_kind == (1, 0)


def test_of_two_windows_on_the_only_object_one_has_missed() -> None:
    metrics = LocalisationMetrics(1)
    metrics.update(box(0, 0, 10, 10).expand(2, 4), box(0, 0, 10, 10), torch.tensor([0]), (40, 40))
    scores = metrics.compute()
    assert (scores.corloc, scores.mean_iou, scores.pointing) == (0.5, 0.5, 0.5)


def test_one_window_may_choose_among_several_cows() -> None:
    metrics = LocalisationMetrics(1)
    metrics.update(
        box(20, 20, 30, 30), torch.cat([box(0, 0, 9, 9), box(20, 20, 30, 30)]), torch.tensor([0, 0]), (40, 40)
    )
    scores = metrics.compute()
    assert (scores.corloc, scores.centre_pointing) == (1, 1)  # the centre is a corner of the second


def test_contrast_is_the_mean_cosine_between_less_that_to_others() -> None:
    metrics = LocalisationMetrics(1)
    metrics.update(box(0, 0, 1, 1), *NONE, (4, 4))
    found = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    elsewhere = torch.tensor([[0.0, 1.0], [0.6, -0.8]])
    metrics.compare(found, elsewhere)
    # Between: 0.6, twice. To others: 0 and 0.36 - 0.64.
    assert metrics.compute().contrast == pytest.approx(0.6 + 0.14)


def test_a_pictures_own_score_is_over_its_windows() -> None:
    """Two windows and one object: one of them has missed, in the image as in the set."""
    metrics = LocalisationMetrics(1)
    windows = torch.cat([box(0, 0, 10, 10), box(10, 10, 20, 20)])
    own = metrics.update(windows, box(0, 0, 10, 10), torch.tensor([0]), (20, 20))
    assert own == metrics.compute().mean_iou == 0.5


def test_counts_of_several_processes_add_up() -> None:
    whole, parts = LocalisationMetrics(1), [LocalisationMetrics(1) for _ in range(2)]
    for i in range(4):
        windows, objects = box(i, 0, i + 10, 10), box(0, 0, 10, 10)
        for metrics in (whole, parts[i % 2]):
            metrics.update(windows, objects, torch.tensor([0]), (20, 20))
    parts[0].merge(parts[1].state())
    assert parts[0].state().equal(whole.state())
    with pytest.raises(ConfigError, match="merge metrics of the same kinds"):
        whole.merge(LocalisationMetrics(2).state())


def test_what_cannot_be_scored_says_so() -> None:
    with pytest.raises(ConfigError, match="cannot score 0 kinds"):
        LocalisationMetrics(0)
    metrics = LocalisationMetrics(1)
    with pytest.raises(DataError, match="no picture was scored"):
        metrics.compute()
    with pytest.raises(DataError, match=r"windows of shape \(0, 4\); expected \(T, 4\), at least one"):
        metrics.update(torch.zeros(0, 4), *NONE, (4, 4))
    with pytest.raises(DataError, match=r"boxes of shape \(1, 4\) for 2 labels"):
        metrics.update(box(0, 0, 1, 1), box(0, 0, 1, 1), torch.tensor([0, 0]), (4, 4))
    for label in (1, -1):
        with pytest.raises(DataError, match=f"labels {label} to {label}; expected 0 to 0"):
            metrics.update(box(0, 0, 1, 1), box(0, 0, 1, 1), torch.tensor([label]), (4, 4))
    metrics.update(box(0, 0, 1, 1), *NONE, (4, 4))
    with pytest.raises(ConfigError, match="scores of 1 kind, but the class table has 2"):
        metrics.compute().to_json(ClassTable(("a", "b")))
