"""Regions over atoms: against masks of pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.ops.boxes import tight_boxes
from foveate.ops.proposals import propose
from foveate.ops.regions import RegionSet, propose_regions, regions_of
from foveate.ops.suppress import region_iou


def picture(side: int = 48, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    image = np.full((side, side + 8, 3), 60, np.uint8)
    image[5:20, 6:22] = (200, 40, 40)
    image[12:40, 26:50] = (40, 180, 60)
    return np.clip(image + random.integers(-12, 13, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def found() -> RegionSet:
    return regions_of(propose(picture()))


def test_masks_are_those_of_the_trees(found: RegionSet) -> None:
    proposals = propose(picture())
    masks = found.masks()
    assert len(found) == len(proposals) > 20
    for index in range(len(proposals)):
        np.testing.assert_array_equal(masks[index].numpy(), proposals.mask(index))


def test_atoms_are_the_coarsest_pieces(found: RegionSet) -> None:
    # No two atoms lie in the same leaf everywhere, and each lies in one leaf of each segmentation.
    assert len(found.leaves.unique(dim=1).T) == found.members.shape[1] == int(found.atoms.max()) + 1
    assert len(found.leaves) == 3
    for index in range(0, len(found), 7):  # a region consists of whole leaves of its own segmentation
        leaves = found.leaves[found.origin[index]]
        inside = torch.zeros(int(leaves.max()) + 1, dtype=torch.bool)
        inside[leaves[found.members[index]]] = True
        assert torch.equal(inside[leaves], found.members[index])


def test_overlaps_areas_and_boxes_are_those_of_pixels(found: RegionSet) -> None:
    truth = torch.zeros(3, *found.size, dtype=torch.bool)
    truth[0, 5:20, 6:22] = truth[1, 10:41, 20:50] = truth[2, 0, 0] = True
    torch.testing.assert_close(found.overlaps(truth), region_iou(found.masks(), truth))
    assert torch.equal(found.areas, torch.bincount(found.atoms.flatten()).double())
    assert torch.equal(found.boxes_of(found.members), tight_boxes(found.masks()))
    assert torch.equal(found.boxes, tight_boxes(found.masks()))
    assert torch.equal(found.shares(truth).sum(1), truth.sum((1, 2)).double())
    assert found.overlaps(truth[:0]).shape == (len(found), 0) and found.shares(truth[:0]).shape[0] == 0


def test_the_best_and_the_small_ones_alone() -> None:
    image = picture()
    every = propose_regions(image)
    small = propose_regions(image, 15, 0.2)
    wanted = ((every.members.double() @ every.areas) <= 0.2 * image.shape[0] * image.shape[1]).nonzero()[:15, 0]
    assert torch.equal(small.boxes, every.boxes[wanted]) and len(small) == 15
    assert torch.equal(small.masks(), every.masks()[wanted])
    flat = propose_regions(np.full((9, 9, 3), 7, np.uint8), None, 0.5)  # one region, the whole image, is too large
    assert len(flat) == 0 and flat.size == (9, 9)
