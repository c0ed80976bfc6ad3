from __future__ import annotations

import re

import numpy as np

from foveate.records import ClassTable
from foveate.visualize.bars import boundary_pairs, class_bars, hides, ranked, score_strip, score_text
from foveate.visualize.confusion import confusion_list, matrix_table, row_shares, top_confusions

CLASSES = ClassTable(("sky", "cow", "none"))
COUNTS = np.array([[90, 10, 0], [30, 10, 0], [0, 0, 0]])


def test_rows_are_shares_of_the_truth() -> None:
    np.testing.assert_allclose(row_shares(COUNTS), [[0.9, 0.1, 0], [0.75, 0.25, 0], [0, 0, 0]])


def test_the_most_costly_mistakes_come_first() -> None:
    first, second = top_confusions(COUNTS)
    assert (first.truth, first.predicted, first.pixels, first.share) == (1, 0, 30, 0.75)
    assert (second.truth, second.predicted, second.pixels, second.share) == (0, 1, 10, 0.1)
    assert len(top_confusions(COUNTS, limit=1)) == 1
    assert COUNTS[0, 0] == 90  # untouched
    assert "Not one pixel" in confusion_list(np.diag([3, 4, 0]), CLASSES)


def test_the_matrix_shows_per_cent_and_says_what_is_absent() -> None:
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", matrix_table(COUNTS, CLASSES))
    assert cells == ["90", "10", "·", "75", "25", "·", "–", "–", "–"]
    table = matrix_table(COUNTS, CLASSES)
    assert table.count('class="hit') == 2 and table.count('class="miss') == 4


def test_classes_are_ranked_and_the_absent_come_last() -> None:
    scores = {"sky": 0.2, "none": None, "cow": 0.9}
    assert [name for name, _ in ranked(scores)] == ["cow", "sky", "none"]
    bars = class_bars(scores, {"sky": 0.5, "cow": 0.955}, {"sky": 0.0001, "cow": 0.0934}, CLASSES)
    assert [float(w) for w in re.findall(r'width="([\d.]+)" height="10" class="fill"', bars)] == [90.0, 20.0]
    assert "not in these pictures" in bars
    assert re.findall(r'>(<?[\d.&lt;]+)<span class="unit">', bars) == ["96", "9.3", "50", "&lt;0.1"]


def test_scores_carry_their_exact_value() -> None:
    assert score_text(0.123456789) == '<data value="0.123456789">0.123</data>'
    assert "not defined" in score_text(None)


def test_the_strip_and_the_pairs_place_their_dots() -> None:
    strip = score_strip({"sky": 0.0, "cow": 1.0, "none": None}, 0.5, CLASSES)
    assert [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', strip)] == [328.0, 12.0]
    assert score_strip({"none": None}, None, CLASSES) == ""
    assert not hides({"a": 0.0, "b": 0.0, "c": 0.0, "none": None, "d": 0.5})
    assert hides({"a": 0.0, "b": 0.5, "c": 0.0, "d": 0.02, "e": 0.0})  # four within the width of a dot
    pairs = boundary_pairs({"sky": 1.0, "cow": 0.5, "none": None}, {"sky": 0.0}, CLASSES)
    assert re.findall(r'<circle cx="([\d.]+)%"', pairs) == ["97.00", "3.00", "50.00"]
