"""Tables and the page of a comparison, of runs that are made up."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foveate.engine.compare import Compared, table_rows, table_text
from foveate.engine.comparison import write_comparison
from foveate.errors import ConfigError
from foveate.records import ClassTable

NAMES = ("cat", "difference")  # a class may be called as a column is


def compared(
    name: str,
    scores: dict[str, Any],
    *,
    monitor: str = "top1",
    greater: bool = True,
) -> Compared:
    task = SimpleNamespace(
        title="image classification", monitor=monitor, headline=tuple(k for k in scores if not k.endswith("per_class")),
        greater_is_better=greater, own_score="", noun=lambda count: "picture" if count == 1 else "pictures",
        tables={"classes": ClassTable(NAMES)}, inputs=(), preprocessing=None,
        answer=lambda model, samples, options: [None], draw_frame=lambda prediction, sample: None,
    )  # fmt: skip
    evaluation: Any = SimpleNamespace(
        task=task, samples=[(0, scores[monitor])], split="val", source="Class folders", options=None,
        dataset=[{"name": "a.png"}], loaded=SimpleNamespace(model=None, name="model"),
    )  # fmt: skip
    return Compared(name, "recipe", 1.0, [{"epoch": 1, monitor: scores[monitor]}], evaluation, scores)


def bold(page: str) -> list[str]:
    return re.findall(r'<td class="best">([^<]*)</td>', page)


def test_only_the_score_that_ranks_epochs_has_a_best(tmp_path: Path) -> None:
    """A larger error is no better one, and nobody says of other scores which way they go."""
    scores = {"first": (0.9, 10.0), "second": (0.8, 20.0)}
    runs = [compared(name, {"top1": top1, "error_percent": error}) for name, (top1, error) in scores.items()]
    assert bold(write_comparison(runs, tmp_path / "page.html").read_text(encoding="utf-8")) == ["0.900"]
    runs = [compared(n, {"wer": v}, monitor="wer", greater=False) for n, v in (("first", 0.25), ("second", 0.5))]
    page = write_comparison(runs, tmp_path / "page.html").read_text(encoding="utf-8")
    assert bold(page) == ["0.250"]
    assert "Lower WER is better." in page


def test_scores_by_class_are_columns_if_asked_for() -> None:
    classes = {"cat": 0.25, "difference": None}
    runs = [compared(name, {"top1": 0.5, "per_class": classes}) for name in ("first", "second")]
    assert "class cat" not in table_rows(runs)[0]
    (row, _) = table_rows(runs, classes=True)
    assert row["class cat"] == 0.25 and row["difference"] is None and row["class difference"] is None
    markdown = table_text(table_rows(runs, classes=True), "markdown")
    assert markdown.splitlines()[0] == "| run | recipe | top-1 | minutes | cat |"  # the others have no value
    assert table_text(table_rows(runs, classes=True), "csv").splitlines()[0] == (
        "run,recipe,top1,interval_low,interval_high,difference,difference_interval_low,difference_interval_high,"
        "minutes,class cat,class difference"
    )
    with pytest.raises(ConfigError, match="image classification has no scores by class; leave --classes out"):
        table_rows([compared("first", {"top1": 0.5})], classes=True)
