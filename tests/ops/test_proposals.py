"""Selective search on images whose objects are known, and what holds for any image."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou, masks_to_boxes

from foveate.errors import ConfigError, DataError
from foveate.ops.proposals import Proposals, propose

# Left, top, right, bottom and colour.
RECTANGLES = [
    ((5, 4, 30, 40), (220, 30, 30)),
    ((40, 10, 70, 22), (30, 200, 40)),
    ((75, 50, 110, 80), (40, 60, 230)),
    ((12, 55, 24, 85), (240, 230, 20)),
    ((35, 50, 60, 75), (120, 20, 130)),
]


def painted(channels: int = 3, noise: float = 0) -> np.ndarray:
    """The rectangles on grey; with one channel their brightness, with more the first ones again."""
    image = np.full((90, 120, 3), 128, np.uint8)
    for (left, top, right, bottom), colour in RECTANGLES:
        image[top:bottom, left:right] = colour
    image = image[:, :, :1] if channels == 1 else image[:, :, np.arange(channels) % 3]
    random = np.random.default_rng(0)
    return (image + random.normal(0, noise, image.shape)).clip(0, 255).astype(np.uint8)


@cache
def noisy(channels: int = 3) -> Proposals:
    return propose(painted(channels, noise=20))


def best_overlaps(found: Proposals) -> list[float]:
    truth = torch.tensor([box for box, _ in RECTANGLES], dtype=torch.float32)
    return box_iou(found.boxes, truth).amax(0).tolist()


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_flat_rectangle_is_proposed_exactly(channels: int) -> None:
    found = propose(painted(channels))
    assert best_overlaps(found) == [1.0] * 5


def test_noise_hides_no_rectangle() -> None:
    assert min(best_overlaps(propose(painted(noise=12)))) > 0.85


def test_an_object_of_two_parts_is_proposed_with_its_parts() -> None:
    image = np.full((80, 80, 3), 20, np.uint8)
    image[20:40, 20:60] = (230, 60, 60)
    image[40:60, 20:60] = (230, 120, 60)
    boxes = propose(image).boxes.tolist()
    for box in ([20, 20, 60, 40], [20, 40, 60, 60], [20, 20, 60, 60], [0, 0, 80, 80]):
        assert box in boxes


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_each_box_is_tight_around_its_region_and_no_two_are_alike(channels: int) -> None:
    found = noisy(channels)
    assert found.boxes.dtype == torch.float32
    assert len(found) == len(found.boxes) == len(found.nodes) > 20
    assert len(found.boxes.unique(dim=0)) == len(found)
    masks = torch.from_numpy(np.stack([found.mask(i) for i in range(len(found))]))
    assert masks.dtype == torch.bool
    assert masks.shape[1:] == (90, 120)
    # torchvision's boxes name the last pixel; these end after it.
    assert torch.equal(masks_to_boxes(masks) + torch.tensor([0.0, 0.0, 1.0, 1.0]), found.boxes)


def test_the_same_image_gives_the_same_proposals() -> None:
    image = painted(noise=20)
    state = torch.get_rng_state()
    first = noisy()
    np.random.seed(5)
    second = propose(image.copy(order="F"))
    assert torch.equal(first.boxes, second.boxes)
    assert np.array_equal(first.nodes, second.nodes)
    assert torch.equal(state, torch.get_rng_state())


def test_a_limit_keeps_the_best() -> None:
    image = painted(noise=4)
    everything, few = propose(image), propose(image, limit=7)
    assert len(few) == 7
    assert torch.equal(few.boxes, everything.boxes[:7])
    assert np.array_equal(few.mask(6), everything.mask(6))
    assert np.array_equal(propose(image, limit=10**6).nodes, everything.nodes)


def test_large_and_small_are_mixed_from_the_start() -> None:
    boxes = noisy().boxes
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (90 * 120)
    head = areas[: len(areas) // 4]
    assert head.max() == 1
    assert head.min() < 0.02
    assert head.mean() > areas.mean()  # but what holds more comes sooner


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1), (2, 2)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_tiny_images(size: tuple[int, int], channels: int) -> None:
    random = np.random.default_rng(0)
    found = propose(random.integers(0, 256, (*size, channels), np.uint8))
    assert [0, 0, size[1], size[0]] in found.boxes.tolist()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_a_flat_image_is_one_proposal() -> None:
    found = propose(np.full((30, 40, 3), 99, np.uint8))
    assert found.boxes.tolist() == [[0, 0, 40, 30]]
    assert found.mask(0).all()


def test_depths_of_one_image_agree() -> None:
    image = painted(noise=4)
    boxes = propose(image).boxes
    assert torch.equal(boxes, propose(image.astype(np.uint16) * 257).boxes)
    assert torch.equal(boxes, propose(image.astype(np.float32) / 255).boxes)


def test_errors() -> None:
    with pytest.raises(DataError, match=r"an image of shape \(90, 120\); expected \(H, W, C\)"):
        propose(painted()[:, :, 0])
    for limit in (0, -3, 1.5):
        with pytest.raises(
            ConfigError, match=f"a limit of {limit} proposals; give a whole number of 1 or more, or None"
        ):
            propose(painted(), limit)
