"""Hypercolumns: sizes as released, equations, parity with scikit-learn and torchvision, and laws of outlines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, roi_align

from foveate.errors import ConfigError
from foveate.models.instances.detector import Detector, DetectorConfig, ranked
from foveate.models.instances.hypercolumns import Config, Hypercolumns, draw_boxes, grid_weights
from foveate.models.instances.proposals import ProposalConfig
from foveate.ops.boxes import tight_boxes
from foveate.ops.roi import roi_warp, roi_warp_one

SMALL = Config(
    num_classes=3, backbone="test_efficientnet", strides=(4, 8, 16), grid=3, size=12, kernel=1, boxes=6, reference=0.0,
    mask_weight=1.0, end_to_end=True,
    detector=DetectorConfig(
        width=8, stride=4, rois=16, hidden=16, dropout=0.0, detections=50,
        proposals=ProposalConfig(
            scales=(2.0, 4.0), ratios=(1.0,), cell=4, channels=8, pre_nms=(200, 200), post_nms=(40, 60), min_side=3,
            crossing=True,
        ),
    ),
)  # fmt: skip
# Off the kinks, and well inside maps of 64 pixels.
BOXES = torch.tensor([[9.3, 5.1, 40.7, 33.9], [17.4, 20.9, 37.3, 47.2], [20.1, 20.7, 25.9, 28.3]], dtype=torch.float64)
LABELS = torch.tensor([0, 2, 0])


def network(**changes: Any) -> Hypercolumns:
    torch.manual_seed(0)
    net = Hypercolumns(replace(SMALL, **changes)).double().eval()
    for name, weight in net.named_parameters():
        if name.startswith(("score", "bias")):
            torch.nn.init.normal_(weight, 0, 0.3)
    return net


def layers_of(net: Hypercolumns, side: int = 64) -> tuple[list[Tensor], Tensor]:
    """Random maps, each layer (c, h, w), and the detector's map."""
    random = torch.Generator().manual_seed(1)
    layers = [
        torch.randn(len(norm.running_mean), side // stride, side // stride, dtype=torch.float64, generator=random)  # type: ignore[arg-type]
        for norm, stride in zip(net.norms, net.config.strides, strict=True)
    ]
    return layers, torch.randn(8, side // 4, side // 4, dtype=torch.float64, generator=random)


def masks_of(net: Hypercolumns, layers: list[Tensor], features: Tensor, boxes: Tensor = BOXES) -> Tensor:
    return net.probabilities(net.scores(layers, features, boxes, LABELS), LABELS).detach()


def batch_of(masks: Tensor, labels: list[int], images: int = 1) -> Any:
    size, none = masks.shape[-1], torch.zeros(masks.shape[-2:], dtype=torch.bool)
    numbers = torch.tensor(labels, dtype=torch.int64)
    return {
        "image": masks.any(0).float().expand(images, 3, size, size), "image_sizes": [(size, size)] * images,
        "boxes": [tight_boxes(masks)] * images, "labels": [numbers] * images, "masks": [masks] * images,
        "crowds": [none] * images, "names": ["a"] * images,
    }  # fmt: skip


def squares(*corners: tuple[int, int], side: int = 16, size: int = 64) -> Tensor:
    masks = torch.zeros(len(corners), size, size, dtype=torch.bool)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + side, left : left + side] = True
    return masks


# Sizes


def test_the_released_sizes() -> None:
    with torch.device("meta"):
        net = Hypercolumns(Config())
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters()}
    assert shapes["score.0.weight"] == (25 * 20, 256, 3, 3)  # pool3
    assert shapes["score.1.weight"] == (25 * 20, 512, 1, 1)  # pool4
    assert shapes["score_vector.weight"] == (25 * 20, 4096)  # fc7
    assert shapes["bias"] == (20, 25)
    assert shapes["detector.path.2.weight"] == (4096, 512 * 7 * 7)
    assert [type(layer).__name__ for layer in net.detector.path].count("Dropout") == 2
    assert tuple(net.mix.shape) == (25, 50, 50)


