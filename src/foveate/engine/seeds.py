"""The same recipe under several seeds: how much of a score is the draw of its weights and batches."""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from foveate.disk import write_atomically
from foveate.engine.processes import from_first, is_first
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError
from foveate.tasks import find_task


@dataclass(frozen=True)
class SeedScores:
    """Best scores of the runs of several seeds. monitor: the score's name. scores: seed -> that of its kept epoch."""

    folder: Path
    monitor: str
    scores: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.scores.values())

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds (n - 1); nan for one."""
        return statistics.stdev(self.scores.values()) if len(self.scores) > 1 else float("nan")

    def lines(self) -> Iterator[str]:
        """A line a seed, and the mean with the range."""
        for seed, score in self.scores.items():
            yield f"  seed {seed:<6}{self.monitor} {score:.4f}"
        low, high = min(self.scores.values()), max(self.scores.values())
        yield (
            f"{self.monitor} over {len(self.scores)} seeds: mean {self.mean:.4f}, from {low:.4f} to {high:.4f}, "
            f"standard deviation {self.deviation:.4f}"
        )

    def to_json(self) -> dict[str, object]:
        """Plain values for seeds.json."""
        values = list(self.scores.values())
        return {
            "monitor": self.monitor,
            "scores": {str(seed): score for seed, score in self.scores.items()},
            "mean": self.mean,
            "standard_deviation": self.deviation if len(values) > 1 else None,
            "lowest": min(values),
            "highest": max(values),
        }


def train_seeds(
    recipe: Recipe,
    count: int,
    out: str | Path | None = None,
    init: str | Path | None = None,
    seconds: float | None = None,
    each: Callable[[Path], None] | None = None,
) -> SeedScores:
    """Train a recipe under `count` seeds from its own on, each into its folder below `out`, and write seeds.json there.

    A run that is there already is not trained again, and one that was stopped goes on. out: by default
    runs/<recipe>-seeds. seconds: of each run. each: called with every finished run folder. Raises a FoveateError.
    """
    if count < 2:
        raise ConfigError(f"--seeds is {count}; give 2 or more: one says nothing of their spread")
    folder = Path(out) if out is not None else Path("runs") / f"{recipe.name}-seeds"
    if (folder / "recipe.json").exists():
        raise ConfigError(f"{folder} is a run; choose another folder for several with --out")
    scores = {}
    for seed in range(recipe.seed, recipe.seed + count):
        own, run = dataclasses.replace(recipe, seed=seed), RunFolder(folder / f"seed{seed}")
        if is_first():
            print(f"seed {seed}: {run.path}", flush=True)
        started = from_first(run.checkpoint.is_file)
        train_recipe(own, out=run.path, resume=started, init=init, seconds=seconds)
        if each is not None:
            each(run.path)
        scores[seed] = from_first(functools.partial(_kept_score, run))
    found = SeedScores(folder, find_task(recipe.task).monitor, scores)
    if is_first():
        write_atomically(folder / "seeds.json", json.dumps(found.to_json(), indent=2) + "\n")
    return found


def _kept_score(run: RunFolder) -> float:
    """The monitored score of the epoch that was kept."""
    best = run.read_json("progress.json")["best"]
    return float("nan") if best is None or best["value"] is None else float(best["value"])
