"""Scores of objects by hand, against pycocotools and torchmetrics."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import PanopticQuality

from foveate.errors import ConfigError, DataError
from foveate.metrics import instances
from foveate.metrics.instances import CAP, InstanceMetrics
from foveate.metrics.instances.coco import coco_precision
from foveate.metrics.instances.counted import confused, match, panoptic_quality, ratio_at, touching
from foveate.metrics.instances.ranked import average_precision, hits
from foveate.metrics.instances.threshold import best_threshold
from foveate.metrics.instances.unscored import without_unscored
from foveate.records import ClassTable
from foveate.records.instances import UNSCORED, Instances, encode_mask, instances_of

SIZE = (20, 30)


def bars(*spans: tuple[int, int], labels: list[int] | None = None, scores: list[float] | None = None) -> Instances:
    """Objects that fill columns start..end of the upper ten rows."""
    masks = []
    for start, end in spans:
        mask = np.zeros(SIZE, bool)
        mask[:10, start:end] = True
        masks.append(encode_mask(mask, SIZE))
    return instances_of(SIZE, masks, labels or [0] * len(spans), scores)


def blobs(random: np.random.Generator, count: int, scored: bool, size: tuple[int, int] = (24, 31)) -> Instances:
    masks, crowd = [], []
    for _ in range(count):
        top, left = random.integers(0, size[0] - 6), random.integers(0, size[1] - 6)
        mask = np.zeros(size, bool)
        mask[top : top + random.integers(2, 12), left : left + random.integers(2, 12)] = True
        masks.append(encode_mask(mask, size))
        crowd.append(not scored and random.random() < 0.15)
    scores = np.round(random.random(count), 2) if scored else None
    return instances_of(size, masks, random.integers(0, 3, count), scores, crowd)


def test_coco_precision_is_pycocotools_on_random_cases() -> None:
    for seed in range(100):  # ten images each
        random = np.random.default_rng(seed)
        truth = [blobs(random, int(random.integers(0, 6)), False) for _ in range(10)]
        found = [blobs(random, int(random.integers(0, 9)), True) for _ in range(10)]
        for kind in ("segm", "bbox"):
            ours = coco_precision(truth, found, 3, 5, kind)  # type: ignore[arg-type]
            np.testing.assert_allclose(ours, theirs(truth, found, kind, 5), atol=1e-9)


def theirs(truth: list[Instances], found: list[Instances], kind: str, cap: int) -> np.ndarray:
    images = [{"id": i, "height": t.size[0], "width": t.size[1]} for i, t in enumerate(truth)]
    annotations = []
    results = []
    for i, (true, detected) in enumerate(zip(truth, found, strict=True)):
        for objects, into in ((true, annotations), (detected, results)):
            for k in range(len(objects)):
                left, top, right, bottom = objects.boxes[k].tolist()
                into.append({
                    "id": len(into) + 1, "image_id": i, "category_id": int(objects.labels[k]),
                    "segmentation": objects.masks[k], "bbox": [left, top, right - left, bottom - top],
                    "area": float(objects.areas[k]), "iscrowd": int(objects.crowd[k]),
                    "score": float(objects.scores[k]),
                })  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = {"images": images, "annotations": annotations, "categories": [{"id": k} for k in range(3)]}
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results), kind)
        evaluation.params.maxDets = [1, 2, cap]
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]


def test_of_two_detections_of_one_object_the_better_one_is_right() -> None:
    overlaps = np.array([[0.9, 0.0], [0.95, 0.0], [0.0, 0.8]])  # best score first: it covers the object
    for rule in ("sds", "hypercolumns", "mnc"):
        assert hits(overlaps, 0.5, rule).tolist() == [True, False, True]


def test_three_rules_disagree_on_a_covered_truth() -> None:
    # The second detection fits the covered truth best, and the other one by 0.6.
    overlaps = np.array([[0.9, 0.1], [0.7, 0.6]])
    assert hits(overlaps, 0.5, "sds").tolist() == [True, True]
    assert hits(overlaps, 0.5, "hypercolumns").tolist() == [True, False]
    exactly = np.array([[0.5]])
    assert hits(exactly, 0.5, "sds").tolist() == [False]
    assert hits(exactly, 0.5, "mnc").tolist() == [True]


def test_a_repeated_detection_is_wrong() -> None:
    assert hits(np.array([[0.8], [0.9]]), 0.5).tolist() == [True, False]
    assert hits(np.zeros((2, 0)), 0.5).tolist() == [False, False]


def test_average_precision_by_hand() -> None:
    scores, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    # Recall 1/4 at precision 1, 2/4 at 2/3.
    assert average_precision(scores, right, 4) == pytest.approx(0.25 + 0.25 * 2 / 3)
    # 11 points: 0, 0.1, 0.2 at precision 1; 0.3, 0.4, 0.5 at 2/3.
    assert average_precision(scores, right, 4, "mnc") == pytest.approx((3 + 3 * 2 / 3) / 11)
    # A wrong one first: the best precision at a recall or more, 2/3, counts from the start.
    assert average_precision(scores[:3], ~right[:3] | (scores[:3] < 0.75), 2) == pytest.approx(2 / 3)
    shuffled = [2, 0, 3, 1]
    assert average_precision(scores[shuffled], right[shuffled], 4) == pytest.approx(0.25 + 0.25 * 2 / 3)
    assert math.isnan(average_precision(scores, right, 0))
    assert average_precision(scores[:0], right[:0], 3) == 0


def test_all_scores_of_a_small_set_by_hand() -> None:
    metrics = InstanceMetrics(1, threshold=0.5)
    truth = bars((0, 10), (10, 20))  # they touch
    found = bars((0, 10), (12, 22), (24, 30), scores=[0.9, 0.8, 0.3])  # IoU 1, 80 / 120, nothing
    own = metrics.update(truth, found)
    assert own == 1.0
    metrics.update(bars(), bars((0, 5), scores=[0.7]))
    scores = metrics.compute()
    assert (scores.images, scores.without, scores.objects, scores.touching) == (2, 1, 2, 2)
    assert scores.tp_ratio50 == pytest.approx(2 / 3)  # the third counts as found in the second image alone
    # IoU above 0.5, 0.55, 0.6, 0.65: two of them; from 0.7 on one.
    assert scores.tp_ratio == pytest.approx((4 * 2 / 3 + 6 * 1 / 4) / 10)
    assert (scores.sq, scores.rq) == pytest.approx(((1 + 2 / 3) / 2, 2 / 2.5))
    assert scores.pq == pytest.approx((1 + 2 / 3) / 2.5)
    assert (scores.count_bias, scores.count_mae, scores.count_mape) == (0.5, 0.5, 0.0)
    assert (scores.recall50, scores.recall50_touching, scores.recall50_found) == (1, 1, 1)
    assert (scores.ap_r50, scores.ap_r70) == (1.0, 0.5)
    assert scores.ap_r_vol == pytest.approx((6 * 1 + 3 * 0.5) / 9)
    assert scores.ap50 == pytest.approx(1.0)
    assert scores.ap75 == pytest.approx(51 / 101)  # recall 0, 0.01, ..., 0.5


def test_count_errors_by_hand() -> None:
    """4 found as 3, 2 as 3, none as 1: the share is over the images with objects."""
    metrics = InstanceMetrics(1, threshold=0.5)
    for true, found in ((4, 3), (2, 3), (0, 1)):
        spans = [(5 * k, 5 * k + 4) for k in range(5)]
        metrics.update(bars(*spans[:true]), bars(*spans[:found], scores=[0.9] * found))
    scores = metrics.compute()
    assert scores.count_mape == pytest.approx((1 / 4 + 1 / 2) / 2) and scores.without == 1
    assert (scores.count_bias, scores.count_mae) == (pytest.approx(1 / 3), 1.0)
    assert scores.counts.tolist() == [[4, 3], [2, 3], [0, 1]]


def test_true_objects_one_by_one_and_the_numbers_at_each_threshold() -> None:
    metrics = InstanceMetrics(2, threshold=0.5)
    truth = bars((0, 6), (6, 10), (14, 20), labels=[0, 1, 1])
    found = bars((0, 6), (6, 10), (14, 20), (24, 28), labels=[0, 0, 1, 0], scores=[0.9, 0.8, 0.45, 0.6])
    metrics.update(truth, found)
    scores = metrics.compute()
    # Class, area, touching, found, covered: the second has another class, the third a score below the threshold.
    assert scores.truths.tolist() == [[0, 60, 1, 1, 1], [1, 40, 1, 0, 0], [1, 60, 0, 0, 1]]
    assert scores.confusion.tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 0]]
    # Right, wrong, missing at 0.1, ..., 0.9.
    assert scores.at_levels.tolist() == [[2, 2, 1]] * 4 + [[1, 2, 2]] * 2 + [[1, 1, 2]] * 2 + [[1, 0, 2]]


def test_recall_by_visible_share() -> None:
    """Whatever the score of the detection; a share of 1 belongs to the last range; unknown shares to none."""
    metrics, again = InstanceMetrics(1, threshold=0.5), InstanceMetrics(1, threshold=0.5)
    truth = bars((0, 6), (7, 12), (14, 20), (22, 26))
    metrics.update(truth, bars((0, 6), (14, 20), scores=[0.9, 0.1]), np.array([0.2, 0.1, 1.0, 0.5]))
    metrics.update(truth, bars())
    again.merge(metrics.state())
    for scores in (metrics.compute(), again.compute()):
        assert scores.recall50_visible == {"0.00 to 0.25": 0.5, "0.50 to 0.75": 0.0, "0.75 to 1.00": 1.0}
        assert scores.to_json(ClassTable(("a",)))["recall50_visible"] == scores.recall50_visible
        np.testing.assert_array_equal(scores.visible, [0.2, 0.1, 1.0, 0.5] + [np.nan] * 4)
    metrics = InstanceMetrics(1)
    metrics.update(truth, bars())
    assert "recall50_visible" not in metrics.compute().to_json(ClassTable(("a",)))


def test_an_images_own_ratio_is_at_the_threshold_in_force() -> None:
    truth, found = bars((0, 10)), bars((0, 10), scores=[0.4])
    assert [InstanceMetrics(1, threshold).update(truth, found) for threshold in (None, 0.3, 0.5)] == [0, 1, 0]


def test_ap_at_its_two_thresholds_by_hand() -> None:
    """An IoU of 0.72."""
    metrics = InstanceMetrics(1)
    metrics.update(bars((0, 25)), bars((0, 18), scores=[0.9]))
    scores = metrics.compute()
    assert (scores.ap50, scores.ap75, scores.ap) == pytest.approx((1.0, 0.0, 0.5))


def test_recall_pairs_each_object_with_one_detection_from_half_of_their_union_on() -> None:
    metrics = InstanceMetrics(1)
    # One detection has an IoU of 0.5 with both objects, so one of them is missed.
    metrics.update(bars((0, 10), (10, 20)), bars((0, 20), scores=[0.9]))
    assert metrics.compute().recall50 == 0.5
    # Two detections, both nearest to the first object: the other one has the second.
    metrics = InstanceMetrics(1)
    metrics.update(bars((0, 10), (0, 14)), bars((0, 11), (0, 10), scores=[0.9, 0.8]))
    assert metrics.compute().recall50 == 1.0


def test_the_parts_of_a_model_that_are_scored_alone() -> None:
    """Proposals that overlap an object by more than 0.5 and than 0.7, and outlines in true boxes, of all processes."""
    one, other = InstanceMetrics(1), InstanceMetrics(1)
    for metrics in (one, other):
        metrics.update(bars((0, 5)), bars())
    one.best_proposals(np.array([0.5, 0.6, 0.72]))
    scores = one.compute()
    assert (scores.proposals_recall50, scores.proposals_recall70) == (2 / 3, 1 / 3)
    assert math.isnan(scores.mask_iou_true_boxes)
    one.true_box_ious(np.array([0.25]))
    other.true_box_ious(np.array([0.75, 0.8]))
    other.best_proposals(np.array([0.9]))
    one.reached_cap(3)
    other.reached_cap(5)
    one.merge(other.state())
    scores = one.compute()
    assert scores.mask_iou_true_boxes == pytest.approx(0.6)
    assert (scores.proposals_recall50, scores.proposals_recall70) == (3 / 4, 2 / 4)
    assert (scores.model_cap, scores.at_model_cap) == (5, 2)


def test_counts_know_no_cap() -> None:
    """At most CAP detections are ranked, but every one that reaches the threshold is counted."""
    metrics = InstanceMetrics(1, threshold=0.5)
    metrics.update(bars((0, 10)), bars(*[(20, 25)] * (CAP + 7), scores=[0.9] * (CAP + 7)))
    assert metrics.compute().counts.tolist() == [[1, CAP + 7]]


def test_confused_objects_in_another_order() -> None:
    truth = bars((0, 6), (8, 14), (16, 22), labels=[0, 1, 1])
    found = bars((16, 22), (0, 6), (8, 14), labels=[0, 0, 1], scores=[0.9, 0.8, 0.7])
    assert confused(truth, found, 2).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_a_crowd_excuses_extra_objects_in_the_confusion() -> None:
    truth = bars((0, 10), (15, 30), labels=[0, 1])
    truth.crowd[1] = True
    found = bars((0, 10), (16, 20), (22, 26), labels=[1, 0, 1], scores=[0.9] * 3)
    assert confused(truth, found, 2).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_counts_and_touching_apart() -> None:
    objects = bars((0, 5), (5, 9), (11, 14), (15, 20))
    assert touching(objects).tolist() == [True, True, False, False]
    diagonal = instances_of(
        SIZE, [encode_mask(np.ones((2, 2), bool), SIZE, 4 + 2 * k, 4 + 2 * k) for k in range(2)], [0, 0]
    )
    assert touching(diagonal).all()
    apart = instances_of(SIZE, [encode_mask(np.ones((2, 2), bool), SIZE, 4 + 3 * k, 4) for k in range(2)], [0, 0])
    assert not touching(apart).any()


def test_panoptic_quality_is_torchmetrics() -> None:
    random = np.random.default_rng(3)
    reference = PanopticQuality(
        things={0, 1, 2}, stuffs={9}, allow_unknown_preds_category=True, return_sq_and_rq=True, return_per_class=True
    )
    truths, founds, matches = [], [], []
    for _ in range(30):
        truth, found = (blobs(random, int(random.integers(1, 6)), scored) for scored in (True, True))
        found = Instances(
            found.size, found.boxes, truth.masks[:1] + found.masks[1:], found.labels, found.scores, found.crowd
        )
        maps = []
        for objects in (truth, found):
            numbers = objects.numbers()
            labels = np.concatenate([[9], objects.labels])[numbers]
            maps.append(torch.from_numpy(np.stack([labels, numbers], -1)))
        # Objects that others cover wholly have no pixel in either program's map.
        truth, found = (
            o.select(np.isin(np.arange(len(o)) + 1, m[..., 1].numpy())) for o, m in ((truth, maps[0]), (found, maps[1]))
        )
        reference.update(maps[1][None], maps[0][None])
        truths.append(truth)
        founds.append(found)
        matches.append(match(truth, found))
    ours = panoptic_quality(truths, founds, matches, 3)
    expected = reference.compute()[:3].mean(0)  # of the things
    assert ours == pytest.approx(tuple(expected.tolist()), abs=1e-6)


def test_the_chosen_threshold_is_the_best_on_the_set() -> None:
    metrics = InstanceMetrics(1)
    metrics.update(bars((0, 10), (12, 20)), bars((0, 10), (12, 20), (21, 25), (26, 30), scores=[0.9, 0.6, 0.4, 0.2]))
    scores = metrics.compute()
    assert scores.score_threshold == pytest.approx(0.5)
    assert scores.tp_ratio50 == 1
    for threshold, ratio in ((0.7, 1 / 2), (0.3, 2 / 3), (0.0, 2 / 4)):
        fixed = InstanceMetrics(1, threshold)
        fixed.merge(metrics.state())
        assert fixed.compute().tp_ratio50 == pytest.approx(ratio)


def test_of_nearly_equal_thresholds_that_of_the_best_counts_is_chosen() -> None:
    # 90 of 100 objects are found for certain; of the uncertain ones one is right.
    scores = np.array([0.9] * 90 + [0.5, 0.45, 0.4, 0.3, 0.2])
    right = np.array([True] * 90 + [False, True, False, False, False])
    # TP / (TP + FP + FN) is 91 / 101 from 0.45 on, and 91 / 103, 1.9 % less, from 0.3 on; from 0.2 on it is 2.9 % less.
    assert best_threshold(scores, right, [scores], np.array([100])) == pytest.approx(0.25)
    # Counts of images are compared, not their sum: one of the uncertain ones is enough for the image that has them.
    found, true = [scores[:90], scores[90:]], np.array([99, 1])
    assert best_threshold(scores, right, found, true) == pytest.approx(0.475)
    # An image without objects has no share.
    assert best_threshold(scores, right, [scores, scores[90:]], np.array([100, 0])) == pytest.approx(0.25)
    assert best_threshold(scores, np.zeros(95, bool), [scores], np.array([100])) == 0.5


def test_of_equal_scores_all_count_or_none() -> None:
    scores, right = np.array([0.9, 0.5, 0.5]), np.array([True, True, False])
    assert best_threshold(scores, right, [scores], np.array([2])) == pytest.approx(0.25)


def test_counts_are_compared_by_their_share_of_each_images_objects() -> None:
    """Two of ten missing are a fifth; one invented beside a single object is a whole."""
    found = [np.array([0.9] * 8 + [0.5] * 2), np.array([0.9, 0.5]), np.full(100, 0.9)]
    right = [np.ones(10, bool), np.array([True, False]), np.ones(100, bool)]
    threshold = best_threshold(np.concatenate(found), np.concatenate(right), found, np.array([10, 1, 100]))
    assert threshold == pytest.approx(0.7)


def test_a_class_must_be_right_too() -> None:
    matches = match(bars((0, 10)), bars((0, 10), labels=[1], scores=[0.9]))
    assert (len(matches.iou), matches.extra.tolist(), matches.missed.tolist()) == (0, [0], [0])
    assert ratio_at([matches], 0.5) == 0


def test_a_crowd_excuses_what_lies_in_it() -> None:
    truth = bars((0, 10), (20, 30))
    truth = Instances(truth.size, truth.boxes, truth.masks, truth.labels, truth.scores, np.array([False, True]))
    metrics = InstanceMetrics(1, 0.5)
    metrics.update(truth, bars((0, 10), (22, 26), (12, 16), scores=[0.9, 0.95, 0.8]))
    scores = metrics.compute()
    assert scores.tp_ratio50 == pytest.approx(1 / 2)  # the one between object and crowd is wrong
    assert scores.objects == 1 and scores.ap_r50 == 1.0 and scores.ap50 == pytest.approx(1.0)


def crowd_of(objects: Instances, *which: bool) -> Instances:
    return Instances(
        objects.size, objects.boxes, objects.masks, objects.labels, objects.scores, np.array(which)
    )  # fmt: skip


def test_a_crowd_excuses_its_own_class_by_more_than_half() -> None:
    """Columns 20 to 30 are a crowd of class 0. Detections lie in it by 60 and by 50 %, and one is of class 1."""
    truth = crowd_of(bars((0, 10), (20, 30), (11, 14), labels=[0, 0, 1]), False, True, False)
    for span, label, excused in (((16, 26), 0, True), ((15, 25), 0, False), ((21, 29), 1, False)):
        metrics = InstanceMetrics(2, 0.5)
        metrics.update(truth, bars((0, 10), (11, 14), span, labels=[0, 1, label], scores=[0.8, 0.8, 0.9]))
        scores = metrics.compute()
        # Alone among the objects, the wrong detection would rank above a right one of its class.
        assert scores.ap_r50 == pytest.approx(1.0 if excused else 0.75)
        assert scores.tp_ratio50 == pytest.approx(1.0 if excused else 2 / 3)
        assert scores.counts.tolist() == [[2, 2 if excused else 3]]
        assert scores.count_bias == scores.count_mae == (0 if excused else 1)


def test_what_a_crowd_excuses_has_no_part_in_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of four objects is found for certain, three at 0.4; what lies in the crowd has 0.6 and 0.5."""
    spans = [(0, 3), (4, 7), (8, 11), (12, 15)]
    truth = crowd_of(bars(*spans, (16, 30)), False, False, False, False, True)
    metrics = InstanceMetrics(1)
    metrics.update(truth, bars(*spans, (17, 22), (23, 29), scores=[0.9, 0.4, 0.4, 0.4, 0.6, 0.5]))
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(instances, "best_threshold", lambda *args: given.append(args) or 0.2)
    assert metrics.compute().counts.tolist() == [[4, 4]]
    ((scores, _, (image,), true),) = given
    assert image.tolist() == pytest.approx([0.9, 0.4, 0.4, 0.4])
    assert sorted(scores) == sorted(image) and true.tolist() == [4]


