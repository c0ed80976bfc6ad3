"""What instance models train on, and how they start: boxes near their objects, cells of masks, numbers of boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_detector import detector, proposing, with_constants
from test_hypercolumns import SMALL, batch_of, network, squares
from test_mnc import SMALL as CASCADE
from torch import Tensor, nn

from foveate.models.instances.detector import DetectorConfig
from foveate.models.instances.hypercolumns import Hypercolumns, draw_boxes
from foveate.models.instances.mnc import MNC, Stage
from foveate.models.instances.proposals import ProposalConfig, label_anchors

NOWHERE = torch.zeros(100, 100, dtype=torch.bool)


def test_the_defaults_are_those_of_the_papers() -> None:
    detector, proposals = DetectorConfig(), ProposalConfig()
    assert (detector.rois, detector.hidden, detector.dropout) == (64, 4096, 0.5)
    assert (detector.score_floor, detector.nms_iou, detector.detections) == (0.001, 0.3, 100)
    assert (proposals.pre_nms, proposals.post_nms, proposals.nms_iou) == ((12000, 6000), (300, 300), 0.7)
    assert (proposals.min_side, proposals.anchors, proposals.sigma, proposals.crossing) == (16, 256, 3, False)


def test_a_box_is_its_objects_from_an_overlap_of_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 0.55, 0.5 and 0.45; the true box itself is one more."""
    logits = torch.tensor([0.5, -1.0, 2.0])
    for height, owned in ((11.0, 2), (10.0, 2), (9.0, 1)):
        net = with_constants(detector(), logits.tolist(), [[0.0] * 4] * 3)
        proposing(monkeypatch, net, torch.tensor([[10.0, 10, 30, 10 + height]]))
        truth = [torch.tensor([[10.0, 10, 30, 30]])]
        losses = net.loss(torch.zeros(1, 4, 25, 25), truth, [torch.tensor([1])], [(100, 100)], [NOWHERE])
        background, own = (-logits.log_softmax(0)[k] for k in (0, 2))
        expected = float(owned * own + (2 - owned) * background) / 2
        assert losses["class"].item() == pytest.approx(expected)


# Hypercolumns


def test_sides_of_training_boxes_move_by_up_to_a_fifth_drawn_for_each_box() -> None:
    torch.manual_seed(0)
    truth = torch.tensor([[100.0, 100, 140, 180]])
    boxes, _ = draw_boxes(truth, torch.tensor([0]), 20_000, (300, 300))
    moves = (boxes - truth).abs() / torch.tensor([40.0, 80, 40, 80])
    moved = moves[moves.any(1)]  # a box that would overlap its object by less than 0.7 stays the true one
    assert 0.19 < float(moves.max()) <= 0.2 + 1e-6
    # A strength in 0..0.2 is drawn for each box, then each side within it: the largest of four sides is below a tenth
    # of a box's side where the strength is, and in a few of the others.
    assert float((moved.amax(1) < 0.1).float().mean()) > 0.5


def test_a_place_is_the_objects_where_half_of_it_is_covered_and_boxes_count_alike() -> None:
    """One box without the object, one filled by it; then shares of 0.45 and 0.55 everywhere."""
    net = network(reference=0.0)
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[1, :, :24] = True
    found = torch.full((2, 12, 12), 0.25)
    boxes = torch.tensor([[0.0, 0, 24, 24]] * 2)
    nothing, whole = -np.log(0.75), -np.log(0.25)
    loss = net._log_loss(found, masks, boxes, torch.zeros(64, 64, dtype=torch.bool))
    assert float(loss) == pytest.approx((nothing + whole) / 2)
    for share, expected in ((0.45, nothing), (0.55, whole)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "foveate.models.instances.hypercolumns.crop_masks",
                lambda masks, boxes, size, share=share: torch.full((len(boxes), size, size), share),
            )
            loss = net._log_loss(found, masks, boxes, torch.zeros(64, 64, dtype=torch.bool))
        assert float(loss) == pytest.approx(expected)


def test_classifiers_start_small_and_layers_have_no_scale() -> None:
    torch.manual_seed(0)
    net = Hypercolumns(replace(SMALL, num_classes=20, grid=5))
    assert not list(net.norms.parameters()) and not net.bias.any()
    for layer in (*net.score, net.score_vector):
        assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.1)


def test_the_loss_of_outlines_has_its_weight() -> None:
    net = Hypercolumns(replace(SMALL, mask_weight=5.0)).train()
    losses = net.loss(batch_of(squares((4, 4), (30, 40)), [0, 2]))
    others = sum(float(value) for name, value in losses.items() if name not in ("loss", "mask"))
    assert float(losses["loss"].detach()) == pytest.approx(others + 5 * float(losses["mask"]), rel=1e-5)


