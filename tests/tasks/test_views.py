"""Drawings of spatial transformers: where an outline stands, and which panels are beside it."""

import numpy as np
import pytest
import torch

from foveate.records import Preprocessing, TransformerOutput, TransformView
from foveate.tasks.views import BAR_ROWS, GAP, HEIGHT, PAPER, VIEW_COLORS, draw_views, region, seen_pixels, view_of


def grid(left, top, right, bottom, size=8):
    """The sampling grid of an upright box, sampled at the centres of size x size cells."""
    along = (np.arange(size) + 0.5) / size
    x, y = left + (right - left) * along, top + (bottom - top) * along
    return np.stack(np.meshgrid(x, y), -1).astype(np.float32)


def test_a_view_holds_the_values_of_its_image_before_normalisation():
    """Those of one image of a batch; none of a transformer whose map has other channels than images have."""
    output = torch.tensor([0.0, 1.0, 3.0, -1.0]).reshape(2, 1, 1, 2)
    one = TransformerOutput(torch.zeros(2, 6), torch.zeros(2, 1, 2, 2), output)
    found = [view_of(one, index, Preprocessing((0.5,), (0.25,))).output for index in range(2)]
    assert [values.ravel().tolist() for values in found] == [[0.5, 0.75], [1.0, 0.25]]  # 1.25 is cut to 1
    assert view_of(one, 0, Preprocessing((0.5,) * 3, (0.25,) * 3)).output is None


def test_seen_pixels_are_rounded_to_the_nearest():
    assert seen_pixels(torch.tensor([[[0.5, 0.499, 1.0]]])).ravel().tolist() == [128, 127, 255]


TOP = (("cat", 0.7), ("dog", 0.25), ("hen", 0.05))


def drawn(views=(), channels=1, top=TOP):
    return draw_views(np.full((24, 24, channels), 90, np.uint8), views, top)


def panel(image, left, width):
    return np.asarray(image)[GAP : GAP + HEIGHT, left : left + width].astype(int)


def test_a_plain_image_stands_beside_its_bars():
    image = drawn()
    assert image.height == HEIGHT + 2 * GAP
    assert (panel(image, GAP, HEIGHT) == 90).all()
    bars = panel(image, 2 * GAP + HEIGHT, 160)
    assert (bars != PAPER).any()


def test_an_outline_stands_where_the_view_is():
    """A view of the left half: its outline is found there, in its colour, and nothing of it on the right."""
    image = drawn((TransformView(grid(-1, -1, 0, 1), None),))
    shown = panel(image, GAP, HEIGHT)  # the image takes the middle 2/3 of the panel, the margin 1/6 on each side
    near = (np.abs(shown - VIEW_COLORS[0]).sum(-1) < 120).nonzero()
    x, y = near[1] / HEIGHT, near[0] / HEIGHT
    left, right, top = 1 / 6, 1 / 2, 1 / 6
    inset = 2 / 3 / 16  # half a cell of the grid
    assert x.min() == pytest.approx(left + inset / 2, abs=0.03)
    assert x.max() == pytest.approx(right - inset / 2, abs=0.03)
    assert y.min() == pytest.approx(top + inset, abs=0.03)
    # The first row is drawn thick.
    assert (y < y.min() + 0.03).sum() > 1.3 * (y > y.max() - 0.03).sum()


def test_the_output_of_a_view_is_framed_in_its_colour():
    output = np.full((6, 6, 1), 0.5, np.float32)
    with_output = drawn((TransformView(grid(-1, -1, 1, 1), output),))
    without = drawn((TransformView(grid(-1, -1, 1, 1), None),))
    assert with_output.width == without.width + HEIGHT + GAP
    middle = panel(with_output, 2 * GAP + HEIGHT, HEIGHT)
    assert (middle[HEIGHT // 2, HEIGHT // 2] == 128).all()
    assert tuple(middle[0, HEIGHT // 2]) == VIEW_COLORS[0]


def test_channels_that_are_no_colours_stand_beside_each_other():
    two = drawn(channels=2)
    assert two.width == drawn().width + HEIGHT


def test_a_region_is_the_outermost_samples_once_each():
    points = region(grid(0, 0, 1, 1, size=4))
    assert len(points) == len({tuple(p) for p in points.tolist()}) == 12
    assert points[0].tolist() == [0.125, 0.125]
    assert points[3].tolist() == [0.875, 0.125]
    assert points[6].tolist() == [0.875, 0.875]


def test_a_view_of_nowhere_is_drawn_all_the_same():
    nowhere = grid(-1, -1, 1, 1) * np.float32(np.nan)
    assert drawn((TransformView(nowhere, None),)).width > HEIGHT


def test_what_is_read_from_beyond_the_canvas_is_drawn_along_its_edge():
    image = drawn((TransformView(grid(-3, -3, 3, 3), None),))
    edge = np.asarray(image)[GAP : GAP + HEIGHT, GAP : GAP + HEIGHT].astype(int)
    near = np.abs(edge - VIEW_COLORS[0]).max(2) < 100  # it was brought to size
    assert near[:12].sum() > HEIGHT and near[:, :12].sum() > HEIGHT and not near[30:-30, 30:-30].any()


def test_without_probabilities_there_is_no_panel_of_bars():
    assert drawn(top=()).width == HEIGHT + 2 * GAP


def test_more_bars_than_fit_are_left_out():
    many = [(str(i), 0.1) for i in range(BAR_ROWS + 4)]
    assert np.array_equal(np.asarray(drawn(top=many)), np.asarray(drawn(top=many[:BAR_ROWS])))