def test_images_of_crowds_alone_have_no_objects() -> None:
    metrics = InstanceMetrics(1, 0.5)
    metrics.update(crowd_of(bars((20, 30)), True), bars())
    metrics.update(bars((0, 5)), bars())
    scores = metrics.compute()
    assert (scores.images, scores.without, scores.objects) == (2, 1, 1)


def test_classes_without_objects_are_in_no_mean() -> None:
    metrics = InstanceMetrics(3, 0.5)
    metrics.update(bars((0, 10), labels=[1]), bars((0, 8), labels=[1], scores=[0.9]))
    scores = metrics.compute()
    assert (scores.ap_r50, scores.ap50) == pytest.approx((1, 1))
    assert (scores.pq, scores.sq, scores.rq) == pytest.approx((0.8, 0.8, 1))
    assert scores.ap_per_class[1] == pytest.approx(0.7) and math.isnan(scores.ap_per_class[0])


def with_unscored(truth: Instances, *spans: tuple[int, int]) -> Instances:
    """The same, with columns of the upper ten rows that are not scored."""
    hidden = np.zeros(SIZE, bool)
    for start, end in spans:
        hidden[:10, start:end] = True
    masks = [*truth.masks, encode_mask(hidden, SIZE)]
    crowd = [*truth.crowd.tolist(), True]
    return instances_of(SIZE, masks, [*truth.labels.tolist(), UNSCORED], None, crowd)


