"""Experiments that test the lecture's measurable statements: a claim, a measurement, and a verdict.

    foveate claims

A claim is a function of this folder, marked `@claim("name")`, that returns a `Claim`: a statement, a measurement, and
the thresholds at which the statement holds. All three are written in the code before anything is measured. The verdict
follows the same rule for all claims:

    holds           every seed reaches `holds`
    holds partly    else, if the mean over the seeds reaches `partly`
    does not hold   else
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from foveate.errors import ConfigError
from foveate.registry import entries, find

Verdict = Literal["holds", "holds partly", "does not hold"]

# Thresholds of claims that something is better, in points (of 100): GAIN for every seed, HINT on average for "holds
# partly". Differences below a tenth of a point would change with a few other images.
GAIN, HINT = 0.5, 0.1


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
    """

    section: str
    claim: str
    effect: str
    measure: Callable[[int], tuple[float, ...]]
    holds: float
    partly: float
    seeds: tuple[int, ...] = (0, 1, 2)
    long: bool = False


@dataclass(frozen=True)
class Finding:
    """Result of a claim's experiment.

    name: name of the claim.
    claim: the claim.
    figures: the figures of `Claim.measure`, one row a seed.
    seconds: duration of all measurements.
    """

    name: str
    claim: Claim
    figures: tuple[tuple[float, ...], ...]
    seconds: float

    @property
    def effects(self) -> list[float]:
        """The first figure, which decides the verdict, for each seed."""
        return [row[0] for row in self.figures]

    @property
    def verdict(self) -> Verdict:
        """The verdict by the rule in the module's docstring."""
        if all(effect >= self.claim.holds for effect in self.effects):
            return "holds"
        return "holds partly" if fmean(self.effects) >= self.claim.partly else "does not hold"

    @property
    def measured(self) -> str:
        """The effect with the figures' means over the seeds, and the range of the deciding figure."""
        means = [fmean(column) for column in zip(*self.figures, strict=True)]
        low, high = min(self.effects), max(self.effects)
        return f"{self.claim.effect.format(*means)} (effect {low:.3g} to {high:.3g} over {len(self.figures)} seeds)"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "name": self.name,
            "section": self.claim.section,
            "claim": self.claim.claim,
            "measured": self.measured,
            "effect": fmean(self.effects),
            "seeds": list(self.claim.seeds),
            "interval": [min(self.effects), max(self.effects)],
            "verdict": self.verdict,
            "seconds": round(self.seconds, 1),
        }


def choose(names: Sequence[str], long: bool) -> dict[str, Claim]:
    """Return the claims with these names, or all claims if there are none; long claims only if `long` is true.

    Raises ConfigError for an unknown name, or the name of a long claim without `long`.
    """
    claims: dict[str, Claim] = {name: find("claim", name).load()() for name in names or entries("claim")}
    for name in names:
        if claims[name].long and not long:
            raise ConfigError(f"claim '{name}' takes minutes; add --long to run it all the same")
    return {name: claim for name, claim in claims.items() if long or not claim.long}


def examine(name: str, claim: Claim, progress: Callable[[int], None] = lambda seed: None) -> Finding:
    """Measure a claim with each of its seeds.

    progress: called with each seed before it is measured.
    """
    started = time.perf_counter()
    figures = []
    for seed in claim.seeds:
        progress(seed)
        figures.append(claim.measure(seed))
    return Finding(name, claim, tuple(figures), time.perf_counter() - started)