def test_reads_pool3_and_pool4_of_vgg() -> None:
    torch.manual_seed(0)
    small = DetectorConfig(hidden=4, proposals=ProposalConfig(channels=4, post_nms=(5, 5)))
    net = Hypercolumns(Config(num_classes=1, detector=small)).eval()
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    x = image
    pooled = []
    for stage, depth in enumerate((2, 2, 3, 3)):
        for i in range(depth):
            conv = getattr(net.backbone, f"conv{stage + 1}_{i + 1}")
            x = F.conv2d(x, conv.weight, conv.bias, padding=1).relu()
        x = F.max_pool2d(x, 2)
        pooled.append(x)
    with torch.no_grad():
        for found, norm, expected in zip(net.layers(net.maps(image)), net.norms, pooled[2:], strict=True):
            torch.testing.assert_close(found, expected / (1 + norm.eps) ** 0.5)  # running statistics of a new network
        detected = net(image)
    assert detected.masks.shape == (len(detected.boxes), 50, 50) and bool(detected.kept.all())


# The equations


def test_classifying_and_interpolating_commute() -> None:
    """Section 3.4: the classified layers, interpolated, are the classified concatenation of interpolated layers."""
    net = network()
    layers, features = layers_of(net)
    columns = [
        roi_warp(layer, BOXES, SMALL.size, stride, "centre")
        for layer, stride in zip(layers, SMALL.strides, strict=True)
    ]
    vectors = net.detector.vectors(features, BOXES)[:, :, None, None].expand(-1, -1, SMALL.size, SMALL.size)
    column = torch.cat([*columns, vectors], 1)  # (R, c, S, S): the hypercolumn of each place
    weights = [score.weight.flatten(1) for score in net.score] + [net.score_vector.weight]
    weight = torch.cat(weights, 1).unflatten(0, (3, SMALL.grid**2))  # (K, G * G, c)
    scores = torch.einsum("rcij,rkc->rkij", column, weight[LABELS]) + net.bias[LABELS][:, :, None, None]
    expected = (grid_weights(SMALL.grid, SMALL.size).double() * scores.sigmoid()).sum(1)
    # The mask is computed in float32 from the scores on, which are exact.
    torch.testing.assert_close(masks_of(net, layers, features), expected, rtol=0, atol=1e-6)
    parts = net.scores(layers, features, BOXES, LABELS)
    summed = sum(part.expand(-1, -1, SMALL.size, SMALL.size) for part in parts) + net.bias[LABELS][:, :, None, None]
    torch.testing.assert_close(summed, scores, rtol=0, atol=1e-10)


def test_a_window_of_three_does_not_commute() -> None:
    """The finest layer of the release is classified from 3 x 3 cells, which is another function."""
    net = network(kernel=3)
    assert tuple(net.score[0].weight.shape[2:]) == (3, 3) and tuple(net.score[1].weight.shape[2:]) == (1, 1)
    layers, features = layers_of(net)
    (part, *_) = net.scores(layers, features, BOXES, LABELS)
    inside = roi_warp(layers[0], BOXES, SMALL.size, 4, "centre")
    weight = net.score[0].weight.unflatten(0, (3, -1))
    other = torch.stack([F.conv2d(x[None], weight[k], padding=1)[0] for x, k in zip(inside, LABELS, strict=True)])
    assert float((part - other).detach().abs().max()) > 1


def test_each_classifiers_sigmoid_comes_before_the_mixture() -> None:
    net = network(grid=2, size=2, vector=False)  # four places, each a middle of a cell
    net.mix.fill_(0.0)
    net.mix[0] = net.mix[1] = 0.5
    with torch.no_grad():
        net.bias[0] = torch.tensor([6.0, -2.0, 9.0, 9.0])
    found = net.probabilities([torch.zeros(1, 4, 2, 2, dtype=torch.float64)], torch.tensor([0]))
    torch.testing.assert_close(found, torch.full_like(found, (0.997527 + 0.119203) / 2), atol=1e-5, rtol=0)


