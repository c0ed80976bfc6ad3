"""Several trainings one after the other, each into a folder of its own: of several seeds, folds, or fields."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.engine.processes import from_first, is_connected, is_first
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder, environment
from foveate.engine.train import as_started, train_recipe
from foveate.errors import ConfigError, ModelError, TrainingError
from foveate.metrics.plain import number_or_none
from foveate.tasks import find_task

Each = Callable[[Path], None]


@dataclass(frozen=True)
class Trained:
    """One of the trainings. score: of its kept epoch, nan for one that cannot be ranked. error: the reason why it has
    none. seed, commit: those of the run, '' where the commit is not known."""

    name: str
    path: Path
    score: float = float("nan")
    seed: int = 0
    commit: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = {"run": str(self.path), "seed": self.seed, "commit": self.commit or None}
        return values | ({"error": self.error} if self.error else {"score": number_or_none(self.score)})


def train_each(
    recipes: Mapping[str, Recipe],
    folder: Path,
    what: str,
    init: str | Path | None = None,
    seconds: float | None = None,
    each: Each | None = None,
    go_on: bool = False,
) -> list[Trained]:
    """Train recipes, each into the folder of its name below `folder`; returns them in their order.

    A run that is there already is not trained again, and one that was stopped goes on. what: the word for one of them,
    as in 'seed 3: runs/...'. seconds: of each. each: called with every finished run folder. go_on: a training that
    fails by itself (TrainingError) is noted, and the others go on; of several processes, all of which but the first
    have left then, none does. Raises a FoveateError.
    """
    if (folder / "recipe.json").exists():
        raise ConfigError(f"{folder} is a run; choose another folder for several with --out")
    found = []
    for name, recipe in recipes.items():
        run = RunFolder(folder / name)
        if is_first():
            print(f"{what} {name.removeprefix(what)}: {run.path}", flush=True)
        try:
            _train(recipe, run, init, seconds)
        except TrainingError as error:
            if not go_on or is_connected():
                raise
            found.append(Trained(name, run.path, seed=recipe.seed, error=" ".join(str(error).split())))
            print(f"note: {name}: {found[-1].error}", flush=True)
            continue
        if each is not None:
            each(run.path)
        score, commit = from_first(functools.partial(_outcome, run))
        found.append(Trained(name, run.path, score, recipe.seed, commit))
    if is_first() and (stale := stale_note(found)):
        print(f"note: {stale}", flush=True)
    return found


def _train(recipe: Recipe, run: RunFolder, init: str | Path | None, seconds: float | None) -> None:
    """Train a run, or go on with one that was stopped."""
    started = from_first(lambda: run.is_trained)
    if started and not from_first(run.checkpoint.is_file):  # it was deleted, to save space
        from_first(lambda: _require_finished(recipe, run, seconds))
    else:
        train_recipe(recipe, out=run.path, resume=started, init=init, seconds=seconds)


def _require_finished(recipe: Recipe, run: RunFolder, seconds: float | None) -> None:
    """Raise ConfigError for a run without a checkpoint that is not the recipe's, or was stopped."""
    as_started(recipe, run, seconds)
    if not run.is_done:
        raise ConfigError(
            f"{run.path} was stopped, and has no checkpoints/last.ckpt any more to go on from; remove the folder to "
            "train it again"
        )


def _outcome(run: RunFolder) -> tuple[float, str]:
    return kept_score(run), commit_of(run)


def kept_score(run: RunFolder) -> float:
    """The monitored score of the epoch that was kept."""
    best = run.read_json(run.progress.name)["best"]
    return float("nan") if best is None or best["value"] is None else float(best["value"])


def commit_of(run: RunFolder) -> str:
    """The commit that a run was trained at; '' where it is not known."""
    return str(run.read_json("environment.json").get("commit") or "")


def list_runs(folder: str | Path) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each run in a folder or one folder deeper, by name, and a note on each that cannot be read.

    The score is that of the kept epoch, as the training measured it on the samples that rank epochs; those of an
    overfitting check are its training samples.
    """
    rows: list[dict[str, Any]] = []
    notes = []
    for file in sorted({f for below in (".", "*", "*/*") for f in Path(folder).glob(f"{below}/recipe.json")}):
        run = RunFolder(file.parent)
        try:
            rows.append(_row(run))
        except (ModelError, KeyError, TypeError, AttributeError) as error:
            notes.append(f"{run.path} is left out: {error}")
    return rows, notes


def _row(run: RunFolder) -> dict[str, Any]:
    recipe, environment = run.read_json("recipe.json"), run.read_json("environment.json")
    # Runs of 0.1.0 have no progress.json.
    best = run.read_json(run.progress.name)["best"] if run.progress.is_file() else None
    data = recipe.get("data") or {}
    changes = "" if environment.get("clean") is not False else " with changes"
    return {
        "run": str(run.path),
        "recipe": recipe["name"],
        "model": recipe["model"],
        "data": Path(data["path"]).name if data.get("path") else data.get("dataset"),
        "seed": str(recipe["seed"]),
        "commit": f"{commit_of(run)[:7]}{changes}" if commit_of(run) else None,
        "epochs": f"{len(run.history())} of {recipe['epochs']}",
        "kept": str(best["epoch"]) if best else None,
        "scored on": f"its {recipe['overfit']} training samples" if recipe.get("overfit") else "validation",
        "score": best["score"] if best else None,
        "value": best["value"] if best else None,
    }


def stale_note(trained: Sequence[Trained]) -> str:
    """A sentence on runs of other commits than today's; '' for none. Scores of different code are not compared."""
    commits = {one.commit for one in trained if not one.error}
    now = environment()["commit"] or ""
    if len(commits | {now}) < 2 or not commits:
        return ""
    names = ", ".join(one.name for one in trained if one.commit != now and not one.error)
    return f"{names} of another commit than this one ({now[:7] or 'unknown'}); remove these folders to train them again"


def spread(scores: Iterable[float]) -> dict[str, float | None]:
    """Mean, standard deviation (n - 1), lowest and highest; all None where a score is not a number."""
    values = list(scores)
    if not all(map(math.isfinite, values)):
        return dict.fromkeys(("mean", "standard_deviation", "lowest", "highest"))
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": statistics.fmean(values), "standard_deviation": deviation, "lowest": min(values), "highest": max(values)
    }  # fmt: skip


def spread_line(monitor: str, scores: Iterable[float], what: str) -> str:
    """Mean, range and standard deviation of two scores or more in one line; what: 'seeds', 'folds'."""
    values = list(scores)
    found = spread(values)
    if found["mean"] is None:
        without = sum(not math.isfinite(value) for value in values)
        return f"{monitor} over {len(values)} {what}: not defined in {without} of them, so that they have no mean"
    return (
        f"{monitor} over {len(values)} {what}: mean {found['mean']:.4f}, from {found['lowest']:.4f} to "
        f"{found['highest']:.4f}, standard deviation {found['standard_deviation']:.4f}"
    )


def score_cell(score: float, digits: int = 4) -> str:
    """A score in a line of a table, or that it is not defined."""
    return f"{score:.{digits}f}" if math.isfinite(score) else "not defined"


def monitor_of(recipe: Recipe) -> tuple[str, bool]:
    """The score that ranks epochs, and True if larger is better."""
    family = find_task(recipe.task)
    return family.monitor, family.greater_is_better
