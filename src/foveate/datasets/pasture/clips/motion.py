"""Everything in a clip at one frame: things with their places and poses, and the light.

An event's `share` s runs from 0 before it to 1 after it. Things that come in or leave do so beyond the border.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from foveate.datasets.pasture.clips.plot import DUSK, Act, Plot
from foveate.datasets.pasture.scene import Light, Thing

ABOVE, BESIDE = -0.15, 0.75  # where a bird comes from: above the border, and this far to its side
BEYOND = 0.2  # outside of the border, where a frisbee comes from


def share(act: Act, frame: int) -> float:
    """The part of an event that is over in the middle of a frame, 0..1."""
    start, end = act.event.start, act.event.end
    return min(max((frame - start + 0.5) / (end - start), 0.0), 1.0)


def happens(act: Act, frame: int) -> bool:
    """True while the event happens."""
    return act.event.start <= frame < act.event.end


def things_at(plot: Plot, frame: int) -> tuple[Thing, ...]:
    """The actors and the frisbee, far ones first, in shares of the window."""
    acts = {act.actor: act for act in plot.acts}
    found: list[Thing] = []
    for number, actor in enumerate(plot.actors):
        act = acts.get(number)
        if act is None:
            found.append(actor)
            if number == plot.holder:
                found.append(_held(plot.disc, actor))
        else:
            found += _acting(plot, act, actor, frame)
    return tuple(found)


def light_share(plot: Plot, frame: int) -> float:
    """The share of dusk that has fallen, 0..1; 0 in clips without it."""
    return next((share(act, frame) for act in plot.acts if act.event.kind == DUSK), 0.0)


def blended(day: Light, dusk: Light, part: float) -> Light:
    """The light between two, as things take it."""
    if not part:
        return day

    def between(a: float, b: float) -> float:
        return a + (b - a) * part

    def mixed(name: str) -> tuple[float, float, float]:
        r, g, b = (between(a, b) for a, b in zip(getattr(day, name), getattr(dusk, name), strict=True))
        return r, g, b

    return dataclasses.replace(
        day, ambient=mixed("ambient"), rim=mixed("rim"), haze=between(day.haze, dusk.haze),
        shadow=between(day.shadow, dusk.shadow),
    )  # fmt: skip


def _acting(plot: Plot, act: Act, actor: Thing, frame: int) -> Iterator[Thing]:
    kind, s, now = act.event.kind, share(act, frame), happens(act, frame)
    beat = (frame - act.event.start) % 2
    if kind.endswith(("left", "right")):
        moved = dataclasses.replace(actor, x=actor.x + actor.facing * act.distance * s)
        yield _posed(moved, "walking", {1: beat, 2: 1 - beat, 3: 1 - beat, 4: beat, 6: 1 - beat}) if now else moved
    elif kind == "cow grazes":
        yield _posed(actor, "grazing", {9: 0.5 + 0.5 * beat}) if now else actor
    elif kind == "cow turns around":
        yield dataclasses.replace(actor, facing=-actor.facing) if s >= 0.5 else actor
    elif kind == "person waves":
        yield _posed(actor, "cheering", {4: beat, 6: 1 - beat, 7: beat}) if now else actor
    elif kind in ("person throws", "person catches"):
        yield _posed(actor, "throwing", {4: 0.5}) if now else actor
        away = s if kind == "person throws" else 1 - s
        if now:
            yield _thrown(plot.disc, actor, away)
        elif away == 0:
            yield _held(plot.disc, actor)
    else:
        away = s if kind == "bird takes off" else 1 - s
        if now:
            side = actor.facing if kind == "bird takes off" else -actor.facing
            yield _flying(actor, side, away, beat)
        elif away == 0:
            yield actor


def _posed(thing: Thing, action: str, angles: dict[int, float]) -> Thing:
    """The thing in an action, with some numbers of its pose replaced."""
    pose = list(thing.pose)
    for place, value in angles.items():
        pose[place] = value
    return dataclasses.replace(thing, action=action, pose=tuple(pose))


def _held(disc: Thing, man: Thing) -> Thing:
    x, y = man.x + man.facing * 0.1 * man.size, man.y - 0.42 * man.size
    return dataclasses.replace(disc, action="caught", x=x, y=y)


def _thrown(disc: Thing, man: Thing, away: float) -> Thing:
    """The frisbee between a hand and the border that the man faces, a little above the line between."""
    x, y = man.x + man.facing * 0.28 * man.size, man.y - 0.7 * man.size
    border = 1 + BEYOND if man.facing > 0 else -BEYOND
    return dataclasses.replace(disc, x=x + (border - x) * away, y=y - 0.15 * man.size * away)


def _flying(bird: Thing, side: int, away: float, beat: int) -> Thing:
    """The bird between its place on the ground and one above the border, at its right (side 1) or left."""
    x, y = bird.x + side * BESIDE * away, bird.y + (ABOVE - bird.y) * away
    return dataclasses.replace(_posed(bird, "flying", {2: 0.5, 6: 0.2 if beat else 0.9}), x=x, y=y)
