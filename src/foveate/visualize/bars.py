"""SVG charts of per-class scores: a strip of dots, bars, and pairs of region and boundary scores.

A score is 0..1, or None for a class without one (absent from truth and prediction).
"""

from __future__ import annotations

from collections.abc import Sequence

from foveate.records import ClassTable
from foveate.visualize.markup import Markup, join, tag

STRIP_WIDTH, STRIP_HEIGHT = 340, 92
MARGIN = 12.0  # of the strip's axis to either side
DOT, MOST_STACKED = 9.0, 3  # distance at which dots would overlap; dots above each other at a place
BAR_WIDTH = 100  # SVG units; bars stretch with the page, so that one unit is one per cent of their width


def rgb_text(color: tuple[int, int, int]) -> str:
    """Format a colour for CSS: (31, 95, 168) -> '#1f5fa8'."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def swatch(color: tuple[int, int, int]) -> Markup:
    """Draw a small square in a class's colour."""
    square = tag("rect", x=0.5, y=0.5, width=13, height=13, rx=3, fill=rgb_text(color))
    return tag("svg", square, viewbox="0 0 14 14", class_="swatch", aria_hidden="true")


def score_text(score: float | None, digits: int = 3) -> Markup:
    """Format a score with `digits` decimals and its exact value as a machine-readable attribute; a dash for None."""
    if score is None:
        return tag("span", "–", class_="none", title="not defined: the class occurs in neither truth nor prediction")
    return tag("data", f"{score:.{digits}f}", value=repr(float(score)))


def ranked(scores: dict[str, float | None]) -> list[tuple[str, float | None]]:
    """Sort classes by score, best first; classes without a score come last, in their original order."""
    return sorted(scores.items(), key=lambda pair: -1.0 if pair[1] is None else pair[1], reverse=True)


def score_strip(scores: dict[str, float | None], mean: float | None, classes: ClassTable, kind: str = "IoU") -> Markup:
    """Draw each class as a dot on an axis from 0 to 1, and the mean as a vertical line.

    kind: name of the score. Returns an empty text if no class has a score.
    """
    known = [(name, score) for name, score in ranked(scores) if score is not None]
    if not known:
        return Markup("")
    colors = dict(zip(classes.names, classes.colors, strict=True))
    left, span, middle, x = MARGIN, STRIP_WIDTH - 2 * MARGIN, 50.0, _place
    axis = [tag("line", x1=left, x2=left + span, y1=middle, y2=middle, class_="axis")]
    for i in range(5):
        axis.append(tag("line", x1=x(i / 4), x2=x(i / 4), y1=middle, y2=middle + 5, class_="axis"))
        axis.append(tag("text", f"{i / 4:g}", x=x(i / 4), y=middle + 20, class_="tick middle"))
    offsets = _stacked([x(score) for _, score in known])
    dots = [
        tag("circle", tag("title", f"{name}: {score:.3f}"), cx=x(score), cy=middle - 9 - offset, r=5,
            fill=rgb_text(colors[name]), class_="bead")
        for (name, score), offset in zip(known, offsets, strict=True)
    ]  # fmt: skip
    mean_line: list[Markup] = []
    if mean is not None:
        mean_line.append(tag("line", x1=x(mean), x2=x(mean), y1=20, y2=middle + 5, class_="mean"))
        mean_line.append(tag("text", f"mean {mean:.3f}", x=_clamped(x(mean), 36), y=13, class_="note middle strong"))
    label = f"{kind} of {len(known)} classes, from {known[-1][0]} {known[-1][1]:.3f} to {known[0][0]} {known[0][1]:.3f}"
    box = f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT - 16}"
    return tag("svg", axis, mean_line, dots, viewbox=box, role="img", aria_label=label, class_="chart strip")


def _place(score: float) -> float:
    """The x of a score on the strip."""
    return MARGIN + (STRIP_WIDTH - 2 * MARGIN) * min(max(score, 0.0), 1.0)


def hides(scores: dict[str, float | None]) -> bool:
    """True if the strip of these scores has more dots at a place than it stacks."""
    places = sorted(_place(score) for score in scores.values() if score is not None)
    return any(last - first < DOT for first, last in zip(places, places[MOST_STACKED:], strict=False))


def _stacked(positions: Sequence[float]) -> list[float]:
    """Return vertical offsets that stack dots at nearly the same position, at most MOST_STACKED high."""
    offsets: list[float] = []
    for i, position in enumerate(positions):
        level = sum(1 for other in positions[max(0, i - MOST_STACKED + 1) : i] if abs(other - position) < DOT)
        offsets.append(DOT * level)
    return offsets


def _clamped(position: float, half: float) -> float:
    return min(max(position, half), STRIP_WIDTH - half)


