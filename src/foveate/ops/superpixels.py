"""Superpixels: class distributions averaged over segments, or over the purest regions of a segmentation tree.

Farabet, Couprie, Najman and LeCun, "Learning Hierarchical Features for Scene Labeling" (2013), sections 4.1 and 4.3.

Shapes: an image of H x W pixels and C channels; K values or classes per pixel; N segments. A tree over them has 2 N - 1
nodes: the leaves 0..N-1, which are the segments, then the merged regions; children before parents, the root last.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from skimage import measure, segmentation
from torch import Tensor

from foveate.errors import ConfigError, unknown
from foveate.ops.grouping import merge, region_features, unit_range

Method = Literal["felzenszwalb", "slic"]


def superpixels(image: np.ndarray, method: Method = "felzenszwalb") -> np.ndarray:
    """Segment an image into connected regions of similar colour: (H, W, C) -> (H, W) int64 labels 0..N-1.

    image: (H, W, C) uint8, uint16, or float in 0..1.
    method: "felzenszwalb" follows edges, in regions of any shape and size: Felzenszwalb and Huttenlocher, "Efficient
        Graph-Based Image Segmentation" (2004), which is what Farabet uses. "slic" gives compact cells of about 20 x 20
        pixels: Achanta et al., "SLIC Superpixels" (2012).

    Pixels of a region are connected at least by corners.

    Raises ConfigError for another method, DataError for an invalid image.
    """
    pixels = unit_range(image)
    height, width, channels = pixels.shape
    if method == "felzenszwalb":
        labels = graph_segments(pixels, 0.25)
    elif method == "slic":
        # With three channels the values are Lab, up to 100, otherwise up to 1; the weight of distance against colour
        # is scaled accordingly.
        labels = segmentation.slic(
            pixels,
            n_segments=max(1, round(height * width / 400)),
            compactness=10.0 if channels == 3 else 0.1,
            convert2lab=channels == 3,
            start_label=0,
        )
    else:
        raise ConfigError(unknown("superpixel method", method, get_args(Method)))
    # Relabelled in reading order: neither method guarantees labels without gaps, nor connected regions.
    connected: np.ndarray = measure.label(labels, background=-1, connectivity=2)
    return connected.astype(np.int64) - 1


def graph_segments(pixels: np.ndarray, detail: float, sigma: float = 0.8) -> np.ndarray:
    """Return Felzenszwalb's segments of (H, W, C) float32 in 0..1: (H, W) int64 labels 0..N-1.

    detail: the paper's k, and the fewest pixels of a segment, as shares of the image's side (the root of its area). k
        grows with the image, since the paper has 150 at 128 x 128 and 300 at 320 x 240.
    sigma: standard deviation in pixels of the Gaussian that smooths the image first; 0.8 in the paper.
    """
    scale = detail * (pixels.shape[0] * pixels.shape[1]) ** 0.5
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Got image with third dimension", RuntimeWarning)  # five channels are valid
        labels: np.ndarray = segmentation.felzenszwalb(pixels, scale=scale, sigma=sigma, min_size=round(scale))
    return labels


def segment_means(values: Tensor, segments: np.ndarray) -> Tensor:
    """Return each segment's mean: (K, H, W), (H, W) labels 0..N-1 -> (N, K), in float64 where supported.

    Raises ConfigError if the sizes differ.
    """
    _check(values, segments)
    labels = torch.from_numpy(segments.astype(np.int64)).flatten().to(values.device)
    # A half-precision sum overflows or stagnates in a large segment.
    exact = values.flatten(1).T.to(torch.float32 if values.device.type == "mps" else torch.float64)
    sizes = torch.bincount(labels)
    sums = exact.new_zeros(len(sizes), len(values)).index_add_(0, labels, exact)
    return sums / sizes[:, None]


def majority(probabilities: Tensor, segments: np.ndarray) -> Tensor:
    """Replace each pixel's class distribution by its superpixel's mean: (K, H, W) and (H, W) -> (K, H, W).

    Section 4.1: d_k = 1 / |k| * sum over the pixels i of superpixel k of d_i. The class is its argmax, as usual. Raises
    ConfigError if the sizes differ.
    """
    return _paint(segment_means(probabilities, segments), segments, probabilities)


@dataclass(frozen=True)
class SegmentTree:
    """A hierarchy of regions.

    segments: (H, W) int64, each pixel's leaf.
    parents: (2 N - 1,) int64, each node's parent, -1 for the root.
    """

    segments: np.ndarray
    parents: np.ndarray

    @property
    def leaves(self) -> int:
        """Return N, the number of leaves."""
        return (len(self.parents) + 1) // 2

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum an additive value over regions: the leaves' values (N, ...) -> every node's (2 N - 1, ...)."""
        sums = np.concatenate([values, np.zeros((len(self.parents) - len(values), *values.shape[1:]), values.dtype)])
        for node, parent in enumerate(self.parents[:-1]):
            sums[parent] += sums[node]
        return sums

    def mask(self, node: int) -> np.ndarray:
        """Return the pixels of a node, (H, W) bool."""
        inside = np.zeros(len(self.parents), bool)
        inside[node] = True
        for below in range(node - 1, -1, -1):
            inside[below] = inside[self.parents[below]]
        return inside[: self.leaves][self.segments]


