"""Region proposals and the detector on them: losses and detections by hand, with layers of chosen weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.models.instances.detector import (
    Detector,
    DetectorConfig,
    box_path,
    join_maps,
    joining_layers,
    sample_boxes,
)
from foveate.models.instances.proposals import ProposalConfig, ProposalOutput, RegionProposals, label_anchors
from foveate.ops.boxes import encode

PROPOSALS = ProposalConfig(scales=(1.0,), ratios=(1.0,), channels=8, min_side=1, crossing=True)
SMALL = DetectorConfig(width=4, stride=4, proposals=PROPOSALS, hidden=8, dropout=0.0)
CHANNELS = (3, 4, 5, 6)
NOWHERE = torch.zeros(100, 100, dtype=torch.bool)
SIZE = (100, 100)
# Eight boxes that share no pixel.
APART = torch.tensor([[12.0 * k, 10, 12.0 * k + 10, 20] for k in range(8)])


def rpn(**changes: Any) -> RegionProposals:
    torch.manual_seed(0)
    return RegionProposals(4, 4, replace(PROPOSALS, **changes))


def cost(logit: float, positive: bool) -> float:
    """The cross-entropy of one logit."""
    return float(F.softplus(torch.tensor(-logit if positive else logit)))


# Region proposals


def test_anchors_stand_around_the_middle_of_the_maps_own_cell() -> None:
    """Of a map at stride 8, in anchors that are counted in cells of 16 pixels, and of one at stride 16."""
    assert RegionProposals(4, 8, PROPOSALS).base.tolist() == [[-4, -4, 12, 12]]
    assert RegionProposals(4, 16, PROPOSALS).base.tolist() == [[0, 0, 16, 16]]


def test_scores_and_deltas_are_in_the_order_of_the_anchors() -> None:
    net = rpn(scales=(1.0, 2.0), ratios=(0.5, 2.0)).double()
    features = torch.randn(2, 4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output = net(features)
        hidden = net.conv(features).clamp(min=0)
        scores, deltas = net.score(hidden), net.delta(hidden)
    assert output.scores.shape == (2, 60) and output.deltas.shape == (2, 60, 4) and output.anchors.shape == (60, 4)
    for y, x, anchor in ((0, 0, 0), (0, 1, 3), (1, 0, 2), (2, 4, 1)):
        place = (5 * y + x) * 4 + anchor
        torch.testing.assert_close(output.scores[:, place].double(), scores[:, anchor, y, x], atol=1e-6, rtol=0)
        expected = deltas[:, 4 * anchor : 4 * anchor + 4, y, x]
        torch.testing.assert_close(output.deltas[:, place].double(), expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(
            output.anchors[place], net.base[anchor].float() + 4 * torch.tensor([x, y, x, y]), check_dtype=False
        )


def test_weights_start_small() -> None:
    net = RegionProposals(64, 16, ProposalConfig(channels=64))
    for layer in (net.conv, net.score, net.delta):
        assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
        assert layer.bias is not None and not layer.bias.detach().any()


@pytest.mark.parametrize(("training", "entering", "staying"), [(True, 3, 2), (False, 6, 5)])
def test_training_and_answering_have_numbers_of_their_own(training: bool, entering: int, staying: int) -> None:
    scores = torch.arange(8.0)
    for changes, expected in (
        ({"pre_nms": (3, 6), "post_nms": (9, 9)}, entering), ({"pre_nms": (9, 9), "post_nms": (2, 5)}, staying),
    ):  # fmt: skip
        net = rpn(**changes).train(training)
        boxes = net.propose(scores, torch.zeros(8, 4), APART, SIZE)
        assert torch.equal(boxes, APART.flip(0)[:expected])


def test_overlap_is_the_one_of_the_configuration() -> None:
    pair = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6]])  # an IoU of 0.6
    for overlap, count in ((0.7, 2), (0.5, 1)):
        net = rpn(nms_iou=overlap)
        assert len(net.propose(torch.tensor([2.0, 1.0]), torch.zeros(2, 4), pair, SIZE)) == count


def test_a_box_that_is_short_on_one_side_is_dropped() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 4], [20, 0, 24, 10], [40, 0, 45, 5]])
    found = rpn(min_side=5.0).propose(torch.zeros(3), torch.zeros(3, 4), boxes, SIZE)
    assert torch.equal(found, boxes[2:])


def test_the_losses_of_proposals_by_hand() -> None:
    """One anchor is an object, seven are none; in the second image all are none. Both losses are means of images."""
    net = rpn(sigma=3.0)
    scores = torch.stack([torch.tensor([2.0] + [-1.0] * 7), torch.full((8,), 0.5)])
    deltas = torch.zeros(2, 8, 4)
    deltas[0, 0] = torch.tensor([0.05, 1.0, -2.0, 0.0])
    deltas[1] = 9.0  # of background, which has no box
    output = ProposalOutput(scores, deltas, APART)
    truth = [APART[:1], torch.zeros(0, 4)]
    score, shift = net.loss(output, truth, [SIZE, SIZE], [NOWHERE, NOWHERE])
    first = (cost(2.0, True) + 7 * cost(-1.0, False)) / 8
    assert score.item() == pytest.approx((first + cost(0.5, False)) / 2)
    assert shift.item() == pytest.approx((9 * 0.05**2 / 2 + 1 - 1 / 18 + 2 - 1 / 18) / 8 / 2)


@pytest.mark.parametrize(("objects", "positive"), [(3, 2), (1, 1)])
def test_half_of_the_anchors_in_the_loss_are_objects_at_most_and_background_fills_up(
    objects: int, positive: int
) -> None:
    net = rpn(anchors=4)
    scores = torch.cat([torch.full((objects,), 3.0), torch.zeros(8 - objects)])[None]
    output = ProposalOutput(scores, torch.zeros(1, 8, 4), APART)
    score, _ = net.loss(output, [APART[:objects]], [SIZE], [NOWHERE])
    assert score.item() == pytest.approx((positive * cost(3.0, True) + (4 - positive) * cost(0.0, False)) / 4)


def test_the_highest_overlap_is_that_of_an_anchor_that_is_used() -> None:
    """The first anchor overlaps the object more, but crosses the border."""
    anchors, truth = torch.tensor([[-2.0, 0, 8, 10], [0, 4, 10, 14]]), torch.tensor([[0.0, 0, 10, 10]])
    assert label_anchors(anchors, truth, SIZE, False, NOWHERE)[0].tolist() == [-1, 1]
    assert label_anchors(anchors, truth, SIZE, True, NOWHERE)[0].tolist() == [1, -1]


def test_an_anchor_that_is_the_best_of_a_box_is_matched_with_this_box() -> None:
    """Its own best is another box, for which there is a better anchor."""
    truth = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 30]])
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 14]])  # IoU of the second: 10/14 and 14/30
    labels, matched = label_anchors(anchors, truth, SIZE, True, NOWHERE)
    assert labels.tolist() == [1, 1] and matched.tolist() == [0, 1]


# The detector


def detector(**changes: Any) -> Detector:
    torch.manual_seed(0)
    return Detector(CHANNELS, 2, replace(SMALL, **changes))


def with_constants(net: Detector, logits: list[float], deltas: list[list[float]]) -> Detector:
    """The detector whose layers give these numbers for every box."""
    with torch.no_grad():
        net.classify.weight.zero_()
        net.classify.bias.copy_(torch.tensor(logits))
        net.regress.weight.zero_()
        net.regress.bias.copy_(torch.tensor(deltas).flatten())
    return net


def proposing(monkeypatch: pytest.MonkeyPatch, net: Detector, *boxes: Tensor) -> None:
    """Let the network propose some boxes for one image after the other."""
    upcoming = iter(boxes)
    monkeypatch.setattr(net.proposals, "propose", lambda *_: next(upcoming))


def test_the_losses_of_the_detector_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of class 1, proposals with an IoU of 0.6 and of 0, and the true box itself; then an empty image."""
    logits, deltas = [0.5, -1.0, 2.0], [[9.0] * 4, [7.0] * 4, [0.3, -0.2, 1.5, 0.0]]
    net = with_constants(detector(), logits, deltas)
    truth = torch.tensor([[10.0, 10, 30, 30]])
    proposed = torch.tensor([[10.0, 10, 30, 22], [60, 60, 80, 80]])
    proposing(monkeypatch, net, proposed, proposed[1:])
    losses = net.loss(
        torch.zeros(2, 4, 25, 25), [truth, truth[:0]], [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)],
        [SIZE, SIZE], [NOWHERE, NOWHERE],
    )  # fmt: skip
    background, own = (-torch.tensor(logits).log_softmax(0)[k] for k in (0, 2))
    assert losses["class"].item() == pytest.approx(float((2 * own + background) / 3 + background) / 2)
    aims = encode(truth, torch.stack([proposed[0], truth[0]])) / torch.tensor([0.1, 0.1, 0.2, 0.2])
    differences = (torch.tensor(deltas[2]) - aims).abs()
    smooth = torch.where(differences < 1, differences**2 / 2, differences - 0.5)
    assert losses["box"].item() == pytest.approx(float(smooth.sum()) / 3 / 2)


