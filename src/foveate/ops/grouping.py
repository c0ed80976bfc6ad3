"""Hierarchical grouping: the two most similar neighbouring regions are merged until one is left.

Uijlings, van de Sande, Gevers and Smeulders, "Selective Search for Object Recognition" (2013), sections 3.1 and 3.2.

Shapes: an image of H x W pixels and C channels; N segments, the leaves; 2 N - 1 nodes: the leaves 0..N-1, then every
merged region in the order it is made, so that children come before parents and the root is last. Boxes are (left, top,
right, bottom), the right and bottom exclusive.

The paper's features: for each region a histogram of its colours and one of its gradients, which can be merged without
reading the pixels again.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from foveate.errors import ConfigError, DataError

COLOUR_BINS = 25  # bins of a channel's colour histogram
GRADIENT_BINS = 10  # bins of a direction's gradient histogram
# The steepest edge is a step from 0 to 1, on which a Gaussian derivative with sigma = 1 is 1 / sqrt(2 pi).
MAX_GRADIENT = 1 / math.sqrt(2 * math.pi)
# Offsets (down, right) to the neighbours of a pixel after it in reading order; the other four give the same pairs.
NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))


def unit_range(image: np.ndarray) -> np.ndarray:
    """Convert (H, W, C) uint8, uint16, or float in 0..1 to float32 in 0..1. Raises DataError for anything else."""
    if image.ndim != 3 or 0 in image.shape:
        raise DataError(
            f"an image of shape {image.shape}; expected (H, W, C) with at least one pixel and one channel "
            "(a grey image has a last axis of 1: image[:, :, None])"
        )
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    if not np.issubdtype(image.dtype, np.floating):
        raise DataError(
            f"an image of {image.dtype}; expected uint8, uint16, or float in 0..1; convert it to one of them"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also where a value is nan
        raise DataError(f"a float image with values from {low:g} to {high:g}; expected 0..1; scale it to that range")
    return image.astype(np.float32)


@dataclass(frozen=True)
class Regions:
    """The leaves: features of N segments that merging needs.

    sizes: (N,), in pixels.
    boxes: (N, 4), tight.
    edges: (E, 2), the pairs of segments that touch, if only at a corner; the smaller label first.
    colour: (N, 25 C), a histogram per channel, together summing to 1.
    texture: (N, 76 C), a histogram per channel and axis of gradient, together summing to 1.
    """

    sizes: np.ndarray
    boxes: np.ndarray
    edges: np.ndarray
    colour: np.ndarray
    texture: np.ndarray


def region_features(image: np.ndarray, segments: np.ndarray) -> Regions:
    """Return the leaves' features for (H, W, C) in 0..1 and (H, W) labels 0..N-1.

    Raises ConfigError if they do not fit.
    """
    if segments.shape != image.shape[:2] or not np.issubdtype(segments.dtype, np.integer):
        raise ConfigError(
            f"segments of {segments.dtype} and shape {segments.shape} for an image of shape {image.shape}; "
            "give an integer label per pixel, (H, W)"
        )
    if segments.min() < 0 or not (sizes := np.bincount(segments.ravel())).all():
        raise ConfigError(
            "segments must be labelled 0..N-1 without gaps; number them by np.unique(..., return_inverse=True)"
        )
    segments = segments.astype(np.int64)
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(segments + 1)]
    shades = np.minimum(image * COLOUR_BINS, COLOUR_BINS - 1).astype(np.uint8)
    return Regions(
        sizes=sizes,
        boxes=np.array(boxes),
        edges=_edges(segments, len(sizes)),
        colour=_histograms(shades, segments, sizes, COLOUR_BINS),
        texture=_histograms(_gradients(image), segments, sizes, 2 * GRADIENT_BINS - 1),
    )


def merge(regions: Regions, colour: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Merge the two most similar neighbours N - 1 times: algorithm 1.

    regions: the leaves.
    colour: True includes equation 1 among the similarities; texture, size and fill always are.

    Returns the parent of each node (2 N - 1,), -1 for the root, and the nodes' boxes (2 N - 1, 4).

    Equal similarities are taken in the order of their nodes, so the tree is a function of the regions alone.
    """
    leaves = len(regions.sizes)
    nodes = 2 * leaves - 1
    features = np.hstack([regions.colour, regions.texture]) if colour else regions.texture
    histogram = np.concatenate([features, np.empty((nodes - leaves, features.shape[1]), features.dtype)])
    boxes = np.concatenate([regions.boxes, np.empty((nodes - leaves, 4), np.int64)])
    size = regions.sizes.tolist()
    parents = [-1] * nodes
    area = sum(size)

    def similarity(a: np.ndarray, b: np.ndarray) -> list[float]:
        """Return equation 6: the sum of all similarities."""
        # Equations 1 and 3: the histograms' intersection.
        overlap = np.minimum(histogram[a], histogram[b]).sum(1, dtype=np.float64)
        # Equations 4 and 5: 1 - (a + b) / im favours small regions, and 1 - (box - a - b) / im those that fill their
        # common box. In their sum the two sizes cancel, and only that box remains.
        corner, end = np.minimum(boxes[a, :2], boxes[b, :2]), np.maximum(boxes[a, 2:], boxes[b, 2:])
        total: np.ndarray = overlap + 2 - (end - corner).prod(1) / area
        return total.tolist()

    neighbours: list[set[int]] = [set() for _ in range(leaves)]
    for a, b in regions.edges.tolist():
        neighbours[a].add(b)
        neighbours[b].add(a)
    first, second = regions.edges.T
    heap = [(-s, a, b) for s, a, b in zip(similarity(first, second), first.tolist(), second.tolist(), strict=True)]
    heapq.heapify(heap)
    for node in range(leaves, nodes):
        _, a, b = heapq.heappop(heap)
        while parents[a] >= 0 or parents[b] >= 0:  # an entry of a region that has been merged since
            _, a, b = heapq.heappop(heap)
        parents[a] = parents[b] = node
        size.append(size[a] + size[b])
        # Equation 2: the merged region's histogram from those of its parts.
        histogram[node] = (size[a] * histogram[a] + size[b] * histogram[b]) / size[node]
        np.minimum(boxes[a, :2], boxes[b, :2], out=boxes[node, :2])
        np.maximum(boxes[a, 2:], boxes[b, 2:], out=boxes[node, 2:])
        around = (neighbours[a] | neighbours[b]) - {a, b}
        neighbours.append(around)
        for other in around:
            neighbours[other] -= {a, b}
            neighbours[other].add(node)
        if around:
            others = np.array(sorted(around))
            for s, other in zip(similarity(others, np.full_like(others, node)), others.tolist(), strict=True):
                heapq.heappush(heap, (-s, other, node))
    return np.array(parents), boxes


