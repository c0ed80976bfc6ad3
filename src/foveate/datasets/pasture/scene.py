"""The layout of one scene: its content before anything is drawn.

Lengths are in image widths, x to the right and y down from the top left corner, so that one scene can be drawn at any
size of the same shape. Colours are RGB, 0..255, under white light. Drawing, captions and questions
read nothing but the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

from foveate.records import ClassTable

RGB = tuple[float, float, float]

CLASSES = ClassTable(
    ("sky", "grass", "road", "water", "tree", "cow", "person", "bird", "frisbee"),
    (
        (126, 178, 232),
        (124, 190, 82),
        (128, 122, 118),
        (38, 96, 182),
        (22, 98, 52),
        (146, 84, 44),
        (222, 62, 80),
        (246, 196, 44),
        (190, 70, 212),
    ),
)
SKY, GRASS, ROAD, WATER, TREE, COW, PERSON, BIRD, FRISBEE = range(9)


@dataclass(frozen=True)
class Light:
    """The hour and the weather."""

    name: str  # 'noon', 'overcast', 'golden', 'dusk', 'night', 'mist' or 'storm'
    zenith: RGB  # the sky's colour at the top of the image
    rim: RGB  # and at the horizon; distance fades to it
    ambient: RGB  # what a colour is multiplied with
    haze: float  # 0..1, how much of the rim's colour covers the farthest ground
    clouds: float  # share of the sky, 0..1
    shadow: float  # 0..1, darkness of cast shadows
    sun: tuple[float, float]  # direction of the light's source in the image, about unit length
    noise: float  # amplitude of the camera's noise, 0..255
    drift: tuple[float, float]  # where in the noise tiles sky and ground start, 0..1


@dataclass(frozen=True)
class Ridge:
    """A line of hills (grass) or of distant woods (tree) behind the meadow."""

    category: int
    height: float  # of its highest point above the horizon
    stretch: float  # tiles of noise per width: how jagged it is
    start: tuple[float, float]  # where in the tile it is cut, 0..1
    ramp: tuple[RGB, ...]


@dataclass(frozen=True)
class Band:
    """A road or a river: along (towards the horizon) or across the image."""

    category: int
    kind: str  # 'asphalt', 'gravel', 'dirt', 'clay', 'wet' ... or 'river'
    across: bool
    near: float  # along: x where it meets the bottom; across: y at the left border
    far: float  # along: x where it meets the horizon; across: y at the right border
    half: float  # half its width on the bottom line of the image
    bend: float  # amplitude of its windings
    turns: float  # how many windings
    phase: float  # of the windings, 0..1
    ragged: float  # amplitude of its border's irregularity
    ramp: tuple[RGB, ...]
    lines: RGB | None  # colour of painted lines


@dataclass(frozen=True)
class Lake:
    """An irregular ellipse of water."""

    center: tuple[float, float]
    radii: tuple[float, float]
    ragged: float
    start: tuple[float, float]


@dataclass(frozen=True)
class Land:
    """The ground: its horizon, and its surfaces besides grass."""

    horizon: float  # y; negative when the camera looks down
    swell: float  # height of the meadow's own waves at the horizon
    start: tuple[float, float]  # where in the noise tile the meadow's border is cut, 0..1
    grass: tuple[RGB, ...]
    flowers: RGB | None
    ridges: tuple[Ridge, ...]
    shore: float | None  # y down to which a sea reaches from the horizon
    lakes: tuple[Lake, ...]
    bands: tuple[Band, ...]
    water: tuple[RGB, ...]
    mirror: float  # 0..1, how much of the sky water shows


@dataclass(frozen=True)
class Thing:
    """A tree, cow, person, bird or frisbee."""

    category: int
    kind: str  # the tree's form, the cow's coat, the person's dress, ...
    action: str  # 'grazing', 'walking', 'throwing', 'flying', ...
    color: str  # the word for its main colour
    colors: tuple[RGB, ...]
    x: float  # of the middle of its foot; of its centre if it flies
    y: float
    size: float  # tree, person: height; cow: length of the body; bird, frisbee: width of the whole
    depth: float  # 1 at the bottom of the image, 0 at the horizon
    facing: int  # +1 right, -1 left
    pose: tuple[float, ...]  # uniform numbers that the shape turns into joint angles and proportions


@dataclass(frozen=True)
class Scene:
    """One image's content, far things first."""

    seed: tuple[int, int, int]  # of the world, of the split, of the scene
    aspect: float  # height / width
    light: Light
    land: Land
    things: tuple[Thing, ...]
