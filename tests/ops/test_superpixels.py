"""Superpixels, their tree and its cover: hand-made images, laws, and slow references that go pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from foveate.errors import ConfigError, DataError
from foveate.ops.grouping import merge, region_features, unit_range
from foveate.ops.superpixels import (
    Method,
    SegmentTree,
    majority,
    purity_cover,
    segment_means,
    segment_tree,
    superpixels,
)

METHODS: list[Method] = ["felzenszwalb", "slic"]
CORNERS = np.ones((3, 3))


def scene(height: int = 60, width: int = 80, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Blobs with noise: an image with regions, but none of them flat."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=(height, width, channels)), (6, 6, 0))
    levels = np.digitize(smooth, np.quantile(smooth, [0.25, 0.5, 0.75])) * 70
    return np.clip(levels + random.normal(0, 6, levels.shape) + 20, 0, 255).astype(np.uint8)


def distributions(classes: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(classes, height, width, generator=generator, dtype=torch.float64)).softmax(0)


# --- superpixels


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_labels_have_no_gaps_and_their_regions_are_connected(method: Method, channels: int) -> None:
    labels = superpixels(scene(channels=channels), method)
    assert labels.shape == (60, 80)
    assert labels.dtype == np.int64
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert labels.max() >= 4
    for label in range(labels.max() + 1):
        assert ndimage.label(labels == label, CORNERS)[1] == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 40)])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("flat", [True, False])
def test_tiny_images(size: tuple[int, int], channels: int, method: Method, flat: bool) -> None:
    image = np.full((*size, channels), 7, np.uint8) if flat else scene(*size, channels)
    labels = superpixels(image, method)
    assert labels.shape == size
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert len(segment_tree(image, labels).parents) == 2 * labels.max() + 1


def test_flat_rectangles_are_found_as_they_are() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[10:40, 20:50] = (255, 0, 0)
    image[30:60, 60:90] = (0, 0, 255)
    truth = (image[:, :, 0] > 0) + 2 * (image[:, :, 2] > 0)
    labels = superpixels(image)
    # Smoothing turns a border into a narrow ramp; within two pixels of it nothing is asked.
    inner = [np.unique(labels[ndimage.binary_erosion(truth == v, CORNERS, iterations=3)]) for v in range(3)]
    assert [len(found) for found in inner] == [1, 1, 1]
    assert len(np.unique(inner)) == 3


@pytest.mark.parametrize("method", METHODS)
def test_depths_of_one_image_agree(method: Method) -> None:
    image = scene()
    eight = superpixels(image, method)
    assert np.array_equal(eight, superpixels(image.astype(np.uint16) * 257, method))
    assert np.array_equal(eight, superpixels(image.astype(np.float32) / 255, method))


def test_superpixels_grow_with_the_image() -> None:
    image = scene(60, 80)
    larger = np.kron(image, np.ones((4, 4, 1), np.uint8))
    few, more = superpixels(image).max() + 1, superpixels(larger).max() + 1
    assert more < 4 * few  # sixteen times the pixels


def test_errors_of_superpixels() -> None:
    with pytest.raises(ConfigError, match="unknown superpixel method 'slick'; the nearest is 'slic'"):
        superpixels(scene(), "slick")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"an image of shape \(60, 80\); expected \(H, W, C\).*image\[:, :, None\]"):
        superpixels(scene()[:, :, 0])
    with pytest.raises(DataError, match=r"an image of shape \(0, 80, 3\)"):
        superpixels(scene()[:0])
    with pytest.raises(DataError, match="an image of int64; expected uint8, uint16, or float in"):
        superpixels(scene().astype(np.int64))
    with pytest.raises(DataError, match=r"a float image with values from 0 to 255; expected 0\.\.1; scale it"):
        superpixels(np.array([0.0, 255.0]).reshape(1, 2, 1))
    with pytest.raises(DataError, match="a float image with values from nan"):
        superpixels(np.full((2, 2, 3), np.nan))


# --- means and majorities


def test_majority_by_hand() -> None:
    segments = np.array([[0, 0, 1], [1, 1, 1]])
    first = torch.tensor([[0.9, 0.3, 0.0], [0.2, 0.4, 1.0]], dtype=torch.float64)
    probabilities = torch.stack([first, 1 - first])
    means = torch.tensor([[0.6, 0.4], [0.4, 0.6]], dtype=torch.float64)
    torch.testing.assert_close(segment_means(probabilities, segments), means)
    out = majority(probabilities, segments)
    torch.testing.assert_close(out[0], torch.tensor([[0.6, 0.6, 0.4], [0.4] * 3], dtype=torch.float64))
    assert out.argmax(0).tolist() == [[0, 0, 1], [1, 1, 1]]  # the pixels alone say 0 1 1 and 1 1 0


def test_means_are_those_of_scipy() -> None:
    segments = superpixels(scene())
    values = distributions(4, *segments.shape)
    expected = np.stack([ndimage.mean(v, segments, np.arange(segments.max() + 1)) for v in values.numpy()], 1)
    torch.testing.assert_close(segment_means(values, segments), torch.from_numpy(expected))
    painted = torch.from_numpy(expected.T[:, segments])
    torch.testing.assert_close(majority(values, segments), painted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_means_of_many_pixels_in_low_precision(dtype: torch.dtype) -> None:
    values = torch.full((1, 300, 300), 0.5, dtype=dtype)  # a float16 sum would stop growing at 1024
    out = majority(values, np.zeros((300, 300), int))
    assert out.dtype == dtype
    assert (out == 0.5).all()


def test_majority_is_a_projection_that_keeps_distributions_and_gradients() -> None:
    segments = superpixels(scene())
    values = distributions(3, *segments.shape).requires_grad_()
    once = majority(values, segments)
    torch.testing.assert_close(majority(once, segments), once)
    torch.testing.assert_close(once.sum(0), torch.ones(segments.shape, dtype=torch.float64))
    torch.testing.assert_close(once.sum((1, 2)), values.sum((1, 2)))
    once.square().sum().backward()
    torch.testing.assert_close(values.grad, 2 * once.detach())  # it is its own adjoint


def test_sizes_must_fit() -> None:
    message = r"values of shape \(2, 4, 5\) for segments of shape \(5, 4\); give \(K, H, W\) and \(H, W\)"
    with pytest.raises(ConfigError, match=message):
        majority(torch.zeros(2, 4, 5), np.zeros((5, 4), int))
    with pytest.raises(ConfigError, match=message):
        purity_cover(torch.zeros(2, 4, 5), SegmentTree(np.zeros((5, 4), int), np.array([-1])))


# --- the tree


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_tree_is_one(channels: int) -> None:
    image = scene(channels=channels)
    segments = superpixels(image)
    tree = segment_tree(image, segments)
    leaves = segments.max() + 1
    nodes = np.arange(2 * leaves - 1)
    assert tree.leaves == leaves
    assert len(tree.parents) == len(nodes)
    assert tree.parents[-1] == -1
    assert (tree.parents[:-1] > nodes[:-1]).all()  # children come before parents
    assert (np.bincount(tree.parents[:-1], minlength=len(nodes)) == np.where(nodes < leaves, 0, 2)).all()
    masks = [tree.mask(node) for node in nodes]
    assert masks[-1].all()
    for node in nodes:
        assert ndimage.label(masks[node], CORNERS)[1] == 1
        children = np.flatnonzero(tree.parents == node)
        expected = masks[children[0]] ^ masks[children[1]] if len(children) else segments == node
        assert np.array_equal(masks[node], expected)  # disjoint, and together the parent
    assert tree.sums(np.bincount(segments.ravel())).tolist() == [m.sum() for m in masks]


def test_sums_add_whatever_the_leaves_hold() -> None:
    tree = SegmentTree(np.array([[0, 1, 2]]), np.array([3, 3, 4, 4, -1]))
    assert tree.sums(np.array([1, 10, 100])).tolist() == [1, 10, 100, 11, 111]
    rows = tree.sums(np.array([[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]))
    assert rows.tolist() == [[1, 0.5], [2, 0.5], [3, 0.5], [3, 1], [6, 1.5]]


def test_merging_by_hand() -> None:
    # Four flat strips: 0 and 3 of one grey, but not neighbours; 1 is nearer to 2 than to 0, and shares a bin with it.
    values = np.array([200, 100, 101, 200], np.uint8)
    image = np.repeat(np.repeat(values, 8)[None], 6, 0)[:, :, None]
    segments = np.repeat(np.repeat(np.arange(4), 8)[None], 6, 0)
    tree = segment_tree(image, segments)
    assert tree.parents[1] == tree.parents[2] == 4
    # Then {1, 2} has the same colour similarity to either side, and the same common box; the first pair is taken.
    assert tree.parents.tolist() == [5, 4, 4, 6, 5, 6, -1]


def test_regions_by_hand() -> None:
    image = unit_range(np.array([[[0], [0], [255]], [[0], [51], [255]]], np.uint8))
    segments = np.array([[0, 0, 1], [0, 2, 1]])
    regions = region_features(image, segments)
    assert regions.sizes.tolist() == [3, 2, 1]
    assert regions.boxes.tolist() == [[0, 0, 2, 2], [2, 0, 3, 2], [1, 1, 2, 2]]
    assert regions.edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert [np.flatnonzero(row).tolist() for row in regions.colour] == [[0], [24], [5]]  # 51 / 255 * 25 = 5
    assert regions.texture.shape == (3, 4 * 19)
    np.testing.assert_allclose(regions.texture.sum(1), 1, rtol=1e-6)


def test_corners_are_neighbours() -> None:
    edges = region_features(np.zeros((2, 3, 1), np.float32), np.array([[0, 1, 1], [2, 2, 3]])).edges
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    edges = region_features(np.zeros((2, 2, 1), np.float32), np.array([[0, 1], [2, 3]])).edges
    assert edges.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


def test_texture_sees_the_direction_of_stripes() -> None:
    x, y = np.meshgrid(np.arange(32), np.arange(32))
    waves = [0.5 + 0.5 * np.sin(phase * np.pi / 4) for phase in (x, y, x + y, x - y)]
    zero = np.zeros((32, 32), int)
    steep = []
    for wave in waves:
        axes = region_features(wave[:, :, None].astype(np.float32), zero).texture.reshape(4, 19)
        away = np.abs(np.arange(19) - 9)  # bins from flat
        steep.append((axes * away).sum(1))
    # Axes are down, right, down + right and down - right.
    assert [int(np.argmax(s)) for s in steep] == [1, 0, 2, 3]
    assert steep[0][0] < 0.01 * steep[0][1]


def test_merging_is_what_a_search_of_all_pairs_gives() -> None:
    """Algorithm 1 with its similarities spelled out, equation by equation, from the pixels' boxes and sizes."""
    image = scene(40, 40)
    segments = superpixels(image)
    regions = region_features(unit_range(image), segments)
    area = segments.size
    alive = {
        i: (regions.sizes[i], regions.boxes[i], regions.colour[i], regions.texture[i])
        for i in range(segments.max() + 1)
    }
    pairs = {tuple(edge) for edge in regions.edges.tolist()}
    parents = [-1] * (2 * len(alive) - 1)
    for node in range(len(alive), len(parents)):

        def similarity(pair: tuple[int, int]) -> float:
            (n, p, c, t), (m, q, d, u) = alive[pair[0]], alive[pair[1]]
            box = np.prod(np.maximum(p[2:], q[2:]) - np.minimum(p[:2], q[:2]))
            size, fill = 1 - (n + m) / area, 1 - (box - n - m) / area
            return float(np.minimum(c, d).sum() + np.minimum(t, u).sum() + size + fill)

        a, b = max(sorted(pairs), key=similarity)
        parents[a] = parents[b] = node
        (n, p, c, t), (m, q, d, u) = alive.pop(a), alive.pop(b)
        box = np.concatenate([np.minimum(p[:2], q[:2]), np.maximum(p[2:], q[2:])])
        alive[node] = (n + m, box, (n * c + m * d) / (n + m), (n * t + m * u) / (n + m))
        renamed = [{node if x in (a, b) else x for x in pair} for pair in pairs]
        pairs = {(min(pair), max(pair)) for pair in renamed if len(pair) == 2}
    ours, boxes = merge(regions)
    assert ours.tolist() == parents
    tree = SegmentTree(segments, ours)
    for node, (left, top, right, bottom) in enumerate(boxes.tolist()):
        rows, columns = np.nonzero(tree.mask(node))
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)


