"""Polygons of masks: exact areas, holes, simple rings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from foveate.labels.rings import Ring, polygons_of, signed_area


def test_a_square_with_a_hole_by_hand() -> None:
    mask = np.ones((3, 4), bool)
    mask[1, 1] = False
    ((outline, hole),) = polygons_of(mask)
    assert outline == [(0, 0), (4, 0), (4, 3), (0, 3)] and signed_area(outline) == 12
    assert set(hole) == {(1, 1), (1, 2), (2, 2), (2, 1)} and signed_area(hole) == -1
    assert polygons_of(np.zeros((2, 2), bool)) == []


def test_pixels_that_meet_at_a_corner_are_two_polygons() -> None:
    assert [len(rings) for rings in polygons_of(np.eye(2, dtype=bool))] == [1, 1]


def filled(polygons: list[list[Ring]], shape: tuple[int, int]) -> np.ndarray:
    """Winding number of each pixel: a vertical side counts for all that is to the right of it."""
    counts = np.zeros(shape, int)
    for ring in itertools.chain(*polygons):
        for (x, y), (_, end) in itertools.pairwise([*ring, ring[0]]):
            counts[min(y, end) : max(y, end), x:] += np.sign(y - end)
    return counts


def corners(ring: Ring) -> list[tuple[int, int]]:
    """All corners of pixels that a ring passes."""
    passed = []
    for (x, y), (x_end, y_end) in itertools.pairwise([*ring, ring[0]]):
        assert (x == x_end) != (y == y_end)
        steps = abs(x_end - x) + abs(y_end - y)
        dx, dy = np.sign(x_end - x), np.sign(y_end - y)
        passed += [(x + k * int(dx), y + k * int(dy)) for k in range(steps)]
    return passed


@pytest.mark.parametrize("density", [0.3, 0.5, 0.7, 0.9])
def test_polygons_fill_to_their_mask_and_are_simple(density: float) -> None:
    random = np.random.default_rng(int(10 * density))
    for _ in range(60):
        mask = random.random(tuple(random.integers(1, 14, 2))) < density
        polygons = polygons_of(mask)
        np.testing.assert_array_equal(filled(polygons, mask.shape), mask)
        for outline, *holes in polygons:
            assert signed_area(outline) > 0 and all(signed_area(hole) < 0 for hole in holes)
            for ring in (outline, *holes):
                assert len(set(corners(ring))) == len(corners(ring))
                before, after = ring[-1:] + ring[:-1], ring[1:] + ring[:1]
                assert all(a[0] != c[0] and a[1] != c[1] for a, c in zip(before, after, strict=True))  # only turns