def segment_tree(image: np.ndarray, segments: np.ndarray) -> SegmentTree:
    """Build a tree of (H, W, C) and superpixels (H, W), 0..N-1, merging the most similar neighbours first.

    Farabet's tree is a minimum spanning tree over edges between pixels; this one is selective search's, whose
    similarity compares whole regions: `foveate.ops.grouping`.

    Raises DataError for an invalid image, ConfigError if the segments do not fit it.
    """
    parents, _ = merge(region_features(unit_range(image), segments))
    return SegmentTree(segments.astype(np.int64), parents)


def purity_cover(probabilities: Tensor, tree: SegmentTree) -> tuple[np.ndarray, Tensor]:
    """Assign each pixel to the purest region that holds it, at whatever level of the tree: section 4.3.

    k*(i) = argmin of S_k over the nodes k that hold pixel i, S_k being the entropy of k's class distribution.

    Returns the cover (H, W), each pixel's k*, and that node's distribution at each pixel (K, H, W). Of equally pure
    nodes the largest is taken.

    Departure: the paper trains a classifier to predict each node's distribution from pooled features. Here it is the
    mean over the node's pixels. Entropy is concave, so a parent is then never purer than the purer of its children: a
    larger region replaces those of its leaves that are uncertain, and leaves the rest unchanged.

    Raises ConfigError if the sizes differ.
    """
    _check(probabilities, tree.segments)
    sizes = np.bincount(tree.segments.ravel())
    means = segment_means(probabilities, tree.segments)
    sums = tree.sums(means.detach().cpu().numpy() * sizes[:, None])
    distribution = sums / tree.sums(sizes)[:, None]
    cost = -(distribution * np.log(np.where(distribution > 0, distribution, 1))).sum(1)
    # The best node on the path from the root to each node, and so in the end to each leaf.
    best = np.arange(len(tree.parents))
    for node in range(len(best) - 2, -1, -1):
        above = best[tree.parents[node]]
        if cost[above] <= cost[node]:
            best[node] = above
    cover = best[: tree.leaves]
    return cover[tree.segments], _paint(torch.from_numpy(distribution[cover]), tree.segments, probabilities)


def _paint(table: Tensor, segments: np.ndarray, like: Tensor) -> Tensor:
    """Map a table of rows per segment, (N, K), to pixels: (K, H, W)."""
    table = table.to(like.device, like.dtype)
    return table.T[:, torch.from_numpy(segments.astype(np.int64)).to(like.device)]


def _check(values: Tensor, segments: np.ndarray) -> None:
    if values.ndim != 3 or tuple(values.shape[1:]) != segments.shape:
        raise ConfigError(
            f"values of shape {tuple(values.shape)} for segments of shape {segments.shape}; "
            "give (K, H, W) and (H, W) of the same size"
        )
    if segments.size and segments.min() < 0:
        raise ConfigError(f"segment {segments.min()} is negative; give labels of 0 and above")
