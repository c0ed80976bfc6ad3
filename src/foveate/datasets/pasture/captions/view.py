"""The visible content of a scene: its things, their visible shares, the ground under them, and their relations.

H x W pixels, N masks. Lengths are in image widths, x to the right and y down, as in the scene. Captions use nothing
else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from foveate.datasets.pasture import palette
from foveate.datasets.pasture.draw import FIRST_THING
from foveate.datasets.pasture.land import Frame, surfaces
from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, GRASS, PERSON, ROAD, SKY, TREE, WATER, Scene, Thing
from foveate.ops.boxes import tight_boxes

Box = tuple[float, float, float, float]  # left, top, right, bottom

STUFF = (SKY, GRASS, ROAD, WATER, TREE)  # whose masks follow the things'; TREE: the distant woods
# Share of the image from which a thing can be named, and from which it counts as visible: a third cow with a visible
# tail makes "two cows" doubtful, a hidden one does not.
MIN_CLEAR = {TREE: 1 / 128, COW: 1 / 128, PERSON: 1 / 128, BIRD: 1 / 1200, FRISBEE: 1 / 1200}
MIN_VISIBLE = {TREE: 1 / 1024, COW: 1 / 1024, PERSON: 1 / 1024, BIRD: 1 / 4096, FRISBEE: 1 / 4096}
MIN_STUFF = {SKY: 0.06, GRASS: 0.03, ROAD: 0.03, WATER: 0.03, TREE: 0.015}
_MIN_WHOLE = 0.3
_MIN_DISTINCT = 0.55  # visible share of a thing from which its action and size are mentioned
# Pixels of a fully visible thing over the square of its size, measured, by action or by form.
_FULL = {
    (COW, "resting"): 0.57, (COW, ""): 0.7, (PERSON, "sitting"): 0.2, (PERSON, ""): 0.24, (BIRD, "swimming"): 0.33,
    (BIRD, ""): 0.45, (FRISBEE, "lying"): 0.52, (FRISBEE, ""): 0.69, (TREE, "broad"): 0.29, (TREE, "conifer"): 0.21,
    (TREE, "poplar"): 0.15, (TREE, "bare"): 0.12, (TREE, "bush"): 1.02,
}  # fmt: skip
_FLYING = ("flying", "soaring", "caught")
_BESIDE = 0.07  # largest distance of a foot from the road or the water
_GREENS = ("green", "green", "dry", "dry", "", "frosty")  # a word for each of the palette's grasses


@dataclass(frozen=True)
class Seen:
    """A thing with visible pixels.

    mask: its index among the masks. share: of the image's pixels. whole: the visible share of the thing, roughly.
    box: around its visible pixels. surface: class of the ground under it, or of most pixels around a flying thing; None
        if that is hidden or mixed. beside: road and water next to its foot.
    """

    mask: int
    thing: Thing
    share: float
    whole: float
    box: Box
    surface: int | None
    beside: tuple[int, ...]

    @property
    def noun(self) -> str:
        """Noun that it is counted by: 'tree', 'bush', 'cow', 'person', 'bird' or 'frisbee'."""
        if self.thing.category == TREE:
            return "bush" if self.thing.kind == "bush" else "tree"
        return {COW: "cow", PERSON: "person", BIRD: "bird", FRISBEE: "frisbee"}[self.thing.category]

    @property
    def action(self) -> str:
        """Its action, without the details of the pose: soaring is flying, and so is a disc in front of a hand."""
        return "flying" if self.thing.action in _FLYING else self.thing.action

    @property
    def flies(self) -> bool:
        """True if it is in the air."""
        return self.action == "flying"

    @property
    def clear(self) -> bool:
        """True if enough of it is visible to name it."""
        return self.share >= MIN_CLEAR[self.thing.category] and self.whole >= _MIN_WHOLE

    @property
    def distinct(self) -> bool:
        """True if enough of it is visible to mention its action and size."""
        return self.clear and self.whole >= _MIN_DISTINCT

    @property
    def head_in_picture(self) -> bool:
        """True if a cow's head, about half a body ahead of its middle, is within the image."""
        return 0.02 <= self.thing.x + 0.55 * self.thing.facing * self.thing.size <= 0.98

    @property
    def center(self) -> tuple[float, float]:
        """Centre of its box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True)
class View:
    """The visible content of a scene.

    masks: (N, H, W) bool: the visible pixels of each thing, far ones first, then of each visible stuff.
    things: those with a visible pixel. stuff: class -> (its mask's index, its share of the image).
    """

    scene: Scene
    masks: np.ndarray
    things: tuple[Seen, ...]
    stuff: dict[int, tuple[int, float]]

    def shows(self, category: int) -> bool:
        """True if enough of a stuff is visible to name it."""
        return category in self.stuff and self.stuff[category][1] >= MIN_STUFF[category]

    def alike(self, noun: str) -> list[Seen]:
        """All things of one noun that are visible enough to be counted."""
        return [s for s in self.things if s.noun == noun and s.share >= MIN_VISIBLE[s.thing.category]]

    def countable(self, noun: str) -> bool:
        """True if all visible things of one noun are clear."""
        return all(s.clear for s in self.alike(noun))

    def grass_word(self) -> str:
        """'green', 'dry' or 'frosty'; '' for a grass between them, or in dim light."""
        if self.scene.light.name in ("night", "dusk"):
            return ""
        ramp = np.array(self.scene.land.grass)
        far = [float(np.abs(ramp - np.array(known)).sum()) for known in palette.GRASSES]
        return _GREENS[int(np.argmin(far))]


def view_of(scene: Scene, ids: np.ndarray) -> View:
    """The visible content of a scene, from its label map (H, W) as `render` gives it."""
    height, width = ids.shape
    counts = np.bincount(ids.ravel(), minlength=FIRST_THING + len(scene.things))
    numbers = np.flatnonzero(counts[FIRST_THING:]).tolist()
    present = [c for c in STUFF if counts[c]]
    masks = ids == np.array([*(FIRST_THING + n for n in numbers), *present], ids.dtype)[:, None, None]
    ground = surfaces(scene.land, Frame.of(scene.land, height, width, scene.aspect))
    boxes = tight_boxes(torch.from_numpy(masks[: len(numbers)])).double().numpy() / width
    things = []
    for mask, (number, corners) in enumerate(zip(numbers, boxes.tolist(), strict=True)):
        thing, pixels = scene.things[number], int(counts[FIRST_THING + number])
        form = thing.kind if thing.category == TREE else thing.action
        full = _FULL.get((thing.category, form)) or _FULL[thing.category, ""]
        whole = pixels / (width * width * thing.size * thing.size * full)
        box: Box = tuple(corners)
        flies = thing.action in _FLYING
        surface = _around(ids, box) if flies else _under(ground, thing)
        beside = () if flies else tuple(_beside(ids, thing, box, surface))
        things.append(Seen(mask, thing, pixels / ids.size, whole, box, surface, beside))
    stuff = {c: (len(numbers) + i, int(counts[c]) / ids.size) for i, c in enumerate(present)}
    return View(scene, masks, tuple(things), stuff)


def _window(ids: np.ndarray, box: Box) -> np.ndarray:
    """The part of the label map within a box, cut to the image."""
    width = ids.shape[1]
    left, top, right, bottom = (round(v * width) for v in box)
    return ids[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]


def _under(ground: np.ndarray, thing: Thing) -> int | None:
    """The surface at a thing's foot; None where the foot is outside of the image."""
    width = ground.shape[1]
    row, column = int(thing.y * width), int(thing.x * width)
    if not (0 <= row < ground.shape[0] and 0 <= column < width):
        return None
    return int(ground[row, column])


def _around(ids: np.ndarray, box: Box) -> int | None:
    """The stuff that fills most of a flying thing's surroundings."""
    left, top, right, bottom = box
    near = _window(ids, (left - 0.03, top - 0.03, right + 0.03, bottom + 0.03))
    counts = np.bincount(near.ravel(), minlength=FIRST_THING)
    counts[FIRST_THING:] = 0
    best = int(counts.argmax())
    inside = _window(ids, box).size
    return best if counts[best] >= 0.75 * (near.size - 0.5 * inside) else None


def _beside(ids: np.ndarray, thing: Thing, box: Box, surface: int | None) -> Iterator[int]:
    """Road and water close to a foot, of which more than a corner is seen there."""
    foot = (box[0] - _BESIDE, thing.y - _BESIDE, box[2] + _BESIDE, thing.y + 0.5 * _BESIDE)
    near = _window(ids, foot)
    for category in (ROAD, WATER):
        if surface == GRASS and near.size and float((near == category).mean()) >= 0.12:
            yield category


# Relations of A to B, by the boxes around their visible pixels and by their feet.


def _overlap(a: Seen, b: Seen) -> float:
    """Share of the narrower of two things that is above or below the other, 0..1; negative: the gap between them."""
    shared = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    return shared / min(a.box[2] - a.box[0], b.box[2] - b.box[0]) if shared > 0 else shared


def left_of(a: Seen, b: Seen) -> bool:
    """A ends where B begins, at about the same height."""
    across, down = b.center[0] - a.center[0], abs(b.center[1] - a.center[1])
    return a.box[2] <= b.box[0] + 0.02 and across >= 0.12 and down <= across


def above(a: Seen, b: Seen) -> bool:
    """A, in the air, over B's top."""
    return a.flies and a.box[3] <= b.box[1] + 0.01 and b.box[0] <= a.center[0] <= b.box[2]


def in_front_of(a: Seen, b: Seen) -> bool:
    """A stands nearer than B, and their boxes meet, side over side."""
    if a.flies or b.flies:
        return False
    meets = a.box[1] < b.box[3] and b.box[1] < a.box[3]
    return meets and a.thing.depth > b.thing.depth + 0.05 and a.box[3] >= b.box[3] and _overlap(a, b) >= 0.4


def next_to(a: Seen, b: Seen) -> bool:
    """Both stand, side by side."""
    if a.flies or b.flies:
        return False
    return -0.12 <= _overlap(a, b) <= 0.25 and abs(a.thing.y - b.thing.y) <= 0.12


def ahead(man: Seen, disc: Seen, reach: float) -> bool:
    """True if a disc is in front of a person, at the height of arms and head, within `reach` heights of the person."""
    m, d = man.thing, disc.thing
    forward, up = (d.x - m.x) * m.facing / m.size, (m.y - d.y) / m.size
    return disc.flies and 0.22 <= forward <= reach and 0.4 <= up <= 1.15
