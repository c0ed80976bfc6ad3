"""Places where an object of any kind might be: selective search.

Uijlings, van de Sande, Gevers and Smeulders, "Selective Search for Object Recognition" (2013).

Shapes: a picture of H x W pixels and C channels; P proposals, the best first; boxes XYXY, right and bottom exclusive.

An object may stand out by its colour or only by its texture, consist of parts or be one. So every region of a tree is
proposed, and several trees are grown: from different first segments, in different colours, by different similarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage import color
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.grouping import describe, merge, unit_range
from foveate.ops.superpixels import SegmentTree, graph_segments

DETAIL = 0.1  # of the picture's side: k = 50 and no segment under 50 pixels at 500 x 500, the paper's finer setting
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Proposals:
    """Boxes and the regions that they are tight around, the best first.

    boxes: (P, 4) float32, no two alike; of regions with the same box the best one stands for all.
    nodes: (P, 2) int64, each proposal's tree and its node there.
    trees: the trees.
    """

    boxes: Tensor
    nodes: np.ndarray
    trees: tuple[SegmentTree, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def mask(self, index: int) -> np.ndarray:
        """The region of one proposal, (H, W) bool, painted when it is asked for."""
        tree, node = self.nodes[index].tolist()
        return self.trees[tree].mask(node)


def propose(image: np.ndarray, limit: int | None = None) -> Proposals:
    """(H, W, C) uint8, uint16, or float in 0..1 -> where objects might be; the same picture, the same proposals.

    limit: how many at most, the best ones; all, some thousands for a photograph, where None.

    Departure: the paper's fast version starts from HSV and Lab at two scales. Here the second scale is replaced by
    RGB without smoothing, as smoothing makes narrow segments of strong edges, and the exact outline is lost.

    Raises DataError for what is no picture, ConfigError for a limit under 1.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ConfigError(f"a limit of {limit} proposals; give a whole number of 1 or more, or None for all")
    trees: list[SegmentTree] = []
    boxes, ranks, nodes = [], [], []
    for pixels, sigma in _starts(unit_range(image)):
        segments = graph_segments(pixels, DETAIL, sigma)
        regions = describe(pixels, segments)
        for colour in (True, False):
            parents, tight = merge(regions, colour)
            # Counted from the root, the whole picture, which is 1: the later a region is merged, the more it holds.
            ranks.append(np.arange(len(parents), 0, -1))
            nodes.append(np.stack([np.full(len(parents), len(trees)), np.arange(len(parents))], 1))
            boxes.append(tight)
            trees.append(SegmentTree(segments, parents))
    # Section 3.3: v = RND * i, the rank times a random number, lest the large regions all come first. For RND the
    # multiples of the golden ratio, modulo 1, which spread as evenly and are the same each time.
    rank = np.concatenate(ranks)
    order = np.argsort(rank * (GOLDEN * np.arange(1, len(rank) + 1) % 1), kind="stable")
    ordered = np.concatenate(boxes)[order]
    _, first = np.unique(ordered, axis=0, return_index=True)
    chosen = np.sort(first)[:limit]
    return Proposals(
        torch.from_numpy(ordered[chosen].astype(np.float32)), np.concatenate(nodes)[order][chosen], tuple(trees)
    )


def _starts(pixels: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """The colours in which trees are grown, in 0..1, and how much they are smoothed before they are segmented."""
    if pixels.shape[2] != 3:
        return [(pixels, 0.8), (pixels, 0.0)]
    lab = (color.rgb2lab(pixels) + np.array([0, 128, 128])) / np.array([100, 255, 255])
    return [(color.rgb2hsv(pixels), 0.8), (lab.clip(0, 1).astype(np.float32), 0.8), (pixels, 0.0)]
