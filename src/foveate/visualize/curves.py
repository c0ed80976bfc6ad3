"""SVG line charts: learning curves, and the trimap curve.

Sizes are in SVG units, about one CSS pixel each: a chart is as wide as a phone, and several fit side by side on a wider
page. Colours come from the page's style sheet (classes `s1`, `s2`, ...), so that charts follow dark and light mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from foveate.visualize.markup import Markup, join, tag

WIDTH, HEIGHT = 360, 226
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 36  # margins: the y labels, the last point, the legend, the x labels
MARKER_LIMIT = 16  # largest number of points of a series that are drawn as dots
HOVER_LIMIT = 400  # largest number of points of a series that show their value when pointed at


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    points: (x, y), sorted by x; a missing or non-finite y leaves a gap.
    dashed: draw a dashed line. joined: draw a line at all; False draws the points alone, at any x.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    dashed: bool = False
    joined: bool = True

    def finite(self) -> list[tuple[float, float]]:
        """Return the points with a finite y."""
        return [(x, y) for x, y in self.points if y is not None and math.isfinite(y)]


Drawn = tuple[int, Series, list[tuple[float, float]]]  # a series, its number in the style sheet, its finite points


@dataclass(frozen=True)
class Scale:
    """Linear map from data values (low to high) to SVG units (start to end)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of a value in SVG units."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Return about `count` round values, the first <= low, the last >= high.

    Their spacing is 1, 2, 2.5 or 5 times a power of ten. whole: use whole numbers only.
    """
    if not high > low:
        spread = abs(low) * 0.1 or 1.0
        low, high = (low - spread, high + spread) if not whole else (low, low + 1)
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, float(math.ceil(step - 1e-9)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """Format a tick label with as many decimals as the step needs, or in exponent notation if that would be long."""
    if value == 0:
        return "0"
    if step < 0.0005 or step >= 100_000:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if not math.isclose(round(step, decimals), step):
        decimals += 1
    return f"{value:.{decimals}f}"


def line_chart(
    label: str,
    series: Sequence[Series],
    *,
    x_name: str,
    x_ticks: Sequence[float] | None = None,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Draw a chart of one or more series on one pair of axes; returns an empty text if none has a finite value.

    label: description of the chart for screen readers.
    x_name: label of the x axis.
    x_ticks: positions of the x axis's ticks; by default round whole numbers.
    mark: (x, text) of a dotted vertical line, such as the best epoch.
    """
    drawn = [(i, s, s.finite()) for i, s in enumerate(series, start=1) if s.finite()]
    if not drawn:
        return Markup("")
    xs = [x for _, _, points in drawn for x, _ in points]
    ys = [y for _, _, points in drawn for _, y in points]
    x_marks = list(x_ticks) if x_ticks else ticks(min(xs), max(xs), 6, whole=True)
    y_marks = ticks(min(ys), max(ys))
    first, last = min(min(xs), x_marks[0]) if x_ticks else min(xs), max(xs)
    if last == first:  # a single epoch stands in the middle
        first, last = first - 0.5, last + 0.5
    x = Scale(first, last, LEFT, WIDTH - RIGHT)
    y = Scale(y_marks[0], y_marks[-1], HEIGHT - BOTTOM, TOP)
    return tag(
        "svg",
        _grid(x, y, [v for v in x_marks if x.low <= v <= x.high], y_marks, x_name),
        _mark(x, y, mark, drawn) if mark else None,
        [_line(i, s, points, x, y) for i, s, points in drawn],
        _legend(drawn),
        viewbox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
    )


def _grid(x: Scale, y: Scale, x_marks: list[float], y_marks: list[float], x_name: str) -> Markup:
    """Draw horizontal grid lines at the y ticks, and the labels of both axes."""
    y_step = y_marks[1] - y_marks[0]
    parts = []
    for value in y_marks:
        line = tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid")
        parts += [line, tag("text", tick_text(value, y_step), x=LEFT - 7, y=y(value) + 4, class_="tick end")]
    previous = -math.inf
    for value in x_marks:
        if x(value) - previous < 22:  # a label needs this much space
            continue
        previous = x(value)
        parts.append(tag("text", f"{value:g}", x=x(value), y=HEIGHT - BOTTOM + 17, class_="tick middle"))
    parts.append(tag("text", x_name, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 3, class_="tick middle"))
    return join(parts)


def _mark(x: Scale, y: Scale, mark: tuple[float, str], drawn: list[Drawn]) -> Markup:
    """Draw the vertical line and its text, on the side and at the end where it covers the series least."""
    position, text = x(mark[0]), mark[1]
    side = "end" if position > (LEFT + WIDTH) / 2 else "start"
    nearby = [y(py) for _, _, points in drawn for px, py in points if abs(x(px) - position) < 60]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    above = bool(nearby) and sum(nearby) / len(nearby) > middle
    return join(
        tag("line", x1=position, x2=position, y1=TOP, y2=HEIGHT - BOTTOM, class_="mark"),
        tag("text", text, x=position + (-5 if side == "end" else 5), y=TOP + 14 if above else HEIGHT - BOTTOM - 6,
            class_=f"note {side}"),
    )  # fmt: skip


def _line(number: int, series: Series, points: list[tuple[float, float]], x: Scale, y: Scale) -> Markup:
    """Draw one series: a path with gaps, dots if there are few points, and a tooltip for each point."""
    path, drawing = [], False
    for px, py in series.points:
        if py is None or not math.isfinite(py):
            drawing = False
            continue
        path.append(f"{'L' if drawing else 'M'}{x(px):.1f} {y(py):.1f}")
        drawing = True
    dotted = len(points) <= MARKER_LIMIT or not series.joined
    dots = [
        tag("circle", tag("title", f"{series.name}, {px:g}: {py:.4g}"), cx=x(px), cy=y(py), r=3 if dotted else 5,
            class_=f"dot s{number}" if dotted else "hover")
        for px, py in (points if len(points) <= HOVER_LIMIT or not series.joined else [])
    ]  # fmt: skip
    style = f"line s{number}" + (" dashed" if series.dashed else "")
    return join(tag("path", d=" ".join(path), class_=style) if series.joined else None, dots)


def _legend(drawn: list[Drawn]) -> Markup:
    """Draw a line sample and a name for each series, above the plot."""
    parts, left = [], float(LEFT)
    for number, series, _ in drawn:
        style = f"line s{number}" + (" dashed" if series.dashed else "")
        if series.joined:
            parts.append(tag("path", d=f"M{left:.1f} 14h18", class_=style))
        else:
            parts.append(tag("circle", cx=left + 14, cy=14, r=3, class_=f"dot s{number}"))
        parts.append(tag("text", series.name, x=left + 24, y=18, class_="legend"))
        left += 24 + 6.6 * len(series.name) + 18
    return join(parts)
