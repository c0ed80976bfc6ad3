"""From a scene to an image and its labels.

The image has soft edges, the labels hard ones at the pixels' centres. A label map holds, for each pixel, a class for
the land (sky, grass, road, water, distant wood) or `FIRST_THING + k` for the k-th thing of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foveate.datasets.pasture import shapes
from foveate.datasets.pasture.figures import figure
from foveate.datasets.pasture.land import Frame, layers
from foveate.datasets.pasture.paint import backdrop, finish
from foveate.datasets.pasture.scene import BIRD, CLASSES, COW, FRISBEE, TREE, Light, Scene, Thing
from foveate.datasets.pasture.texture import tiles

FIRST_THING = len(CLASSES)
_SHADOW = -1
_CHUNK = 1 << 15  # pixels of parts worked on at once: they stay in the cache, and a large image needs little memory
F = np.float32
# Columns that `_prepare` replaces with other values.
_TAPER, _EDGE, _FROM, _CHANGE = shapes.RB, shapes.SOFT, shapes.COVER, shapes.SECOND


def render(scene: Scene, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene: (3, H, W) uint8 image, (H, W) int32 label map."""
    frame = Frame.of(scene.land, height, width, scene.aspect)
    canvas, ids = backdrop(scene, frame, layers(scene.land, frame))
    lay_things(canvas, ids, scene.things, scene.light, frame)
    return finish(canvas, scene.light, frame), ids


def lay_things(canvas: np.ndarray, ids: np.ndarray, things: Sequence[Thing], light: Light, frame: Frame) -> None:
    """Lay things, far ones first, and their shadows onto a canvas (3, H, W) float32 and a label map (H, W)."""
    tables: list[np.ndarray] = []
    owners: list[int] = []
    for number, thing in enumerate(things):
        cast = _shadow(thing, light)
        if cast is not None:
            tables.append(cast)
            owners.append(_SHADOW)
        tables.append(_lit(figure(thing), thing, light))
        owners += [FIRST_THING + number] * len(tables[-1])
    if tables:
        _lay(canvas, ids, np.concatenate(tables), owners, frame, light)


