"""Captions of clips: three wordings for each event, and the words for what comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from foveate.datasets.pasture.clips.plot import DUSK, STREAM, Plot
from foveate.datasets.pasture.dice import Dice
from foveate.records import Caption

T = TypeVar("T")
# Kind of event -> its wordings, from the noun on.
PHRASES: dict[str, tuple[str, str, str]] = {
    "cow walks left": ("cow walks to the left", "cow walks left", "cow moves to the left"),
    "cow walks right": ("cow walks to the right", "cow walks right", "cow moves to the right"),
    "cow grazes": ("cow grazes", "cow eats grass", "cow lowers its head to graze"),
    "cow turns around": ("cow turns around", "cow turns to the other side", "cow turns about"),
    "person walks left": ("person walks to the left", "person walks left", "person moves to the left"),
    "person walks right": ("person walks to the right", "person walks right", "person moves to the right"),
    "person waves": ("person waves", "person waves with both arms", "person raises both arms"),
    "person throws": ("person throws a frisbee", "person throws a disc", "person lets a frisbee fly"),
    "person catches": ("person catches a frisbee", "person catches a disc", "person gets hold of a frisbee"),
    "bird takes off": ("bird takes off", "bird flies away", "bird leaves the ground"),
    "bird lands": ("bird lands", "bird lands on the ground", "bird comes down to the ground"),
    DUSK: ("it gets dark", "dusk falls", "the light fades"),
}
SEQUENCE = ("{first} then {second}", "{first} before {second}", "{second} after {first}")
TOGETHER = ("{first} while {second}", "{first} and at the same time {second}", "{first} as {second}")


def captions_of(plot: Plot, count: int) -> tuple[Caption, ...]:
    """`count` captions of a plot. Three in a row use each of the three wordings."""
    dice = Dice(*plot.scene.seed, STREAM + 1)
    ways = [_shuffled(dice, PHRASES[event.kind]) for event in plot.events]
    patterns = _shuffled(dice, TOGETHER if plot.order == "together" else SEQUENCE)
    captions = []
    for i in range(count):
        clauses = [_clause(own[i % len(own)]) for own in ways]
        if len(clauses) == 1:
            captions.append(Caption(clauses[0]))
            continue
        if plot.order == "together" and dice.chance(0.5):
            clauses.reverse()
        captions.append(Caption(patterns[i % len(patterns)].format(first=clauses[0], second=clauses[1])))
    return tuple(captions)


def _clause(phrase: str) -> str:
    return phrase if phrase in PHRASES[DUSK] else f"a {phrase}"


def _shuffled(dice: Dice, items: Sequence[T]) -> list[T]:
    rest = list(items)
    return [rest.pop(int(dice.unit() * len(rest))) for _ in range(len(rest))]
