"""Drawings of a classifier's answers: where a look stands, what is written beside it."""

import numpy as np
import pytest

from foveate.records import ClassificationPrediction, ClassTable, TransformView
from foveate.visualize.looks import GAP, HEIGHT, LOOK_COLORS, PAPER, draw_classification, region


def grid(left, top, right, bottom, size=8):
    """A look at an upright box, sampled at the centres of size x size cells."""
    along = (np.arange(size) + 0.5) / size
    x, y = left + (right - left) * along, top + (bottom - top) * along
    return np.stack(np.meshgrid(x, y), -1).astype(np.float32)


def prediction(looks=(), channels=1):
    seen = np.full((24, 24, channels), 90, np.uint8)
    return ClassificationPrediction(np.array([0.7, 0.25, 0.05]), ClassTable(("cat", "dog", "hen")), seen, looks)


def panel(image, left, width):
    return np.asarray(image)[GAP : GAP + HEIGHT, left : left + width].astype(int)


def test_a_plain_picture_stands_beside_its_bars():
    image = draw_classification(prediction())
    assert image.height == HEIGHT + 2 * GAP
    assert (panel(image, GAP, HEIGHT) == 90).all()
    bars = panel(image, 2 * GAP + HEIGHT, 160)
    assert (bars != PAPER).any()


def test_an_outline_stands_where_the_look_was():
    """A look at the left half: its outline is found there, in its colour, and nothing of it on the right."""
    image = draw_classification(prediction((TransformView(grid(-1, -1, 0, 1), None),)))
    shown = panel(image, GAP, HEIGHT)  # the picture takes the middle 2/3 of the panel, the margin 1/6 on each side
    near = (np.abs(shown - LOOK_COLORS[0]).sum(-1) < 120).nonzero()
    x, y = near[1] / HEIGHT, near[0] / HEIGHT
    left, right, top = 1 / 6, 1 / 2, 1 / 6
    inset = 2 / 3 / 16  # half a cell of the grid
    assert x.min() == pytest.approx(left + inset / 2, abs=0.03)
    assert x.max() == pytest.approx(right - inset / 2, abs=0.03)
    assert y.min() == pytest.approx(top + inset, abs=0.03)
    # The first row is drawn thick.
    assert (y < y.min() + 0.03).sum() > 1.3 * (y > y.max() - 0.03).sum()


def test_what_a_look_handed_on_is_shown_framed_in_its_colour():
    output = np.full((6, 6, 1), 0.5, np.float32)
    with_output = draw_classification(prediction((TransformView(grid(-1, -1, 1, 1), output),)))
    without = draw_classification(prediction((TransformView(grid(-1, -1, 1, 1), None),)))
    assert with_output.width == without.width + HEIGHT + GAP
    middle = panel(with_output, 2 * GAP + HEIGHT, HEIGHT)
    assert (middle[HEIGHT // 2, HEIGHT // 2] == 128).all()
    assert tuple(middle[0, HEIGHT // 2]) == LOOK_COLORS[0]


def test_channels_that_are_no_colours_stand_beside_each_other():
    two = draw_classification(prediction(channels=2))
    assert two.width == draw_classification(prediction()).width + HEIGHT


def test_a_region_is_the_outermost_samples_once_each():
    points = region(grid(0, 0, 1, 1, size=4))
    assert len(points) == len({tuple(p) for p in points.tolist()}) == 12
    assert points[0].tolist() == [0.125, 0.125]
    assert points[3].tolist() == [0.875, 0.125]
    assert points[6].tolist() == [0.875, 0.875]


def test_a_look_at_nowhere_is_drawn_all_the_same():
    nowhere = grid(-1, -1, 1, 1) * np.float32(np.nan)
    assert draw_classification(prediction((TransformView(nowhere, None),))).width > HEIGHT


def test_what_is_read_from_beyond_the_canvas_is_drawn_along_its_edge():
    image = draw_classification(prediction((TransformView(grid(-3, -3, 3, 3), None),)))
    edge = np.asarray(image)[GAP : GAP + HEIGHT, GAP : GAP + HEIGHT].astype(int)
    near = np.abs(edge - LOOK_COLORS[0]).max(2) < 100  # it was brought to size
    assert near[:12].sum() > HEIGHT and near[:, :12].sum() > HEIGHT and not near[30:-30, 30:-30].any()
