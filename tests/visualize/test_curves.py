from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from foveate.visualize.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Series, line_chart, tick_text, ticks
from foveate.visualize.markup import Markup, join, tag


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (0.03, 2.41, [0, 1.0, 2.0, 3.0]),
        (0.6, 0.71, [0.6, 0.65, 0.7, 0.75]),
        (-3.0, 8.0, [-5, 0, 5, 10]),
        (0.0, 0.001, [0, 0.00025, 0.0005, 0.00075, 0.001]),
    ],
)
def test_ticks_are_round_and_cover_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 0.5, -2.0, 1e-6, 1e6])
def test_ticks_around_a_single_value(value: float) -> None:
    found = ticks(value, value)
    assert found[0] < value < found[-1]
    assert ticks(3, 3, whole=True) == [3, 4]


def test_epochs_are_labelled_at_whole_numbers() -> None:
    assert ticks(1, 3, 6, whole=True) == [1, 2, 3]
    assert ticks(1, 30, 6, whole=True) == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0, 0.1, "0"),
        (0.25, 0.25, "0.25"),
        (0.5, 0.25, "0.50"),
        (3, 1, "3"),
        (0.00025, 0.00025, "2.5e-4"),
        (20, 5, "20"),
    ],
)
def test_tick_texts(value: float, step: float, text: str) -> None:
    assert tick_text(value, step) == text


def test_points_stand_where_they_belong() -> None:
    chart = line_chart("words", [Series("one", [(0, 0.0), (5, 0.5), (10, 1.0)])], x_name="epoch")
    path = next(
        p for p in ElementTree.fromstring(chart).iter("path") if "M46.0" in p.get("d", "") and "L" in p.get("d", "")
    )
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    assert (
        path.get("d")
        == f"M{LEFT:.1f} {HEIGHT - BOTTOM:.1f} L{middle_x:.1f} {middle_y:.1f} L{WIDTH - RIGHT:.1f} {TOP:.1f}"
    )


def test_missing_values_leave_gaps_and_unknown_series_are_left_out() -> None:
    points = [(1, 1.0), (2, None), (3, float("nan")), (4, 2.0), (5, 1.5)]
    chart = line_chart(
        "words", [Series("kept", points), Series("empty", [(1, None)])], x_name="epoch", mark=(4, "best")
    )
    paths = [p.get("d") for p in ElementTree.fromstring(chart).iter("path")]
    line = next(d for d in paths if d.count("M") == 2)
    assert line.count("L") == 1
    assert "nan" not in chart and "empty" not in chart and ">best<" in chart
    assert line_chart("words", [Series("empty", [(1, None)])], x_name="epoch") == ""


def test_one_epoch_is_a_dot() -> None:
    chart = line_chart("words", [Series("loss", [(1, 0.7)])], x_name="epoch", mark=(1, "best"))
    circles = list(ElementTree.fromstring(chart).iter("circle"))
    assert [float(c.get("cx", "")) for c in circles] == [(LEFT + WIDTH - RIGHT) / 2]
    texts = ElementTree.fromstring(chart).iter("text")
    assert [text.text for text in texts if text.get("y") == f"{HEIGHT - BOTTOM + 17}"] == ["1"]
    assert TOP < float(circles[0].get("cy", "")) < HEIGHT - BOTTOM


def test_markup_escapes_all_but_markup() -> None:
    made = tag("p", "<b>&", tag("i", '"x"'), None, False, [1, 2.50], title='a"<b>', hidden=True, id=None)
    assert made == '<p title="a&quot;&lt;b&gt;" hidden>&lt;b&gt;&amp;<i>&quot;x&quot;</i>12.5</p>'
    assert tag("line", x1=1.0, class_="grid", stroke_width=2) == '<line x1="1" class="grid" stroke-width="2"/>'
    assert join("<", Markup("<hr/>")) == "&lt;<hr/>"
