"""Experiments that test the lecture's measurable statements: a claim, a measurement, and a verdict.

    foveate claims

A claim is a function of this folder, marked `@claim("name")`, that returns a `Claim`: a statement, a measurement, and
the thresholds at which the statement holds. All three are written in the code before anything is measured. The verdict
follows the same rule for all claims:

    holds           every seed reaches `holds`
    holds partly    else, if the mean over the seeds reaches `partly`
    does not hold   else
    undecided       instead of these, if the spread could turn one of them into another

The spread is the largest change of a seed's figure between runs that differ only in what should not matter: the number
of threads, and the processor. Where a claim was run once, the spread is not known.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Generic, Literal, ParamSpec, TypeVar

import torch

from foveate.engine.run import environment, peak_memory
from foveate.errors import ConfigError, counted
from foveate.registry import entries, find

P = ParamSpec("P")
R = TypeVar("R")
Verdict = Literal["holds", "holds partly", "does not hold", "undecided"]

# Thresholds of claims that something is better, in points (of 100): GAIN for every seed, HINT on average for "holds
# partly". Differences below a tenth of a point would change with a few other images.
GAIN, HINT = 0.5, 0.1
# Seeds of experiments that were designed, or whose bounds were changed, after the figures of seeds 0 to 2 were seen.
NEW_SEEDS = (3, 4, 5)


@dataclass(frozen=True)
class Claim:
    """One statement of the lecture and the experiment that tests it.

    section: heading of the lecture under which the statement appears.
    claim: the statement, in our words.
    effect: description of the measurement, with a format field for each figure: "{:+.1f} points of mIoU, from {:.1f}".
    measure: function from a seed to these figures. The first one decides the verdict; larger values favour the claim.
    holds: threshold that the first figure must reach for every seed.
    partly: threshold that the mean of the first figure must reach to hold partly.
    seeds: one measurement is made with each seed.
    long: true if the measurement takes more than about a minute on two cores.
    law: true if the outcome follows from definitions, so that another one would mean that the code is broken.
    timed: true if the first figure depends on wall times, which only an idle machine tells.
    """

    section: str
    claim: str
    effect: str
    measure: Callable[[int], tuple[float, ...]]
    holds: float
    partly: float
    seeds: tuple[int, ...] = (0, 1, 2)
    long: bool = False
    law: bool = False
    timed: bool = False

    def judge(self, effects: Sequence[float]) -> Verdict:
        """Return the verdict on the first figure of each seed, by the rule in the module's docstring."""
        if all(effect >= self.holds for effect in effects):
            return "holds"
        return "holds partly" if fmean(effects) >= self.partly else "does not hold"


@dataclass(frozen=True)
class Run:
    """Measurements of a claim with all its seeds, on one processor and with one number of threads.

    figures: the figures of `Claim.measure`, one row a seed.
    seconds: duration of all measurements. Trainings that another claim of the same process made before are not in it.
    about: what is known of the machine and the code, as `engine.run.environment` tells it.
    """

    figures: tuple[tuple[float, ...], ...]
    seconds: float
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def effects(self) -> list[float]:
        """The first figure, which decides the verdict, for each seed."""
        return [row[0] for row in self.figures]