def test_no_gradient_of_the_detector_reaches_the_proposals() -> None:
    net = detector()
    features = torch.randn(1, 4, 25, 25, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([[10.0, 10, 30, 30]])
    losses = net.loss(features, [truth], [torch.tensor([1])], [SIZE], [NOWHERE])
    (losses["class"] + losses["box"]).backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in net.proposals.parameters())
    boxes = truth.clone().requires_grad_()
    net.vectors(features[0], boxes).sum().backward()
    assert boxes.grad is None


def test_detections_below_the_floor_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are 0.2 for one class and 0.3 for the other."""
    logits = torch.tensor([0.5, 0.2, 0.3]).log().tolist()
    for floor, labels in ((0.1, [1, 0]), (0.25, [1]), (0.4, [])):
        net = with_constants(detector(score_floor=floor), logits, [[0.0] * 4] * 3)
        proposing(monkeypatch, net, APART[:1])
        with torch.no_grad():
            assert net.detect(torch.zeros(1, 4, 25, 25), SIZE).labels.tolist() == labels


def test_no_more_detections_stay_than_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, stay in ((3, 3), (100, 16)):
        net = with_constants(detector(detections=count), [0.0, 1.0, 1.0], [[0.0] * 4] * 3)
        proposing(monkeypatch, net, APART)
        with torch.no_grad():
            assert len(net.detect(torch.zeros(1, 4, 25, 25), SIZE).scores) == stay  # of eight boxes and two classes


def test_joined_maps_are_rectified_sums_from_coarse_to_fine() -> None:
    torch.manual_seed(0)
    lateral, join = joining_layers(CHANNELS, 8, 6)
    maps = [torch.randn(1, count, side, side) for count, side in zip(CHANNELS, (16, 8, 4, 2), strict=True)]
    with torch.no_grad():
        found = join_maps(lateral, join, maps)
        total = lateral[2](maps[3])
        for layer, one in ((lateral[1], maps[2]), (lateral[0], maps[1])):
            total = layer(one) + total.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(found, join(total).clamp(min=0))
    assert found.shape == (1, 6, 8, 8)


def test_the_last_layers_start_small() -> None:
    net = Detector(CHANNELS, 20, replace(SMALL, hidden=256))
    assert float(net.classify.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert float(net.regress.weight.detach().std()) == pytest.approx(0.001, rel=0.1)
    assert not net.classify.bias.detach().any() and not net.regress.bias.detach().any()


def test_training_boxes_are_chosen_by_their_overlap() -> None:
    """Of 64 boxes 19 from an IoU of 0.5 on, 38 from 0.1 on and 7 below it."""
    truth = torch.tensor([[0.0, 0, 10, 10]])
    kinds = [torch.tensor([[0.0, 0, 10, height]]).repeat(60, 1) for height in (5.0, 1.5, 1.0, 0.9)]
    torch.manual_seed(0)
    heights = sample_boxes(torch.cat(kinds), truth, NOWHERE, 64)[:, 3]
    counts = [int((heights == height).sum()) for height in (5.0, 1.5, 1.0)]
    assert counts[0] == 19 and counts[1] + counts[2] == 38 and min(counts) > 5 and len(heights) == 64


def test_the_number_of_training_boxes_and_the_layers_on_them_are_those_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = detector(rois=6)
    proposing(monkeypatch, net, torch.cat([APART] * 3))
    seen: list[int] = []
    vectors = net.vectors
    monkeypatch.setattr(net, "vectors", lambda features, boxes: (seen.append(len(boxes)), vectors(features, boxes))[1])
    net.loss(torch.zeros(1, 4, 25, 25), [APART[:1]], [torch.tensor([1])], [SIZE], [NOWHERE])
    assert seen == [6]
    for dropout, shares in ((0.0, []), (0.3, [0.3, 0.3])):
        path = box_path(8, 300, dropout)
        assert [layer.p for layer in path if isinstance(layer, torch.nn.Dropout)] == shares
        assert [layer.p for layer in detector(dropout=dropout).path if isinstance(layer, torch.nn.Dropout)] == shares
        first, second = (layer for layer in path if isinstance(layer, torch.nn.Linear))
        for layer, inputs in ((first, 8 * 49), (second, 300)):  # He et al. (2015): deviation sqrt(2 / inputs)
            assert float(layer.weight.detach().std()) == pytest.approx((2 / inputs) ** 0.5, rel=0.03)