def test_the_classes_that_are_not_there_change_no_score_in_training() -> None:
    """Training computes the maps of the classes that it needs alone."""
    net = network()
    layers = [
        torch.randn(len(norm.running_mean), 64 // stride, 64 // stride, dtype=torch.float64)  # type: ignore[arg-type]
        for norm, stride in zip(net.norms, net.config.strides, strict=True)
    ]
    features = torch.randn(8, 16, 16, dtype=torch.float64)
    boxes = torch.tensor([[4.0, 4, 30, 40], [10, 10, 50, 30], [2, 20, 20, 60]], dtype=torch.float64)
    labels = torch.tensor([2, 0, 2])
    answering = net.scores(layers, features, boxes, labels)
    for one, other in zip(net.train().scores(layers, features, boxes, labels), answering, strict=True):
        torch.testing.assert_close(one, other)


# The cascade


def cascade(**changes: Any) -> MNC:
    torch.manual_seed(0)
    return MNC(replace(CASCADE, **changes)).eval()


def stage_of(scores: list[list[float]], boxes: Tensor) -> Stage:
    """A stage whose classifier of masks is sure of these probabilities, and that of boxes of none."""
    logits = torch.tensor(scores).log()
    return Stage(boxes, torch.zeros(len(boxes), 7, 7), torch.zeros_like(logits), logits, torch.zeros(len(boxes), 4, 4))


def test_masks_are_ranked_by_their_own_classifier_within_the_configured_bounds() -> None:
    apart = torch.tensor([[12.0 * k, 10, 12.0 * k + 10, 20] for k in range(5)])
    stage = stage_of([[0.3, 0.4, 0.2, 0.1]] * 5, apart)
    found = cascade(score_floor=0.15, detections=7)._detections([stage], (100, 100))
    assert sorted(set(found.labels.tolist())) == [0, 1] and len(found.scores) == 10  # below 0.15 none
    assert int(found.kept.sum()) == 7 and found.scores[0] == pytest.approx(0.4)
    pair = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4]])  # an IoU of 0.4
    for suppress, kept in ((0.3, 1), (0.45, 2)):
        found = cascade(score_floor=0.35, nms_iou=suppress)._detections(
            [stage_of([[0.3, 0.4, 0.2, 0.1]] * 2, pair)], (50, 50)
        )
        assert int(found.kept.sum()) == kept


def test_a_cascade_trains_on_as_many_boxes_as_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from test_mnc import batch_of as batch
    from test_mnc import squares as objects

    net, seen = cascade(rois=5, stages=3).train(), []
    stage = net.stage
    monkeypatch.setattr(net, "stage", lambda features, boxes: (seen.append(len(boxes)), stage(features, boxes))[1])
    monkeypatch.setattr(net.proposals, "propose", lambda *_: torch.tensor([[40.0, 40, 50 + k, 60] for k in range(12)]))
    net.loss(batch([objects((4, 4))], [[1]]))
    assert seen == [5]


@pytest.mark.parametrize(("rows", "right"), [(4, True), (3, False)])
def test_a_mask_has_its_class_from_an_overlap_of_half(rows: int, right: bool) -> None:
    """Of an object of seven rows of cells a mask finds four or three."""
    from test_mnc import batch_of as batch
    from test_mnc import squares as objects

    masks = torch.full((1, 7, 7), -9.0)
    masks[:, :rows] = 9.0
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.0]])
    given = batch([objects((10, 10), side=14)], [[1]])
    loss = cascade()._stage_loss(Stage(given["boxes"][0], masks, logits, logits, torch.zeros(1, 4, 4)), given, 0)
    target = 2 if right else 0
    assert float(loss["mask_class"]) == pytest.approx(float(-logits[0].log_softmax(0)[target]))


def test_layers_of_the_cascade_start_small() -> None:
    torch.manual_seed(0)
    net = MNC(replace(CASCADE, num_classes=20, hidden=256, mask_hidden=64))
    deviations = {"mask": 0.001, "regress": 0.001, "classify": 0.01, "classify_mask": 0.01}
    for name, deviation in deviations.items():
        for layer in getattr(net, name).modules():
            if isinstance(layer, nn.Linear):
                assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.1)
                assert not layer.bias.any()


# Region proposals


def test_anchors_are_positive_from_seven_tenths_and_negative_below_three() -> None:
    """By their heights inside an object of 10 x 100, whose own best anchor is another one."""
    truth = torch.tensor([[0.0, 0, 10, 100]])
    heights = [100.0, 70.5, 69.5, 30.5, 29.5]
    anchors = torch.tensor([[0.0, 0, 10, height] for height in heights])
    assert label_anchors(anchors, truth, (100, 100), True, NOWHERE)[0].tolist() == [1, 1, -1, -1, 0]
    # A true box that no anchor touches makes none positive.
    far = torch.tensor([[80.0, 80, 90, 90]])
    assert label_anchors(anchors, far, (100, 100), True, NOWHERE)[0].tolist() == [0] * 5
    crowd = NOWHERE.clone()
    crowd[:29, :6] = True  # 0.59 of the last anchor
    assert label_anchors(anchors, truth, (100, 100), True, crowd)[0].tolist() == [1, 1, -1, -1, -1]
