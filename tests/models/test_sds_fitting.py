"""The constants of SDS's last steps, as released: what machines and refinement are fitted on, and with which costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn import functional as F

from foveate.models.instances import sds
from foveate.models.instances.sds import SDS, Config, fitting
from foveate.models.instances.sds.crops import covered_cells
from foveate.models.instances.sds.fitting import GRID, Example, fit_refinement, fit_svms, threshold_for, unrefined
from foveate.models.instances.sds.networks import Pooled
from foveate.ops.boxes import tight_boxes
from foveate.ops.regions import RegionSet

NONE = torch.zeros(0)
SMALL: dict[str, Any] = {
    "num_classes": 2, "backbone": "test_efficientnet", "side": 32, "context": 4, "hidden": 16, "proposals": 60,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))


def columns(*members: tuple[int, ...], count: int = 12, height: int = 12) -> RegionSet:
    """Regions of whole columns, each of them an atom and a leaf."""
    inside = torch.zeros(len(members), count, dtype=torch.bool)
    for row, some in zip(inside, members, strict=True):
        row[list(some)] = True
    boxes = torch.tensor([[min(some), 0, max(some) + 1, height] for some in members]).float().view(-1, 4)
    atoms, leaves = torch.arange(count).expand(height, -1).contiguous(), torch.arange(count)[None]
    return RegionSet(boxes, atoms, inside, leaves, torch.zeros(len(members), dtype=torch.int64))


def example(features: Any, overlaps: Any, true_features: Any, labels: list[int]) -> Example:
    """An image for the machines alone."""
    made = [torch.as_tensor(values, dtype=torch.float32) for values in (features, overlaps, true_features)]
    return Example(columns(*[(0,)] * len(features)), *made, torch.tensor(labels), NONE, NONE, NONE, NONE, NONE, NONE)


# Machines


def test_machines_are_liblinears_on_features_of_a_mean_length_of_20() -> None:
    """Cost 0.001, positive examples twice as much, a constant feature of 10; the answer is for features as they are."""
    random = np.random.default_rng(0)
    features, true = random.normal(size=(300, 8)), random.normal(size=(200, 8)) * 2 + 1
    one = example(features, np.zeros((300, 200)), true, [0] * 200)
    weights, biases = fit_svms([one], 1)
    scale = 20 / np.linalg.norm(features, axis=1).mean()  # of the proposals alone
    pool, positive = np.concatenate([true, features]) * scale, np.arange(500) < 200
    reference = LinearSVC(
        loss="hinge", C=1e-3, intercept_scaling=10, class_weight={1: 2}, dual=True, max_iter=200_000, tol=1e-6
    ).fit(pool, positive.astype(int))
    scores = np.concatenate([true, features]) @ weights[0].numpy() + float(biases[0])
    assert np.abs(scores - reference.decision_function(pool)).max() < 0.03


def test_negatives_and_the_places_of_objects_are_chosen_by_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 0.2 a proposal is a negative, above 0.5 it may take its object's place; the best of these by score does."""
    fits: list[tuple[list[int], list[int]]] = []

    def mine(pool: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, float]:
        fits.append((positive.tolist(), np.flatnonzero(negative).tolist()))
        return np.array([1.0]), 0.0

    monkeypatch.setattr(fitting, "_mine", mine)
    overlaps = [[0.51], [0.9], [0.52], [0.5], [0.21], [0.2], [0.19], [0.0]]
    one = example([[1.0], [2.0], [9.0], [20.0], [0.0], [0.0], [0.0], [0.0]], overlaps, [[1.0]], [0])
    other = example([[5.0], [6.0]], np.zeros((2, 0)), np.zeros((0, 1)), [])
    fit_svms([one, other], 1)
    assert fits == [([10], [6, 7, 8, 9]), ([2], [6, 7, 8, 9])]


def test_a_class_without_examples_is_surely_not_there() -> None:
    one = example([[1.0], [2.0]], [[0.0], [0.0]], [[1.0]], [1])
    weights, biases = fit_svms([one], 2)
    assert not weights[0].any() and float(biases[0]) == -1


