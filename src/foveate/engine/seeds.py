"""The same recipe under several seeds: how much of a score is the draw of its weights and batches."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foveate.disk import write_atomically
from foveate.engine.processes import is_first
from foveate.engine.recipe import Recipe
from foveate.engine.several import Each, monitor_of, score_cell, spread, spread_line, train_each
from foveate.errors import ConfigError
from foveate.metrics.plain import number_or_none


@dataclass(frozen=True)
class SeedScores:
    """Best scores of the runs of several seeds. monitor: the score's name. scores: seed -> that of its kept epoch."""

    folder: Path
    monitor: str
    scores: dict[int, float]

    def lines(self) -> Iterator[str]:
        """A line a seed, and the mean with the range."""
        for seed, score in self.scores.items():
            yield f"  seed {seed:<6}{self.monitor} {score_cell(score)}"
        yield spread_line(self.monitor, self.scores.values(), "seeds")

    def to_json(self) -> dict[str, object]:
        """Plain values for seeds.json."""
        scores = {str(seed): number_or_none(score) for seed, score in self.scores.items()}
        return {"monitor": self.monitor, "scores": scores, **spread(self.scores.values())}


def train_seeds(
    recipe: Recipe,
    count: int,
    out: str | Path | None = None,
    init: str | Path | None = None,
    seconds: float | None = None,
    each: Each | None = None,
) -> SeedScores:
    """Train a recipe under `count` seeds from its own on, each into its folder below `out`, and write seeds.json there.

    A run that is there already is not trained again, and one that was stopped goes on. out: by default
    runs/<recipe>-seeds. seconds: of each run. each: called with every finished run folder. Raises a FoveateError.
    """
    if count < 2:
        raise ConfigError(f"--seeds is {count}; give 2 or more, since one seed shows no spread")
    folder = Path(out) if out is not None else Path("runs") / f"{recipe.name}-seeds"
    seeds = range(recipe.seed, recipe.seed + count)
    recipes = {f"seed{seed}": dataclasses.replace(recipe, seed=seed) for seed in seeds}
    trained = train_each(recipes, folder, "seed", init, seconds, each)
    found = SeedScores(folder, monitor_of(recipe)[0], {one.seed: one.score for one in trained})
    if is_first():
        write_atomically(folder / "seeds.json", json.dumps(found.to_json(), indent=2) + "\n")
    return found