def _edges(segments: np.ndarray, count: int) -> np.ndarray:
    """Return the pairs of labels that touch, (E, 2)."""
    height, width = segments.shape
    pairs = []
    for down, right in NEIGHBOURS:
        first = segments[: height - down, max(0, -right) : width - max(0, right)].ravel()
        second = segments[down:, max(0, right) : width + min(0, right)].ravel()
        border = first != second
        first, second = first[border], second[border]
        pairs.append(np.minimum(first, second) * count + np.maximum(first, second))
    return np.stack(np.divmod(np.unique(np.concatenate(pairs)), count), 1)


def _gradients(image: np.ndarray) -> np.ndarray:
    """Return the binned gradient along four axes: (H, W, C) -> (H, W, 4 C), 2 x 10 - 1 bins, the middle one flat.

    The paper has eight directions of ten bins. Two opposite directions are one axis with either sign, and rounding
    towards zero joins their first bins, "hardly any": the same counts in half the histograms.
    """
    # A Gaussian's derivative along an axis at angle t is cos(t) right + sin(t) down, exactly.
    down, right = (
        ndimage.gaussian_filter(image, sigma=1, order=order, axes=(0, 1)) / MAX_GRADIENT for order in ((1, 0), (0, 1))
    )
    diagonal = math.sqrt(0.5)
    axes = np.concatenate([down, right, diagonal * (down + right), diagonal * (down - right)], axis=2)
    return (
        (axes * GRADIENT_BINS).clip(1 - GRADIENT_BINS, GRADIENT_BINS - 1).astype(np.int8) + (GRADIENT_BINS - 1)
    ).astype(np.uint8)


def _histograms(bins: np.ndarray, segments: np.ndarray, sizes: np.ndarray, count: int) -> np.ndarray:
    """Return each segment's D histograms, which sum to 1 together: bins (H, W, D) -> (N, D count) float32."""
    depth = bins.shape[2]
    start = segments.ravel() * count
    counts = [np.bincount(start + bins[:, :, i].ravel(), minlength=len(sizes) * count) for i in range(depth)]
    table = np.stack(counts).reshape(depth, len(sizes), count).transpose(1, 0, 2).reshape(len(sizes), -1)
    return (table / (sizes[:, None] * depth)).astype(np.float32)
