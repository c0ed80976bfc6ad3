"""Sampling of one clip: its scene, who acts in it, and when.

Lengths are shares of the width of the camera's window; a scene that the camera pans over is wider than that.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from foveate.datasets.pasture import palette
from foveate.datasets.pasture.compose import compose, light_at
from foveate.datasets.pasture.dice import Dice
from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, PERSON, RGB, TREE, WATER, Light, Scene, Thing
from foveate.records import Event

Order = Literal["alone", "sequence", "together"]
STREAM = 1 << 17  # of the dice of clips; captions of scenes have 1 to 100, questions 1 << 16
LEAST_FRAMES, MOST_FRAMES = 16, 32
ORDERS: tuple[Order, ...] = ("alone", "sequence", "together")
ORDER_WEIGHTS = (0.2, 0.6, 0.2)
EVENT_FRAMES = 4, 6  # least and most
DUSK = "dusk falls"
# Who can act, and the kinds of events that it can do.
ACTS: dict[str, tuple[str, ...]] = {
    "cow": ("cow walks left", "cow walks right", "cow grazes", "cow turns around"),
    "person": ("person walks left", "person walks right", "person waves", "person throws", "person catches"),
    "bird": ("bird takes off", "bird lands"),
    "light": (DUSK,),
}
KINDS = tuple(kind for kinds in ACTS.values() for kind in kinds)
CATEGORIES = {"cow": COW, "person": PERSON, "bird": BIRD}
BYSTANDER = 0.7  # probability that a cow, a person or a bird is there and does nothing
HOLDER = 0.3  # probability that a person holds a frisbee who does nothing with it
PANNED = 0.2  # share of the clips in which the camera moves
PAN = 0.12, 0.25  # least and most, of the window's width
WALK = 0.25, 0.4
SLOTS = (0.22, 0.78, 0.5)  # where things stand, in this order or mirrored
INSIDE = 0.12, 0.88  # where the path of one that walks begins and ends
DAYLIGHT, DAYLIGHT_WEIGHTS = ("noon", "overcast", "golden"), (0.5, 0.25, 0.25)
POSE = 14


@dataclass(frozen=True)
class Act:
    """An event, and what it needs: the actor's number among `Plot.actors`, -1 for the light; distance of a walk."""

    event: Event
    actor: int
    distance: float = 0.0


@dataclass(frozen=True)
class Plot:
    """One clip's content.

    scene: land, light and trees. frames: their number. actors: as they stand when nothing happens, far ones first; in
    shares of the window, (0, 0) its upper left corner where it is when half of the clip is over.
    acts: one or two, by their beginning. order: of two: one after the other, or together.
    holder: the number of a person that holds a frisbee throughout; -1 for none. pan: of the whole clip, to the right.
    """

    scene: Scene
    frames: int
    actors: tuple[Thing, ...]
    acts: tuple[Act, ...]
    order: Order
    dusk: Light
    disc: Thing
    holder: int = -1
    pan: float = 0.0

    @property
    def events(self) -> tuple[Event, ...]:
        """The events, by their beginning."""
        return tuple(act.event for act in self.acts)

    @property
    def camera(self) -> str:
        """'still', 'left' or 'right'."""
        return "still" if not self.pan else "right" if self.pan > 0 else "left"


def plot(seed: tuple[int, int, int], aspect: float) -> Plot:
    """The plot of a seed, for frames `aspect` times as high as wide."""
    dice = Dice(*seed, STREAM)
    frames = dice.integer(LEAST_FRAMES, MOST_FRAMES)
    pan = (1 if dice.chance(0.5) else -1) * dice.between(*PAN) if dice.chance(PANNED) else 0.0
    scene = _stage(dice, seed, aspect / (1 + abs(pan)))
    order = ORDERS[dice.weighted(ORDER_WEIGHTS)]
    names = list(ACTS)
    chosen = [names.pop(int(dice.unit() * len(names))) for _ in range(1 if order == "alone" else 2)]
    kinds = [dice.pick(ACTS[name]) for name in chosen]
    spans = _spans(dice, frames, order)
    present = [name for name in CATEGORIES if name in chosen or dice.chance(BYSTANDER)]
    horizon = scene.land.horizon * (1 + abs(pan))
    # Those that act stand apart from each other and in front of the others, so that they can be seen.
    present.sort(key=lambda name: name not in chosen)
    lines = sorted((_foot(dice, horizon, aspect) for _ in present), reverse=True)
    slots = SLOTS if dice.chance(0.5) else SLOTS[::-1]
    actors, distances = [], {}
    for name, y, slot in zip(present, lines, slots, strict=False):
        kind = kinds[chosen.index(name)] if name in chosen else ""
        actor = _MAKERS[name](dice, slot + dice.between(-0.06, 0.06), y, min(1.0, aspect))
        if kind.endswith(("left", "right")):
            facing, distances[name] = (1 if kind.endswith("right") else -1), dice.between(*WALK)
            start = dice.between(INSIDE[0], INSIDE[1] - distances[name])
            actor = dataclasses.replace(actor, facing=facing, x=start if facing > 0 else 1 - start)
        elif kind in ("person throws", "person catches"):  # the frisbee crosses the greater part of the picture
            actor = dataclasses.replace(actor, facing=1 if actor.x < 0.5 else -1)
        actors.append((name, actor))
    actors.sort(key=lambda pair: pair[1].y)
    who = {name: number for number, (name, _) in enumerate(actors)}
    acts = [
        Act(Event(kind, *span), who.get(name, -1), distances.get(name, 0.0))
        for name, kind, span in zip(chosen, kinds, spans, strict=True)
    ]
    disc = _disc(dice, min(1.0, aspect))
    idle = "person" in who and "person" not in chosen and dice.chance(HOLDER)
    return Plot(
        scene,
        frames,
        tuple(actor for _, actor in actors),
        tuple(sorted(acts, key=lambda act: act.event.start)),
        order,
        light_at(dice, "dusk"),
        disc,
        who["person"] if idle else -1,
        pan,
    )