def test_hard_negatives_enter_and_easy_ones_leave_the_working_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose score is the feature itself: above -1.0001 a negative enters, below -1.2 it leaves."""
    seen: list[list[float]] = []

    def machine(features: np.ndarray, positive: np.ndarray, cost: float, **_: Any) -> tuple[np.ndarray, float]:
        seen.append(sorted(features[~positive, 0].tolist()))
        return np.array([1.0]), 0.0

    monkeypatch.setattr(fitting, "linear_svm", machine)
    values = np.array([3.0, -1.0, -1.00005, -1.0002, -1.1, -1.19, -1.21, -5.0, 0.5, 2.0])
    negative = np.arange(10) > 0
    monkeypatch.setattr(fitting, "FIRST_NEGATIVES", 4)
    fitting._mine(values[:, None], np.array([0]), negative)
    first = set(seen[0])
    kept = {v for v in first if v >= -1.2}
    assert len(first) == 4 and len(seen) == 2
    assert set(seen[1]) == kept | {v for v in values[1:] if v > -1.0001}
    assert kept != first and len(kept) > 0  # both kinds were drawn


def test_at_most_2000_negatives_at_first_and_ten_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def machine(features: np.ndarray, positive: np.ndarray, cost: float, **_: Any) -> tuple[np.ndarray, float]:
        sizes.append(int((~positive).sum()))
        return np.array([(-1.0) ** len(sizes)]), 0.0  # what was easy becomes hard, again and again

    monkeypatch.setattr(fitting, "linear_svm", machine)
    pool = np.concatenate([[0.0], np.linspace(2, 3, 1500), np.linspace(-3, -2, 1500)])[:, None]
    fitting._mine(pool, np.array([0]), np.arange(3001) > 0)
    assert sizes[0] == 2000 and len(sizes) == 10


# Refinement


def test_refinement_is_fitted_on_large_superpixels_near_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: cells that know nothing, 0.5 everywhere in the box, and columns of an image of 500 x 375 pixels.

    A column's coarse value is half of its share inside the box. A strip of 100 pixels is too small, one of 101 is not.
    """
    calls: list[tuple[Tensor, Tensor, float]] = []

    def logistic(x: Tensor, y: Tensor, cost: float) -> Tensor:
        calls.append((x, y, cost))
        return torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)

    monkeypatch.setattr(fitting, "logistic", logistic)
    width, height = 500, 375
    atoms = torch.full((height, width), 5)
    atoms[:, :30], atoms[:, 30:60], atoms[:, 60:90], atoms[:, 90:120] = 0, 1, 2, 3
    atoms[0, 0:100] = 4  # 100 pixels: 30 of the first three columns each, and ten of the fourth
    atoms[374, 0:101] = 6
    members = torch.tensor([[True, False, False, True, False, False, False]])
    regions = RegionSet(
        torch.tensor([[0.0, 0, 120, 375]]), atoms, members, torch.arange(7)[None], torch.zeros(1).long()
    )
    truth = torch.zeros(1, height, width, dtype=torch.bool)
    truth[:, 1:200, :60], truth[:, 1:180, 60:120] = True, True  # of 374 rows more than half, and less
    grid = torch.zeros(1, GRID, GRID, dtype=torch.bool)
    first = torch.tensor([0])
    box = torch.tensor([[0.0, 0.0, 75.0, 375.0]])  # the first two columns, and half of the third
    one = Example(
        regions, torch.tensor([[1.0, 2.0]]), torch.tensor([[0.8]]), torch.ones(1, 2), first, first, first, box, grid,
        ~grid, regions.shares(truth),
    )  # fmt: skip
    fit_refinement([one], 1)
    (x, y, cost), (leaf_x, leaf_y, leaf_cost) = calls
    assert (cost, leaf_cost) == (0.01, 1.0)
    assert x.tolist() == [[1.0, 2.0, *[0.0] * 100, 1.0]] and y.tolist() == [[1] * 100]
    # Columns 0, 1 and 2 by their values, column 3 since it is the region's, and the longer strip; nothing else.
    expected = torch.tensor([[0.5, 1, 1], [0.5, 0, 1], [0.25, 0, 1], [0, 1, 1], [0.5 * 75 / 101, 0, 1]])
    torch.testing.assert_close(leaf_x, expected, check_dtype=False, rtol=0, atol=5e-3)
    assert leaf_y[:, 0].tolist() == [True, True, False, False, False]
    # With less of the third column in the box, 0.15, it is no example.
    calls.clear()
    box[0, 2] = 69.0
    fit_refinement([one], 1)
    assert len(calls[1][0]) == 4