def test_pixels_that_are_not_scored_count_neither_way() -> None:
    """An object of ten columns with two unscored ones beside it: whatever is found there, the object is found whole."""
    for end in (10, 11, 12):
        metrics = InstanceMetrics(2, 0.5)
        metrics.update(with_unscored(bars((0, 10), labels=[1]), (10, 12)), bars((0, end), labels=[1], scores=[0.9]))
        scores = metrics.compute()
        assert scores.ap == scores.pq == scores.tp_ratio == pytest.approx(1.0) and scores.objects == 1
    metrics = InstanceMetrics(2, 0.5)
    metrics.update(bars((0, 10), labels=[1]), bars((0, 12), labels=[1], scores=[0.9]))
    assert metrics.compute().pq == pytest.approx(10 / 12)


def test_detections_where_nothing_is_scored_are_no_errors() -> None:
    truth = with_unscored(bars((0, 4)), (10, 20))
    found = bars((0, 4), (11, 19), (16, 23), (17, 25), scores=[0.9, 0.95, 0.8, 0.7])  # 1, 4/7 and 3/8 unscored
    real, rest = without_unscored(truth, found)
    assert len(real) == 1 and not real.crowd.any()
    assert rest.scores.tolist() == pytest.approx([0.9, 0.7]) and rest.areas.tolist() == [40, 50]
    metrics = InstanceMetrics(1, 0.5)
    assert metrics.update(truth, found) == pytest.approx(1 / 2)
    assert metrics.compute().count_bias == 1


