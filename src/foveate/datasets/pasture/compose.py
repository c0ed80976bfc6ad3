"""Sampling of one scene: its light, land and things, with their places, sizes, colours and poses.

The package's docstring states the distribution of these numbers.
"""

from __future__ import annotations

from foveate.datasets.pasture import palette
from foveate.datasets.pasture.dice import Dice
from foveate.datasets.pasture.land import Survey
from foveate.datasets.pasture.scene import (
    BIRD,
    COW,
    FRISBEE,
    GRASS,
    PERSON,
    RGB,
    ROAD,
    SKY,
    TREE,
    WATER,
    Band,
    Lake,
    Land,
    Light,
    Ridge,
    Scene,
    Thing,
)

_POSE = 14
_TRIES = 8
# Probabilities of 0, 1, 2, ... things; one without a place is left out.
_COUNTS = {
    TREE: (0.3, 0.44, 0.26),
    COW: (0.3, 0.44, 0.26),
    PERSON: (0.3, 0.46, 0.24),
    BIRD: (0.12, 0.26, 0.32, 0.3),
    FRISBEE: (0.14, 0.4, 0.3, 0.16),
}


def compose(seed: tuple[int, int, int], aspect: float) -> Scene:
    """The scene of a seed, for images `aspect` times as high as wide."""
    dice = Dice(*seed)
    light = _light(dice)
    land = _land(dice, aspect)
    place = _Placement(dice, land, aspect)
    things = [*_trees(place), *_cows(place), *_people(place), *_birds(place)]
    things += _frisbees(place, [t for t in things if t.category == PERSON])
    things.sort(key=lambda thing: thing.depth)
    return Scene(seed, aspect, light, land, tuple(things))


def _light(dice: Dice) -> Light:
    return light_at(dice, palette.HOURS[dice.weighted(palette.HOUR_WEIGHTS)])


def light_at(dice: Dice, name: str) -> Light:
    """The light of an hour or weather, one of `palette.HOURS`."""
    hour = palette.SKIES[name]
    tint = [dice.between(0.92, 1.08) for _ in range(3)]
    gain = dice.between(0.85, 1.12)
    across = dice.between(-0.85, 0.85)
    return Light(
        name,
        _shade(hour.zenith, gain * dice.between(0.8, 1.15), tint),
        _shade(hour.rim, gain * dice.between(0.9, 1.06), tint),
        (hour.ambient[0] * gain * tint[0], hour.ambient[1] * gain * tint[1], hour.ambient[2] * gain * tint[2]),
        dice.between(*hour.haze),
        dice.between(*hour.clouds),
        hour.shadow,
        (across, -dice.between(0.45, 0.9)),
        dice.between(0.5, 4.0),
        (dice.unit(), dice.unit()),
    )


def _shade(color: RGB, factor: float, tint: list[float] | None = None) -> RGB:
    r, g, b = (value * factor * t for value, t in zip(color, tint or (1.0, 1.0, 1.0), strict=True))
    return min(r, 255.0), min(g, 255.0), min(b, 255.0)


def _land(dice: Dice, aspect: float) -> Land:
    view = dice.weighted((0.84, 0.09, 0.07))
    low, high = ((0.2, 0.6), (-0.5, -0.05), (0.6, 0.8))[view]  # level; looking down; looking up
    horizon = aspect * dice.between(low, high)
    ground = aspect - horizon
    grass = palette.GRASSES[dice.weighted(palette.GRASS_WEIGHTS)]
    bands: list[Band] = [_road(dice, aspect, horizon) for _ in range(dice.weighted((0.28, 0.6, 0.12)))]
    lakes: list[Lake] = []
    shore = None
    water = dice.weighted((0.3, 0.34, 0.2, 0.16))
    if water == 1:
        lakes = [_lake(dice, aspect, horizon) for _ in range(1 + dice.chance(0.2))]
    elif water == 2:
        bands.append(_river(dice, aspect, horizon))
    elif water == 3 and view != 1:
        shore = horizon + ground * dice.between(0.15, 0.5)
    return Land(
        horizon,
        ground * dice.between(0.0, 0.08),
        (dice.unit(), dice.unit()),
        tuple(_shade(color, dice.between(0.9, 1.1)) for color in grass),
        dice.pick(palette.FLOWERS) if dice.chance(0.3) else None,
        tuple(_ridge(dice, aspect) for _ in range(dice.weighted((0.46, 0.4, 0.14)))),
        shore,
        tuple(lakes),
        tuple(bands),
        dice.pick(palette.WATERS),
        dice.between(0.2, 0.6),
    )


def _ridge(dice: Dice, aspect: float) -> Ridge:
    start = dice.unit(), dice.unit()
    if dice.chance(0.5):
        return Ridge(TREE, aspect * dice.between(0.05, 0.17), dice.between(0.9, 2.2), start, dice.pick(palette.WOODS))
    return Ridge(GRASS, aspect * dice.between(0.06, 0.2), dice.between(0.12, 0.45), start, dice.pick(palette.HILLS))


