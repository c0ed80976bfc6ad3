"""The cascade: sizes of the paper, matching against torchvision, gradients between stages, laws of detection."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou, nms

from foveate.errors import ConfigError
from foveate.models.instances.detector import sample_boxes
from foveate.models.instances.mnc import MNC, Config, Stage, bounded, mask_overlap
from foveate.models.instances.proposals import ProposalConfig, RegionProposals, label_anchors, sample, smooth_l1
from foveate.ops.boxes import decode, encode, tight_boxes
from foveate.ops.roi import crop_masks

SMALL = Config(
    num_classes=3, stages=5, backbone="tf_efficientnet_lite0", width=8, stride=4, rois=16, mask_size=7, mask_hidden=16,
    hidden=16, detections=50,
    proposals=ProposalConfig(
        scales=(2.0, 4.0), ratios=(1.0,), cell=4, channels=8, pre_nms=(200, 200), post_nms=(40, 60), min_side=3,
        crossing=True,
    ),
)  # fmt: skip
NONE = torch.zeros(0, 4)
NOWHERE = torch.zeros(100, 100, dtype=torch.bool)


def some_boxes(count: int, side: float = 64.0, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * side * 0.7
    return torch.cat([corner, corner + 4 + torch.rand(count, 2, generator=random) * side * 0.3], 1)


def squares(*corners: tuple[int, int], side: int = 12, size: int = 64) -> Tensor:
    masks = torch.zeros(len(corners), size, size, dtype=torch.bool)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + side, left : left + side] = True
    return masks


def batch_of(masks: list[Tensor], labels: list[list[int]]) -> Any:
    size = masks[0].shape[-1]
    images = torch.stack(
        [m.any(0).float().expand(3, size, size) if len(m) else torch.zeros(3, size, size) for m in masks]
    )
    return {
        "image": images, "image_sizes": [(size, size)] * len(masks), "boxes": [tight_boxes(m) for m in masks],
        "labels": [torch.tensor(one, dtype=torch.int64) for one in labels], "masks": masks,
        "crowds": [torch.zeros(size, size, dtype=torch.bool)] * len(masks), "names": ["a"] * len(masks),
    }  # fmt: skip


@pytest.fixture(scope="module")
def net() -> MNC:
    torch.manual_seed(0)
    return MNC(SMALL)


def test_the_papers_sizes() -> None:
    with torch.device("meta"):
        net = MNC(Config())
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters()}
    assert shapes["proposals.conv.weight"] == (512, 512, 3, 3)
    assert shapes["proposals.score.weight"] == (9, 512, 1, 1)
    assert shapes["mask.1.weight"] == (256, 512 * 14 * 14)
    assert shapes["mask.3.weight"] == (28 * 28, 256)
    assert shapes["box_path.2.weight"] == shapes["mask_path.2.weight"] == (4096, 512 * 7 * 7)
    assert shapes["classify.weight"] == shapes["classify_mask.weight"] == (21, 8192)
    assert shapes["regress.weight"] == (84, 8192)


def test_anchors_are_matched_as_torchvision_matches() -> None:
    anchors, truth = some_boxes(400, seed=1), some_boxes(9, seed=2)
    labels, matched = label_anchors(anchors, truth, (1000, 1000), True, NOWHERE)
    theirs = Matcher(0.7, 0.3, allow_low_quality_matches=True)(box_iou(truth, anchors))
    expected = torch.where(theirs >= 0, 1, torch.where(theirs == Matcher.BELOW_LOW_THRESHOLD, 0, -1))
    assert torch.equal(labels, expected)
    best = box_iou(truth, anchors).max(0).values
    certain = best >= 0.7
    assert certain.any() and torch.equal(matched[certain], theirs[certain])


def test_anchors_beyond_the_border_and_in_crowds_are_not_used() -> None:
    anchors = torch.tensor([[-1.0, 0, 9, 10], [0, 0, 10, 10], [20, 20, 30, 30], [60, 60, 80, 80], [90, 90, 99, 99]])
    assert label_anchors(anchors, NONE, (70, 70), False, NOWHERE)[0].tolist() == [-1, 0, 0, -1, -1]
    assert label_anchors(anchors, NONE, (70, 70), True, NOWHERE)[0].tolist() == [0, 0, 0, -1, -1]
    crowd = NOWHERE.clone()
    crowd[20:50, 22:50] = True
    assert label_anchors(anchors, NONE, (70, 70), False, crowd)[0].tolist() == [-1, 0, -1, -1, -1]


def test_half_of_the_sampled_anchors_are_positive_at_most() -> None:
    labels = torch.tensor([1] * 50 + [0] * 500 + [-1] * 20)
    chosen = sample(labels, 64, 32)
    assert len(chosen) == 64 == len(chosen.unique()) and int((labels[chosen] == 1).sum()) == 32
    assert int((labels[sample(labels, 256, 128)] == 1).sum()) == 50


def test_boxes_are_sampled_in_the_released_shares() -> None:
    truth = torch.tensor([[0.0, 0, 10, 10]])
    good = torch.tensor([[0.0, 0, 10, 9]]).repeat(60, 1)
    near = torch.tensor([[0.0, 0, 10, 30]]).repeat(60, 1)  # IoU 1/3
    far = torch.tensor([[50.0, 50, 60, 60]]).repeat(60, 1)
    overlaps = box_iou(sample_boxes(torch.cat([good, near, far]), truth, NOWHERE, 64), truth)[:, 0]
    assert (int((overlaps >= 0.5).sum()), int((overlaps < 0.1).sum()), len(overlaps)) == (19, 7, 64)
    # Where the near ones are few, far ones fill up.
    overlaps = box_iou(sample_boxes(torch.cat([good, near[:3], far]), truth, NOWHERE, 64), truth)[:, 0]
    assert (int((overlaps >= 0.5).sum()), int((overlaps < 0.1).sum()), len(overlaps)) == (19, 42, 64)
    assert len(sample_boxes(far, NONE, NOWHERE, 64)) <= 64


def test_boxes_on_crowds_are_no_background() -> None:
    truth = torch.tensor([[0.0, 0, 10, 10]])
    boxes = torch.tensor([[0.0, 0, 10, 9], [50, 50, 60, 60], [54, 50, 64, 60], [58, 50, 68, 60]])
    crowd = NOWHERE.clone()
    crowd[:60, :59] = True  # covers 1, 0.9, 0.5 and 0.1 of the others; the first one is an object all the same
    chosen = sample_boxes(boxes, truth, crowd, 64)
    assert sorted(chosen[:, 0].tolist()) == [0, 54, 58]


def test_cells_on_crowds_have_no_mask_loss(net: MNC) -> None:
    """Whatever is predicted there; and the class of a mask does not depend on them."""
    batch = batch_of([squares((10, 10))], [[1]])
    batch["crowds"][0][10:26, 10:17] = True  # four of the seven columns of cells
    boxes = batch["boxes"][0]
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.0]])
    losses, gradients = [], []
    for value in (-9.0, 9.0):
        masks = torch.full((1, 7, 7), 2.0)
        masks[:, :, :4] = value
        masks.requires_grad_()
        stage = Stage(boxes, masks, logits, logits, torch.zeros(1, 4, 4))
        loss = net._stage_loss(stage, batch, 0)
        loss["mask"].backward()
        losses.append((float(loss["mask"].detach()), float(loss["mask_class"])))
        gradients.append(masks.grad)
    assert losses[0] == losses[1] and losses[0][0] == pytest.approx(float(torch.tensor(2.0).neg().exp().log1p()))
    assert gradients[0] is not None and gradients[0][:, :, :4].abs().max() == 0 < gradients[0][:, :, 4:].abs().min()


def test_the_losses_of_a_stage_by_hand(net: MNC) -> None:
    """The object's box, where a faint mask is right; one with an IoU of 0.6, whose mask is none; and background."""
    batch = batch_of([squares((10, 10), side=14)], [[1]])
    boxes = torch.tensor([[10.0, 10, 24, 24], [10.0, 10, 24, 24 + 28 / 3], [40.0, 40, 60, 60]])
    masks = torch.stack([torch.full((7, 7), -0.2), torch.full((7, 7), -2.0), torch.zeros(7, 7)])
    classes, mask_classes = torch.tensor([[0.3, -1.0, 2.0, 0.0]] * 3), torch.tensor([[1.0, 0.5, -0.7, 0.2]] * 3)
    deltas = torch.full((3, 4, 4), 9.0)
    deltas[:, 2] = torch.tensor([0.5, 0.0, -2.0, 0.0])
    losses = net._stage_loss(Stage(boxes, masks, classes, mask_classes, deltas), batch, 0)
    own, background = (-classes[0].log_softmax(0)[k] for k in (2, 0))
    assert losses["class"].item() == pytest.approx(float((2 * own + background) / 3))
    own, background = (-mask_classes[0].log_softmax(0)[k] for k in (2, 0))
    assert losses["mask_class"].item() == pytest.approx(float((own + 2 * background) / 3))
    # In the second box four of seven rows are the object, and a fifth by a part; 0.4 of a cell make it the object's.
    rows = int((crop_masks(batch["masks"][0], boxes[1:2], 7)[0, :, 0] > 0.4).sum())
    softplus = torch.nn.functional.softplus
    faint, wrong, right = (float(softplus(torch.tensor(x))) for x in (0.2, 2.0, -2.0))
    assert rows == 4 and losses["mask"].item() == pytest.approx((49 * faint + 28 * wrong + 21 * right) / 98)
    aims = encode(batch["boxes"][0], boxes[:2]) / torch.tensor([0.1, 0.1, 0.2, 0.2])
    differences = (deltas[:2, 2] - aims).abs()
    smooth = torch.where(differences < 1, differences**2 / 2, differences - 0.5)
    assert losses["box"].item() == pytest.approx(float(smooth.sum()) / 3)