def test_what_finds_an_object_stays_wherever_it_lies() -> None:
    """A thin object in a wide region that is not scored; the same of another class does not find it."""
    truth = with_unscored(bars((14, 16), labels=[0]), (10, 14), (16, 20))
    for label, kept in ((0, 1), (1, 0)):
        _, rest = without_unscored(truth, bars((11, 18), labels=[label], scores=[0.9]))
        assert len(rest) == kept
    # Three of five columns are not scored; the others are 2/3 of an object, or 2/5 of one.
    for end, kept in ((16, 1), (18, 0)):
        _, rest = without_unscored(with_unscored(bars((13, end)), (9, 13)), bars((10, 15), scores=[0.9]))
        assert len(rest) == kept
    # A detection without a pixel is none.
    _, rest = without_unscored(with_unscored(bars((0, 4)), (9, 13)), bars((0, 4), (6, 6), scores=[0.9, 0.8]))
    assert rest.scores.tolist() == pytest.approx([0.9])
    plain = bars((0, 10))
    assert without_unscored(plain, plain) == (plain, plain)


def test_a_crowd_of_no_class_is_none_of_the_objects() -> None:
    metrics = InstanceMetrics(1, 0.5)
    assert math.isnan(metrics.update(with_unscored(bars(), (0, 30)), bars((3, 9), scores=[0.9])))
    assert metrics.compute().without == 1
    with pytest.raises(DataError, match="labels up to -1"):
        metrics.update(bars((0, 3)), bars((0, 3), labels=[-1], scores=[0.9]))


