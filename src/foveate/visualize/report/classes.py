"""Sections of a family with classes: scores by class and the confusion matrix.

Scores are those of `to_json`: 'per_class' maps class names to scores, None for a class without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foveate.errors import DataError, counted
from foveate.records import ClassTable
from foveate.visualize.bars import class_bars, hides, ranked, score_strip
from foveate.visualize.confusion import MATRIX_LIMIT, confusion_list, matrix_table, row_shares
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.report.parts import card, scroll_box, section
from foveate.visualize.report.record import ReportText, Section, number


def class_section(
    scores: Mapping[str, Any], classes: ClassTable | None, confusion: np.ndarray, text: ReportText
) -> Section | None:
    """A bar for each class; None for a family without classes.

    confusion: (K, K), rows the truth. Raises DataError if the scores or the matrix are those of other classes.
    """
    if classes is None:
        return None
    counts = _checked(scores, classes, confusion)
    totals = counts.sum(axis=1)
    everything = max(int(totals.sum()), 1)
    recall = np.diagonal(row_shares(counts))
    accuracies = {name: float(recall[i]) if totals[i] else None for i, name in enumerate(classes.names)}
    shares = {name: float(totals[i]) / everything for i, name in enumerate(classes.names)}
    table = class_bars(by_class(scores, "per_class", classes), accuracies, shares, classes, text.class_score, text.unit)
    box = scroll_box("Scores by class", table, "card scroll")
    return section("classes", "Classes", "Scores by class", text.classes, box)


def confusion_section(
    scores: Mapping[str, Any], classes: ClassTable | None, confusion: np.ndarray, text: ReportText
) -> Section | None:
    """The confusion matrix, up to a readable number of classes, and the most frequent mistakes.

    None for a family without classes. Raises DataError if the scores or the matrix are those of other classes.
    """
    if classes is None:
        return None
    counts = _checked(scores, classes, confusion)
    name, label, title = "confusion", "Mistakes", "Confusion between classes"
    if len(classes) > MATRIX_LIMIT:
        lead = f"A matrix of {len(classes)} classes is too large to read; these mistakes cover the most {text.unit}s."
        return section(name, label, title, lead, card(confusion_list(counts, classes, 20, text.unit)))
    matrix = scroll_box("Confusion matrix", matrix_table(counts, classes), "card scroll")
    listed = card(tag("h3", "The most frequent mistakes"), confusion_list(counts, classes, 7, text.unit))
    return section(name, label, title, text.confusion, tag("div", matrix, listed, class_="duo"))


def class_strip(scores: Mapping[str, Any], classes: ClassTable, text: ReportText) -> Markup:
    """All classes as dots on one line, for the place under the large score; nothing if no class has a score."""
    of_classes = by_class(scores, "per_class", classes)
    strip = score_strip(of_classes, number(scores.get(text.score[0])), classes, text.class_score)
    told = "Each dot is one class" + ("; where more share a place, some are hidden." if hides(of_classes) else ".")
    return join(strip, tag("p", told, class_="faint")) if strip else Markup("")


def class_summary(scores: Mapping[str, Any], classes: ClassTable, text: ReportText) -> Markup:
    """A sentence that names the classes with the highest and the lowest score; nothing if fewer than two have one."""
    known = [(name, score) for name, score in ranked(by_class(scores, "per_class", classes)) if score is not None]
    if len(known) < 2:
        return Markup("")
    (_, high), (_, low) = known[0], known[-1]
    strong, weak = ([name for name, score in known if f"{score:.2f}" == f"{end:.2f}"] for end in (high, low))
    if strong == weak:
        return join(f"All {len(known)} classes have the {text.class_score} {high:.2f}.")
    first = join("It is strongest at ", _first_of(strong), f" ({text.class_score} {high:.2f})")
    return join(first, " and weakest at ", _first_of(weak), f" ({low:.2f}).")


def _first_of(names: Sequence[str]) -> Markup:
    """The first of some names, and how many others there are."""
    others = f" and {counted(len(names) - 1, 'other class', 'other classes')}" if len(names) > 1 else ""
    return join(tag("b", names[0]), others)


def class_row(classes: ClassTable) -> tuple[str, str]:
    """The row that names all classes, for the table of model and data."""
    return "Classes", f"{len(classes)}: {', '.join(classes.names)}"


def by_class(scores: Mapping[str, Any], key: str, classes: ClassTable) -> dict[str, float | None]:
    """Class name -> score, for every class of the table in its order."""
    given = scores.get(key) or {}
    return {name: number(given.get(name)) for name in classes.names}


def _checked(scores: Mapping[str, Any], classes: ClassTable, confusion: np.ndarray) -> np.ndarray:
    """The confusion matrix as an array. Raises DataError if it, or the scores, do not fit the class table."""
    counts, count = np.asarray(confusion), len(classes)
    if counts.shape != (count, count):
        raise DataError(
            f"a confusion matrix of shape {counts.shape} does not fit {count} classes; "
            f"give one of shape {(count, count)}"
        )
    unknown = [name for name in scores.get("per_class") or {} if name not in classes.names]
    if unknown:
        raise DataError(f"a score of '{unknown[0]}', which is not in the class table; give the run's own table")
    return counts