def test_weights_of_the_grid() -> None:
    for grid, size in ((10, 50), (5, 50), (5, 28), (1, 7), (4, 4)):
        weights = grid_weights(grid, size)
        torch.testing.assert_close(weights.sum(0), torch.ones(size, size))
        assert weights.min() >= 0
    ten = grid_weights(10, 50).reshape(10, 10, 50, 50)
    assert float(ten[3, 7, 17, 37]) == 1 == float(ten[0, 9, 0, 49])  # the middle of a cell, and beyond the outermost
    assert float(grid_weights(5, 50).reshape(5, 5, 50, 50)[:, :, 10:40, 10:40].max()) < 1  # no place on a middle
    # By hand: place 0 of 4 lies at -0.25 of a grid of 2, place 1 at 0.25.
    assert grid_weights(2, 4).reshape(2, 2, 4, 4)[0, 0].tolist() == [
        pytest.approx([1, 0.75, 0.25, 0]), pytest.approx([0.75, 0.5625, 0.1875, 0]),
        pytest.approx([0.25, 0.1875, 0.0625, 0]), pytest.approx([0, 0, 0, 0]),
    ]  # fmt: skip


def test_a_grid_of_equal_classifiers_is_one_classifier() -> None:
    many, one = network(grid=3), network(grid=1)
    with torch.no_grad():
        for own, single in zip(many.parameters(), one.parameters(), strict=True):
            if own.shape == single.shape:
                single.copy_(own)
        for own, single in zip([*many.score, many.score_vector], [*one.score, one.score_vector], strict=True):
            own.weight.copy_(single.weight.repeat_interleave(9, 0))
        many.bias.copy_(one.bias.expand(-1, 9))
    layers, features = layers_of(one)
    torch.testing.assert_close(masks_of(many, layers, features), masks_of(one, layers, features), rtol=0, atol=1e-6)


def test_classifier_of_a_cell_is_scikit_learns_logistic_regression() -> None:
    """Places of one grid cell as samples, the hypercolumn as features: the same regularised log loss, same answers."""
    net = network(grid=1, size=16, strides=(4,), vector=False, num_classes=1)
    (layer,), features = layers_of(net)
    box, label = torch.tensor([[0.0, 0, 64, 64]], dtype=torch.float64), torch.tensor([0])
    truth = (layer[0] + layer[1] * layer[2] > 0.2).double()
    weight, bias = net.score[0].weight, net.bias
    with torch.no_grad():
        weight.zero_()
        bias.zero_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        found = net.probabilities(net.scores([layer], features, box, label), label)[0]
        total = F.binary_cross_entropy(found.double(), truth, reduction="sum") + weight.square().sum() / 2
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    samples, wanted = layer.flatten(1).T.numpy(), truth.flatten().numpy()
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(samples, wanted).predict_proba(samples)[:, 1]
    ours = net.probabilities(net.scores([layer], features, box, label), label)[0].detach().flatten().numpy()
    assert float(np.abs(ours - theirs).max()) < 1e-3 and 0.05 < wanted.mean() < 0.95


# Reading boxes