def test_errors_of_the_tree() -> None:
    image = scene(4, 5)
    with pytest.raises(ConfigError, match=r"segments of int64 and shape \(5, 4\) for an image of shape \(4, 5, 3\)"):
        segment_tree(image, np.zeros((5, 4), np.int64))
    with pytest.raises(ConfigError, match=r"segments of float64 .* give an integer label per pixel, \(H, W\)"):
        segment_tree(image, np.zeros((4, 5)))
    for label in (-1, 2):
        segments = np.zeros((4, 5), int)
        segments[0, 0] = label
        with pytest.raises(ConfigError, match=r"segments must be labelled 0..N-1 without gaps"):
            segment_tree(image, segments)


# --- the purest cover


def test_cover_by_hand() -> None:
    tree = SegmentTree(np.array([[0, 1, 2]]), np.array([3, 3, 4, 4, -1]))
    # Leaf 0 is in doubt, leaf 1 is nearly sure; leaf 2 is sure of the other class.
    first = torch.tensor([[0.5, 0.9, 0.0]], dtype=torch.float64)
    cover, distribution = purity_cover(torch.stack([first, 1 - first]), tree)
    # Entropies: 0.693, 0.325, 0; {0, 1} has (0.7, 0.3) with 0.611; the root (0.467, 0.533) with 0.691.
    assert cover.tolist() == [[3, 1, 2]]
    torch.testing.assert_close(distribution[0], torch.tensor([[0.7, 0.9, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cover_is_what_each_pixel_would_choose_for_itself(seed: int) -> None:
    image = scene(30, 40, seed=seed)
    segments = superpixels(image)
    tree = segment_tree(image, segments)
    probabilities = distributions(4, 30, 40, seed)
    cover, distribution = purity_cover(probabilities, tree)
    assert cover.dtype == np.int64
    means, costs = [], []
    for node in range(len(tree.parents)):
        mean = probabilities[:, torch.from_numpy(tree.mask(node))].mean(1)
        means.append(mean)
        costs.append(torch.distributions.Categorical(mean).entropy().item())
    for y, x in np.ndindex(segments.shape):
        path, node = [], int(segments[y, x])
        while node >= 0:
            path.append(node)
            node = int(tree.parents[node])
        best = min(path, key=costs.__getitem__)
        assert cover[y, x] == best
        torch.testing.assert_close(distribution[:, y, x], means[best])
    # Several levels are used, or this would test little.
    assert len({int(np.flatnonzero(np.unique(cover) == c)[0]) for c in np.unique(cover)}) > 2
    assert (cover >= tree.leaves).any()


def test_a_parent_is_never_purer_than_both_its_children() -> None:
    image = scene()
    tree = segment_tree(image, superpixels(image))
    cover, _ = purity_cover(distributions(3, *tree.segments.shape), tree)
    for node in np.unique(cover[cover >= tree.leaves]):
        # So a merged region never covers all of itself: some leaf below it is purer alone.
        assert not np.array_equal(cover == node, tree.mask(node))


def test_where_all_agree_the_whole_image_is_one_region() -> None:
    tree = SegmentTree(np.array([[0, 1]]), np.array([2, 2, -1]))
    probabilities = torch.tensor([1.0, 0.0])[:, None, None].expand(2, 1, 2)
    cover, distribution = purity_cover(probabilities, tree)
    assert cover.tolist() == [[2, 2]]
    assert torch.equal(distribution, probabilities)
    assert distribution.dtype == torch.float32


def test_a_segment_below_zero_is_refused():
    with pytest.raises(ConfigError, match="segment -1 is negative; give labels of 0 and above"):
        majority(torch.rand(2, 2, 2), np.array([[0, -1], [0, 0]]))
