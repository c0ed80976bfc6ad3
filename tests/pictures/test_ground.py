"""GeoTIFF's tags as an affine map, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foveate.pictures.ground import placement
from foveate.pictures.windows import Ground

SCALE, TIES, MATRIX, KEYS = 33550, 33922, 34264, 34735
CORNER = (0.0, 0.0, 0.0, 440000.0, 4650000.0, 0.0)


def ground(**values: Any) -> Ground:
    tags = [(code, 12, len(values[name]), values[name]) for name, code in
            (("scale", SCALE), ("ties", TIES), ("matrix", MATRIX), ("keys", KEYS)) if name in values]  # fmt: skip
    return Ground(tags, None, lambda y, x, h, w: np.zeros((h, w), bool))


def keys(*entries: tuple[int, int]) -> tuple[int, ...]:
    return (1, 1, 0, len(entries), *(value for key, number in entries for value in (key, 0, 1, number)))


def test_scale_and_tie_point() -> None:
    found = placement(ground(scale=(0.5, 0.25, 0.0), ties=CORNER, keys=keys((1024, 1), (1025, 1), (3072, 32631))))
    assert found is not None and found.epsg == 32631
    np.testing.assert_allclose(found(np.array([[0, 0], [10, 20]])), [[440000, 4650000], [440005, 4649995]])
    moved = placement(ground(scale=(0.5, 0.25, 0.0), ties=(10.0, 20.0, 0.0, 440005.0, 4649995.0, 0.0)))
    assert moved is not None and moved.epsg is None
    np.testing.assert_allclose(moved.matrix, found.matrix)


def test_a_matrix_that_turns() -> None:
    matrix = (0.0, 2.0, 0.0, 100.0, 3.0, 0.0, 0.0, 200.0, *([0.0] * 8))
    found = placement(ground(matrix=matrix, keys=keys((2048, 4326))))
    assert found is not None and found.epsg == 4326
    np.testing.assert_allclose(found(np.array([[1.0, 5.0]])), [[110, 203]])


def test_coordinates_of_the_middles_of_pixels() -> None:
    """The tie point is the middle of the first pixel, so its corner is half a pixel up and to the left."""
    found = placement(ground(scale=(2.0, 4.0, 0.0), ties=CORNER, keys=keys((1025, 2), (3072, 32767))))
    assert found is not None and found.epsg is None  # a system without a code
    np.testing.assert_allclose(found(np.array([[0.5, 0.5], [0, 0]])), [[440000, 4650000], [439999, 4650002]])


@pytest.mark.parametrize("tags", [{"ties": CORNER + CORNER}, {"scale": (1.0, 1.0, 0.0)}, {"keys": keys((3072, 32631))}])
def test_tags_without_an_affine_map(tags: dict[str, Any]) -> None:
    assert placement(ground(**tags)) is None
