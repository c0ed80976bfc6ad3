"""The same recipe with several values of some fields: a grid, or values that are drawn; each is a run.

A run's folder is called after its values, so that a sweep that is called again, or with further values, trains only
what is not there.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from foveate.disk import write_atomically
from foveate.engine.compare import table_text
from foveate.engine.fields import fields_of, override, unknown_field
from foveate.engine.processes import is_first
from foveate.engine.recipe import Recipe
from foveate.engine.several import Each, Trained, monitor_of, train_each
from foveate.errors import ConfigError, counted
from foveate.metrics.plain import number_or_none
from foveate.registry import current_field

MOST = 256  # runs of one sweep
DECADE = 10  # the ratio of a range's ends from which its logarithm is drawn evenly
_RANGE = re.compile(r"(?P<low>[^.][^,;]*?)\.\.(?P<high>[^,;]+)")


@dataclass(frozen=True)
class Range:
    """An interval of numbers. Where both are above 0 and differ ten times or more, the logarithm is drawn evenly."""

    low: float
    high: float
    whole: bool

    def draw(self, dice: random.Random) -> str:
        """A value as text: four digits of a real number, or a whole number."""
        if self.low > 0 and self.high >= DECADE * self.low:
            value = math.exp(dice.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = dice.uniform(self.low, self.high)
        if not self.whole:
            return f"{min(max(value, self.low), self.high):.4g}"
        return str(min(max(round(value), int(self.low)), int(self.high)))


def read_values(recipe: Recipe, fields: Mapping[str, str]) -> dict[str, list[str] | Range]:
    """Field -> its values, from text: 'A,B' or LOW..HIGH; values that hold commas themselves are divided by ';'.

    Raises ConfigError for a field that the recipe does not have, and for a value that it cannot have.
    """
    known = fields_of(recipe)
    found: dict[str, list[str] | Range] = {}
    for given, text in fields.items():
        name = current_field(given, known)
        if name not in known:
            raise ConfigError(unknown_field(given, known))
        if known[name] in (int, float) and (match := _RANGE.fullmatch(text)):
            try:
                low, high = float(match["low"]), float(match["high"])
            except ValueError:
                raise ConfigError(
                    f"--{given} is '{text}'; expected LOW..HIGH with two numbers, as 1e-4..1e-2"
                ) from None
            if not low < high:
                raise ConfigError(f"--{given} is '{text}'; the first number must be below the second")
            found[name] = Range(low, high, known[name] is int)
            override(recipe, {name: match["low"]})
            continue
        with_commas = get_origin(known[name]) is tuple or name == "window"
        values = [part.strip() for part in text.split(";" if ";" in text or with_commas else ",")]
        if len(set(values)) < len(values):
            raise ConfigError(f"--{given} names '{next(v for v in values if values.count(v) > 1)}' twice; name it once")
        for value in values:
            override(recipe, {name: value})
        found[name] = values
    return found


def grid(values: Mapping[str, Sequence[str] | Range]) -> list[dict[str, str]]:
    """All combinations, the last field running fastest. Raises ConfigError for a range, which has no end of values."""
    for name, one in values.items():
        if isinstance(one, Range):
            raise ConfigError(f"--{name} is a range, from which values are drawn; add --random N, or list some values")
    lists: list[Sequence[str]] = [one for one in values.values() if not isinstance(one, Range)]
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*lists)]


def draw(values: Mapping[str, Sequence[str] | Range], count: int, seed: int) -> list[dict[str, str]]:
    """`count` combinations, each drawn from (seed, its number) alone: with more of them the first stay as they are."""
    found = []
    for number in range(count):
        dice = random.Random(f"{seed}:{number}")
        found.append({n: v.draw(dice) if isinstance(v, Range) else dice.choice(list(v)) for n, v in values.items()})
    return found


def folder_name(changes: Mapping[str, str]) -> str:
    """The name of a run's folder: 'lr=1e-3,epochs=5', fields by their last part where that is enough."""
    short = [name.rpartition(".")[2] for name in changes]
    names = [s if short.count(s) == 1 else name for s, name in zip(short, changes, strict=True)]
    parts = (f"{name}={value}" for name, value in zip(names, changes.values(), strict=True))
    return re.sub(r"[^\w.,=+-]", "_", ",".join(parts))


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, each with the fields that it changed."""

    folder: Path
    monitor: str
    greater_is_better: bool
    changes: list[dict[str, str]]
    trained: list[Trained]

    def ranked(self) -> list[tuple[dict[str, str], Trained]]:
        """The runs, the best first; those without a score last."""
        sign = -1 if self.greater_is_better else 1

        def key(one: tuple[dict[str, str], Trained]) -> tuple[bool, float]:
            return (math.isnan(one[1].score), 0.0 if math.isnan(one[1].score) else sign * one[1].score)

        return sorted(zip(self.changes, self.trained, strict=True), key=key)

    def rows(self) -> list[dict[str, Any]]:
        """A row a run, the best first: its folder, what it changed, its score."""
        return [
            {"run": one.name, **changes, self.monitor: number_or_none(one.score),
             "seed": str(one.seed), "commit": one.commit[:7] or None}
            | ({"error": one.error} if any(t.error for t in self.trained) else {})
            for changes, one in self.ranked()
        ]  # fmt: skip

    def table(self, style: str) -> str:
        """The rows as Markdown, CSV or LaTeX."""
        return table_text(self.rows(), style, [name for one in self.changes for name in one])

    def write(self) -> None:
        """Write sweep.json, sweep.csv and sweep.md into the folder."""
        content = {
            "monitor": self.monitor,
            "runs": [{"fields": changes} | one.to_json() for changes, one in self.ranked()],
        }
        write_atomically(self.folder / "sweep.json", json.dumps(content, indent=2) + "\n")
        write_atomically(self.folder / "sweep.csv", self.table("csv"))
        write_atomically(self.folder / "sweep.md", self.table("markdown"))


def train_sweep(
    recipe: Recipe,
    changes: Sequence[Mapping[str, str]],
    out: str | Path | None = None,
    init: str | Path | None = None,
    seconds: float | None = None,
    each: Each | None = None,
) -> Sweep:
    """Train a recipe once for each set of changed fields, and write the tables.

    out: by default runs/<recipe>-sweep. seconds: of each run. each: called with every finished run folder.
    Raises ConfigError for fields that do not fit together, before anything is trained, and a FoveateError; a training
    that fails by itself has its reason in the table.
    """
    if not 1 < len(changes) <= MOST:
        raise ConfigError(
            f"{counted(len(changes), 'run')}; a sweep has 2 to {MOST}: give a field several values, or fewer of them"
        )
    folder = Path(out) if out is not None else Path("runs") / f"{recipe.name}-sweep"
    recipes: dict[str, Recipe] = {}
    kept: list[dict[str, str]] = []
    for one in changes:
        name, changed = folder_name(one), override(recipe, one)
        if recipes.get(name) == changed:  # drawn twice
            continue
        if name in recipes:
            raise ConfigError(
                f"two runs of this sweep, with other values, would have the folder {name}; sweep them one after the "
                "other, each with an --out of its own"
            )
        recipes[name] = changed
        kept.append(dict(one))
    trained = train_each(recipes, folder, "run", init, seconds, each, go_on=True)
    found = Sweep(folder, *monitor_of(recipe), kept, trained)
    if is_first():
        found.write()
    return found