def test_two_processes_are_one() -> None:
    random = np.random.default_rng(5)
    pairs = [(blobs(random, 4, False), blobs(random, 6, True)) for _ in range(6)]
    alone, first, second = (InstanceMetrics(3) for _ in range(3))
    for index, (truth, found) in enumerate(pairs):
        alone.update(truth, found)
        (first if index < 3 else second).update(truth, found)
    both = InstanceMetrics(3)
    both.merge(first.state())
    both.merge(second.state())
    table = ClassTable(("a", "b", "c"))
    assert both.compute().to_json(table) == alone.compute().to_json(table)


def test_no_objects_no_detections() -> None:
    metrics = InstanceMetrics(2)
    assert math.isnan(metrics.update(bars(), bars()))
    scores = metrics.compute()
    assert math.isnan(scores.ap) and math.isnan(scores.recall50) and scores.score_threshold == 0.5
    assert scores.to_json(ClassTable(("a", "b")))["ap"] is None
    metrics.update(bars((0, 5)), bars())
    scores = metrics.compute()
    assert (scores.ap, scores.recall50, scores.tp_ratio50, scores.count_mape) == (0, 0, 0, 1)


def test_the_quick_scores_are_the_same() -> None:
    random = np.random.default_rng(6)
    whole, quick = InstanceMetrics(3), InstanceMetrics(3, whole=False)
    for _ in range(4):
        truth, found = blobs(random, 4, False), blobs(random, 6, True)
        whole.update(truth, found)
        quick.update(truth, found)
    a, b = whole.compute(), quick.compute()
    assert (a.ap, a.ap50, a.recall50, a.score_threshold) == (b.ap, b.ap50, b.recall50, b.score_threshold)
    assert math.isnan(b.pq) and math.isnan(b.ap_r50) and not math.isnan(a.pq)


