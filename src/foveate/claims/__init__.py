"""The lecture's measurable sentences as experiments: what is claimed, what was measured, and whether it holds.

    foveate claims

A claim is a function of this folder, marked `@claim("name")`, that returns a `Claim`: a sentence, a measurement, and
the figures from which the sentence holds. All three stand in the code before anything is measured. The verdict is the
same rule for all:

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

# What the lecture calls better must be better by this many points (of 100) for every seed, and this many on average to
# be so partly: below a tenth of a point, another handful of pictures would say something else.
GAIN, HINT = 0.5, 0.1


@dataclass(frozen=True)
class Claim:
    """One sentence of the lecture, and how it is put to the test.

    section: the heading under which the lecture says it.
    claim: what it says, in our words.
    effect: what is measured, in words, with a place for each figure: "{:+.1f} points of mIoU, from {:.1f}".
    measure: seed -> those figures. The first one decides; the larger it is, the better for the claim.
    holds: what the first figure must reach for every seed.
    partly: what its mean must reach to be half right.
    seeds: one measurement each.
    long: takes more than about a minute on two cores.
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
    """What came out. figures: one row a seed, in the claim's order."""

    name: str
    claim: Claim
    figures: tuple[tuple[float, ...], ...]
    seconds: float

    @property
    def effects(self) -> list[float]:
        """The figure that decides, for each seed."""
        return [row[0] for row in self.figures]

    @property
    def verdict(self) -> Verdict:
        """See the top of this file."""
        if all(effect >= self.claim.holds for effect in self.effects):
            return "holds"
        return "holds partly" if fmean(self.effects) >= self.claim.partly else "does not hold"

    @property
    def measured(self) -> str:
        """The figures in words, their means over the seeds; then how far apart the one that decides lies."""
        means = [fmean(column) for column in zip(*self.figures, strict=True)]
        low, high = min(self.effects), max(self.effects)
        return f"{self.claim.effect.format(*means)} (effect {low:.3g} to {high:.3g} over {len(self.figures)} seeds)"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
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
    """The claims of these names, or all; the long ones only if asked for. Raises ConfigError for a name that is not."""
    claims: dict[str, Claim] = {name: find("claim", name).load()() for name in names or entries("claim")}
    for name in names:
        if claims[name].long and not long:
            raise ConfigError(f"claim '{name}' takes minutes; add --long to run it all the same")
    return {name: claim for name, claim in claims.items() if long or not claim.long}


def examine(name: str, claim: Claim, progress: Callable[[int], None] = lambda seed: None) -> Finding:
    """Measure it with every seed. progress: called with each seed before it is measured."""
    started = time.perf_counter()
    figures = []
    for seed in claim.seeds:
        progress(seed)
        figures.append(claim.measure(seed))
    return Finding(name, claim, tuple(figures), time.perf_counter() - started)