def test_a_cell_is_the_objects_from_two_fifths_on(net: MNC) -> None:
    """Half of every cell is the object's, so all are; and a mask of 0.45 everywhere is right."""
    batch = batch_of([squares((10, 10), side=28)], [[1]])
    batch["masks"][0][:, :, 12::4] = batch["masks"][0][:, :, 13::4] = False
    boxes = torch.tensor([[10.0, 10, 38, 38]])
    assert (crop_masks(batch["masks"][0], boxes, 7) == 0.5).all()
    classes = torch.tensor([[0.3, -1.0, 2.0, 0.0]])
    stage = Stage(boxes, torch.full((1, 7, 7), 0.45).logit(), classes, classes, torch.zeros(1, 4, 4))
    losses = net._stage_loss(stage, batch, 0)
    assert losses["mask"].item() == pytest.approx(-math.log(0.45))
    assert losses["mask_class"].item() == pytest.approx(float(-classes[0].log_softmax(0)[2]))


@pytest.mark.parametrize("stages", [3, 5])
def test_the_loss_is_the_weighted_sum_over_stages_and_the_mean_over_images(
    stages: Any, net: MNC, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes: list[Tensor] = []

    def stage_loss(stage: Stage, *_: Any) -> dict[str, Tensor]:
        boxes.append(stage.boxes)
        return {name: torch.tensor(10.0**k) for k, name in enumerate(("mask", "class", "box", "mask_class"))}

    monkeypatch.setattr(net, "config", replace(SMALL, stages=stages, mask_weight=3.0))
    monkeypatch.setattr(net, "_stage_loss", stage_loss)
    monkeypatch.setattr(net.proposals, "loss", lambda *_: (torch.tensor(0.25, requires_grad=True), torch.tensor(0.5)))
    batch = batch_of([squares((4, 4), (30, 40)), squares((20, 20))], [[0, 2], [1]])
    losses = net.loss(batch)
    times = 1 if stages == 3 else 2
    assert losses["loss"].item() == pytest.approx(0.75 + times * (3 + 10 + 100 + 1000))
    assert {name: value.item() for name, value in losses.items() if name != "loss"} == {
        "rpn_class": 0.25, "rpn_box": 0.5, "mask": times, "class": 10 * times, "box": 100 * times,
        "mask_class": 1000 * times,
    }  # fmt: skip
    assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]
    # Every stage also learns from the true boxes, whatever the one before has done to them.
    assert len(boxes) == 2 * times
    for image, truth in enumerate(batch["boxes"]):
        for own in boxes[image * times : (image + 1) * times]:
            assert all((own == box).all(1).any() for box in truth)