def test_a_threshold_lies_half_way_and_cells_are_covered_by_more_than_half() -> None:
    assert threshold_for(torch.tensor([0.1, 0.9, 0.6, 0.2]), 1) == pytest.approx(0.75)
    half = torch.zeros(1, 8, 8, dtype=torch.bool)
    half[0, :4, :2] = half[0, 4:, :2] = half[0, 4, 2] = True  # 8 of 16 points, and 9
    assert covered_cells(half)[0].tolist() == [[False, False], [True, False]]
    assert torch.equal(unrefined(1), torch.tensor([[0.0, 2.0, -1.0]]))


# The network around them


def small(**more: Any) -> SDS:
    torch.manual_seed(0)
    return SDS(Config(**(SMALL | more))).eval()


def batch_of(*masks: Tensor, crowd: Tensor | None = None, labels: list[int] | None = None) -> Any:
    true = torch.stack(masks) if masks else torch.zeros(0, 12, 12, dtype=torch.bool)
    nothing = torch.zeros(12, 12, dtype=torch.bool)
    return {
        "image": torch.zeros(1, 3, 12, 12), "image_sizes": [(12, 12)], "boxes": [tight_boxes(true)],
        "labels": [torch.tensor(labels or [0] * len(masks), dtype=torch.int64)], "masks": [true],
        "crowds": [nothing if crowd is None else crowd], "names": ["a"],
    }  # fmt: skip


def stripe(start: int, stop: int) -> Tensor:
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[:, start:stop] = True
    return mask


def test_examples_of_training_overlap_by_half_and_those_of_the_refinement_by_seven_tenths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Regions with 5, 6, 7 and 10 of the object's ten columns; the last one beside it lies in a crowd."""
    regions = columns(tuple(range(5)), tuple(range(6)), tuple(range(7)), tuple(range(10)), (0, 1), (10, 11), (11,))
    batch = batch_of(stripe(0, 10), labels=[1], crowd=stripe(11, 12))
    net = small()
    chosen, target = net._sample(regions, batch, 0)
    assert dict(zip(chosen.tolist(), target.tolist(), strict=True)) == {0: 2, 1: 2, 2: 2, 3: 2, 4: 0, 5: 0}
    monkeypatch.setattr(net, "regions", lambda image, keep=False: regions)
    monkeypatch.setattr(net, "features_of", lambda image, regions: torch.zeros(len(regions), 32))
    found = net.example(batch)
    assert len(found.regions) == 6 and found.good.tolist() == [2, 3] and found.owner.tolist() == [0, 0]
    assert found.target.sum() > found.grid.sum()  # the cells of the object, not those of the proposals


def test_numbers_of_the_configuration_bound_what_is_sampled_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    regions = columns(*[(0, 1, 2, k) for k in range(3, 9)], *[(k,) for k in range(3, 12)])
    net = small(foreground=2, background=3, detections=4, refine=False)
    _, target = net._sample(regions, batch_of(stripe(0, 3)), 0)
    assert (target > 0).sum() == 2 and (target == 0).sum() == 3
    monkeypatch.setattr(net, "regions", lambda image, keep=False: regions)
    monkeypatch.setattr(net, "scores", lambda features: torch.rand(len(regions), 2))
    with torch.no_grad():
        assert len(net(torch.zeros(1, 3, 12, 12)).scores) == 4
    largest: list[Any] = []
    monkeypatch.setattr(sds.REGIONS, "regions", lambda pixels, *given: (largest.append(given), regions)[1])
    small(largest=0.25).regions(torch.zeros(3, 12, 12))
    assert largest == [(60, 0.25, False)]


