"""Outlines fill back to the very pixels that they came from, as the tools that read them fill polygons."""

from __future__ import annotations

import numpy as np
import pytest
from faster_coco_eval.core import mask as mask_api
from PIL import Image, ImageDraw
from scipy import ndimage

from foveate.labels.cvat import run_lengths
from foveate.labels.outlines import centre_outlines, edge_outlines, fill_edges
from foveate.labels.yolo import joined


def blob(seed: int) -> np.ndarray:
    """Smooth or ragged regions, with holes, single pixels and parts that touch at a corner."""
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 30, 2)
    return ndimage.gaussian_filter(random.standard_normal((height, width)), seed % 4 / 2) > 0


def area(polygon: list[tuple[float, float]]) -> float:
    x, y = np.array([*polygon, polygon[0]]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


@pytest.mark.parametrize("seed", range(40))
def test_edges_enclose_the_area_and_cocos_routine_fills_them_back(seed: int) -> None:
    mask = blob(seed)
    outlines, holes = edge_outlines(mask)
    assert sum(map(area, outlines)) + sum(map(area, holes)) == mask.sum()
    assert all(area(p) > 0 for p in outlines) and all(area(p) < 0 for p in holes)
    assert len(outlines) == ndimage.label(mask)[1]  # pixels that touch at a corner are of two parts
    filled = ndimage.binary_fill_holes(mask)
    runs = mask_api.frPyObjects([[v for xy in p for v in xy] for p in edge_outlines(filled)[0]], *mask.shape)
    if runs:
        assert (mask_api.decode(mask_api.merge(runs)).astype(bool) == filled).all()
    assert (fill_edges(edge_outlines(filled)[0], *mask.shape) == filled).all()


@pytest.mark.parametrize("seed", range(40))
def test_centres_fill_back_as_pillow_draws_polygons(seed: int) -> None:
    mask = ndimage.binary_fill_holes(blob(seed), np.ones((3, 3)))
    numbers, count = ndimage.label(mask, np.ones((3, 3)))
    for number in range(1, count + 1):
        part = ndimage.binary_fill_holes(numbers == number)
        canvas = Image.new("1", part.shape[::-1])
        polygons = centre_outlines(part)
        assert len(polygons) == 1 and len(polygons[0]) >= 3
        ImageDraw.Draw(canvas).polygon(polygons[0], fill=1, outline=1)
        assert (np.array(canvas) == part).all()


def test_a_rectangle_has_four_corners_in_both_conventions() -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:7] = True
    assert set(edge_outlines(mask)[0][0]) == {(2.0, 1.0), (7.0, 1.0), (7.0, 4.0), (2.0, 4.0)}
    assert set(centre_outlines(mask)[0]) == {(2.0, 1.0), (6.0, 1.0), (6.0, 3.0), (2.0, 3.0)}


def test_joined_parts_keep_their_area_and_corners() -> None:
    first, second = [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)], [(5.0, 0.0), (7.0, 0.0), (7.0, 2.0), (5.0, 2.0)]
    whole = joined([first, second])
    assert area(whole) == area(first) + area(second) == 8
    assert set(whole) == {*first, *second}


def test_run_lengths_begin_with_zeros() -> None:
    # As CVAT's SDK encodes masks: row by row, a first run of zeros that may be empty.
    assert run_lengths(np.array([[0, 1, 1], [1, 0, 0]], bool)) == [1, 3, 2]
    assert run_lengths(np.array([[1, 0], [1, 1]], bool)) == [0, 1, 1, 2]
    assert run_lengths(np.zeros((2, 2), bool)) == [4]