def _road(dice: Dice, aspect: float, horizon: float) -> Band:
    kind = dice.pick(tuple(palette.ROADS))
    across = dice.chance(0.28)
    lines = dice.pick(palette.LINES) if kind in ("asphalt", "wet") and dice.chance(0.75) else None
    near, far = _ends(dice, aspect, horizon, across)
    return Band(
        ROAD,
        kind,
        across,
        near,
        far,
        dice.between(0.16, 0.34) * (min(aspect, 1.0) if across else 1.0),
        dice.between(0.0, 0.06 * (aspect - horizon)) if across else dice.between(0.0, 0.3),
        dice.between(0.3, 0.9),
        dice.unit(),
        0.0 if lines else dice.between(0.0, 0.25),
        palette.ROADS[kind],
        lines,
    )


def _river(dice: Dice, aspect: float, horizon: float) -> Band:
    across = dice.chance(0.5)
    near, far = _ends(dice, aspect, horizon, across)
    half = dice.between(0.2, 0.42) * (min(aspect, 1.0) if across else 1.0)
    bend = dice.between(0.0, 0.1 * (aspect - horizon)) if across else dice.between(0.1, 0.4)
    turns, phase, ragged = dice.between(0.3, 0.9), dice.unit(), dice.between(0.1, 0.5)
    return Band(WATER, "river", across, near, far, half, bend, turns, phase, ragged, (), None)


def _ends(dice: Dice, aspect: float, horizon: float, across: bool) -> tuple[float, float]:
    if not across:
        return dice.between(-0.2, 1.2), dice.between(0.05, 0.95)
    ground = aspect - max(horizon, 0.0)
    middle = max(horizon, 0.0) + ground * dice.between(0.25, 0.85)
    slope = ground * dice.between(-0.25, 0.25)
    return middle - slope, middle + slope


def _lake(dice: Dice, aspect: float, horizon: float) -> Lake:
    ground = aspect - max(horizon, 0.0)
    y = max(horizon, 0.0) + ground * dice.between(0.12, 0.9)
    wide = dice.between(0.25, 0.65)
    high = min(wide * dice.between(0.25, 0.5), 0.5 * ground)
    return Lake((dice.between(0.0, 1.0), y), (wide, high), dice.between(0.1, 0.6), (dice.unit(), dice.unit()))


class _Placement:
    """Finds places on the ground, and sizes that fit their distance."""

    def __init__(self, dice: Dice, land: Land, aspect: float) -> None:
        self.dice, self.land, self.aspect = dice, land, aspect
        self.survey = Survey(land, aspect)
        self.camera = dice.between(0.65, 1.5)  # a person's height over the distance from foot to horizon
        self.unit = min(1.0, aspect)  # things are smaller in a low image
        self.top = max(land.horizon, 0.0)

    def spot(self, allowed: tuple[int, ...], near: tuple[float, float] | None = None) -> tuple[float, float] | None:
        """A point on one of the allowed surfaces (close to `near` if given), or None if a few samples found none."""
        for _ in range(_TRIES):
            if near is None:
                x = self.dice.between(0.0, 1.0)
                y = self.top + (self.aspect - self.top) * self.dice.between(0.06, 1.04)
            else:
                x = near[0] + self.dice.between(-0.3, 0.3)
                y = max(near[1] + self.dice.between(-0.12, 0.12) * self.aspect, self.top + 0.02)
            if self.survey.at(x, y) in allowed:
                return x, y
        return None

    def size(self, y: float, factor: float, low: float, high: float) -> float:
        """A length at ground line y, `factor` persons long, kept between low and high."""
        plain = self.camera * (y - self.land.horizon) * factor * self.dice.between(0.88, 1.12)
        return min(max(plain, low), high) * self.unit

    def lowered(self, at: tuple[float, float], height: float) -> tuple[float, float]:
        """The foot, brought down until most of a thing this high fits under the image's upper edge."""
        return at[0], min(max(at[1], 0.85 * height), 1.04 * self.aspect)

    def depth(self, y: float) -> float:
        """1 at the bottom of the image, 0 at the horizon."""
        return (y - self.land.horizon) / (self.aspect - self.land.horizon)

    def thing(
        self,
        category: int,
        kind: str,
        action: str,
        color: str,
        colors: tuple[RGB, ...],
        at: tuple[float, float],
        size: float,
        depth: float | None = None,
    ) -> Thing:
        facing = 1 if self.dice.chance(0.5) else -1
        depth = self.depth(at[1]) if depth is None else depth
        pose = self.dice.units(_POSE)
        return Thing(category, kind, action, color, colors, at[0], at[1], size, depth, facing, pose)