def class_bars(
    scores: dict[str, float | None],
    accuracies: dict[str, float | None],
    shares: dict[str, float],
    classes: ClassTable,
    kind: str = "IoU",
    unit: str = "pixel",
) -> Markup:
    """Build a table of classes, best first: a bar of the score, the score, the class's accuracy and its share.

    accuracies: share of each class's pixels that are labelled correctly; the column is left out if it equals `scores`.
    shares: each class's share of all pixels.
    kind: name of the score.
    unit: name of the counted items, such as pixel or image.
    """
    redundant = accuracies == scores
    colors = dict(zip(classes.names, classes.colors, strict=True))
    head = tag("tr", [
        tag("th", "Class", scope="col"), tag("th", kind[0].upper() + kind[1:], scope="col", colspan=2),
        None if redundant else tag("th", "Found", scope="col", class_="number"),
        tag("th", f"{unit.capitalize()}s", scope="col", class_="number"),
    ])  # fmt: skip
    rows = [
        tag("tr", _class_cell(name, colors[name]), tag("td", _bar(score), class_="wide"),
            tag("td", score_text(score), class_="number strong"),
            None if redundant else tag("td", _share_text(accuracies.get(name)), class_="number"),
            tag("td", _share_text(shares.get(name)), class_="number"))
        for name, score in ranked(scores)
    ]  # fmt: skip
    return tag("table", tag("thead", head), tag("tbody", rows), class_="bars")


def boundary_pairs(
    regions: dict[str, float | None], boundaries: dict[str, float | None], classes: ClassTable
) -> Markup:
    """Build a table of region IoU and boundary IoU, best region IoU first: two dots on one axis, and both numbers."""
    colors = dict(zip(classes.names, classes.colors, strict=True))
    head = tag("tr", [
        tag("th", "Class", scope="col"), tag("th", "IoU, 0 to 1", scope="col"),
        tag("th", "Area", scope="col", class_="number"), tag("th", "Boundary", scope="col", class_="number"),
    ])  # fmt: skip
    rows = [
        tag("tr", _class_cell(name, colors[name]), tag("td", _pair(region, boundaries.get(name)), class_="wide"),
            tag("td", score_text(region), class_="number"),
            tag("td", score_text(boundaries.get(name)), class_="number strong"))
        for name, region in ranked(regions)
    ]  # fmt: skip
    return tag("table", tag("thead", head), tag("tbody", rows), class_="bars")


def class_label(name: str, color: tuple[int, int, int]) -> Markup:
    """Build a label of a swatch and a name that stay on one line; a long name may wrap."""
    return tag("span", swatch(color), tag("span", name, class_="long" if len(name) > 16 else None), class_="label")


def _class_cell(name: str, color: tuple[int, int, int]) -> Markup:
    return tag("th", class_label(name, color), scope="row", class_="class")


def _share_text(share: float | None) -> Markup:
    """Format a share in per cent, with two digits: 97 %, 9.2 %, 0.6 %."""
    if share is None:
        return tag("span", "–", class_="none")
    per_cent = share * 100
    text = "<0.1" if 0 < per_cent < 0.05 else f"{per_cent:.0f}" if per_cent >= 9.95 else f"{per_cent:.1f}"
    return join(text, tag("span", " %", class_="unit"))


def _bar(score: float | None) -> Markup:
    """Draw a bar on its track; an absent class gets a note instead."""
    if score is None:
        return tag("span", "not in these pictures", class_="none")
    track = tag("rect", x=0, y=0, width=BAR_WIDTH, height=10, class_="track")
    fill = tag("rect", x=0, y=0, width=BAR_WIDTH * score, height=10, class_="fill")
    box = f"0 0 {BAR_WIDTH} 10"
    return tag("svg", track, fill, viewbox=box, preserveaspectratio="none", class_="bar", aria_hidden="true")


def _pair(region: float | None, boundary: float | None) -> Markup:
    """Draw two dots joined by a line. Positions are percentages, so that dots stay round when the cell stretches."""
    if region is None and boundary is None:
        return tag("span", "not in these pictures", class_="none")

    def position(score: float) -> str:
        return f"{3 + 94 * score:.2f}%"  # the margin keeps dots at either end from being clipped

    parts = [tag("line", x1="3%", x2="97%", y1="50%", y2="50%", class_="rail")]
    if region is not None and boundary is not None:
        parts.append(tag("line", x1=position(region), x2=position(boundary), y1="50%", y2="50%", class_="gap"))
    if region is not None:
        parts.append(tag("circle", cx=position(region), cy="50%", r=6, class_="dot s1"))
    if boundary is not None:
        parts.append(tag("circle", cx=position(boundary), cy="50%", r=4, class_="dot s2"))
    return tag("svg", parts, class_="pair", aria_hidden="true")
