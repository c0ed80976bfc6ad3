"""Selective search: class-independent object proposals.

Uijlings, van de Sande, Gevers and Smeulders, "Selective Search for Object Recognition" (2013).

Shapes: an image of H x W pixels and C channels; P proposals, the best first; boxes XYXY, right and bottom exclusive.

An object may stand out by its colour or only by its texture, consist of parts or be one. So every region of a tree is
proposed, and several trees are grown: from different initial segments, in different colour spaces, by different
similarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage import color
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.grouping import merge, region_features, unit_range
from foveate.ops.superpixels import SegmentTree, graph_segments

# Share of the image's side: k = 50 and no segment under 50 pixels at 500 x 500, the paper's finer setting.
DETAIL = 0.1
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Proposals:
    """Proposed boxes and the regions that they enclose tightly, the best first.

    boxes: (P, 4) float32, all different; of regions with the same box the best one is kept.
    nodes: (P, 2) int64, each proposal's tree and its node there.
    trees: the trees.
    """

    boxes: Tensor
    nodes: np.ndarray
    trees: tuple[SegmentTree, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def mask(self, index: int) -> np.ndarray:
        """Return the region of one proposal, (H, W) bool, computed on demand."""
        tree, node = self.nodes[index].tolist()
        return self.trees[tree].mask(node)


def propose(image: np.ndarray, limit: int | None = None) -> Proposals:
    """Return proposals of objects for an image; the result is deterministic.

    image: (H, W, C) uint8, uint16, or float in 0..1.
    limit: largest number of proposals, of which the best are kept; None for all, some thousands for a photograph.

    Departure: the paper's fast version starts from HSV and Lab at two scales. Here the second scale is replaced by RGB
    without smoothing, as smoothing makes narrow segments of strong edges, and the exact outline is lost.

    Raises DataError for an invalid image, ConfigError for a limit under 1.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ConfigError(f"a limit of {limit} proposals; give a whole number of 1 or more, or None for all")
    trees: list[SegmentTree] = []
    boxes, ranks, nodes = [], [], []
    for pixels, sigma in _starts(unit_range(image)):
        segments = graph_segments(pixels, DETAIL, sigma)
        regions = region_features(pixels, segments)
        for colour in (True, False):
            parents, tree_boxes = merge(regions, colour)
            # Ranks start with 1 at the root, the whole image: the later a region is merged, the larger it is.
            ranks.append(np.arange(len(parents), 0, -1))
            nodes.append(np.stack([np.full(len(parents), len(trees)), np.arange(len(parents))], 1))
            boxes.append(tree_boxes)
            trees.append(SegmentTree(segments, parents))
    # Section 3.3: v = RND * i, the rank times a random number, so that large regions do not all come first. RND are
    # multiples of the golden ratio, modulo 1, which are spread as evenly and are deterministic.
    rank = np.concatenate(ranks)
    order = np.argsort(rank * (GOLDEN * np.arange(1, len(rank) + 1) % 1), kind="stable")
    ordered = np.concatenate(boxes)[order]
    _, first = np.unique(ordered, axis=0, return_index=True)
    chosen = np.sort(first)[:limit]
    return Proposals(
        torch.from_numpy(ordered[chosen].astype(np.float32)), np.concatenate(nodes)[order][chosen], tuple(trees)
    )


def _starts(pixels: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Return the colour spaces in which trees are grown, in 0..1, and each one's sigma of smoothing."""
    if pixels.shape[2] != 3:
        return [(pixels, 0.8), (pixels, 0.0)]
    lab = (color.rgb2lab(pixels) + np.array([0, 128, 128])) / np.array([100, 255, 255])
    return [(color.rgb2hsv(pixels), 0.8), (lab.clip(0, 1).astype(np.float32), 0.8), (pixels, 0.0)]
