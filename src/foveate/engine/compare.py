"""Comparison of runs on the same samples: scores, paired differences, and tables of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.engine.evaluate import evaluate_run
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError
from foveate.metrics import score_name
from foveate.metrics.bootstrap import paired_difference
from foveate.tasks.evaluation import Evaluation

PIPE = r"\|"  # a literal pipe in a cell of a Markdown table
# What TeX takes for commands -> how it prints it.
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
    | {mark: f"\\{mark}" for mark in "_%&#${}"}
)


@dataclass
class Compared:
    """One of the runs that are compared.

    name: of its folder. recipe: its name. minutes: of its training, None where they are not known. history: the rows of
    metrics.csv. difference: mean of its samples' own scores minus the first run's, and the 95 % interval; None for the
    first run, and where the samples have no scores.
    """

    name: str
    recipe: str
    minutes: float | None
    history: Sequence[Mapping[str, float]]
    evaluation: Evaluation
    scores: dict[str, Any]
    difference: tuple[float, float, float] | None = None


def compare_runs(paths: Sequence[str | Path], split: str | None = None) -> list[Compared]:
    """Score the best models of runs, one or several, on one split, and pair their samples with those of the first run.

    Raises ConfigError, with the reason, for runs whose scores cannot be compared: of different families, samples,
    labels or class tables, or predicted with different options.
    """
    runs = [RunFolder.existing(path) for path in paths]
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise ConfigError("a run is named twice; name each once")
    for run in runs[1:]:
        _require_comparable(runs[0], run)
    names = _names([run.path for run in runs])
    found = []
    for name, run in zip(names, runs, strict=True):
        evaluation = evaluate_run(run.path, split=split)
        history = run.history()
        minutes = sum(row["seconds"] for row in history) / 60 if history else None
        found.append(Compared(name, run.recipe().name, minutes, history, evaluation, evaluation.to_json()))
    first = found[0]
    for other in found[1:]:
        if other.evaluation.options.describe() != first.evaluation.options.describe():
            raise ConfigError(
                f"{first.name} predicts {first.evaluation.options.describe() or 'plainly'}, {other.name} "
                f"{other.evaluation.options.describe() or 'plainly'}; their scores differ by more than the models"
            )
        theirs, own = ([score for _, score in one.evaluation.samples] for one in (first, other))
        other.difference = paired_difference(theirs, own)
    return found


def _require_comparable(first: RunFolder, other: RunFolder) -> None:
    recipes = [run.recipe() for run in (first, other)]
    if recipes[0].task != recipes[1].task:
        raise ConfigError(
            f"{first.path} is for {recipes[0].task}, {other.path} for {recipes[1].task}; their scores are of "
            "different kinds"
        )
    tables = [run.tables() for run in (first, other)]
    if (name := next((n for n in tables[0] if tables[0][n] != tables[1].get(n)), None)) and name == "classes":
        raise ConfigError(f"{first.path} and {other.path} have different classes; compare runs on the same class table")
    data = [run.read_json("data.json") for run in (first, other)]
    lists = [set(one["val"]) for one in data]
    if data[0]["val"] != data[1]["val"]:
        changed = sorted(lists[0] ^ lists[1])
        what = f"first difference: {changed[0]}" if changed else "in another order"
        raise ConfigError(
            f"{first.path} and {other.path} rank their epochs on different samples ({len(lists[0])} and "
            f"{len(lists[1])}; {what}); a difference of their scores would be one of the data"
        )
    digests = [one.get("digests", {}).get("val", []) for one in data]
    if digests[0] != digests[1]:
        raise ConfigError(
            f"{first.path} and {other.path} were scored against different labels of the same samples; train the older "
            "one again"
        )


def _names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with those of their parents where two are equal."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def class_scores(run: Compared) -> dict[str, float | None]:
    """The score of each class by which its family ranks epochs; {} for a family without such scores."""
    found = (value for key, value in run.scores.items() if key.endswith("per_class") and isinstance(value, dict))
    return next(found, {})


def table_rows(runs: Sequence[Compared], classes: bool = False) -> list[dict[str, Any]]:
    """A row a run: its scores, its difference from the first of several runs, its training time; as numbers.

    classes: also the score of each class. Raises ConfigError for runs of a family without such scores.
    """
    task = runs[0].evaluation.task
    if classes and not class_scores(runs[0]):
        raise ConfigError(f"{task.title} has no scores by class; leave --classes out")
    rows = []
    for run in runs:
        row: dict[str, Any] = {"run": run.name, "recipe": run.recipe}
        bounds = run.scores.get("intervals", {}).get(task.monitor)
        for name in task.headline:
            row[name] = run.scores.get(name)
            if name == task.monitor:
                row["interval"] = list(bounds) if bounds else None
        if len(runs) > 1:
            row["difference"] = run.difference[0] if run.difference else None
            row["difference_interval"] = list(run.difference[1:]) if run.difference else None
        row["minutes"] = run.minutes
        if classes:  # a class may be called as a column is
            row |= {f"class {name}": score for name, score in class_scores(run).items()}
        rows.append(row)
    return rows


def table_text(rows: Sequence[Mapping[str, Any]], style: str, fields: Collection[str] = ()) -> str:
    """The rows as a table in Markdown, CSV or LaTeX (booktabs); CSV alone keeps columns without a value.

    fields: columns that are fields of a recipe, whose headings are their names as flags take them.
    """
    names = list(rows[0])
    if style == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        flat = [n for name in names for n in ([f"{name}_low", f"{name}_high"] if "interval" in name else [name])]
        writer.writerow(flat)
        for row in rows:
            writer.writerow([
                value for name in names
                for value in ((row[name] or [None, None]) if "interval" in name else [row[name]])
            ])  # fmt: skip
        return text.getvalue()
    names = [name for name in names if any(row[name] is not None for row in rows)]
    heads = [name if name in fields else column_name(name) for name in names]
    cells = [[cell_text(row[name]) for name in names] for row in rows]
    if style == "markdown":
        lines = [heads, ["---"] * len(names), *cells]
        return "".join(f"| {' | '.join(cell.replace('|', PIPE) for cell in line)} |\n" for line in lines)
    body = "".join(f"{' & '.join(map(_latex, line))} \\\\\n" for line in cells)
    columns = "ll" + "r" * (len(names) - 2)
    head = " & ".join(map(_latex, heads))
    return f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"


def column_name(name: str) -> str:
    """The heading of a column of `table_rows`."""
    if name.endswith("interval"):
        return "95 % interval"
    return name.removeprefix("class ") if name.startswith("class ") else score_name(name)


def cell_text(value: Any) -> str:
    """Return a value of a table as text: a score with three decimals, an interval, or a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return f"{value[0]:.3f} to {value[1]:.3f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _latex(text: str) -> str:
    return text.translate(LATEX)