def test_the_cap() -> None:
    metrics = InstanceMetrics(1)
    metrics.update(bars((0, 10)), bars(*[(20, 25)] * CAP, (0, 10), scores=[0.9] * CAP + [0.1]))
    assert metrics.compute().recall50 == 0


def test_more_detections_than_coco_ranks_are_ranked_up_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right one comes last in the list; of 121 detections the best are ranked, wherever they stand."""
    found = bars(*[(20, 25)] * 120, (0, 10), scores=[0.9] * 120 + [0.1])
    metrics = InstanceMetrics(1)
    metrics.update(bars((0, 10)), found)
    assert metrics.compute().ap == pytest.approx(1 / 121)
    monkeypatch.setattr("foveate.metrics.instances.CAP", 1)
    metrics = InstanceMetrics(1)
    metrics.update(bars((0, 10)), bars((20, 25), (0, 10), scores=[0.2, 0.9]))
    assert metrics.compute().recall50 == 1


def test_errors() -> None:
    with pytest.raises(ConfigError, match="cannot score 0 classes of objects; give at least 1"):
        InstanceMetrics(0)
    with pytest.raises(ConfigError, match=r"a score threshold of 1\.5; give a number from 0 to 1"):
        InstanceMetrics(1, 1.5)
    with pytest.raises(DataError, match="labels up to 3; expected 0 to 1"):
        InstanceMetrics(2).update(bars(), bars((0, 5), labels=[3], scores=[0.5]))
    with pytest.raises(DataError, match="no image was scored; the data set is empty"):
        InstanceMetrics(2).compute()
