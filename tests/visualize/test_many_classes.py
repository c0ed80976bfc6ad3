"""Reports of a hundred classes and more."""

from __future__ import annotations

from foveate.tasks.reporting import absent_note
from foveate.visualize.report.sections import _folded


def test_a_hundred_classes_are_folded_in_a_report() -> None:
    names = ", ".join(f"class {k}" for k in range(100))
    folded = str(_folded(f"100: {names}"))
    assert folded.startswith('<details class="folded"><summary>100: class 0, class 1,') and names in folded
    assert len(folded.split("</summary>")[0]) < 450
    assert _folded("3: a, b, c") == "3: a, b, c"
    assert absent_note([f"c{k}" for k in range(14)])[0].endswith("c10, c11 and 2 more.")
    assert absent_note(["a", "b"]) == ["Not in these pictures, and left out of every mean: a, b."]