@pytest.mark.parametrize(("stages", "repeats"), [(3, 1), (5, 2)])
def test_answers_come_from_as_many_stages(stages: Any, repeats: int, net: MNC, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "config", replace(SMALL, stages=stages, score_floor=0.0, nms_iou=1.0, detections=10**6))
    net.eval()
    with torch.inference_mode():
        image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        features = net.features(image)
        found = net.proposals(features)
        boxes = net.proposals.propose(found.scores[0], found.deltas[0], found.anchors, (64, 64))
        expected = [boxes, net.refine(net.stage(features[0], boxes), (64, 64))][:repeats]
        answer = net(image)
    net.train()
    # Each box once a class.
    places = sorted(tuple(box) for box in torch.cat(expected).tolist() for _ in range(3))
    assert sorted(tuple(box) for box in answer.boxes.tolist()) == [pytest.approx(box, abs=1e-4) for box in places]


@pytest.mark.parametrize("part", [1, 7])
def test_the_boxes_of_an_image_do_not_depend_on_each_other(
    part: int, net: MNC, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    boxes = some_boxes(20)
    monkeypatch.setattr("foveate.models.instances.detector.PART", part)
    with torch.inference_mode():
        features = net.features(image)[0]
        whole, parts = net.stage(features, boxes), net.stage_in_parts(features, boxes)
        none = net.stage_in_parts(features, boxes[:0])
    net.train()
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    assert [len(one) for one in none] == [0] * 5


def test_smooth_l1_by_hand() -> None:
    values = smooth_l1(torch.tensor([0.05, 1.0, -2.0]), torch.zeros(3), 3.0)
    assert values.tolist() == pytest.approx([9 * 0.05**2 / 2, 1 - 1 / 18, 2 - 1 / 18])


def test_overlap_of_masks_by_hand() -> None:
    first = torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]]], dtype=torch.bool)
    second = torch.tensor([[[1, 0], [1, 0]], [[0, 0], [0, 0]]], dtype=torch.bool)
    assert mask_overlap(first, second).tolist() == pytest.approx([1 / 3, 0])


