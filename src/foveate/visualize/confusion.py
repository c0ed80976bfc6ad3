"""Charts of a confusion matrix: a heat map of row shares, and a list of the most frequent errors.

Counts are (K, K) integers in pixels, truth by row, prediction by column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foveate.records import ClassTable
from foveate.visualize.bars import class_label
from foveate.visualize.markup import Markup, tag

MATRIX_LIMIT = 30  # classes; a larger table is not readable
STEPS = 10  # shades of a cell


@dataclass(frozen=True)
class Confusion:
    """Number of pixels of class `truth` that are predicted as `predicted`, and their share of the pixels of `truth`."""

    truth: int
    predicted: int
    pixels: int
    share: float


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Divide counts (K, K) by their row sums; returns float64, 0 in rows without pixels."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape, np.float64), where=totals > 0)


def top_confusions(counts: np.ndarray, limit: int = 12) -> list[Confusion]:
    """Return the errors with the most pixels, in descending order, at most `limit`."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    shares = row_shares(counts)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:limit]
    pairs = (np.unravel_index(index, wrong.shape) for index in order)
    return [Confusion(int(t), int(p), int(wrong[t, p]), float(shares[t, p])) for t, p in pairs if wrong[t, p] > 0]


def matrix_table(counts: np.ndarray, classes: ClassTable) -> Markup:
    """Build a table with truth by row, prediction by column, and cells in per cent of the row, coloured by value."""
    shares = row_shares(counts)
    corner = tag("th", "Truth ↓ / labelled →", scope="col", class_="corner")
    heads = [tag("th", tag("span", name), scope="col", class_="turned") for name in classes.names]
    rows = []
    for i, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True)):
        present = counts[i].sum() > 0
        cells = [_cell(i == j, float(shares[i, j]) if present else None) for j in range(len(classes))]
        rows.append(tag("tr", tag("th", class_label(name, color), scope="row", class_="class"), cells))
    return tag("table", tag("thead", tag("tr", corner, heads)), tag("tbody", rows), class_="matrix")


def _cell(diagonal: bool, share: float | None) -> Markup:
    """Build a cell with a share in per cent: blue on the diagonal, orange elsewhere; a dot for less than 0.5 %."""
    if share is None:
        return tag("td", "–", class_="none")
    step = min(STEPS, round(share * STEPS)) if diagonal else min(STEPS, round((share * 2) ** 0.5 * STEPS))
    text = f"{share * 100:.0f}" if share >= 0.005 else "·"
    return tag("td", text, class_=f"{'hit' if diagonal else 'miss'} q{step}")


def confusion_list(counts: np.ndarray, classes: ClassTable, limit: int = 12, unit: str = "pixel") -> Markup:
    """Build a list of the most frequent errors, or a sentence saying that there are none."""
    worst = top_confusions(counts, limit)
    if not worst:
        return tag("p", f"Not one {unit} was labelled wrongly.", class_="lead")
    items = [tag("li", _mistake(item, classes), _count(item, unit)) for item in worst]
    return tag("ol", items, class_="mistakes")


def _mistake(mistake: Confusion, classes: ClassTable) -> Markup:
    """Describe one error in words."""
    share = f"{mistake.share * 100:.1f} %" if mistake.share >= 0.0005 else "<0.1 %"
    truth, predicted = (class_label(classes.names[i], classes.colors[i]) for i in (mistake.truth, mistake.predicted))
    return tag("span", tag("b", share), " of ", truth, " taken for ", predicted)


def _count(mistake: Confusion, unit: str) -> Markup:
    return tag("span", f"{mistake.pixels:,} {unit}{'' if mistake.pixels == 1 else 's'}", class_="faint")
