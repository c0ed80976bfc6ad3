"""The page of a comparison: one HTML file with scores, learning curves, classes, and images side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.engine.compare import Compared, cell_text, class_scores, column_name, table_rows
from foveate.errors import ConfigError, counted
from foveate.metrics import score_name
from foveate.records import ClassTable
from foveate.visualize.bars import swatch
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.document import data_uri, document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import card, chart_figure, key, scroll_box, section

NUM_IMAGES = 6  # on which the runs differ most
MOST_KEYS = 40  # classes whose colours are shown without being asked for
MOST = 8  # runs on a page: as many as lines have colours
STYLE = """
.many { display: grid; gap: 0.75rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.many { margin-top: 0.75rem; }
.many figure { max-width: 32rem; }
.many img { display: block; width: 100%; height: auto; border-radius: 8px; }
.many figcaption { display: flex; justify-content: space-between; gap: 1rem; margin-top: 0.3rem; }
.compared { min-width: 100%; }
.compared td, .compared th { padding: 0.45rem 0.7rem; border-top: 1px solid var(--rule); text-align: right; }
.compared thead th { border-top: 0; color: var(--faint); font-size: 0.8125rem; vertical-align: bottom; }
.compared th, .compared td { overflow-wrap: normal; }
.compared th:first-child, .compared .text { min-width: 7rem; text-align: left; overflow-wrap: anywhere; }
.compared .text { min-width: 11rem; }
@media (max-width: 30rem) {
  .compared th:first-child, .compared .text { min-width: 5rem; }
  .compared td, .compared th { padding: 0.45rem; }
}
.keys, section > details { margin-bottom: 1rem; }
.keys.inside { padding: 0 1.1rem; }
.compared tr > :first-child { padding-left: 0; } .compared tr > :last-child { padding-right: 0; }
.compared td:not(.text) { white-space: nowrap; }
.compared .best { font-weight: 650; }
section > .card + .card { margin-top: 1rem; }
.line.s4 { stroke: #8a4fbd; } .line.s5 { stroke: #c23a5a; } .line.s6 { stroke: #11828a; }
.line.s7 { stroke: #8a6d1c; } .line.s8 { stroke: #6b7686; }
.dot.s4 { fill: #8a4fbd; } .dot.s5 { fill: #c23a5a; } .dot.s6 { fill: #11828a; }
.dot.s7 { fill: #8a6d1c; } .dot.s8 { fill: #6b7686; }
"""


def write_comparison(runs: Sequence[Compared], path: str | Path) -> Path:
    """Write the page and return its path. Raises ConfigError for a single run or more than MOST, OutputError."""
    if len(runs) < 2:
        raise ConfigError("a page compares two runs or more: foveate compare RUN RUN --html FILE; RUN has report.html")
    if len(runs) > MOST:
        raise ConfigError(f"a page shows {MOST} runs at most, got {len(runs)}; leave --html out, or compare fewer")
    first = runs[0].evaluation
    samples = counted(len(first.samples), first.task.noun(1), first.task.noun(2))
    title = f"{counted(len(runs), 'run')} on {first.split}"
    head = tag(
        "header",
        tag("p", f"Comparison, {first.task.title}", class_="eyebrow"),
        tag("h1", title),
        tag("p", f"{first.source}. Each best model was scored on the same {samples}.", class_="summary"),
    )
    parts = [_scores(runs), _curves(runs), _classes(runs), _images(runs)]
    page = document(f"{title} – Foveate", stylesheet("report") + STYLE, head, [part for part in parts if part])
    return write_page(page, path)


def _scores(runs: Sequence[Compared]) -> Markup:
    rows, task = table_rows(runs), runs[0].evaluation.task
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    # Of the other scores it is not known whether more is better.
    known = [row[task.monitor] for row in rows if isinstance(row[task.monitor], float)]
    best = {task.monitor: max(known) if task.greater_is_better else min(known)} if known else {}
    body = [
        tag("tr", [
            tag("th", row["run"], scope="row") if name == "run"
            else tag("td", row[name], class_="text") if name == "recipe"
            else tag("td", cell_text(row[name]), class_="best" if name in best and row[name] == best[name] else None)
            for name in names
        ])
        for row in rows
    ]  # fmt: skip
    head = tag(
        "tr", [tag("th", column_name(name), scope="col", class_="text" if name == "recipe" else None) for name in names]
    )
    table = tag("table", tag("thead", head), tag("tbody", body), class_="compared")
    own, noun = score_name(task.own_score or task.monitor), task.noun(2)
    lead = (
        f"{'Higher' if task.greater_is_better else 'Lower'} {score_name(task.monitor)} is better. The difference is "
        f"the mean over {noun} of {own} minus that of {runs[0].name}, with its 95 % interval by paired bootstrap: one "
        "that contains 0 may be chance. It says nothing of other seeds."
    )
    return section("scores", "Scores", "Scores", lead, scroll_box("Scores", table, "card scroll")).content


def _curves(runs: Sequence[Compared]) -> Markup | None:
    monitor = runs[0].evaluation.task.monitor
    charts = []
    for score, title in (
        (monitor, score_name(monitor)),
        ("val_loss", "validation loss"),
        ("train_loss", "training loss"),
    ):
        series = [Series(run.name, [(row["epoch"], row.get(score)) for row in run.history]) for run in runs]
        words = {"train_loss": "Losses of different models need not be comparable."}.get(score, "")
        charts.append(chart_figure(title, line_chart(f"{title} by epoch", series, x_name="epoch"), words))
    drawn = [chart for chart in charts if chart]
    if not drawn:
        return None
    return section("curves", "Learning curves", "Learning curves", "By epoch, on the samples that rank epochs.",
                   tag("div", drawn, class_="charts")).content  # fmt: skip


def _classes(runs: Sequence[Compared]) -> Markup | None:
    per_class = [class_scores(run) for run in runs]
    if not per_class[0]:
        return None
    head = tag("tr", tag("th", "class", scope="col"), [tag("th", run.name, scope="col") for run in runs])
    rows = []
    for name in per_class[0]:
        values = [scores.get(name) for scores in per_class]
        known = {v for v in values if v is not None}
        top = max(known) if len(known) > 1 else None  # equal scores have no best
        cells = [tag("td", cell_text(v), class_="best" if v is not None and v == top else None) for v in values]
        rows.append(tag("tr", tag("th", name, scope="row"), cells))
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="compared")
    return section("classes", "Classes", "Scores by class", "The best of each class is bold.",
                   scroll_box("Scores by class", table, "card scroll")).content  # fmt: skip


def _images(runs: Sequence[Compared]) -> Markup | None:
    """The samples on which the runs differ most, predicted by each."""
    own = np.array([[score for _, score in run.evaluation.samples] for run in runs], np.float64)  # (runs, samples)
    known = np.asarray(np.isfinite(own).all(axis=0))
    spread = np.where(known, own.max(axis=0) - own.min(axis=0), -math.inf)
    order = [int(i) for i in np.argsort(-spread, kind="stable")[:NUM_IMAGES] if known[i]]
    figures = []
    for position in order:
        panels = [_panel(run, position, own[row, position]) for row, run in enumerate(runs)]
        if any(panel is None for panel in panels):
            return None  # a family without drawings
        name = runs[0].evaluation.dataset.name(runs[0].evaluation.samples[position][0])
        figures.append(card(tag("h3", name), tag("div", panels, class_="many")))
    if not figures:
        return None
    noun = runs[0].evaluation.task.noun(2)
    lead = f"The {noun} whose own scores differ most between the runs, largest difference first."
    legend = _legend(runs[0])
    return section("images", "Images", f"The same {noun} side by side", lead, legend, figures).content


def _legend(run: Compared) -> Markup | None:
    """The colours of the classes, where the family scores each and draws it in its colour."""
    classes = run.evaluation.task.tables.get("classes")
    if not isinstance(classes, ClassTable) or not class_scores(run):
        return None
    keys = [key(swatch(rgb), name) for name, rgb in zip(classes.names, classes.colors, strict=True)]
    if len(keys) <= MOST_KEYS:
        return tag("p", keys, class_="keys")
    return tag("details", tag("summary", f"Colours of the {len(keys)} classes"), tag("p", keys, class_="keys inside"))


def _panel(run: Compared, position: int, score: float) -> Markup | None:
    evaluation = run.evaluation
    sample = evaluation.dataset[evaluation.samples[position][0]]
    with torch.inference_mode():
        (prediction,) = evaluation.task.answer(evaluation.loaded.model, [sample], evaluation.options)
    drawn = evaluation.task.draw_frame(prediction, _as_opened(evaluation, sample))
    if drawn is None:
        return None
    image = tag("img", src=data_uri(np.asarray(drawn.convert("RGB"))), alt=f"prediction of {run.name}",
                width=drawn.width, height=drawn.height)  # fmt: skip
    return tag("figure", image, tag("figcaption", tag("span", run.name), tag("span", f"{score:.3f}", class_="number")))


def _as_opened(evaluation: Any, sample: Any) -> Any:
    """A sample of a data set with its inputs as the predictor opens them, for drawing."""
    task = evaluation.task
    opened = {
        one.name: one.open(sample[one.name], task.preprocessing, evaluation.loaded.name, sample["name"], None)
        for one in task.inputs
        if one.name in sample
    }
    return {**sample, **opened}