def test_proposals_are_ranked_clipped_large_enough_and_apart() -> None:
    rpn = RegionProposals(4, 4, SMALL.proposals).eval()
    anchors = some_boxes(300, seed=3)
    random = torch.Generator().manual_seed(4)
    scores, deltas = torch.randn(300, generator=random), 0.1 * torch.randn(300, 4, generator=random)
    boxes = rpn.propose(scores, deltas, anchors, (50, 40))
    assert boxes[:, 0::2].max() <= 40 and boxes[:, 1::2].max() <= 50 and boxes.min() >= 0
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 3
    overlaps = box_iou(boxes, boxes) - torch.eye(len(boxes))
    assert overlaps.max() <= 0.7 and 5 < len(boxes) <= 60
    whole = decode(deltas, anchors)
    best = next(i for i in scores.argsort(descending=True).tolist() if whole[i, 0] < 37 and whole[i, 1] < 47)
    assert torch.allclose(boxes[0], torch.minimum(whole[best].clamp(min=0), torch.tensor([40.0, 50, 40, 50])))


@pytest.mark.parametrize("end_to_end", [True, False])
def test_gradients_flow_back_through_boxes_and_masks(net: MNC, end_to_end: bool) -> None:
    """End to end, the class loss changes the box deltas of stage 1 and the mask weights; not so when detached."""
    net.config = replace(SMALL, end_to_end=end_to_end)
    features = torch.randn(8, 16, 16, generator=torch.Generator().manual_seed(0))
    boxes = some_boxes(5).requires_grad_()
    stage = net.stage(features, boxes)
    net.zero_grad()
    stage.classes.square().sum().backward()
    weight = net.mask[1].weight.grad
    through_boxes = boxes.grad is not None and bool(boxes.grad.abs().max() > 0)
    through_masks = weight is not None and bool(weight.abs().max() > 0)
    net.config = SMALL
    assert through_boxes == through_masks == end_to_end


