"""From a scene to a picture and its labels.

The picture has soft edges, the labels hard ones at the pixels' centres. A label map holds, for each pixel, a class for
the land (sky, grass, road, water, distant wood) or `FIRST_THING + k` for the k-th thing of the scene.
"""

from __future__ import annotations

import numpy as np

from foveate.datasets.pasture import shapes
from foveate.datasets.pasture.figures import figure
from foveate.datasets.pasture.land import Frame, layers
from foveate.datasets.pasture.paint import backdrop, finish
from foveate.datasets.pasture.scene import BIRD, CLASSES, FRISBEE, TREE, Light, Scene, Thing
from foveate.datasets.pasture.texture import tiles

FIRST_THING = len(CLASSES)
_SHADOW = -1
_CHUNK = 1 << 18  # pixels of parts worked on at once: bounds the memory of a large picture


def render(scene: Scene, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene: (H, W, 3) uint8 picture, (H, W) int32 label map."""
    frame = Frame.of(scene.land, height, width, scene.aspect)
    canvas, ids = backdrop(scene, frame, list(layers(scene.land, frame)))
    tables, owners = [], []
    for number, thing in enumerate(scene.things):
        cast = _shadow(thing, scene.light)
        body = _lit(figure(thing), thing, scene.light)
        tables += [cast, body] if cast is not None else [body]
        owners += [_SHADOW] * (cast is not None) + [FIRST_THING + number] * len(body)
    if tables:
        _paint(canvas, ids, np.concatenate(tables), owners, frame, scene.light)
    return finish(canvas, scene.light, frame), ids


def classes_of(scene: Scene, ids: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the label map's classes."""
    lookup = [*range(FIRST_THING), *(thing.category for thing in scene.things)]
    return np.array(lookup, np.uint8)[ids]


def _shadow(thing: Thing, light: Light) -> np.ndarray | None:
    """A soft dark ellipse on the ground, away from the sun."""
    if light.shadow <= 0 or (thing.category in (BIRD, FRISBEE) and thing.action not in ("standing", "lying")):
        return None
    wide = {TREE: 0.3, BIRD: 0.5, FRISBEE: 0.5}.get(thing.category, 0.55 if thing.facing and thing.category == 5 else 0.2)
    sole = thing.size * (0.3 if thing.category in (BIRD, FRISBEE) else 0.0)
    body = shapes.Body(thing, 0.0)
    paint = shapes.Paint((0.0, 0.0, 0.0), shade=0.0, opacity=light.shadow, soft=wide * 0.5)
    body.ball((-light.sun[0] * wide * 0.6 * thing.facing, 0.0), wide, wide * 0.24, paint)
    table = body.placed()
    table[:, shapes.CY] += np.float32(sole)
    return table


def _lit(table: np.ndarray, thing: Thing, light: Light) -> np.ndarray:
    """Colours under the scene's light, fading with distance."""
    fade = np.float32(light.haze * 0.75 * max(0.0, 1.0 - thing.depth * 1.6))
    ambient, rim = np.array(light.ambient, np.float32), np.array(light.rim, np.float32)
    for color in (shapes.FIRST, shapes.SECOND):
        lit = table[:, color] * ambient
        table[:, color] = lit + fade * (rim - lit)
    return table


def _paint(
    canvas: np.ndarray, ids: np.ndarray, table: np.ndarray, owners: list[int], frame: Frame, light: Light
) -> None:
    """Lay the parts onto canvas and label map, one over the other."""
    windows = _windows(table, frame)
    areas = (windows[:, 2] - windows[:, 0]) * (windows[:, 3] - windows[:, 1])
    seen = np.flatnonzero((windows[:, 2] > windows[:, 0]) & (windows[:, 3] > windows[:, 1]))
    start = 0
    while start < len(seen):
        stop = start + max(1, int(np.searchsorted(np.cumsum(areas[seen[start:]]), _CHUNK, side="right")))
        group = seen[start:stop]
        ink, cover, inside = _evaluate(table[group], windows[group], areas[group], frame, light)
        begin = 0
        for part, (left, top, right, bottom), area in zip(
            group.tolist(), windows[group].tolist(), areas[group].tolist(), strict=True
        ):
            here, size = slice(begin, begin + area), (bottom - top, right - left)
            view = canvas[top:bottom, left:right]
            view *= cover[here].reshape(*size, 1)
            view += ink[here].reshape(*size, 3)
            if owners[part] != _SHADOW:
                np.copyto(ids[top:bottom, left:right], owners[part], where=inside[here].reshape(size))
            begin += area
        start = stop


def _windows(table: np.ndarray, frame: Frame) -> np.ndarray:
    """(P, 4) int64: left, top, right, bottom pixel of each part, cut to the picture; right and bottom excluded."""
    height, width = len(frame.ys), len(frame.xs)
    edges = shapes.boxes(table)
    blur = table[:, [shapes.SOFT]] / 2
    edges = np.concatenate((edges[:, :2] - blur, edges[:, 2:] + blur), axis=1) * np.float32(width)
    low = np.floor(edges[:, :2]).astype(np.int64) - 1
    high = np.floor(edges[:, 2:]).astype(np.int64) + 2
    limit = np.array([width, height])
    return np.concatenate((np.clip(low, 0, limit), np.clip(high, 0, limit)), axis=1)


def _evaluate(
    table: np.ndarray, windows: np.ndarray, areas: np.ndarray, frame: Frame, light: Light
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pixels of all windows in one row, N of them: premultiplied colour (N, 3), what stays below (N,), inside (N,)."""
    index = np.repeat(np.arange(len(table)), areas)
    starts = np.cumsum(areas) - areas
    place = np.arange(len(index)) - starts[index]
    wide = (windows[:, 2] - windows[:, 0])[index]
    down = place // wide
    x = frame.xs[place - down * wide + windows[index, 0]]
    y = frame.ys[down + windows[index, 1]]
    c = np.take(table.T, index, axis=1)  # (COLUMNS, N)
    x -= c[shapes.CX]
    y -= c[shapes.CY]
    u = x * c[shapes.UX] + y * c[shapes.UY]
    v = y * c[shapes.UX] - x * c[shapes.UY]
    length = c[shapes.LENGTH]
    share = np.clip(u / np.maximum(length, np.float32(1e-9)), 0, 1) * (length > 0)
    radius = c[shapes.RA] + (c[shapes.RB] - c[shapes.RA]) * share
    e = u - share * length
    q = v * c[shapes.FLAT]
    reach = np.sqrt(e * e + q * q) + np.float32(1e-9)
    slope = np.sqrt(e * e + (q * c[shapes.FLAT]) * (q * c[shapes.FLAT])) + np.float32(1e-9)
    distance = (reach - radius) * reach / slope
    noise = _cloth(c, u, v, frame)
    distance += c[shapes.ROUGH] * (noise - np.float32(0.5))
    edge = np.minimum(np.float32(len(frame.xs)), 1 / np.maximum(c[shapes.SOFT], np.float32(1e-9)))
    alpha = np.clip(np.float32(0.5) - distance * edge, 0, 1) * c[shapes.OPACITY]
    return _ink(c, e, v, radius, noise, alpha, light), 1 - alpha, distance < 0


def _cloth(c: np.ndarray, u: np.ndarray, v: np.ndarray, frame: Frame) -> np.ndarray:
    """The noise tile of each pixel's part, 0..1."""
    size = frame.tile
    scale = c[shapes.SCALE] * np.float32(size)
    column = (u * scale + c[shapes.TX] * np.float32(size)).astype(np.int32) & (size - 1)
    row = (v * scale + c[shapes.TY] * np.float32(size)).astype(np.int32) & (size - 1)
    return tiles(size).reshape(-1)[(c[shapes.TEXTURE].astype(np.int32) * size + row) * size + column]


def _ink(
    c: np.ndarray, e: np.ndarray, v: np.ndarray, radius: np.ndarray, noise: np.ndarray, alpha: np.ndarray, light: Light
) -> np.ndarray:
    """(N, 3): colour times cover, with the second colour laid on and the side towards the sun brighter."""
    second = np.clip((c[shapes.COVER] - noise) * c[shapes.HARD] + np.float32(0.5), 0, 1) * (c[shapes.COVER] >= 0)
    sx, sy = (np.float32(s) for s in light.sun)
    ux, uy = c[shapes.UX], c[shapes.UY]
    side = (e * (ux * sx + uy * sy) + v * c[shapes.FLAT] * (ux * sy - uy * sx)) / radius
    shine = (1 + c[shapes.SHADE] * np.clip(side, -1, 1)) * alpha
    ink = c[shapes.FIRST] + second * (c[shapes.SECOND] - c[shapes.FIRST])
    ink *= shine
    return ink.T