def _stage(dice: Dice, seed: tuple[int, int, int], aspect: float) -> Scene:
    """The scene of a seed in daylight, without water and without all things but its far trees."""
    scene = compose(seed, aspect)
    land = dataclasses.replace(
        scene.land, shore=None, lakes=(), bands=tuple(band for band in scene.land.bands if band.category != WATER)
    )
    trees = tuple(thing for thing in scene.things if thing.category == TREE and thing.y < 0.7 * aspect)
    light = light_at(dice, DAYLIGHT[dice.weighted(DAYLIGHT_WEIGHTS)])
    return dataclasses.replace(scene, land=land, things=trees, light=light)


def _spans(dice: Dice, frames: int, order: Order) -> list[tuple[int, int]]:
    """First frame, and the one after the last, of each event. Nothing happens in the first and the last frame."""
    lengths = [dice.integer(*EVENT_FRAMES) for _ in range(1 if order == "alone" else 2)]
    if order == "sequence":
        free = frames - 2 - sum(lengths) - 1
        before = dice.integer(0, free)
        gap = 1 + dice.integer(0, free - before)
        start = 1 + before
        return [(start, start + lengths[0]), (start + lengths[0] + gap, start + sum(lengths) + gap)]
    start = 1 + dice.integer(0, frames - 2 - max(lengths))
    return [(start, start + length) for length in lengths]


def _foot(dice: Dice, horizon: float, aspect: float) -> float:
    """A line on the ground in the nearer part of the picture."""
    return dice.between(max(horizon + 0.1 * aspect, 0.7 * aspect), 0.97 * aspect)


def _thing(
    dice: Dice, category: int, kind: str, color: str, colors: tuple[RGB, ...], x: float, y: float, size: float
) -> Thing:
    facing = 1 if dice.chance(0.5) else -1
    return Thing(category, kind, "standing", color, colors, x, y, size, 1.0, facing, dice.units(POSE))


def _cow(dice: Dice, x: float, y: float, unit: float) -> Thing:
    color = dice.pick(tuple(palette.COATS))
    coat = palette.COATS[color]
    face = coat[0] if dice.chance(0.6) else dice.pick(palette.FACES)
    kind = "patched" if dice.chance(0.5) else "plain"
    return _thing(dice, COW, kind, color, (*coat, face), x, y, unit * dice.between(0.34, 0.46))


def _person(dice: Dice, x: float, y: float, unit: float) -> Thing:
    color = dice.pick(tuple(palette.DYES))
    top, second = palette.DYES[color], dice.pick(tuple(palette.DYES.values()))
    colors = (
        dice.pick(palette.SKINS), dice.pick(palette.HAIRS), top, second, dice.pick(palette.TROUSERS),
        dice.pick(palette.SHOES),
    )  # fmt: skip
    kind = dice.pick(("trousers", "shorts", "dress", "hat"))
    return _thing(dice, PERSON, kind, color, colors, x, y, unit * dice.between(0.5, 0.64))


def _bird(dice: Dice, x: float, y: float, unit: float) -> Thing:
    color = dice.pick(tuple(palette.PLUMAGE))
    colors = (*palette.PLUMAGE[color], dice.pick(palette.BEAKS))
    return _thing(dice, BIRD, "bird", color, colors, x, y, unit * dice.between(0.12, 0.16))


def _disc(dice: Dice, unit: float) -> Thing:
    color = dice.pick(tuple(palette.DYES))
    rim = dice.pick(palette.RIMS)
    thing = _thing(
        dice, FRISBEE, "disc", color, (palette.DYES[color], rim, rim), 0.0, 0.0, unit * dice.between(0.09, 0.12)
    )
    return dataclasses.replace(thing, action="flying")


_MAKERS = {"cow": _cow, "person": _person, "bird": _bird}