@pytest.mark.parametrize("end_to_end", [True, False])
def test_the_loss_of_stage_three_reaches_the_deltas_of_the_proposals(net: MNC, end_to_end: bool) -> None:
    net.config = replace(SMALL, end_to_end=end_to_end)
    features = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    found = net.proposals(features)
    boxes = net.proposals.propose(found.scores[0], found.deltas[0], found.anchors, (64, 64))
    net.zero_grad()
    net.stage(features[0], boxes).classes.square().sum().backward()
    net.config = SMALL
    gradient = net.proposals.delta.weight.grad
    assert (gradient is not None and bool(gradient.abs().max() > 0)) == end_to_end
    assert net.proposals.score.weight.grad is None  # which boxes are chosen has no derivative


def test_moving_map_and_boxes_by_the_stride_moves_proposals_and_leaves_the_stages(net: MNC) -> None:
    features = torch.zeros(1, 8, 24, 24)
    features[..., 8:14, 8:14] = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(7))
    moved = features.roll((3, 2), (2, 3))  # rows, columns; nothing leaves the map
    shift = torch.tensor([2.0, 3.0, 2.0, 3.0]) * SMALL.stride
    with torch.no_grad():
        one, other = net.proposals(features), net.proposals(moved)
        anchors = one.anchors.view(24, 24, -1, 4)[8:14, 8:14] + shift
        torch.testing.assert_close(other.anchors.view(24, 24, -1, 4)[11:17, 10:16], anchors)
        for a, b in ((one.scores[0], other.scores[0]), (one.deltas[0], other.deltas[0])):
            a, b = a.view(24, 24, -1)[8:14, 8:14], b.view(24, 24, -1)[11:17, 10:16]
            torch.testing.assert_close(a, b)
        boxes = some_boxes(5, 20.0) + 34
        torch.testing.assert_close(
            net.stage(features[0], boxes)[1:], net.stage(moved[0], boxes + shift)[1:], atol=1e-4, rtol=1e-4
        )


def test_gradients_of_later_stages_are_clipped_where_they_reach_deltas() -> None:
    deltas = torch.tensor([[0.5, -2.0], [0.0, 3.0]], requires_grad=True)
    limited = bounded(deltas, 0.25)
    assert torch.equal(limited, deltas)
    ((limited * torch.tensor([[0.125, 7.0], [-7.0, -0.0625]])).sum() + deltas[0, 0]).backward()
    # The gradient that comes another way is not clipped.
    assert deltas.grad is not None and deltas.grad.tolist() == [[1.125, 0.25], [-0.25, -0.0625]]


