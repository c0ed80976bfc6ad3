"""Cross-validation: a training for each fold of a small set, the mean of their scores, and one page of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.disk import write_atomically
from foveate.engine.comparison import STYLE
from foveate.engine.processes import is_first
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.several import Each, Trained, monitor_of, score_cell, spread, spread_line, train_each
from foveate.errors import ConfigError, counted
from foveate.metrics import score_name
from foveate.registry import find
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import chart_figure, scroll_box, section

DRAWN = 8  # folds whose learning curves are drawn: as many as lines have colours


@dataclass(frozen=True)
class FoldScores:
    """The runs of all folds. sizes: number of validation samples of each."""

    folder: Path
    recipe: Recipe
    monitor: str
    trained: list[Trained]
    sizes: list[int]

    @property
    def scores(self) -> list[float]:
        """The score of each fold."""
        return [one.score for one in self.trained]

    def lines(self) -> Iterator[str]:
        """A line a fold, and the mean with the range."""
        for number, (one, size) in enumerate(zip(self.trained, self.sizes, strict=True), 1):
            yield f"  fold {number:<4}{self.monitor} {score_cell(one.score)}  on {size}"
        yield spread_line(self.monitor, self.scores, "folds")

    def to_json(self) -> dict[str, Any]:
        """Plain values for folds.json."""
        return {
            "monitor": self.monitor,
            "folds": [one.to_json() | {"samples": n} for one, n in zip(self.trained, self.sizes, strict=True)],
            **spread(self.scores),
        }


def train_folds(
    recipe: Recipe,
    count: int,
    out: str | Path | None = None,
    init: str | Path | None = None,
    seconds: float | None = None,
    each: Each | None = None,
) -> FoldScores:
    """Train a recipe on each of `count` folds of its data, and write folds.json and folds.html.

    Every sample of train and val is validated on once. A run that is there already is not trained again. out: by
    default runs/<recipe>-folds. seconds: of each run. each: called with every finished run folder.
    Raises ConfigError for data that is not read from files, and a FoveateError.
    """
    if count < 2:
        raise ConfigError(f"--folds is {count}; give 2 or more")
    path = getattr(recipe.data, "path", None)
    if path is None:
        raise ConfigError("--folds divides a labelled folder; give one with --data PATH")
    folds = find("dataset", "folds").load()
    if isinstance(recipe.data, folds):
        raise ConfigError(f"{path} is divided into folds already; start from the folder itself")
    folder = Path(out) if out is not None else Path("runs") / f"{recipe.name}-folds"
    sources = [folds(path, count, k, getattr(recipe.data, "seed", 0), recipe.task) for k in range(count)]
    recipes = {f"fold{k + 1}": dataclasses.replace(recipe, data=source) for k, source in enumerate(sources)}
    sizes = [len(source.open("val", recipe.task)) for source in sources]  # complains before any training
    trained = train_each(recipes, folder, "fold", init, seconds, each)
    found = FoldScores(folder, recipe, monitor_of(recipe)[0], trained, sizes)
    if is_first():
        write_atomically(folder / "folds.json", json.dumps(found.to_json(), indent=2) + "\n")
        write_page(_page(found), folder / "folds.html")
    return found


def _page(found: FoldScores) -> str:
    """Mean and range, a row a fold with its report, and the learning curves."""
    values, monitor = found.to_json(), score_name(found.monitor)
    title = f"{counted(len(found.trained), 'fold')} of {found.recipe.name}"
    summary = f"{monitor} is not defined in every fold, so that there is no mean. "
    if values["mean"] is not None:
        summary = (
            f"{monitor} is {values['mean']:.3f} on average, from {values['lowest']:.3f} to {values['highest']:.3f}, "
            f"standard deviation {values['standard_deviation']:.3f}. "
        )
    summary += "Each sample was validated on once, by a model that had not seen it."
    head = tag(
        "header",
        tag("p", "Cross-validation", class_="eyebrow"),
        tag("h1", title),
        tag("p", summary[0].upper() + summary[1:], class_="summary"),
    )
    rows = [
        tag("tr", tag("th", _link(found, one), scope="row"), tag("td", score_cell(one.score, 3)), tag("td", str(size)))
        for one, size in zip(found.trained, found.sizes, strict=True)
    ]
    names = ("fold", monitor, "samples")
    columns = tag("tr", [tag("th", name, scope="col") for name in names])
    table = tag("table", tag("thead", columns), tag("tbody", rows), class_="compared")
    parts = [section("folds", "Folds", "Folds", "Each fold's own report is beside this page.",
                     scroll_box("Folds", table, "card scroll")).content]  # fmt: skip
    series = [
        Series(one.name, [(row["epoch"], row.get(found.monitor)) for row in RunFolder(one.path).history()])
        for one in found.trained[:DRAWN]
    ]
    drawn = chart_figure(monitor, line_chart(f"{monitor} by epoch", series, x_name="epoch"), "")
    if drawn:
        lead = "By epoch, on each fold's own samples." + (f" The first {DRAWN} folds." * (len(found.trained) > DRAWN))
        parts.append(
            section("curves", "Learning curves", "Learning curves", lead, tag("div", drawn, class_="charts")).content
        )
    return document(f"{title} – Foveate", stylesheet("report") + STYLE, head, parts)


def _link(found: FoldScores, one: Trained) -> Markup | str:
    report = one.path / "report.html"
    return tag("a", one.name, href=f"{one.name}/report.html") if report.is_file() else one.name