def classes_of(scene: Scene, ids: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the label map's classes."""
    lookup = [*range(FIRST_THING), *(thing.category for thing in scene.things)]
    return np.array(lookup, np.uint8)[ids]


def _shadow(thing: Thing, light: Light) -> np.ndarray | None:
    """A soft dark ellipse on the ground, away from the sun."""
    small = thing.category in (BIRD, FRISBEE)
    if light.shadow <= 0 or (small and thing.action not in ("standing", "lying")):
        return None
    wide = {TREE: 0.3, COW: 0.55, BIRD: 0.5, FRISBEE: 0.55}.get(thing.category, 0.2)
    body = shapes.Body(thing, 0.0)
    paint = shapes.Paint((0.0, 0.0, 0.0), shade=0.0, opacity=light.shadow, soft=wide * 0.5)
    away = -light.sun[0] * wide * 0.6 * thing.facing
    body.ball((away, 0.3 if small else 0.0), wide, wide * 0.24, paint)
    return body.placed()


def _lit(table: np.ndarray, thing: Thing, light: Light) -> np.ndarray:
    """Colours under the scene's light, fading with distance."""
    fade = F(light.haze * 0.75 * max(0.0, 1.0 - thing.depth * 1.6))
    ambient, rim = np.array(light.ambient, F), np.array(light.rim, F)
    for color in (shapes.FIRST, shapes.SECOND):
        lit = table[:, color] * ambient
        table[:, color] = lit + fade * (rim - lit)
    return table


def _lay(canvas: np.ndarray, ids: np.ndarray, table: np.ndarray, owners: list[int], frame: Frame, light: Light) -> None:
    """Lay the parts onto canvas and label map, one over the other."""
    windows = _windows(table, frame)
    areas = (windows[:, 2] - windows[:, 0]) * (windows[:, 3] - windows[:, 1])
    _prepare(table, frame)
    seen = np.flatnonzero(areas)
    start = 0
    while start < len(seen):
        stop = start + max(1, int(np.searchsorted(np.cumsum(areas[seen[start:]]), _CHUNK, side="right")))
        group = seen[start:stop]
        ink, below, inside = _evaluate(table[group], windows[group], areas[group], frame, light)
        begin = 0
        for part, (left, top, right, bottom) in zip(group.tolist(), windows[group].tolist(), strict=True):
            size = bottom - top, right - left
            end = begin + size[0] * size[1]
            view = canvas[:, top:bottom, left:right]
            view *= below[begin:end].reshape(size)
            view += ink[:, begin:end].reshape(3, *size)
            if owners[part] != _SHADOW:
                np.copyto(ids[top:bottom, left:right], owners[part], where=inside[begin:end].reshape(size))
            begin = end
        start = stop


def _windows(table: np.ndarray, frame: Frame) -> np.ndarray:
    """(P, 4) int64: left, top, right, bottom pixel of each part, cut to the image; right and bottom excluded."""
    height, width = len(frame.ys), len(frame.xs)
    edges = shapes.boxes(table)
    blur = table[:, [shapes.SOFT]] / 2
    edges = np.concatenate((edges[:, :2] - blur, edges[:, 2:] + blur), axis=1) * F(width)
    low = np.floor(edges[:, :2]).astype(np.int64) - 1
    high = np.floor(edges[:, 2:]).astype(np.int64) + 2
    limit = np.array([width, height])
    return np.concatenate((np.clip(low, 0, limit), np.clip(high, 0, limit)), axis=1)


def _prepare(table: np.ndarray, frame: Frame) -> None:
    """Compute, once a part, values that all of its pixels share."""
    table[:, _TAPER] = (table[:, shapes.RB] - table[:, shapes.RA]) / np.maximum(table[:, shapes.LENGTH], F(1e-9))
    table[:, _EDGE] = np.minimum(F(len(frame.xs)), 1 / np.maximum(table[:, shapes.SOFT], F(1e-9)))
    table[:, _FROM] += (table[:, shapes.COVER] >= 0) * F(0.5) / table[:, shapes.HARD]
    table[:, _CHANGE] -= table[:, shapes.FIRST]


def _evaluate(
    table: np.ndarray, windows: np.ndarray, areas: np.ndarray, frame: Frame, light: Light
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours of all N pixels of all windows in one row: colour times cover (3, N), 1 - cover (N,), inside (N,)."""
    index = np.repeat(np.arange(len(table), dtype=np.int32), areas)
    starts = (np.cumsum(areas) - areas).astype(np.int32)
    left, top = windows[:, 0].astype(np.int32), windows[:, 1].astype(np.int32)
    place = np.arange(len(index), dtype=np.int32) - starts[index]
    wide = (windows[:, 2] - windows[:, 0]).astype(np.int32)[index]
    down = place // wide
    x = frame.xs[place - down * wide + left[index]]
    y = frame.ys[down + top[index]]
    c = np.take(np.ascontiguousarray(table.T), index, axis=1)  # (24, N)
    noise = _cloth(c, x, y, frame)
    x -= c[shapes.CX]
    y -= c[shapes.CY]
    u = x * c[shapes.UX] + y * c[shapes.UY]
    v = y * c[shapes.UX] - x * c[shapes.UY]
    v *= c[shapes.FLAT]
    length = c[shapes.LENGTH]
    along = np.minimum(np.maximum(u, 0), length)  # of the nearest point of the axis
    radius = c[shapes.RA] + c[_TAPER] * along
    u -= along
    uu, vv = u * u, v * v
    reach2 = uu + vv + F(1e-12)
    reach = np.sqrt(reach2)
    vv *= c[shapes.FLAT] * c[shapes.FLAT]
    uu += vv
    uu += F(1e-12)
    distance = (reach - radius) * np.sqrt(reach2 / uu)  # corrected for the flattening's slope
    distance += c[shapes.ROUGH] * (noise - F(0.5))
    alpha = F(0.5) - distance * c[_EDGE]
    np.minimum(np.maximum(alpha, 0, out=alpha), 1, out=alpha)
    alpha *= c[shapes.OPACITY]
    return _ink(c, u, v, radius, noise, alpha, light), 1 - alpha, distance < 0


def _cloth(c: np.ndarray, x: np.ndarray, y: np.ndarray, frame: Frame) -> np.ndarray:
    """The noise tile of each pixel's part, 0..1."""
    size = frame.tile
    column = ((x * c[shapes.SCALE] + c[shapes.TX]) * F(size)).astype(np.int32) & (size - 1)
    row = ((y * c[shapes.SCALE] + c[shapes.TY]) * F(size)).astype(np.int32) & (size - 1)
    row += c[shapes.TEXTURE].astype(np.int32) * size
    row *= size
    row += column
    return tiles(size).reshape(-1)[row]


def _ink(
    c: np.ndarray, u: np.ndarray, v: np.ndarray, radius: np.ndarray, noise: np.ndarray, alpha: np.ndarray, light: Light
) -> np.ndarray:
    """(3, N): colour times cover, with the second colour laid on and the side towards the sun brighter."""
    second = (c[_FROM] - noise) * c[shapes.HARD]
    np.minimum(np.maximum(second, 0, out=second), 1, out=second)
    sx, sy = F(light.sun[0]), F(light.sun[1])
    ux, uy = c[shapes.UX], c[shapes.UY]
    side = (u * (ux * sx + uy * sy) + v * (ux * sy - uy * sx)) / radius
    shine = np.minimum(np.maximum(side, -1), 1)
    shine *= c[shapes.SHADE]
    shine += 1
    shine *= alpha
    ink = c[_CHANGE]
    ink *= second
    ink += c[shapes.FIRST]
    ink *= shine
    return ink