def test_crops_are_turned_where_it_is_asked_for_and_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    regions, used = columns((0, 1, 2), (7, 8)), []
    for name in ("mirrored", "turned"):
        monkeypatch.setattr(sds, name, lambda crops, name=name: (used.append(name), crops)[1])
    for turn, training in ((False, True), (True, True), (True, False)):
        net = small(turn=turn).train(training)
        monkeypatch.setattr(net, "regions", lambda image, keep=False: regions)
        net.loss(batch_of(stripe(0, 3)))
    assert used == ["mirrored", "turned"]


def test_machines_are_fitted_on_images_that_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of seven; two detections an image on average reach the semantic threshold, of ten an image at most."""
    net = small(fit_images=3, refine=False)
    read: list[int] = []
    scores = torch.linspace(0.9, 0.1, 12)

    def looked_at(batch: int) -> Example:
        read.append(batch)
        regions = columns(*[(k,) for k in range(12)])
        return Example(regions, torch.zeros(12, 32), torch.zeros(12, 1), torch.ones(1, 32), torch.tensor([0]),
                       NONE, NONE, NONE, NONE, NONE, NONE)  # fmt: skip

    monkeypatch.setattr(net, "example", looked_at)
    monkeypatch.setattr(sds, "fit_svms", lambda examples, count: (torch.zeros(2, 32), torch.zeros(2)))
    monkeypatch.setattr(net, "scores", lambda features: torch.stack([scores, 0 * scores], 1))
    net.fit(list(range(7)))  # type: ignore[arg-type]
    assert read == [0, 2, 4]
    # Six of all reach it: the two best of each image.
    assert float(net.semantic_threshold) == pytest.approx(float(scores[1] + scores[2]) / 2)
    assert sds.BEST_REGIONS == 10 and bool(net.fitted)


def test_what_is_not_asked_for_is_neither_fitted_nor_used(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def fitted(name: str, *found: Tensor) -> Any:
        return lambda *_: (called.append(name), found)[1]

    monkeypatch.setattr(sds, "fit_svms", fitted("machines", torch.ones(2, 32), torch.ones(2)))
    monkeypatch.setattr(sds, "fit_refinement", fitted("refine", torch.zeros(2, 133, 100), unrefined(2)))
    regions = columns((0, 1, 2), (7, 8))
    features = torch.randn(2, 32)
    for head, refine, expected in (("svm", False, ["machines"]), ("softmax", True, ["refine"])):
        net = small(head=head, refine=refine)
        monkeypatch.setattr(net, "regions", lambda image, keep=False: regions)
        called.clear()
        net.fit([batch_of(stripe(0, 3))])
        assert called == expected and bool(net.fitted)
        softmax = net.classify(features).softmax(1)[:, 1:]
        own = (features.sum(1, keepdim=True) + 1).sigmoid().expand(-1, 2)
        torch.testing.assert_close(net.scores(features), own if head == "svm" else softmax)
        refined: list[int] = []

        def keep(regions: RegionSet, index: Tensor, *_: Any, seen: list[int] = refined) -> Tensor:
            seen.append(1)
            return regions.members[index]

        monkeypatch.setattr(net, "refined", keep)
        with torch.no_grad():
            net(torch.zeros(1, 3, 12, 12))
        assert bool(refined) == refine


def test_half_of_the_features_are_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    net = Pooled("test_efficientnet", 3, False, 4000).eval()
    torch.nn.init.constant_(net.project.bias, 10.0)  # none is 0 by the ReLU
    crops = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        whole = net(crops)
        maps = net.net(crops)
        pooled = torch.cat([maps[-2].mean((2, 3)), maps[-1].mean((2, 3))], 1)
        torch.testing.assert_close(whole, F.relu(net.project(pooled)))
        net.dropout.train()
        dropped = net(crops)
    assert abs(float((dropped == 0).float().mean()) - 0.5) < 0.05
    torch.testing.assert_close(dropped[dropped != 0], 2 * whole[dropped != 0])
