"""Colours of sky and land, and the camera's noise.

Nothing here decides a label; it is still exactly rounded arithmetic, which makes pixels repeatable too. Colours are
(3, ...) float32 in 0..255: one plane a channel.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from foveate.datasets.pasture.land import Frame, Layer, wave
from foveate.datasets.pasture.scene import RGB, ROAD, SKY, TREE, WATER, Band, Light, Ridge, Scene
from foveate.datasets.pasture.texture import TILE, tiles

_STEPS = 256
F = np.float32


def backdrop(scene: Scene, frame: Frame, surfaces: Iterable[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Sky and land: the canvas (3, H, W), and the label map (H, W) int32."""
    ids = np.full((len(frame.ys), len(frame.xs)), SKY, np.int32)
    canvas = np.zeros((3, *ids.shape), F)
    _sky(canvas, scene, frame)
    ground = _Ground(scene, frame)
    for layer in surfaces:
        if layer.first == layer.last:
            continue
        below = canvas[:, layer.first : layer.last]
        color = (
            _ridge(layer, layer.item, scene, frame) if isinstance(layer.item, Ridge) else ground.color(layer, canvas)
        )
        color -= below
        color *= _clip(layer.inside * F(len(frame.xs)) + F(0.5))
        below += color
        np.copyto(ids[layer.first : layer.last], layer.category, where=layer.inside > 0)
    return canvas, ids


def finish(canvas: np.ndarray, light: Light, frame: Frame) -> np.ndarray:
    """The camera: a little noise on each pixel, then (3, H, W) uint8."""
    size = frame.tile
    rows = (np.arange(len(frame.ys)) + int(light.drift[1] * size)) & (size - 1)
    columns = (np.arange(len(frame.xs)) + int(light.drift[0] * size)) & (size - 1)
    film = tiles(size)[TILE["film"]][rows[:, None], columns]
    canvas += F(2 * light.noise) * (film - F(0.5)) + F(0.5)
    return np.minimum(np.maximum(canvas, 0, out=canvas), 255, out=canvas).astype(np.uint8)


def _clip(values: np.ndarray) -> np.ndarray:
    """To 0..1, in place."""
    return np.minimum(np.maximum(values, 0, out=values), 1, out=values)


def _rgb(color: RGB) -> np.ndarray:
    return np.array(color, F)[:, None, None]


