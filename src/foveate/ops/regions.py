"""Regions of one image over its atoms: the pieces that no region cuts.

Shapes: an image of H x W pixels; N atoms; P regions, each a set of atoms; T segmentations into leaves, of which every
region is a union of one's; G true objects.

Regions of segmentation trees overlap, and come from several segmentations. Two pixels that lie in one leaf of every
segmentation lie in the same regions, so they are one atom. Areas, intersections and masks of all regions are then
products of small matrices, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from foveate.ops.proposals import Proposals, propose
from foveate.ops.superpixels import SegmentTree


@dataclass(frozen=True)
class RegionSet:
    """Regions of one image and the atoms that they consist of.

    boxes: (P, 4) float32, tight around each region, XYXY, right and bottom exclusive.
    atoms: (H, W) int64, the atom 0..N-1 of each pixel.
    members: (P, N) bool, the atoms of each region.
    leaves: (T, N) int64, the leaf of each segmentation that an atom lies in.
    origin: (P,) int64, the segmentation whose leaves a region consists of.
    """

    boxes: Tensor
    atoms: Tensor
    members: Tensor
    leaves: Tensor
    origin: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.atoms.shape[0], self.atoms.shape[1]

    @property
    def areas(self) -> Tensor:
        """Pixels of each atom, (N,) float64."""
        return torch.bincount(self.atoms.flatten(), minlength=self.members.shape[1]).double()

    def select(self, which: Tensor) -> RegionSet:
        """Some of the regions: indices, or (P,) bool."""
        return RegionSet(self.boxes[which], self.atoms, self.members[which], self.leaves, self.origin[which])

    def masks(self) -> Tensor:
        """The pixels of each region, (P, H, W) bool."""
        return self.members[:, self.atoms]

    def boxes_of(self, members: Tensor) -> Tensor:
        """Return the tight boxes (R, 4), float32, of regions (R, N) bool of these atoms, each with one at least."""
        windows = ndimage.find_objects(self.atoms.numpy() + 1)
        edges = torch.tensor([(x.start, y.start, x.stop, y.stop) for y, x in windows], dtype=torch.float32)
        far = float(max(self.size))
        start = torch.where(members[:, :, None], edges[:, :2], far).amin(1)
        end = torch.where(members[:, :, None], edges[:, 2:], 0.0).amax(1)
        return torch.cat([start, end], 1)

    def shares(self, masks: Tensor) -> Tensor:
        """Return the pixels of each atom that masks (G, H, W) bool cover, (G, N) float64."""
        count = self.members.shape[1]
        rows = [torch.bincount(self.atoms[mask], minlength=count) for mask in masks]
        return torch.stack(rows).double() if rows else self.areas.new_zeros(0, count)

    def overlaps(self, masks: Tensor) -> Tensor:
        """Return intersection over union of each region with masks (G, H, W) bool, (P, G) float64."""
        shares, members = self.shares(masks), self.members.double()
        shared = members @ shares.T
        return shared / ((members @ self.areas)[:, None] + shares.sum(1) - shared).clamp(min=1)


def propose_regions(image: np.ndarray, limit: int | None = None, largest: float = 1.0) -> RegionSet:
    """Return selective search's regions of an image, the best first.

    image: (H, W, C) uint8, uint16, or float in 0..1. limit: the largest number of them; None for all. largest: regions
    with a larger share of the image are left out. Raises DataError for an invalid image.
    """
    found = propose(image)
    areas = [tree.sums(np.bincount(tree.segments.ravel(), minlength=tree.leaves)) for tree in found.trees]
    size = np.array([areas[tree][node] for tree, node in found.nodes.tolist()])
    chosen = np.flatnonzero(size <= largest * image.shape[0] * image.shape[1])[:limit]
    return regions_of(replace(found, boxes=found.boxes[torch.from_numpy(chosen)], nodes=found.nodes[chosen]))


def regions_of(proposals: Proposals) -> RegionSet:
    """Return proposals as sets of atoms."""
    segmentations: list[np.ndarray] = []
    origin_of_tree = []
    for tree in proposals.trees:  # trees that grew from the same leaves share them
        same = next((i for i, one in enumerate(segmentations) if one is tree.segments), len(segmentations))
        if same == len(segmentations):
            segmentations.append(tree.segments)
        origin_of_tree.append(same)
    atoms, leaves = _atoms(segmentations)
    members = np.zeros((len(proposals), leaves.shape[1]), bool)
    for number, tree in enumerate(proposals.trees):
        mine = proposals.nodes[:, 0] == number
        inside = _leaves_of_nodes(tree)[proposals.nodes[mine, 1]]
        members[mine] = inside[:, leaves[origin_of_tree[number]]]
    origin = np.array(origin_of_tree, np.int64)[proposals.nodes[:, 0]]
    return RegionSet(
        proposals.boxes, torch.from_numpy(atoms), torch.from_numpy(members), torch.from_numpy(leaves),
        torch.from_numpy(origin),
    )  # fmt: skip


def _atoms(segmentations: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The atoms (H, W) of segmentations (H, W) each, and the leaf of each segmentation that they lie in, (T, N)."""
    key = np.zeros(segmentations[0].shape, np.int64)
    for segments in segmentations:
        _, key = np.unique(key * (int(segments.max()) + 1) + segments, return_inverse=True)
        key = key.reshape(segments.shape)
    _, first = np.unique(key, return_index=True)
    return key, np.stack([segments.ravel()[first] for segments in segmentations]).astype(np.int64)


def _leaves_of_nodes(tree: SegmentTree) -> np.ndarray:
    """The leaves of every node of a tree, (2 N - 1, N) bool."""
    inside = np.zeros((len(tree.parents), tree.leaves), bool)
    inside[np.arange(tree.leaves), np.arange(tree.leaves)] = True
    for node, parent in enumerate(tree.parents[:-1]):
        inside[parent] |= inside[node]
    return inside