def test_deltas_of_stages_1_and_3_are_limited_by_the_share_of_an_image(
    net: MNC, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[tuple[int, float]] = []

    def watched(deltas: Tensor, limit: float) -> Tensor:
        limits.append((deltas.dim(), limit))
        return bounded(deltas, limit)

    monkeypatch.setattr("foveate.models.instances.mnc.bounded", watched)
    net.loss(batch_of([squares((4, 4), (30, 40)), squares((20, 20))], [[0, 2], [1]]))
    # The deltas of anchors have two dimensions, those of stage 3 one more for the classes.
    assert limits == [(2, 1 / 1024), (3, 1 / 1024)] * 2


def test_later_stages_change_earlier_boxes(net: MNC) -> None:
    features = torch.randn(8, 16, 16, generator=torch.Generator().manual_seed(1))
    boxes = some_boxes(4).requires_grad_()
    again = net.stage(features, net.refine(net.stage(features, boxes), (64, 64)))
    again.masks.sum().backward()
    assert boxes.grad is not None and bool((boxes.grad.abs().sum(1) > 0).all())


def test_stage_five_is_stage_three_where_nothing_is_regressed(net: MNC) -> None:
    features = torch.randn(8, 16, 16, generator=torch.Generator().manual_seed(2))
    first = net.stage(features, some_boxes(4))
    still = first._replace(deltas=torch.zeros_like(first.deltas))
    torch.testing.assert_close(net.refine(still, (64, 64)), first.boxes)


def test_boxes_are_regressed_by_the_best_class_that_is_not_background(net: MNC) -> None:
    boxes = torch.tensor([[10.0, 10, 20, 20]])
    classes = torch.tensor([[9.0, 0, 2, 1]])
    deltas = torch.zeros(1, 4, 4)
    deltas[0, 2, 0] = 5.0  # times 0.1, times a width of 10: 5 pixels to the right
    deltas[0, 0, 1] = 99.0
    stage = Stage(boxes, torch.zeros(1, 7, 7), classes, classes, deltas)
    torch.testing.assert_close(net.refine(stage, (64, 64)), torch.tensor([[15.0, 10, 25, 20]]))


def test_a_mask_of_ones_makes_both_paths_equal(net: MNC) -> None:
    """F_mask = F_roi where the mask is 1 everywhere (equation 3)."""
    features = torch.randn(8, 16, 16, generator=torch.Generator().manual_seed(3))
    seen: list[Tensor] = []
    hooks = [path.register_forward_pre_hook(lambda _, x: seen.append(x[0])) for path in (net.box_path, net.mask_path)]
    bias = net.mask[3].bias
    before = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(100.0)
    net.stage(features, some_boxes(3))
    with torch.no_grad():
        bias.fill_(-100.0)
    net.stage(features, some_boxes(3))
    with torch.no_grad():
        bias.copy_(before)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(seen[0], seen[1])
    torch.testing.assert_close(seen[2], seen[0])  # the box path sees what is outside of the mask, too
    assert seen[3].abs().max() < 1e-6 < seen[2].abs().max()


def test_detections_are_suppressed_class_by_class(net: MNC) -> None:
    boxes = torch.cat([some_boxes(6, seed=5), some_boxes(6, seed=5) + 1])
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(6)) * 3
    stage = Stage(boxes, torch.randn(12, 7, 7), logits.flip(1), logits, torch.zeros(12, 4, 4))
    found = net._detections([stage], (64, 64))
    assert (found.scores.diff() <= 0).all() and found.scores.min() > SMALL.score_floor
    probabilities = logits.softmax(1)
    for label in range(3):
        mine = (found.labels == label).nonzero()[:, 0]
        expected = nms(found.boxes[mine], found.scores[mine], 0.3)
        assert mine[expected].tolist() == mine[found.kept[mine]].tolist()
        assert sorted(found.scores[mine].tolist()) == pytest.approx(
            sorted(p for p in probabilities[:, label + 1].tolist() if p > SMALL.score_floor)
        )


def test_answers_in_images_of_any_size(net: MNC) -> None:
    net.eval()
    for height, width in ((1, 1), (33, 70), (97, 64)):
        with torch.inference_mode():
            found = net(torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0)))
        assert found.masks.shape[1:] == (7, 7) and len(found.boxes) == len(found.scores) == len(found.kept)
        if len(found.boxes):
            assert found.boxes[:, 2].max() <= width and found.boxes[:, 3].max() <= height
    net.train()


def test_learns_four_squares(net: MNC) -> None:
    """Boxes, masks and classes of a few squares are learned by heart."""
    torch.manual_seed(0)
    small = MNC(replace(SMALL, num_classes=2)).train()
    batch = batch_of([squares((4, 4), (30, 40)), squares((20, 8), (44, 44))], [[0, 1], [1, 0]])
    optimizer = torch.optim.AdamW(small.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = small.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert median(losses[-20:]) < 0.5 * losses[0]  # a median, since other boxes are proposed in each step


def test_every_parameter_has_a_gradient_and_none_is_needed_from_objects(net: MNC) -> None:
    net.train()
    net.zero_grad()
    net.loss(batch_of([squares((4, 4), (30, 40)), squares()], [[0, 2], []]))["loss"].backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
    losses = net.loss(batch_of([squares(), squares()], [[], []]))
    assert torch.isfinite(losses["loss"]) and float(losses["mask"]) == float(losses["box"]) == 0


def test_refuses_sizes_that_make_no_network() -> None:
    with pytest.raises(
        ConfigError, match="num_classes, in_channels, rois, mask_size, mask_hidden, hidden and detections"
    ):
        Config(num_classes=0)
    with pytest.raises(ConfigError, match=r"nms_iou 0 above 0 and at most 1"):
        ProposalConfig(nms_iou=0)