def _sample(frame: Frame, name: str, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A tile read at v (H,), u (W,) or (H, W), in tiles: (H, W) float32 in 0..1."""
    size = frame.tile
    rows = (v * F(size)).astype(np.int32) & (size - 1)
    columns = (u * F(size)).astype(np.int32) & (size - 1)
    return tiles(size)[TILE[name]].reshape(-1)[(rows * size)[:, None] + columns]


def _ramp(colors: tuple[RGB, ...], light: Light) -> np.ndarray:
    """(3, 256) float32: from the first colour to the last, under the scene's light."""
    stops = np.array(colors, F).T * np.array(light.ambient, F)[:, None]
    place = np.arange(_STEPS, dtype=F) * F((len(colors) - 1) / _STEPS)
    left = place.astype(np.int32)
    return stops[:, left] + (stops[:, left + 1] - stops[:, left]) * (place - left.astype(F))


def _pick(ramp: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Colours of a ramp at levels 0..1: (3, H, W)."""
    return np.take(ramp, (level * F(_STEPS)).astype(np.int32), axis=1, mode="clip")


def _sky(canvas: np.ndarray, scene: Scene, frame: Frame) -> None:
    light, land = scene.light, scene.land
    last = int(np.searchsorted(frame.ys, F(land.horizon + land.swell + 0.05)))
    if last == 0:
        return
    ys = frame.ys[:last]
    height = _clip((F(land.horizon) - ys) / F(max(land.horizon, 0.3)))
    zenith, rim, ambient = _rgb(light.zenith), _rgb(light.rim), _rgb(light.ambient)
    sky = canvas[:, :last]
    sky += rim + (zenith - rim) * (height * (2 - height))[:, None]
    _sun(sky, light, ys - F(land.horizon * (0.5 + 0.6 * light.sun[1])), frame)
    near = F(1) / (F(0.25) + height)
    across = (frame.xs - F(0.5)) * near[:, None] * F(0.55) + F(light.drift[0])
    thick = F(light.clouds) - _sample(frame, "cloud", near * F(0.35) + F(light.drift[1]), across)
    dull = np.minimum(ambient, 1)
    bright = (rim * F(0.45) + F(140)) * dull
    dim = (zenith * F(0.3) + rim * F(0.3) + F(55)) * dull
    cloud = bright + _clip(thick * F(2.2)) * (dim - bright)
    cloud -= sky
    cloud *= _clip(thick * F(5))
    sky += cloud


def _sun(sky: np.ndarray, light: Light, down: np.ndarray, frame: Frame) -> None:
    """The glow around the sun; at night, stars and the moon."""
    aside = frame.xs - F(0.5 + 0.6 * light.sun[0])
    far = aside * aside + (down * down)[:, None]
    if light.name in ("noon", "golden", "dusk"):
        sky += F(0.12) / (F(0.12) + far) * (_rgb(light.ambient) * F(45))
    elif light.name == "night":
        stars = _sample(frame, "grain", down * F(1.3) + F(light.drift[0]), frame.xs * F(1.3))
        sky += np.minimum(np.maximum(stars - F(0.992), 0) * F(20000), F(150))
        sky += np.minimum(np.maximum(F(0.0016) - far, 0) * F(4e5), F(190))


def _ridge(layer: Layer, ridge: Ridge, scene: Scene, frame: Frame) -> np.ndarray:
    rows = slice(layer.first, layer.last)
    cloth = "leaf" if ridge.category == TREE else "ground"
    level = _sample(frame, cloth, frame.ys[rows] * F(1.4), frame.xs * F(0.9) + F(ridge.start[1]))
    lower = _clip(layer.inside / F(ridge.height))
    color = _pick(_ramp(ridge.ramp, scene.light), F(0.5) - lower * F(0.4) + level * F(0.5))
    color += F(scene.light.haze * 0.6) * (_rgb(scene.light.rim) - color)
    return color


class _Ground:
    """Colours of a surface, its texture in perspective."""

    def __init__(self, scene: Scene, frame: Frame) -> None:
        self.scene, self.frame, self.light = scene, frame, scene.light
        depth = np.minimum(np.maximum(frame.depth, 0), 1)
        self.depth = depth[:, None]
        self.near = F(1) / (depth + F(0.12))  # grows towards the horizon
        self.fade = _clip(depth * F(2.2) + F(0.3))[:, None]  # far texture is finer than a pixel
        self.haze = F(self.light.haze * 0.7) * np.maximum(1 - depth * F(1.6), 0)[:, None]

    def color(self, layer: Layer, canvas: np.ndarray) -> np.ndarray:
        """(3, rows, W): the surface's colours, unmasked."""
        rows = slice(layer.first, layer.last)
        if layer.category == WATER:
            color = self._water(rows, canvas)
            color *= 1 - F(0.35) * np.maximum(1 - layer.inside / (F(0.006) + F(0.02) * self.depth[rows]), 0)
        elif layer.category == ROAD and isinstance(layer.item, Band):
            color = self._road(rows, layer.item, layer.inside)
        else:
            color = self._meadow(rows)
        if self.light.haze > 0:
            color += self.haze[rows] * (_rgb(self.light.rim) - color)
        return color

    def _cloth(self, rows: slice, name: str, fine: float, shift: float = 0.0) -> np.ndarray:
        near = self.near[rows]
        u = (self.frame.xs - F(0.5)) * (near * F(0.42 * fine))[:, None] + F(self.light.drift[0])
        return _sample(self.frame, name, near * F(0.8 * fine) + F(self.light.drift[1] + shift), u)

    def _meadow(self, rows: slice) -> np.ndarray:
        land, ambient = self.scene.land, _rgb(self.light.ambient)
        fields = self._cloth(rows, "blotch", 0.16, land.start[0])
        blades = _sample(self.frame, "grain", self.frame.ys[rows] * F(0.9), self.frame.xs * F(3.1))
        level = self._cloth(rows, "ground", 1.0) * F(0.7) + blades * F(0.3) - F(0.5)
        level = F(0.5) + level * (self.fade[rows] * F(0.9))
        color = _pick(_ramp(land.grass, self.light), level * F(0.6) + fields * F(0.4))
        if land.flowers is not None:
            bloom = _clip((self._cloth(rows, "leaf", 1.3) - F(0.97)) * F(60))
            color += bloom * (_rgb(land.flowers) * ambient - color)
        if self.light.shadow > 0.25:
            shade = _clip((self._cloth(rows, "cloud", 0.1, 0.3) - F(0.62)) * F(4))
            color *= 1 - shade * F(self.light.shadow * 0.7)
        return color

    def _road(self, rows: slice, road: Band, inside: np.ndarray) -> np.ndarray:
        level = F(0.5) + (self._cloth(rows, "grain", 0.8) - F(0.5)) * (self.fade[rows] * F(0.8))
        level = level * F(0.7) + self._cloth(rows, "blotch", 0.5, 0.7) * F(0.3)
        half = F(road.half) * self.depth[rows] * F(0.5 if road.across else 1.0) + F(0.02)
        beside = inside / half  # 0 at the border, 1 in the middle
        if road.kind in ("dirt", "clay"):
            level -= F(0.35) * np.maximum(1 - np.abs(beside - F(0.55)) * 5, 0)
        color = _pick(_ramp(road.ramp, self.light), level)
        if road.lines is not None:
            place = self.frame.xs * 9 if road.across else (self.near[rows] * F(1.6))[:, None]
            width = half * F(len(self.frame.xs))
            line = _clip((beside - F(0.94)) * width + F(0.3)) * _clip(wave(place) * 6)
            line = np.maximum(line, _clip((F(0.035) - np.abs(beside - F(0.11))) * width + F(0.3)))
            color += line * F(0.85) * (_rgb(road.lines) * _rgb(self.light.ambient) - color)
        return color

    def _water(self, rows: slice, canvas: np.ndarray) -> np.ndarray:
        land, frame = self.scene.land, self.frame
        ripple = self._cloth(rows, "ripple", 0.9) - F(0.5)
        color = _pick(_ramp(land.water, self.light), F(0.5) + ripple * np.minimum(self.fade[rows] * F(1.1), F(0.95)))
        sky_rows = int(np.searchsorted(frame.ys, F(land.horizon - land.swell)))
        sky = _rgb(self.light.zenith)
        if sky_rows > 1:  # the mirrored sky, shifted by the ripples
            up = F(sky_rows - 1) * (1 - self.depth[rows]) + ripple * F(0.16 * sky_rows)
            row = np.minimum(np.maximum(up, 0), sky_rows - 1).astype(np.int32)
            place = row * len(frame.xs) + np.arange(len(frame.xs), dtype=np.int32)
            sky = np.take(canvas.reshape(3, -1), place, axis=1)
        glance = np.minimum(F(land.mirror) * (F(1.15) - F(0.5) * self.depth[rows]), F(0.95))
        color += glance * (sky - color)
        return color