def _trees(place: _Placement) -> list[Thing]:
    dice, trees = place.dice, []
    form = dice.pick(palette.TREE_FORMS)
    for _ in range(dice.weighted(_COUNTS[TREE])):
        at = place.spot((GRASS, TREE))
        if at is None:
            continue
        kind = form if dice.chance(0.6) else dice.pick(palette.TREE_FORMS)
        name = dice.pick(tuple(palette.FOLIAGE))
        bark = dice.pick(palette.BARKS)
        low, high, factor = (0.34, 0.55, 1.0) if kind == "bush" else (0.6, 1.1, 2.4)
        size = place.size(at[1], factor, low, high)
        leaves = tuple(_shade(color, dice.between(0.88, 1.12)) for color in palette.FOLIAGE[name])
        colors = (*leaves, bark, _shade(bark, 0.55))
        trees.append(place.thing(TREE, kind, "growing", name, colors, place.lowered(at, 0.8 * size), size))
    return trees


def _cows(place: _Placement) -> list[Thing]:
    dice, cows = place.dice, []
    herd = None
    for _ in range(dice.weighted(_COUNTS[COW])):
        at = place.spot((GRASS, GRASS, ROAD, WATER) if dice.chance(0.15) else (GRASS,), herd)
        if at is None:
            continue
        herd = at
        color = dice.pick(tuple(palette.COATS))
        coat = palette.COATS[color]
        kind = "patched" if dice.chance(0.5) else "plain"
        action = ("grazing", "standing", "walking", "resting")[dice.weighted((0.36, 0.27, 0.22, 0.15))]
        face = coat[0] if dice.chance(0.6) else dice.pick(palette.FACES)
        size = place.size(at[1], 1.3, 0.4, 0.62)
        cows.append(place.thing(COW, kind, action, color, (*coat, face), place.lowered(at, size), size))
    return cows


def _people(place: _Placement) -> list[Thing]:
    dice, people = place.dice, []
    for _ in range(dice.weighted(_COUNTS[PERSON])):
        at = place.spot((GRASS, ROAD))
        if at is None:
            continue
        kind = ("trousers", "shorts", "dress", "hat")[dice.weighted((0.4, 0.25, 0.2, 0.15))]
        names = ("standing", "walking", "running", "throwing", "cheering", "sitting")
        action = names[dice.weighted((0.2, 0.25, 0.15, 0.2, 0.1, 0.1))]
        color = dice.pick(tuple(palette.DYES))
        top, second = palette.DYES[color], dice.pick(tuple(palette.DYES.values()))
        legs = dice.pick(tuple(palette.DYES.values())) if dice.chance(0.5) else dice.pick(palette.TROUSERS)
        dressed = tuple(_shade(c, dice.between(0.7, 1.1)) for c in (top, second, legs))
        colors = (dice.pick(palette.SKINS), dice.pick(palette.HAIRS), *dressed, dice.pick(palette.SHOES))
        size = place.size(at[1], 1.25, 0.52, 0.95)
        people.append(place.thing(PERSON, kind, action, color, colors, place.lowered(at, size), size))
    return people


def _small(dice: Dice) -> float:
    """The width of a bird or frisbee: 3 to 10 % of the image's, denser towards 10 %."""
    return 0.03 + 0.07 * max(dice.units(4))


def _birds(place: _Placement) -> list[Thing]:
    dice, birds = place.dice, []
    for _ in range(dice.weighted(_COUNTS[BIRD])):
        size = _small(dice)
        color = dice.pick(tuple(palette.PLUMAGE))
        colors = (*palette.PLUMAGE[color], dice.pick(palette.BEAKS))
        at: tuple[float, float] | None
        if dice.chance(0.62):
            action = dice.pick(("flying", "soaring"))
            at, depth = (dice.between(0.04, 0.96), place.aspect * dice.between(0.04, 0.92)), dice.unit()
        else:
            at = place.spot((GRASS, ROAD, WATER))
            if at is None:
                continue
            action = "swimming" if place.survey.at(*at) == WATER else "standing"
            depth = place.depth(at[1])
        birds.append(place.thing(BIRD, "bird", action, color, colors, at, size, depth))
    return birds


def _frisbees(place: _Placement, people: list[Thing]) -> list[Thing]:
    dice, discs = place.dice, []
    for _ in range(dice.weighted(_COUNTS[FRISBEE])):
        size = _small(dice)
        color = dice.pick(tuple(palette.DYES))
        main = palette.DYES[color]
        rim = dice.pick(palette.RIMS)
        mark = rim if dice.chance(0.6) else dice.pick(tuple(palette.DYES.values()))
        at = (dice.between(0.04, 0.96), place.aspect * dice.between(0.06, 0.94))
        action, depth = "flying", dice.unit()
        if people and dice.chance(0.3):
            man = dice.pick(people)
            ahead = man.facing * man.size * dice.between(0.3, 0.7)
            action, at, depth = "caught", (man.x + ahead, man.y - man.size * dice.between(0.5, 1.0)), man.depth + 0.001
        elif place.survey.at(*at) not in (SKY, TREE) and dice.chance(0.35):
            action, depth = "lying", place.depth(at[1])
        discs.append(place.thing(FRISBEE, "disc", action, color, (main, rim, mark), at, size, depth))
    return discs
