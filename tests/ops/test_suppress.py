"""Region suppression and the vote of masks against plain definitions, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou, nms

from foveate.ops.roi import paste_masks
from foveate.ops.suppress import region_iou, region_nms, survivors, vote_masks

SIZE = (40, 50)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_detections(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes that crowd around two places and stick out of the image, masks, scores."""
    place = torch.tensor([[10.0, 12.0], [30.0, 20.0]])[torch.randint(2, (count,), generator=random(seed))]
    corner = place + 3 * torch.randn(count, 2, generator=random(seed + 1)) - 9
    boxes = torch.cat([corner, corner + 14 + 4 * torch.rand(count, 2, generator=random(seed + 2))], 1).double()
    masks = torch.rand(count, 6, 6, generator=random(seed + 3)).double()
    return boxes, masks, torch.rand(count, generator=random(seed + 4)).double() + 0.01


def whole(patch: object) -> np.ndarray:
    """A patch at the size of the image."""
    image = np.zeros(SIZE, bool)
    if patch is not None:
        left, top, right, bottom = patch.window  # type: ignore[attr-defined]
        image[top:bottom, left:right] = patch.mask.numpy()  # type: ignore[attr-defined]
    return image


def test_the_vote_as_defined_on_fifty_sets() -> None:
    for seed in range(50):
        boxes, masks, scores = some_detections(12, 100 * seed)
        kept = nms(boxes, scores, 0.3)
        rendered = paste_masks(masks, boxes, (0, 0, SIZE[1], SIZE[0])).numpy()
        for index, patch in zip(kept.tolist(), vote_masks(boxes, masks, scores, kept, SIZE, 0.5, 0.4), strict=True):
            total, votes = np.zeros(SIZE), 0.0
            for j in range(len(boxes)):
                if float(box_iou(boxes[index][None], boxes[j][None])) >= 0.5:
                    total += float(scores[j]) * rendered[j]
                    votes += float(scores[j])
            assert np.array_equal(whole(patch), total / votes > 0.4)


def test_the_vote_of_one_is_its_own_mask_and_order_does_not_matter() -> None:
    boxes, masks, scores = some_detections(9, 7)
    (alone,) = vote_masks(boxes[:1], masks[:1], scores[:1], torch.tensor([0]), SIZE, 0.5, 0.4)
    assert np.array_equal(whole(alone), (paste_masks(masks[:1], boxes[:1], (0, 0, SIZE[1], SIZE[0]))[0] > 0.4).numpy())
    (first,) = vote_masks(boxes, masks, scores, torch.tensor([4]), SIZE, 0.5, 0.4)
    turned = torch.arange(8, -1, -1)
    (second,) = vote_masks(boxes[turned], masks[turned], scores[turned], torch.tensor([4]), SIZE, 0.5, 0.4)
    assert np.array_equal(whole(first), whole(second))


def test_the_vote_stays_within_the_voters_and_is_tight() -> None:
    boxes, masks, scores = some_detections(9, 3)
    (patch,) = vote_masks(boxes, torch.ones_like(masks), scores, torch.tensor([0]), SIZE, 0.5, 0.4)
    voters = box_iou(boxes[:1], boxes)[0] >= 0.5
    union = (paste_masks(torch.ones_like(masks[voters]), boxes[voters], (0, 0, SIZE[1], SIZE[0])) > 0).any(0)
    assert not (whole(patch) & ~union.numpy()).any()
    assert patch is not None and patch.mask.any(1)[[0, -1]].all() and patch.mask.any(0)[[0, -1]].all()


def test_no_pixel_no_object() -> None:
    boxes, masks, scores = some_detections(4, 5)
    assert vote_masks(boxes, masks * 0, scores, torch.tensor([0]), SIZE, 0.5, 0.4) == [None]
    outside = boxes + 500
    assert vote_masks(outside, masks, scores, torch.tensor([0]), SIZE, 0.5, 0.4) == [None]


@pytest.mark.parametrize("box", [(0.0, 5, 0, 20), (5.0, 40, 9, 40), (50.0, 40, 50, 40)])
def test_a_box_that_was_clipped_to_nothing_is_no_object_and_takes_none_away(box: tuple[float, ...]) -> None:
    boxes = torch.tensor([box, (10.0, 10, 14, 14)])
    kept = torch.tensor([0, 1])
    nothing, patch = vote_masks(boxes, torch.ones(2, 3, 3), torch.tensor([0.9, 0.5]), kept, SIZE, 0.5, 0.4)
    assert nothing is None
    assert patch is not None and patch.window == (10, 10, 14, 14) and patch.mask.all()


def test_a_pixel_belongs_to_the_object_above_the_threshold_alone() -> None:
    box, half, one = torch.tensor([[2.0, 2, 6, 6]]), torch.full((1, 2, 2), 0.5), torch.ones(1)
    for threshold, count in ((0.5, 0), (0.49, 16)):
        (patch,) = vote_masks(box, half, one, torch.tensor([0]), SIZE, 0.5, threshold)
        assert (0 if patch is None else int(patch.mask.sum())) == count


def test_regions_that_share_an_atom_do_not_both_survive_and_no_more_than_the_limit_do() -> None:
    members = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]], dtype=torch.bool)
    scores = torch.tensor([[0.9, 0.2], [0.8, 0.7], [0.1, 0.3]])
    # The second region shares an atom with the first, and two with the third.
    survive = [(0, 0, 0.9), (1, 1, 0.7), (2, 0, 0.1)]  # region, class and score
    for limit in (9, 2, 1):
        index, labels, best = survivors(members, scores, limit)
        found = list(zip(index.tolist(), labels.tolist(), best.tolist(), strict=True))
        assert found == [pytest.approx(one) for one in survive[:limit]]


def test_overlap_of_regions_by_hand() -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, :2], masks[1, 1:3] = True, True
    assert region_iou(masks, masks).tolist() == [[1, 4 / 12, 0], [4 / 12, 1, 0], [0, 0, 0]]


def test_suppression_of_full_boxes_is_torchvisions() -> None:
    boxes, _, scores = some_detections(30, 11)
    assert region_nms(box_iou(boxes, boxes), scores, 0.3).tolist() == nms(boxes, scores, 0.3).tolist()


def test_suppression_keeps_the_best_and_what_is_apart() -> None:
    iou = torch.tensor([[1, 0.6, 0.0], [0.6, 1, 0.6], [0.0, 0.6, 1]])
    assert region_nms(iou, torch.tensor([0.5, 0.9, 0.4]), 0.5).tolist() == [1]
    assert region_nms(iou, torch.tensor([0.9, 0.5, 0.4]), 0.5).tolist() == [0, 2]
    assert region_nms(iou, torch.tensor([0.9, 0.5, 0.4]), 0.6).tolist() == [0, 1, 2]
    assert region_nms(iou[:0, :0], torch.zeros(0), 0.5).tolist() == []