@dataclass(frozen=True)
class Finding:
    """Result of a claim's experiment.

    name: name of the claim.
    claim: the claim.
    runs: one or more measurements with the same seeds.
    """

    name: str
    claim: Claim
    runs: tuple[Run, ...]

    @property
    def effects(self) -> list[float]:
        """The first figure for each seed, averaged over the runs."""
        return [fmean(effects) for effects in zip(*(run.effects for run in self.runs), strict=True)]

    @property
    def spread(self) -> float | None:
        """The largest difference between the runs in the first figure of a seed; None for a single run."""
        if len(self.runs) < 2:
            return None
        return max(max(effects) - min(effects) for effects in zip(*(run.effects for run in self.runs), strict=True))

    @property
    def verdict(self) -> Verdict:
        """The verdict by the rule in the module's docstring."""
        spread = self.spread or 0.0
        shifted = [[effect + shift for effect in self.effects] for shift in (0.0, spread, -spread)]
        verdicts = {self.claim.judge(effects) for effects in [*shifted, *(run.effects for run in self.runs)]}
        return verdicts.pop() if len(verdicts) == 1 else "undecided"

    @property
    def seconds(self) -> float:
        """Duration of all runs."""
        return sum(run.seconds for run in self.runs)

    @property
    def measured(self) -> str:
        """The effect with the figures' means over seeds and runs, and the range of the deciding figure over seeds."""
        rows = [row for run in self.runs for row in run.figures]
        means = [fmean(column) for column in zip(*rows, strict=True)]
        low, high = min(self.effects), max(self.effects)
        seeds = counted(len(self.effects), "seed")
        return f"{self.claim.effect.format(*means)} (effect {low:.3g} to {high:.3g} over {seeds})"

    @property
    def settings(self) -> str:
        """The processors and numbers of threads that the runs differ in, as "1 and 2 threads of AMD EPYC, AVX512"."""
        threads: dict[str, list[int]] = {}
        for run in self.runs:
            threads.setdefault(processor(run.about), []).append(run.about.get("threads", 0))
        return "; ".join(
            f"{' and '.join(str(n) for n in sorted(counts))} thread{'s' * (counts != [1])} of {cpu}"
            for cpu, counts in threads.items()
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "name": self.name,
            "section": self.claim.section,
            "claim": self.claim.claim,
            "law": self.claim.law,
            "measured": self.measured,
            "effect": fmean(self.effects),
            "seeds": list(self.claim.seeds),
            "interval": [min(self.effects), max(self.effects)],
            "spread": self.spread,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 1),
            "runs": [
                {"figures": [list(row) for row in run.figures], "seconds": round(run.seconds, 1), **run.about}
                for run in self.runs
            ],
        }


def processor(about: Mapping[str, Any]) -> str:
    """Return the kind of processor of a run: its name, and the instructions that torch uses on it."""
    return ", ".join(str(about[key]) for key in ("cpu", "instructions") if about.get(key)) or "an unknown processor"


def choose(names: Sequence[str], long: bool) -> dict[str, Claim]:
    """Return the claims with these names, or all claims if there are none; long claims only if `long` is true.

    Raises ConfigError for an unknown name, or the name of a long claim without `long`.
    """
    claims: dict[str, Claim] = {name: find("claim", name).load()() for name in names or entries("claim")}
    for name in names:
        if claims[name].long and not long:
            raise ConfigError(f"claim '{name}' takes minutes; add --long to run it")
    return {name: claim for name, claim in claims.items() if long or not claim.long}


def examine(
    name: str,
    claim: Claim,
    threads: Sequence[int] = (),
    progress: Callable[[int, int], None] = lambda seed, count: None,
) -> Finding:
    """Measure a claim with each of its seeds, once with each number of threads; by default, with torch's.

    progress: called with each seed, and the number of threads, before it is measured.
    """
    before = torch.get_num_threads()
    runs = []
    try:
        for count in threads or (before,):
            torch.set_num_threads(count)
            about = environment()  # the code is what was loaded, whatever is edited meanwhile
            started = time.perf_counter()
            figures = []
            for seed in claim.seeds:
                progress(seed, count)
                figures.append(claim.measure(seed))
            seconds = time.perf_counter() - started
            runs.append(Run(tuple(figures), seconds, about | {"peak_memory_mib": peak_memory()}))
    finally:
        torch.set_num_threads(before)
    return Finding(name, claim, tuple(runs))


class cached(Generic[P, R]):  # noqa: N801 - a decorator
    """Keep a training's result for the process: `functools.cache`, but for each number of threads by itself."""

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        self.results: dict[Any, R] = {}
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the function's result, from before if it was called with these arguments."""
        key = (torch.get_num_threads(), args, tuple(sorted(kwargs.items())))
        if key not in self.results:
            self.results[key] = self.function(*args, **kwargs)
        return self.results[key]

    def cache_clear(self) -> None:
        """Forget all results."""
        self.results.clear()
