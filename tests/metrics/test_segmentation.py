"""Scores against the published formulas, an independent library, brute force over all pixel pairs, and by hand."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from foveate.errors import ConfigError, DataError
from foveate.metrics.segmentation import SegmentationMetrics, SegmentationScores
from foveate.ops.contours import near_contour
from foveate.records import IGNORE, ClassTable

Pair = tuple[np.ndarray, np.ndarray]


def random_pairs(
    seed: int, classes: int, count: int = 4, agree: float = 0.6, ignore: int = 255, cell: int = 3
) -> list[Pair]:
    """(prediction, truth) of blocky label maps, each its own size, with ignored patches."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        h, w = rng.integers(9, 26, 2)
        grid = rng.integers(0, classes + 1, (h // cell + 1, w // cell + 1))
        truth = np.kron(np.where(grid == classes, ignore, grid), np.ones((cell, cell), int))[:h, :w]
        noise = rng.integers(0, classes, (h, w))
        prediction = np.where((rng.random((h, w)) < agree) & (truth != ignore), truth, noise)
        pairs.append((prediction, truth))
    return pairs


def score(pairs: list[Pair], classes: int, **settings: object) -> SegmentationScores:
    metrics = SegmentationMetrics(classes, **settings)  # type: ignore[arg-type]
    for prediction, truth in pairs:
        metrics.update(prediction, truth)
    return metrics.compute()


def published(pairs: list[Pair], k: int) -> dict[str, float | list[float]]:
    """The four scores of the FCN paper, section 5, pixel by pixel and sum by sum."""
    n = [[0] * k for _ in range(k)]
    for prediction, truth in pairs:
        for i, j in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if 0 <= i < k:
                n[i][j] += 1
    t = [sum(row) for row in n]
    unions = [t[i] + sum(n[j][i] for j in range(k)) - n[i][i] for i in range(k)]
    iou = [n[i][i] / unions[i] if unions[i] else math.nan for i in range(k)]
    accuracy = [n[i][i] / t[i] if t[i] else math.nan for i in range(k)]
    return {
        "pixel_accuracy": sum(n[i][i] for i in range(k)) / sum(t),
        "mean_accuracy": float(np.nanmean(accuracy)),
        "mean_iou": float(np.nanmean(iou)),
        "frequency_weighted_iou": sum(t[i] * iou[i] for i in range(k) if t[i]) / sum(t),
        "iou": iou,
        "accuracy": accuracy,
    }


# --- area scores


@pytest.mark.parametrize(("seed", "classes"), [(0, 2), (1, 3), (2, 11), (3, 21)])
def test_area_scores_are_those_of_the_paper(seed: int, classes: int) -> None:
    pairs = random_pairs(seed, classes)
    ours, theirs = score(pairs, classes), published(pairs, classes)
    for key in ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"):
        assert getattr(ours, key) == pytest.approx(theirs[key], abs=1e-12), key
    np.testing.assert_allclose(ours.per_class_iou, theirs["iou"], atol=1e-12)
    np.testing.assert_allclose(ours.per_class_accuracy, theirs["accuracy"], atol=1e-12)


@pytest.mark.parametrize(("seed", "classes"), [(4, 2), (5, 5), (6, 11)])
def test_area_scores_are_those_of_torchmetrics(seed: int, classes: int) -> None:
    pairs = random_pairs(seed, classes, count=6)
    ours = score(pairs, classes)
    assert ours.absent == ()
    theirs = {
        "mean_iou": MulticlassJaccardIndex(classes, average="macro", ignore_index=255),
        "frequency_weighted_iou": MulticlassJaccardIndex(classes, average="weighted", ignore_index=255),
        "pixel_accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=255),
        "mean_accuracy": MulticlassAccuracy(classes, average="macro", ignore_index=255),
        "per_class_iou": MulticlassJaccardIndex(classes, average="none", ignore_index=255),
    }
    for key, metric in theirs.items():
        for prediction, truth in pairs:
            metric.update(torch.from_numpy(prediction)[None], torch.from_numpy(truth)[None])
        np.testing.assert_allclose(getattr(ours, key), metric.compute().numpy(), atol=1e-6, err_msg=key)


def test_by_hand() -> None:
    truth = np.array([[0, 0, 1], [0, 1, 255]])
    prediction = np.array([[0, 1, 1], [0, 1, 0]])
    scores = score([(prediction, truth)], 2)
    assert scores.confusion.tolist() == [[2, 1], [0, 2]]
    assert scores.confusion.dtype == np.int64
    assert scores.per_class_iou == (2 / 3, 2 / 3)
    assert scores.per_class_accuracy == (2 / 3, 1.0)
    assert scores.mean_iou == pytest.approx(2 / 3)
    assert scores.pixel_accuracy == pytest.approx(4 / 5)
    assert scores.mean_accuracy == pytest.approx(5 / 6)
    assert scores.frequency_weighted_iou == pytest.approx(2 / 3)
    assert scores.images == 1


def test_one_confusion_over_the_set_not_a_mean_over_pictures() -> None:
    large, small = np.zeros((10, 10), int), np.zeros((1, 1), int)
    scores = score([(large, large), (small + 1, small)], 2)
    assert scores.per_class_iou == (100 / 101, 0.0)


def test_absent_classes_stay_out_and_are_named() -> None:
    truth = np.array([[0, 0, 1, 1]])
    prediction = np.array([[0, 0, 1, 3]])  # 3 is predicted but never true; 2 is nowhere
    scores = score([(prediction, truth)], 4)
    assert scores.absent == (2,)
    assert math.isnan(scores.per_class_iou[2])
    assert scores.per_class_iou[3] == 0.0
    assert math.isnan(scores.per_class_accuracy[3])
    assert scores.mean_iou == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert scores.mean_accuracy == pytest.approx((1 + 1 / 2) / 2)
    assert scores.frequency_weighted_iou == pytest.approx(0.5 * 1 + 0.5 * 0.5)


@pytest.mark.parametrize("ignore", [255, IGNORE, -1, 5])
def test_ignored_pixels_are_scored_nowhere(ignore: int) -> None:
    pairs = random_pairs(7, 4, ignore=ignore)
    rng = np.random.default_rng(8)
    anything = [(np.where(t == ignore, rng.integers(-9, 999, t.shape), g), t) for g, t in pairs]
    assert score(pairs, 4).to_json(ClassTable(tuple("abcd"))) == score(anything, 4).to_json(ClassTable(tuple("abcd")))


# --- boundary scores against distances between all pixels


def brute_distance(region: np.ndarray, edge: bool) -> np.ndarray:
    """Rows-or-columns distance of each pixel to the nearest pixel of `region` (or to the outside)."""
    h, w = region.shape
    ys, xs = np.nonzero(region)
    out = np.full((h, w), 10**6)
    for y in range(h):
        for x in range(w):
            if len(ys):
                out[y, x] = np.maximum(abs(ys - y), abs(xs - x)).min()
            if edge:
                out[y, x] = min(out[y, x], y + 1, x + 1, h - y, w - x)
    return out


def brute_boundary_iou(pairs: list[Pair], k: int, ratio: float) -> list[float]:
    intersection, union = np.zeros(k), np.zeros(k)
    for prediction, truth in pairs:
        valid = (truth >= 0) & (truth < k)
        width = max(1, round(ratio * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))
        for c in range(k):
            bands = []
            for labels in (truth, prediction):
                mask = (labels == c) & valid
                bands.append(mask & (brute_distance((labels != c) & valid, edge=True) <= width))
            intersection[c] += (bands[0] & bands[1]).sum()
            union[c] += (bands[0] | bands[1]).sum()
    return [i / u if u else math.nan for i, u in zip(intersection, union, strict=True)]


@pytest.mark.parametrize(("seed", "classes", "ratio"), [(10, 2, 0.02), (11, 3, 0.1), (12, 5, 0.1), (13, 3, 0.4)])
def test_boundary_iou_is_the_definition_by_brute_force(seed: int, classes: int, ratio: float) -> None:
    pairs = random_pairs(seed, classes, count=3, agree=0.95, cell=7)
    ours = score(pairs, classes, boundary_ratio=ratio)
    theirs = brute_boundary_iou(pairs, classes, ratio)
    np.testing.assert_allclose(ours.per_class_boundary_iou, theirs, atol=1e-12)
    assert ours.boundary_iou == pytest.approx(np.nanmean(theirs), abs=1e-12)


def test_boundary_iou_is_eroding_each_mask_as_its_authors_do() -> None:
    from scipy.ndimage import binary_erosion

    truth = np.random.default_rng(14).integers(0, 3, (5, 6)).repeat(8, 0).repeat(8, 1)
    prediction = np.roll(truth, (1, 2), (0, 1))
    width = round(0.05 * math.hypot(*truth.shape))
    theirs = []
    for c in range(3):
        # One width of 3x3 erosions; outside the image counts as another label.
        bands = [m & ~binary_erosion(m, np.ones((3, 3)), width, border_value=0) for m in (truth == c, prediction == c)]
        theirs.append((bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum())
    np.testing.assert_allclose(score([(prediction, truth)], 3, boundary_ratio=0.05).per_class_boundary_iou, theirs)


@pytest.mark.parametrize("seed", [15, 16])
def test_trimap_iou_is_the_definition_by_brute_force(seed: int) -> None:
    classes, widths = 3, (1, 2, 4)
    pairs = random_pairs(seed, classes, count=3, agree=0.8, cell=8)
    ours = score(pairs, classes, trimap_widths=widths)
    for width in widths:
        inside = []
        for prediction, truth in pairs:
            valid = truth != 255
            near = np.zeros(truth.shape, bool)
            for c in range(classes):
                near |= (truth == c) & (brute_distance(valid & (truth != c), edge=False) <= width)
            inside.append((prediction, np.where(near, truth, 255)))
        assert ours.trimap_iou[width] == pytest.approx(published(inside, classes)["mean_iou"], abs=1e-12)


def test_boundaries_by_hand() -> None:
    truth = np.array([[0, 0, 0, 0, 1, 1, 1, 1]] * 9)
    prediction = np.array([[0, 0, 0, 1, 1, 1, 1, 1]] * 9)
    trimap = score([(prediction, truth)], 2, trimap_widths=(1, 2, 8)).trimap_iou
    # Within one pixel of the contour: columns 3 (wrong) and 4 (right). Within two: 2 3 4 5.
    assert trimap == {1: (0 + 1 / 2) / 2, 2: (1 / 2 + 2 / 3) / 2, 8: (3 / 4 + 4 / 5) / 2}
    # Boundary IoU at width 1: each mask keeps its outermost pixels, 22 and 20 of class 0, 22 and 24 of class 1.
    scores = score([(prediction, truth)], 2, boundary_ratio=0.02)
    both_0 = 9 + 2 * 2  # column 0, and columns 1 and 2 of the top and the bottom row
    both_1 = 9 + 2 * 3  # column 7, and columns 4, 5 and 6 of the top and the bottom row
    assert scores.per_class_boundary_iou[0] == pytest.approx(both_0 / (22 + 20 - both_0))
    assert scores.per_class_boundary_iou[1] == pytest.approx(both_1 / (22 + 24 - both_1))


def test_the_edge_is_a_contour_for_boundary_iou_only() -> None:
    plain = np.zeros((6, 6), np.uint8) + 1
    assert not near_contour(plain, 2, void=0).any()
    assert near_contour(plain, 2, void=0, edge=True).sum() == 36 - 4
    scores = score([(plain, plain)], 2)
    assert scores.boundary_iou == 1.0
    assert all(math.isnan(v) for v in scores.trimap_iou.values())


def test_ignored_pixels_make_no_contour_but_do_not_hide_one() -> None:
    void_beside = np.array([[1, 1, 1, 0, 0, 0, 0]], np.uint8)  # encoded: 0 is ignored
    assert not near_contour(void_beside, 3, void=0).any()
    void_between = np.array([[1, 1, 1, 0, 0, 2, 2]], np.uint8)
    assert near_contour(void_between, 3, void=0).tolist() == [[False, False, True, False, False, True, False]]


def test_a_perfect_prediction_scores_one_everywhere() -> None:
    pairs = [(np.where(t == 255, 0, t), t) for _, t in random_pairs(17, 4)]
    scores = score(pairs, 4)
    assert scores.mean_iou == scores.pixel_accuracy == scores.mean_accuracy == scores.frequency_weighted_iou == 1.0
    assert scores.boundary_iou == 1.0
    assert set(scores.trimap_iou.values()) == {1.0}


def test_blurring_a_contour_costs_more_the_closer_one_looks() -> None:
    truth = np.zeros((64, 64), int)
    truth[16:48, 16:48] = 1
    prediction = np.zeros((64, 64), int)
    prediction[17:49, 17:49] = 1
    scores = score([(prediction, truth)], 2)
    by_width = [scores.trimap_iou[w] for w in (1, 2, 4, 8, 16)]
    assert by_width == sorted(by_width)
    assert by_width[0] < scores.boundary_iou < scores.mean_iou


# --- laws


def same(a: SegmentationScores, b: SegmentationScores, classes: int) -> bool:
    table = ClassTable(tuple(f"class {i}" for i in range(classes)), ignore_index=999)
    return a.to_json(table) == b.to_json(table)


def test_order_does_not_matter_and_merging_is_adding() -> None:
    pairs = random_pairs(20, 5, count=7)
    whole = score(pairs, 5)
    assert same(score(pairs[::-1], 5), whole, 5)
    parts = [SegmentationMetrics(5), SegmentationMetrics(5), SegmentationMetrics(5)]
    for i, (prediction, truth) in enumerate(pairs):
        parts[i % 2].update(prediction, truth)  # the third process sees nothing
    summed = torch.stack([part.state() for part in parts]).sum(0)
    assert summed.dtype == torch.int64
    merged = SegmentationMetrics(5)
    merged.merge(summed)
    assert same(merged.compute(), whole, 5)
    parts[0].merge(parts[1].state())
    assert same(parts[0].compute(), whole, 5)


def test_state_is_a_copy() -> None:
    metrics = SegmentationMetrics(2)
    before = metrics.state()
    metrics.update(np.zeros((2, 2), int), np.zeros((2, 2), int))
    assert before.sum() == 0
    scores = metrics.compute()
    metrics.update(np.zeros((2, 2), int), np.zeros((2, 2), int))
    assert scores.confusion[0, 0] == 4


def test_renaming_labels_renames_scores() -> None:
    pairs = random_pairs(21, 5)
    order = np.random.default_rng(0).permutation(5)
    lookup = np.append(order, np.full(251, 255))
    plain, renamed = score(pairs, 5), score([(lookup[g], lookup[t]) for g, t in pairs], 5)
    for key in ("per_class_iou", "per_class_accuracy", "per_class_boundary_iou"):
        np.testing.assert_array_equal(np.array(getattr(renamed, key))[order], getattr(plain, key))
    for key in ("mean_iou", "boundary_iou", "frequency_weighted_iou"):
        assert getattr(renamed, key) == pytest.approx(getattr(plain, key), abs=1e-12)
    assert list(renamed.trimap_iou.values()) == pytest.approx(list(plain.trimap_iou.values()), abs=1e-12)


def test_turning_and_mirroring_pictures_changes_nothing() -> None:
    pairs = random_pairs(22, 4)
    plain = score(pairs, 4)
    assert same(score([(np.rot90(g), np.rot90(t)) for g, t in pairs], 4), plain, 4)
    assert same(score([(g[:, ::-1], t[:, ::-1]) for g, t in pairs], 4), plain, 4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_tensors_and_arrays_of_any_integer_type_agree(dtype: torch.dtype) -> None:
    pairs = random_pairs(23, 4)
    tensors = SegmentationMetrics(4)
    for prediction, truth in pairs:
        tensors.update(torch.from_numpy(prediction).to(dtype), torch.from_numpy(truth).to(dtype))
    assert same(tensors.compute(), score(pairs, 4), 4)


@pytest.mark.parametrize("classes", [254, 255, 300])
def test_more_classes_than_a_byte_holds(classes: int) -> None:
    rng = np.random.default_rng(24)
    truth = rng.integers(0, classes, (12, 12))
    truth[0, :2] = classes - 1
    truth[1, 1] = 999
    prediction = np.where(rng.random((12, 12)) < 0.5, np.minimum(truth, classes - 1), classes - 2)
    scores = score([(prediction, truth)], classes)
    assert scores.mean_iou == pytest.approx(published([(prediction, truth)], classes)["mean_iou"])
    # No two neighbours are sure to be alike, so everything here is near a contour.
    assert scores.trimap_iou[8] == pytest.approx(scores.mean_iou)
    assert scores.boundary_iou == pytest.approx(np.nanmean(brute_boundary_iou([(prediction, truth)], classes, 0.02)))


def test_memory_does_not_grow_with_the_set() -> None:
    metrics = SegmentationMetrics(4)
    pairs = random_pairs(25, 4)
    for prediction, truth in pairs:
        metrics.update(prediction, truth)
    length = metrics.state().numel()
    tracemalloc.start()
    try:
        for _ in range(50):
            for prediction, truth in pairs:
                metrics.update(prediction, truth)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 4096
    assert metrics.state().numel() == length == 1 + 4 * 4 + 4 + 4 + 15 * 3 + 5 * 4 * 4


def test_without_boundaries_the_rest_is_the_same() -> None:
    pairs = random_pairs(26, 4)
    plain, bare = score(pairs, 4), score(pairs, 4, boundaries=False)
    assert bare.mean_iou == plain.mean_iou
    assert math.isnan(bare.boundary_iou)
    assert bare.trimap_iou == {}


# --- JSON and errors


def test_json_has_names_and_null_for_what_is_not_defined() -> None:
    truth = np.array([[0, 0, 1, 1]])
    data = score([(truth, truth)], 3).to_json(ClassTable(("sky", "grass", "cow")))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["per_class"] == {"sky": 1.0, "grass": 1.0, "cow": None}
    assert data["absent_classes"] == ["cow"]
    assert data["images"] == 1
    assert data["trimap_iou"] == {"1": 1.0, "2": 1.0, "4": 1.0, "8": 1.0, "16": 1.0}
    assert {"mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "boundary_iou"} <= data.keys()
    with pytest.raises(ConfigError, match="scores of 3 classes, but the class table has 1"):
        score([(truth, truth)], 3).to_json(ClassTable(("sky",)))


def test_an_empty_set_is_an_error() -> None:
    metrics = SegmentationMetrics(2)
    with pytest.raises(DataError, match="no picture was scored"):
        metrics.compute()
    metrics.update(np.zeros((3, 3), int), np.full((3, 3), 255))
    metrics.update(np.zeros((0, 3), int), np.zeros((0, 3), int))
    with pytest.raises(DataError, match="scored 2 pictures, but every pixel of the labels is ignored"):
        metrics.compute()


def test_bad_pictures_are_named_and_not_counted() -> None:
    metrics = SegmentationMetrics(3)
    zeros = np.zeros((4, 6), int)
    with pytest.raises(DataError, match="prediction of 6x4 pixels for a target of 4x6"):
        metrics.update(zeros, zeros.T)
    with pytest.raises(DataError, match="prediction holds label 3, but the table has 3 classes"):
        metrics.update(zeros + 3, zeros)
    with pytest.raises(DataError, match="prediction holds label -1"):
        metrics.update(zeros - 1, zeros)
    with pytest.raises(DataError, match="target is float64 of shape"):
        metrics.update(zeros, zeros + 0.5)
    with pytest.raises(DataError, match=r"shape \(1, 4, 6\); give integer labels of shape \(height, width\)"):
        metrics.update(zeros[None], zeros)
    assert metrics.state().sum() == 0


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="cannot score 0 classes"):
        SegmentationMetrics(0)
    with pytest.raises(ConfigError, match="boundary_ratio is 2"):
        SegmentationMetrics(2, boundary_ratio=2)
    with pytest.raises(ConfigError, match="trimap_widths"):
        SegmentationMetrics(2, trimap_widths=(0, 1))
    with pytest.raises(ConfigError, match=r"cannot merge sums of shape \(\d+,\) into metrics that hold"):
        SegmentationMetrics(2).merge(SegmentationMetrics(3).state())