def test_chosen_maps_are_read_as_torchvision_reads_them() -> None:
    maps = torch.randn(4, 5, 16, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    which = torch.tensor([2, 0, 3])
    boxes = BOXES * 0.9
    found = roi_warp_one(maps, which, boxes, 7, 4)
    for one, chosen, box in zip(found, which, boxes, strict=True):
        rois = torch.cat([torch.zeros(1, 1, dtype=torch.float64), box[None]], 1)
        theirs = roi_align(maps[chosen][None], rois, 7, 0.25, sampling_ratio=1, aligned=True)[0]
        torch.testing.assert_close(one, theirs, rtol=0, atol=1e-10)
    # Beyond the border is the value at the border.
    outside = torch.tensor([[-9.0, -3.0, 30.0, 90.0]], dtype=torch.float64)
    torch.testing.assert_close(
        roi_warp_one(maps, torch.tensor([1]), outside, 6, 4), roi_warp(maps[1], outside, 6, 4, "centre"),
        rtol=0, atol=1e-10,
    )  # fmt: skip
    assert roi_warp_one(maps, which[:0], boxes[:0], 7, 4).shape == (0, 5, 7, 7)
    with pytest.raises(ConfigError, match=r"choices of \(3,\), boxes of \(2, 4\) and a size of 7; expected"):
        roi_warp_one(maps, which, boxes[:2], 7, 4)


def test_chosen_maps_have_the_gradients_of_the_equation() -> None:
    maps = torch.randn(2, 2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    boxes = (BOXES * 0.6 + 1.234).requires_grad_()
    which = torch.tensor([1, 0, 1])
    assert torch.autograd.gradcheck(lambda m, b: roi_warp_one(m, which, b, 3, 4), (maps, boxes))


# Laws


def test_a_mirrored_image_and_grid_give_a_mirrored_mask() -> None:
    net, mirrored = network(vector=False), network(vector=False)
    with torch.no_grad():
        for own, other in zip(net.score, mirrored.score, strict=True):
            cells = own.weight.unflatten(0, (3, SMALL.grid, SMALL.grid))
            other.weight.copy_(cells.flip(2).flatten(0, 2))
        mirrored.bias.copy_(net.bias.unflatten(1, (SMALL.grid, SMALL.grid)).flip(2).flatten(1))
    layers, features = layers_of(net)
    boxes = torch.stack([64 - BOXES[:, 2], BOXES[:, 1], 64 - BOXES[:, 0], BOXES[:, 3]], 1)
    found = masks_of(mirrored, [layer.flip(-1) for layer in layers], features, boxes)
    torch.testing.assert_close(found, masks_of(net, layers, features).flip(-1), rtol=0, atol=1e-6)


def test_moving_layers_and_box_by_a_stride_moves_the_mask() -> None:
    net = network(vector=False)
    layers, features = layers_of(net)
    moved = [
        layer.roll((16 // stride, 16 // stride), (1, 2)) for layer, stride in zip(layers, SMALL.strides, strict=True)
    ]
    # Boxes far enough inside, so that no place reads what was rolled in.
    boxes = BOXES.clamp(8, 38)
    found = masks_of(net, moved, features, boxes + 16)
    torch.testing.assert_close(found, masks_of(net, layers, features, boxes), rtol=0, atol=1e-6)


def test_outlines_add_up_and_any_box_is_outlined_by_itself() -> None:
    net = network().float()
    image = torch.randn(1, 3, 70, 64, generator=torch.Generator().manual_seed(0))
    boxes = BOXES.float()
    with torch.no_grad():
        found = net.outline(image, boxes, LABELS)
        alone = net.outline(image, boxes[1:2], LABELS[1:2])
    assert found.masks.shape == (3, 12, 12) and found.layers.shape == (4, 3, 12, 12)
    torch.testing.assert_close(alone.masks[0], found.masks[1], rtol=0, atol=1e-5)
    one = network(grid=1).float()
    with torch.no_grad():
        found = one.outline(image, boxes, LABELS)
        expected = (found.layers.sum(0) + one.bias[LABELS][:, :, None]).sigmoid()
    torch.testing.assert_close(found.masks, expected, rtol=0, atol=1e-5)


def test_a_box_outside_the_image_is_refused() -> None:
    net = network().float()
    image = torch.zeros(1, 3, 40, 50)
    with pytest.raises(ConfigError, match=r"box \[51\.0, 3\.0, 60\.0, 9\.0\] has no part of the image of 50 x 40"):
        net.outline(image, torch.tensor([[0.0, 0, 9, 9], [51, 3, 60, 9]]), torch.tensor([0, 0]))
    with pytest.raises(ConfigError, match=r"box \[5\.0, 3\.0, 5\.0, 9\.0\] has no part"):
        net.outline(image, torch.tensor([[5.0, 3, 5, 9]]), torch.tensor([0]))
    with pytest.raises(ConfigError, match="labels up to 3; expected 0 to 2"):
        net.outline(image, torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([3]))


def test_the_last_layer_alone_reads_no_map() -> None:
    net = network(strides=()).float()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = net.outline(image, BOXES.float(), LABELS)
    assert len(found.layers) == 1 and len(net.score) == 0
    with torch.no_grad():  # its places differ by the grid alone
        flat = network(strides=(), grid=1).float().outline(image, BOXES.float(), LABELS)
    assert float(flat.masks[0].std()) < 1e-6
    assert float(found.masks[0].std()) > 0.01


# Training


def test_training_boxes_stay_near_their_objects() -> None:
    torch.manual_seed(0)
    truth = torch.tensor([[0.0, 0, 20, 20], [30, 10, 60, 50], [2, 30, 12, 44], [40, 60, 64, 64]])
    labels = torch.tensor([1, 0, 0, 0])
    boxes, owner = draw_boxes(truth, labels, 4000, (64, 64))
    overlaps = box_iou(boxes, truth)[torch.arange(4000), owner]
    assert overlaps.min() >= 0.7 - 1e-6 and overlaps.max() <= 1 and float((overlaps < 0.9).float().mean()) > 0.3
    assert boxes.min() >= 0 and boxes.max() <= 64
    shares = torch.bincount(owner).float() / 4000  # classes evenly, then their objects
    torch.testing.assert_close(shares, torch.tensor([0.5, 1 / 6, 1 / 6, 1 / 6]), atol=0.03, rtol=0)
    assert [len(part) for part in draw_boxes(truth[:0], labels[:0], 5, (64, 64))] == [0, 0]


def test_small_boxes_weigh_less() -> None:
    net = network(reference=32.0)
    boxes = torch.tensor([[0.0, 0, 16, 16], [0, 0, 64, 64]])
    found, masks = torch.full((2, 12, 12), 0.25), torch.ones(2, 64, 64, dtype=torch.bool)
    expected = -np.log(0.25) * (1 / 4 + 1) / 2
    assert float(net._log_loss(found, masks, boxes, ~masks[0])) == pytest.approx(expected)
    assert float(network(reference=0.0)._log_loss(found, masks, boxes, ~masks[0])) == pytest.approx(-np.log(0.25))


def test_places_on_crowds_do_not_count() -> None:
    net, boxes = network(reference=0.0), torch.tensor([[0.0, 0, 24, 24]])
    masks, crowds = torch.ones(1, 64, 64, dtype=torch.bool), torch.zeros(64, 64, dtype=torch.bool)
    crowds[:, :12] = True
    found = torch.full((1, 12, 12), 0.25)
    found[:, :, :6] = 0.999
    assert float(net._log_loss(found, masks, boxes, crowds)) == pytest.approx(-np.log(0.25))
    assert float(net._log_loss(found, masks, boxes, ~crowds)) == pytest.approx(-np.log(0.999), rel=1e-4)
    assert float(net._log_loss(found, masks, boxes, torch.ones_like(crowds))) == 0


@pytest.mark.parametrize("end_to_end", [True, False])
def test_outlines_train_their_layers_only_end_to_end(end_to_end: bool) -> None:
    torch.manual_seed(0)
    net = Hypercolumns(replace(SMALL, end_to_end=end_to_end)).train()
    batch = batch_of(squares((4, 4), (30, 40)), [0, 2])
    maps = net.maps(batch["image"])
    features = net.detector.features(maps)
    boxes, labels = batch["boxes"][0], batch["labels"][0]
    parts = net.scores([layer[0] for layer in net.layers(maps)], features[0], boxes, labels)
    net.probabilities(parts, labels).sum().backward()  # type: ignore[no-untyped-call]
    reached = {
        name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().max() > 0
    }
    classifiers = {"score", "score_vector", "bias"}
    assert reached == (classifiers | {"backbone", "detector"} if end_to_end else classifiers)


def test_learns_to_outline() -> None:
    """Triangles: half of their box, so that a filled box has an IoU of 0.5."""
    torch.manual_seed(0)
    net = Hypercolumns(replace(SMALL, num_classes=1, kernel=3)).train()
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    masks = torch.stack([
        (y - top >= 0) & (x - left >= 0) & (y - top + x - left < 20) for top, left in ((4, 4), (34, 8), (10, 38))
    ])  # fmt: skip
    batch = batch_of(masks, [0, 0, 0])
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        net.loss(batch)["loss"].backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        found = net.outline(batch["image"][:1], batch["boxes"][0], batch["labels"][0]).masks > 0.4
    goal = torch.tensor([[x + y < 11 for x in range(12)] for y in range(12)])
    ious = (found & goal).sum((1, 2)) / (found | goal).sum((1, 2))
    assert float(ious.min()) > 0.8


def test_images_without_objects_train_the_detector() -> None:
    net = Hypercolumns(SMALL).train()
    losses = net.loss(batch_of(squares(), []))
    losses["loss"].backward()
    assert float(losses["mask"]) == 0 and float(losses["rpn_class"]) > 0 and torch.isfinite(losses["loss"])


# The detector


def test_each_class_moves_its_boxes_and_is_suppressed_by_itself() -> None:
    torch.manual_seed(0)
    detector = Detector((4, 4, 4, 4), 2, replace(SMALL.detector, width=0)).eval()
    features = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        detector.classify.weight.mul_(300)
        plain = detector.detect(features, (64, 60))
        detector.regress.bias.view(3, 4)[2, 0] = 2.0  # class 1 moves right by a fifth of its width
        moved = detector.detect(features, (64, 60))
    assert (plain.scores.diff() <= 0).all() and plain.boxes.min() >= 0 and plain.boxes[:, 2].max() <= 60
    for label in (0, 1):
        mine = plain.boxes[plain.labels == label]
        assert len(mine) and float((box_iou(mine, mine) - torch.eye(len(mine))).max()) <= 0.3
    first, second = (found.boxes[found.labels == 0] for found in (plain, moved))
    torch.testing.assert_close(first, second)
    best = [found.boxes[found.labels == 1][0] for found in (plain, moved)]
    width = best[0][2] - best[0][0]
    shift = torch.tensor([0.2 * width, 0, 0.2 * width, 0])
    torch.testing.assert_close(
        best[1], torch.minimum(best[0] + shift, torch.tensor([60.0, 64, 60, 64])), atol=0.3, rtol=0
    )


def test_the_best_of_all_classes_stay() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [30, 30, 40, 40]])
    labels, scores = torch.tensor([0, 0, 1, 1]), torch.tensor([0.5, 0.9, 0.3, 0.4])
    order, stay = ranked(boxes, labels, scores, (50, 50), 0.3, 2)
    assert order[stay].tolist() == [1, 3]
    order, stay = ranked(boxes, labels, scores, (50, 50), 0.3, 9)
    assert order[stay].tolist() == [1, 3, 2]


def test_dropout_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    detector = Detector((4, 4, 4, 4), 2, replace(SMALL.detector, width=0, dropout=0.5))
    features = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(0))
    boxes = BOXES.float()
    detector.train()
    assert not torch.equal(detector.vectors(features, boxes), detector.vectors(features, boxes))
    detector.eval()
    assert torch.equal(detector.vectors(features, boxes), detector.vectors(features, boxes))


# Configs


def test_refuses_sizes_that_make_no_network() -> None:
    with pytest.raises(ConfigError, match="num_classes, in_channels, grid, size and boxes must be at least 1"):
        Config(grid=0)
    with pytest.raises(ConfigError, match=r"strides are \(4, 8\); expected some of 8, 16, 32, finest first"):
        Config(strides=(4, 8))
    with pytest.raises(ConfigError, match=r"strides are \(8, 4\); expected some of 4, 8, 16, 32, finest first"):
        Config(backbone="resnet18", strides=(8, 4))
    with pytest.raises(ConfigError, match="no layer is left to read; give strides, or vector true"):
        Config(strides=(), vector=False)
    with pytest.raises(ConfigError, match="kernel 2 must be odd"):
        Config(kernel=2)
    with pytest.raises(ConfigError, match="dropout 1 from 0 to below 1"):
        DetectorConfig(dropout=1)
