"""SDS: sizes of the paper, crops against numpy, laws of suppression, fitting and refinement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.backbones.caffenet import CaffeNet
from foveate.errors import ConfigError, ModelError
from foveate.models.instances.sds import SDS, Config, fitting
from foveate.models.instances.sds.crops import crop_image, crop_regions, masks_at, mirrored, places, turned, widened
from foveate.models.instances.sds.fitting import (
    GRID,
    Example,
    cell_features,
    fit_refinement,
    fit_svms,
    leaf_values,
    refine_region,
    threshold_for,
    unrefined,
)
from foveate.ops.boxes import tight_boxes
from foveate.ops.linear import linear_svm
from foveate.ops.proposals import propose
from foveate.ops.regions import RegionSet, regions_of
from foveate.ops.suppress import survivors

SMALL = Config(
    num_classes=3, backbone="test_efficientnet", side=32, context=4, hidden=16, proposals=60, foreground=4, background=6
)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))


@pytest.fixture
def net() -> SDS:
    torch.manual_seed(0)
    return SDS(SMALL).eval()


def scene(seed: int = 0, side: int = 64) -> tuple[Tensor, Tensor]:
    """A noisy image (3, H, W) uint8 with three rectangles, and their masks."""
    random = np.random.default_rng(seed)
    image = np.full((side, side, 3), 90)
    masks = np.zeros((3, side, side), bool)
    places_ = [(4, 6, 20, 18), (8, 34, 30, 24), (40, 10, 16, 30)]
    for mask, (top, left, height, width), color in zip(
        masks, places_, [(220, 40, 40), (40, 200, 60), (50, 60, 230)], strict=True
    ):
        mask[top : top + height, left : left + width] = True
        image[mask] = color
    noisy = np.clip(image + random.integers(-8, 9, image.shape), 0, 255).astype(np.uint8)
    return torch.from_numpy(noisy.transpose(2, 0, 1).copy()), torch.from_numpy(masks)


def batch_of(net: SDS, *seeds: int, empty: bool = False) -> Any:
    scenes = [scene(seed) for seed in seeds]
    images = torch.stack([net.preprocessing(image) for image, _ in scenes])
    masks = [m[:0] if empty else m for _, m in scenes]
    return {
        "image": images, "image_sizes": [(64, 64)] * len(seeds), "boxes": [tight_boxes(m) for m in masks],
        "labels": [torch.tensor([0, 1, 2])[: len(m)] for m in masks], "masks": masks,
        "crowds": [torch.zeros(64, 64, dtype=torch.bool)] * len(seeds), "names": ["a"] * len(seeds),
    }  # fmt: skip


# Sizes of the paper


def test_caffenet_has_the_released_shapes_and_parameters() -> None:
    net = CaffeNet().eval()
    shapes, x = [], torch.zeros(1, 3, 227, 227)
    with torch.inference_mode():
        for layer in net:
            x = layer(x)
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.MaxPool2d, torch.nn.Linear)):
                shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13), (256, 13, 13),
        (256, 6, 6), (4096,), (4096,),
    ]  # fmt: skip
    counts = [sum(p.numel() for p in layer.parameters()) for layer in net]
    assert [c for c in counts if c] == [34944, 307456, 885120, 663936, 442624, 37752832, 16781312]
    groups = [layer.groups for layer in net if isinstance(layer, torch.nn.Conv2d)]
    assert groups == [1, 2, 1, 2, 2]
    with pytest.raises(ConfigError, match="CaffeNet takes 227 x 227"):
        net(torch.zeros(1, 3, 224, 224))


def test_the_default_is_network_c_at_paper_size() -> None:
    config = Config()
    assert (config.side, config.context, config.proposals) == (227, 16, 2000)
    assert (config.foreground, config.background) == (8, 24)
    with torch.device("meta"):
        model = SDS(config)
    assert model.classify.weight.shape == (21, 8192)
    assert model.cells.shape == (20, 8192 + 100 + 1, 100)
    for wrong in ({"side": 64}, {"hidden": 256}, {"pretrained": True}):
        with pytest.raises(ConfigError, match="caffenet"):
            Config(**wrong)


@pytest.mark.parametrize(
    ("field", "value"), [("context", 16), ("context", -1), ("largest", 0.0), ("largest", 1.5), ("proposals", 0)]
)
def test_sizes_that_do_not_fit_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(SMALL, **{field: value})


# Crops


def test_a_box_is_widened_so_that_the_crop_has_its_context() -> None:
    # 227 / (227 - 32) = 1.1641: a box of 195 pixels becomes 227.
    wide = widened(torch.tensor([[100.0, 10.0, 295.0, 205.0]]), 227, 16)
    torch.testing.assert_close(wide, torch.tensor([[84.0, -6.0, 311.0, 221.0]]))


def test_a_crop_is_the_bilinear_warp_of_a_numpy_reference() -> None:
    image, _ = scene()
    values = image.numpy().astype(float)
    box = torch.tensor([[-5.0, 10.0, 40.0, 72.0]])
    crop = crop_image(image.float(), places(box, 24))[0].numpy()
    for row in range(24):
        for column in range(24):
            x, y = -5 + (column + 0.5) / 24 * 45, 10 + (row + 0.5) / 24 * 62
            if not (0 <= x < 64 and 0 <= y < 64):
                assert (crop[:, row, column] == 0).all()
                continue
            u, v = min(max(x - 0.5, 0), 63), min(max(y - 0.5, 0), 63)
            i, j = min(int(v), 62), min(int(u), 62)
            a, b = v - i, u - j
            expected = (
                (1 - a) * (1 - b) * values[:, i, j] + (1 - a) * b * values[:, i, j + 1]
                + a * (1 - b) * values[:, i + 1, j] + a * b * values[:, i + 1, j + 1]
            )  # fmt: skip
            assert np.abs(crop[:, row, column] - expected).max() < 1e-2


def test_a_mask_is_read_at_the_nearest_pixel() -> None:
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[0, 2, 3] = True
    exact = masks_at(mask, torch.tensor([0]), places(torch.tensor([[0.0, 0.0, 6.0, 6.0]]), 6))
    assert torch.equal(exact, mask)
    double = masks_at(mask, torch.tensor([0]), places(torch.tensor([[-6.0, 0.0, 6.0, 6.0]]), 12))[0]
    assert double[4:6, 9].all() and double.sum() == 2  # 12 x 6 pixels on 12 x 12 cells: 1 x 2 of them


def test_regions_are_read_as_their_masks_are() -> None:
    image, _ = scene()
    regions = regions_of(propose(image.permute(1, 2, 0).numpy()))
    at = places(widened(regions.boxes, 32, 4), 32)
    assert torch.equal(crop_regions(regions, at), masks_at(regions.masks(), torch.arange(len(regions)), at))


def test_the_masked_crop_is_the_mean_outside_and_the_image_inside(net: SDS) -> None:
    image, masks = scene()
    pixels = net.preprocessing(image)
    at = net.places(tight_boxes(masks))
    mask = masks_at(masks, torch.arange(3), at)
    crops = net.crops(pixels, at, mask)
    assert 0 < mask.float().mean() < 1
    outside = ~mask[:, None].expand(-1, 3, -1, -1)
    assert (crops[:, 1][outside] == 0).all() and torch.equal(crops[:, 1][~outside], crops[:, 0][~outside])
    assert crops[:, 0][outside].abs().min() > 0  # the box keeps its background
    whole = net.crops(pixels, at, torch.ones_like(mask))
    assert torch.equal(whole[:, 0], whole[:, 1])


def test_crops_are_mirrored_and_turned_together(net: SDS) -> None:
    torch.manual_seed(0)
    crops = torch.arange(2 * 3.0 * 16).view(1, 2, 3, 4, 4).expand(400, -1, -1, -1, -1)
    half = mirrored(crops)
    changed = (half == crops.flip(-1)).flatten(1).all(1)
    assert 150 < changed.sum() < 250 and torch.equal(half[~changed], crops[~changed])
    kinds = {tuple(one.flatten().tolist()) for one in turned(crops)}
    of_square = [turn for k in range(4) for turn in (crops[0].rot90(k, (-2, -1)), crops[0].rot90(k, (-2, -1)).flip(-1))]
    assert kinds == {tuple(one.flatten().tolist()) for one in of_square}  # all eight, box and region alike


# Answering


def test_each_network_sees_its_own_crop(net: SDS) -> None:
    crops = torch.randn(5, 2, 3, 32, 32)
    both = net.features(crops)
    other = crops.clone()
    other[:, 1] = 0
    changed = net.features(other)
    assert torch.equal(both[:, :16], changed[:, :16]) and not torch.equal(both[:, 16:], changed[:, 16:])
    for name, row in (("box", 0), ("region", 1)):
        alone = SDS(replace(SMALL, crops=name)).eval()
        assert list(alone.backbone) == [name]
        alone.backbone[name].load_state_dict(net.backbone[name].state_dict())
        assert torch.equal(alone.features(crops), both[:, 16 * row : 16 * row + 16])


def test_chunks_change_nothing(net: SDS, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = scene()
    pixels = net.preprocessing(image)
    regions = net.regions(pixels)
    with torch.inference_mode():
        together = net.features_of(pixels, regions)
        monkeypatch.setattr("foveate.models.instances.sds.CHUNK", 1)
        alone = net.features_of(pixels, regions)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_normalising_does_not_move_the_proposals(net: SDS) -> None:
    image, _ = scene()
    found = net.regions(net.preprocessing(image))
    direct = regions_of(propose(image.permute(1, 2, 0).numpy().astype(np.uint16) * 257, 60))
    assert torch.equal(found.masks(), direct.masks())
    # 16 bits that 8 cannot hold stay apart.
    fine = image.float() / 255 + 60 / 65535
    assert torch.equal(
        net.regions(net.preprocessing(fine)).atoms.unique(),
        torch.arange(net.regions(net.preprocessing(fine)).members.shape[1]),
    )


def stripes(*members: tuple[int, ...], count: int = 6) -> RegionSet:
    """Regions of an image of `count` columns, each column an atom and a leaf of its own."""
    atoms = torch.arange(count).expand(4, -1).contiguous()
    inside = torch.zeros(len(members), count, dtype=torch.bool)
    for row, some in zip(inside, members, strict=True):
        row[list(some)] = True
    boxes = torch.tensor([[min(some), 0, max(some) + 1, 4] for some in members]).float().view(-1, 4)
    leaves = torch.arange(count)[None]
    return RegionSet(boxes, atoms, inside, leaves, torch.zeros(len(members), dtype=torch.int64))


def test_one_shared_pixel_suppresses_and_none_does_not() -> None:
    regions = stripes((0, 1), (1, 2, 3, 4), (2, 3), (4, 5))
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0], [0.6, 0.4, 0.0]])
    index, labels, best = survivors(regions.members, scores, 400)
    first = index[labels == 0]
    assert first.tolist() == [0, 2, 3]  # the second one shares a column with the best, the others none
    assert index[labels == 1].tolist() == [3, 2, 0]
    assert (best.diff() <= 0).all() and torch.equal(best, scores[index, labels])
    boxes_overlap = stripes((0, 5), (2, 3))  # boxes inside each other, without a common pixel
    assert len(survivors(boxes_overlap.members, torch.tensor([[0.9], [0.8]]), 400)[0]) == 2


def test_the_order_of_proposals_changes_nothing(net: SDS) -> None:
    image, _ = scene()
    regions = net.regions(net.preprocessing(image))
    scores = torch.rand(len(regions), 3, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(len(regions), generator=torch.Generator().manual_seed(2))
    index, labels, best = survivors(regions.members, scores, 400)
    other, other_labels, other_best = survivors(regions.select(order).members, scores[order], 400)
    assert torch.equal(order[other], index) and torch.equal(other_labels, labels) and torch.equal(other_best, best)
    limited = survivors(regions.members, scores, 2)
    assert torch.equal(limited[0], index[:2])


def test_an_image_without_regions_gives_no_detections() -> None:
    model = SDS(replace(SMALL, largest=0.5)).eval()
    with torch.inference_mode():
        out = model(torch.zeros(1, 3, 20, 30))
    assert len(out.scores) == 0 and out.boxes.shape == (0, 4) and out.atoms.shape == (20, 30)
    assert (model.semantic(out) == 0).all()


def test_semantic_output_puts_the_better_region_on_top(net: SDS) -> None:
    from foveate.records import RegionOutput

    regions = stripes((0, 1, 2), (2, 3), (5,))
    out = RegionOutput(
        regions.boxes, torch.tensor([1, 0, 2]), torch.tensor([0.9, 0.6, 0.4]), regions.members, regions.atoms
    )
    net.semantic_threshold.fill_(0.5)
    assert net.semantic(out)[0].tolist() == [2, 2, 2, 1, 0, 0]
    net.semantic_threshold.fill_(0.0)
    assert net.semantic(out)[0].tolist() == [2, 2, 2, 1, 0, 3]
    many = stripes(*[(k,) for k in range(12)], count=12)  # at most ten
    out = RegionOutput(many.boxes, torch.zeros(12).long(), torch.linspace(1, 0.5, 12), many.members, many.atoms)
    assert net.semantic(out)[0].tolist() == [1] * 10 + [0, 0]


def test_the_semantic_threshold_leaves_two_an_image() -> None:
    assert threshold_for(torch.tensor([0.9, 0.1, 0.5, 0.3]), 2) == pytest.approx(0.4)
    assert threshold_for(torch.tensor([0.9]), 2) == 0.0


# Training


def test_regions_are_sampled_by_their_own_overlap(net: SDS) -> None:
    batch = batch_of(net, 0)
    regions = net.regions(batch["image"][0])
    overlaps = regions.overlaps(batch["masks"][0])
    torch.manual_seed(0)
    chosen, target = net._sample(regions, batch, 0)
    assert (target > 0).sum() == 4 and (target == 0).sum() == 6
    best, owner = overlaps[chosen].max(1)
    assert torch.equal(target > 0, best >= 0.5)
    assert torch.equal(target[target > 0], owner[target > 0] + 1)
    # Nothing in a crowd is taken for background.
    batch["crowds"] = [torch.ones(64, 64, dtype=torch.bool)]
    assert len(net._sample(regions, batch, 0)[0]) == 0
    assert len(net._sample(regions, batch_of(net, 0, empty=True), 0)[0]) == 0


def test_without_both_kinds_of_regions_the_loss_is_zero(net: SDS) -> None:
    losses = net.loss(batch_of(net, 0, empty=True))
    assert float(losses["loss"].detach()) == 0
    losses["loss"].backward()
    assert all(p.grad is not None for p in net.parameters())


def test_padding_of_a_batch_changes_no_loss_and_nothing_that_is_fitted(net: SDS) -> None:
    alone = batch_of(net, 0)
    padded = dict(alone, image=F.pad(alone["image"], (0, 40, 0, 24), value=3.0))
    losses = []
    for batch in (alone, padded):
        torch.manual_seed(0)
        losses.append(float(net.loss(batch)["loss"].detach()))
    assert losses[0] == losses[1] > 0
    examples = [net.example(batch) for batch in (alone, padded)]
    assert torch.equal(examples[0].features, examples[1].features)
    assert torch.equal(examples[0].true_features, examples[1].true_features)
    assert torch.equal(examples[0].regions.atoms, examples[1].regions.atoms)


def test_fitted_machines_find_the_objects(net: SDS) -> None:
    batches = [batch_of(net, seed) for seed in (0, 1, 2)]
    with torch.inference_mode():
        before = net(batches[0]["image"])
    net.fit(batches)
    assert bool(net.fitted) and 0 < float(net.semantic_threshold) < 1
    with torch.inference_mode():
        out = net(batch_of(net, 7)["image"])
    _, masks = scene(7)
    for label, mask in enumerate(masks):
        best = int((out.labels == label).nonzero()[0])
        found = out.members[best][out.atoms]
        assert (found & mask).sum() / (found | mask).sum() > 0.7
    assert not torch.equal(before.scores, out.scores)
    assert (net.semantic(out) > 0).any()
    # Saved with the model: everything that was fitted is in its state.
    again = SDS(SMALL).eval()
    again.load_state_dict(net.state_dict())
    with torch.inference_mode():
        for one, other in zip(again(batch_of(net, 7)["image"]), out, strict=True):
            assert torch.equal(one, other)


def test_nothing_is_fitted_without_objects_nor_on_broken_features(net: SDS) -> None:
    net.fit([batch_of(net, 0, empty=True)])
    assert not bool(net.fitted)
    torch.nn.init.constant_(net.backbone["box"].project.weight, torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        net.fit([batch_of(net, 0)])


def test_scores_do_not_depend_on_the_scale_of_the_features(net: SDS) -> None:
    examples = [net.example(batch_of(net, seed)) for seed in (0, 1)]
    weights, biases = fit_svms(examples, 3)
    larger = [replace(e, features=7 * e.features, true_features=7 * e.true_features) for e in examples]
    large_weights, large_biases = fit_svms(larger, 3)
    for e, scaled in zip(examples, larger, strict=True):
        torch.testing.assert_close(
            e.features @ weights.T + biases, scaled.features @ large_weights.T + large_biases, atol=2e-3, rtol=1e-3
        )


def test_a_class_without_objects_is_never_found(net: SDS) -> None:
    example = net.example(batch_of(net, 0))
    only = replace(example, labels=torch.tensor([0, 0, 0]))
    weights, biases = fit_svms([only], 3)
    assert (weights[1:] == 0).all() and biases[1:].tolist() == [-1.0, -1.0] and (weights[0] != 0).any()


def crafted(features: Any, overlaps: Any, true_features: Any, labels: list[int]) -> Example:
    """An example for the machines alone."""
    none = torch.zeros(0)
    made = [torch.tensor(values, dtype=torch.float32) for values in (features, overlaps, true_features)]
    regions = stripes(*[(0,)] * len(features))
    return Example(regions, *made, torch.tensor(labels), none, none, none, none, none, none)


def test_the_best_proposal_of_an_object_takes_its_place_and_near_ones_are_no_negatives() -> None:
    # One object of class 0. Proposals: 0.6 is its best one by score, 0.3 is neither kind, 0.1 and 0 are negatives.
    features = [[4.0, 4.0, 0.0], [0.0, 0.0, 4.0], [0.0, 4.0, 0.0], [0.0, 4.0, 0.5]]
    example = crafted(features, [[0.6], [0.3], [0.1], [0.0]], [[4.0, 0.0, 0.0]], [0])
    weights, biases = fit_svms([example] * 40, 1)
    scores = (torch.tensor(features) @ weights.T + biases)[:, 0]
    assert scores[0] > 0.5 and scores[2:].max() < -0.5
    assert abs(float(weights[0, 2])) < 0.1 * float(weights[0, 0])  # nothing was learned of the one between
    # Without a proposal that overlaps by half, the object's own region stays the example.
    alone = crafted(features, [[0.4], [0.3], [0.1], [0.0]], [[4.0, 0.0, 0.0]], [0])
    weights, biases = fit_svms([alone] * 40, 1)
    assert float(torch.tensor([4.0, 0.0, 0.0]) @ weights[0] + biases[0]) > 0.5


def test_objects_of_other_classes_are_negatives() -> None:
    features = [[0.0, 0.0, 4.0]] * 2
    example = crafted(features, [[0.0, 0.0]] * 2, [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]], [0, 1])
    weights, biases = fit_svms([example] * 40, 2)
    scores = torch.eye(3)[:2] * 4 @ weights.T + biases
    assert scores.diagonal().min() > 0.5 and scores[0, 1] < -0.5 and scores[1, 0] < -0.5


def test_hard_negatives_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    good = random.normal(size=(60, 12)) + 1.0
    bad = random.normal(size=(900, 12)) - 0.6
    monkeypatch.setattr(fitting, "FIRST_NEGATIVES", 10)
    monkeypatch.setattr(fitting, "COST", 0.05)
    pool, negative = np.concatenate([good, bad]), np.arange(960) >= 60
    mined, bias = fitting._mine(pool, np.arange(60), negative)
    everything, own = linear_svm(pool, ~negative, 0.05, intercept=10.0, positive_weight=2.0)
    assert np.abs(bad @ mined + bias - (bad @ everything + own)).max() < 0.02
    sizes = []
    real = fitting.linear_svm
    monkeypatch.setattr(fitting, "linear_svm", lambda x, *a, **k: (sizes.append(len(x)), real(x, *a, **k))[1])
    fitting._mine(pool, np.arange(60), negative)
    assert sizes[0] == 70 and max(sizes) < 960


# Refinement


def test_refinement_learns_what_proposals_leave_out() -> None:
    """Proposals miss the last column of every object: the cells learn it, the superpixels follow.

    Others hold a column too many, whose features differ.
    """
    proposal, truth = stripes((1, 2, 3, 4, 5, 6), count=9), stripes((1, 2, 3, 4, 5, 6, 7), count=9)
    box = widened(proposal.boxes, 32, 6)
    at = places(box, 4 * GRID)
    cells = [F.avg_pool2d(crop_regions(r, at)[:, None].float(), 4)[:, 0] > 0.5 for r in (proposal, truth)]

    def example(found: RegionSet, true: RegionSet, features: list[float], widths: tuple[Tensor, Tensor]) -> Example:
        first = torch.tensor([0])
        return Example(
            found, torch.tensor([features]), torch.tensor([[6 / 7]]), torch.ones(1, 2), first, first, first, box,
            *widths, found.shares(true.masks()),
        )  # fmt: skip

    few, many = (
        example(proposal, truth, [1.0, 0.0], (cells[0], cells[1])),
        example(truth, proposal, [0.0, 1.0], (cells[1], cells[0])),
    )
    weights, leaves = fit_refinement([few, many] * 100, 2)
    for e, wanted in ((few, truth), (many, proposal)):
        refined = refine_region(e.regions, 0, e.features[0], e.grid[0], box[0], weights[0], leaves[0])
        assert torch.equal(refined, wanted.members[0])
    # Of examples where all superpixels are the object's nothing can be learned: regions stay as they are.
    weights, leaves = fit_refinement([few] * 100, 2)
    assert torch.equal(leaves, unrefined(2)) and (weights[0] != 0).any()
    # A class without examples leaves its regions as they are.
    kept = refine_region(proposal, 0, torch.ones(2), cells[0][0], box[0], weights[1], leaves[1])
    assert torch.equal(kept, proposal.members[0])


def test_refined_regions_are_whole_superpixels_and_unfitted_weights_change_nothing(net: SDS) -> None:
    batches = [batch_of(net, seed) for seed in (0, 1)]
    net.fit(batches)
    regions = net.regions(batches[0]["image"][0])
    features = net.features_of(batches[0]["image"][0], regions)
    index = torch.arange(len(regions))
    refined = net.refined(regions, index, torch.zeros_like(index), features)
    for row, members in enumerate(refined):
        leaves = regions.leaves[regions.origin[row]]
        inside = torch.zeros(int(leaves.max()) + 1, dtype=torch.bool)
        inside[leaves[members]] = True
        assert torch.equal(inside[leaves], members) and members.any()
    boxes, grid = net._grids(regions)
    for row in range(len(regions)):
        same = refine_region(regions, row, features[row], grid[row], boxes[row], net.cells[0], unrefined(1)[0])
        assert torch.equal(same, regions.members[row])


def test_a_refinement_that_is_sure_takes_what_its_cells_say() -> None:
    regions = stripes((1, 2), count=8)
    box = torch.tensor([0.0, 0.0, 8.0, 4.0])
    # The cells' weights: sure of the left half of the box, whatever the features.
    cells = torch.zeros(2 + GRID**2 + 1, GRID**2)
    left = (torch.arange(GRID) < 5).expand(GRID, -1).flatten()
    cells[-1] = torch.where(left, 20.0, -20.0)
    grid = torch.zeros(GRID, GRID, dtype=torch.bool)
    coarse = (cell_features(torch.zeros(1, 2), grid[None]) @ cells).sigmoid().view(GRID, GRID)
    values, inside, sizes = leaf_values(regions, 0, coarse, box)
    assert values[:3].min() > 0.95 and values[5:].max() < 0.05 and sizes.tolist() == [4.0] * 8
    assert inside.tolist() == [False, True, True, False, False, False, False, False]
    by_value = torch.tensor([4.0, 0.0, -2.0])
    assert refine_region(regions, 0, torch.zeros(2), grid, box, cells, by_value).nonzero()[:, 0].tolist() == [
        0,
        1,
        2,
        3,
    ]
    nothing = torch.tensor([0.0, 0.0, -1.0])  # an empty answer leaves the region as it was
    assert refine_region(regions, 0, torch.zeros(2), grid, box, cells, nothing).tolist() == regions.members[0].tolist()
    # What is always yes still takes no superpixel that neither the box touches nor the region holds.
    narrow, always = torch.tensor([0.0, 0.0, 2.0, 4.0]), torch.tensor([0.0, 0.0, 1.0])
    assert refine_region(regions, 0, torch.zeros(2), grid, narrow, cells, always).nonzero()[:, 0].tolist() == [0, 1, 2]
    # Outside of its box a region has the value 0.
    values, _, _ = leaf_values(regions, 0, torch.ones(GRID, GRID), torch.tensor([0.0, 0.0, 2.0, 4.0]))
    assert values[:2].tolist() == [1.0, 1.0] and (values[2:] == 0).all()
