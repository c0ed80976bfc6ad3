"""Colour for sky and land, and the last touch of the camera.

Nothing here decides a label; it is still exactly rounded arithmetic, which makes pixels repeatable too.
"""

from __future__ import annotations

import numpy as np

from foveate.datasets.pasture.land import Frame, Layer, wave
from foveate.datasets.pasture.scene import RGB, ROAD, SKY, WATER, Band, Light, Ridge, Scene
from foveate.datasets.pasture.texture import TILE, tiles

_STEPS = 256
F = np.float32


def backdrop(scene: Scene, frame: Frame, surfaces: list[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Sky and land: (H, W, 3) float32 in 0..255, and the label map (H, W) int32."""
    ids = np.full((len(frame.ys), len(frame.xs)), SKY, np.int32)
    canvas = np.zeros((*ids.shape, 3), F)
    _sky(canvas, scene, frame)
    view = _View(scene, frame)
    for layer in surfaces:
        rows = slice(layer.first, layer.last)
        if layer.first == layer.last:
            continue
        color = view.color(layer, canvas)
        soft = np.clip(layer.inside * F(len(frame.xs)) + F(0.5), 0, 1)[..., None]
        below = canvas[rows]
        below += soft * (color - below)
        np.copyto(ids[rows], layer.category, where=layer.inside > 0)
    return canvas, ids


def finish(canvas: np.ndarray, light: Light, frame: Frame) -> np.ndarray:
    """The camera: a little noise, then (H, W, 3) uint8."""
    if light.noise:
        grain = _sample(frame, "grain", frame.ys * F(1.7) + F(light.drift[1]), frame.xs * F(1.7) + F(light.drift[0]))
        canvas += (F(2 * light.noise) * (grain - F(0.5)))[..., None]
    canvas += F(0.5)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _sample(frame: Frame, name: str, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A tile read at v (H,) or (H, W), u (W,) or (H, W), in tiles: (H, W) float32 in 0..1."""
    size = frame.tile
    rows = (v * F(size)).astype(np.int32) & (size - 1)
    columns = (u * F(size)).astype(np.int32) & (size - 1)
    place = (rows * size if rows.ndim == 2 else (rows * size)[:, None]) + columns
    return tiles(size)[TILE[name]].reshape(-1)[place]


def _ramp(colors: tuple[RGB, ...], light: Light) -> np.ndarray:
    """(256, 3) float32: from the first colour to the last, under the scene's light."""
    stops = np.array(colors, F) * np.array(light.ambient, F)
    place = np.arange(_STEPS, dtype=F)[:, None] * F((len(stops) - 1) / _STEPS)
    left = place.astype(np.int32)[:, 0]
    return stops[left] + (stops[left + 1] - stops[left]) * (place - left[:, None].astype(F))


def _pick(ramp: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Colours of a ramp at levels 0..1."""
    return ramp[np.clip(level * F(_STEPS), 0, _STEPS - 1).astype(np.intp)]


def _sky(canvas: np.ndarray, scene: Scene, frame: Frame) -> None:
    light, land = scene.light, scene.land
    last = int(np.searchsorted(frame.ys, F(land.horizon + land.swell + 0.05)))
    if last == 0:
        return
    ys = frame.ys[:last]
    height = np.clip((F(land.horizon) - ys) / F(max(land.horizon, 0.3)), 0, 1)[:, None]
    zenith, rim = np.array(light.zenith, F), np.array(light.rim, F)
    sky = canvas[:last]
    sky += (rim + (zenith - rim) * (height * (2 - height)))[:, None]
    sun = (0.5 + 0.6 * light.sun[0], land.horizon * (0.5 + 0.6 * light.sun[1]))
    far = (frame.xs - F(sun[0])) * (frame.xs - F(sun[0])) + ((ys - F(sun[1])) * (ys - F(sun[1])))[:, None]
    if light.name in ("noon", "golden", "dusk"):
        sky += (F(0.12) / (F(0.12) + far))[..., None] * (np.array(light.ambient, F) * F(45))
    if light.name == "night":
        stars = _sample(frame, "grain", ys * F(1.3) + F(light.drift[0]), frame.xs * F(1.3))
        sky += (np.clip(stars - F(0.992), 0, 1) * F(20000))[..., None].clip(0, 150)
        sky += np.clip((F(0.0016) - far) * F(4e5), 0, 190)[..., None]
    near = F(1) / (F(0.25) + height)
    shape = _sample(frame, "cloud", near * F(0.35) + F(light.drift[1]), (frame.xs - F(0.5)) * near * F(0.55) + F(light.drift[0]))
    thick = F(light.clouds) - shape
    bright = (rim * F(0.45) + F(140)) * np.minimum(np.array(light.ambient, F), 1)
    dim = (zenith * F(0.3) + rim * F(0.3) + F(55)) * np.minimum(np.array(light.ambient, F), 1)
    cloud = bright + np.clip(thick * F(2.2), 0, 1)[..., None] * (dim - bright)
    sky += np.clip(thick * F(5), 0, 1)[..., None] * (cloud - sky)


class _View:
    """The ground's noise in perspective, shared by the surfaces on it."""

    def __init__(self, scene: Scene, frame: Frame) -> None:
        self.scene, self.frame, self.light = scene, frame, scene.light
        depth = np.clip(frame.depth, 0, 1)
        self.near = F(1) / (depth + F(0.12))  # grows towards the horizon
        self.fade = np.clip(depth * F(2.2) + F(0.3), 0, 1)  # far texture is too fine to be seen
        self.haze = (F(self.light.haze) * np.clip(1 - depth * F(1.6), 0, 1))[:, None, None]
        self.rim = np.array(self.light.rim, F)

    def color(self, layer: Layer, canvas: np.ndarray) -> np.ndarray:
        """(rows, W, 3) float32: the surface's colours, unmasked."""
        if isinstance(layer.item, Ridge):
            return self._ridge(layer, layer.item)
        if layer.category == WATER:
            color = self._water(layer, canvas)
        elif layer.category == ROAD and isinstance(layer.item, Band):
            color = self._road(layer, layer.item)
        else:
            color = self._meadow(layer)
        color += self.haze[layer.first : layer.last] * (self.rim - color)
        return color

    def _ground(self, layer: Layer, name: str, fine: float, shift: float = 0.0) -> np.ndarray:
        near = self.near[layer.first : layer.last]
        u = (self.frame.xs - F(0.5)) * (near * F(0.42 * fine))[:, None] + F(self.light.drift[0])
        return _sample(self.frame, name, near * F(0.8 * fine) + F(self.light.drift[1] + shift), u)

    def _meadow(self, layer: Layer) -> np.ndarray:
        rows = slice(layer.first, layer.last)
        land = self.scene.land
        level = self._ground(layer, "ground", 1.0)
        blades = _sample(self.frame, "grain", self.frame.ys[rows] * F(0.8), self.frame.xs * F(2.6))
        fields = self._ground(layer, "blotch", 0.16, land.start[0])
        level = F(0.5) + (level * F(0.6) + blades * F(0.4) - F(0.5)) * self.fade[rows, None] * F(0.8)
        color = _pick(_ramp(land.grass, self.light), level * F(0.55) + fields * F(0.45))
        if land.flowers is not None:
            bloom = np.clip((self._ground(layer, "leaf", 1.3) - F(0.97)) * F(60), 0, 1)[..., None]
            color += bloom * (np.array(land.flowers, F) * np.array(self.light.ambient, F) - color)
        if self.light.shadow > 0.25:
            shade = np.clip((self._ground(layer, "cloud", 0.1, 0.3) - F(0.62)) * F(4), 0, 1) * F(self.light.shadow * 0.8)
            color *= (1 - shade)[..., None]
        return color

    def _road(self, layer: Layer, road: Band) -> np.ndarray:
        rows = slice(layer.first, layer.last)
        level = F(0.5) + (self._ground(layer, "grain", 0.8) - F(0.5)) * self.fade[rows, None] * F(0.8)
        fields = self._ground(layer, "blotch", 0.5, 0.7)
        level = level * F(0.7) + fields * F(0.3)
        depth = np.clip(self.frame.depth[rows], 0, 1)[:, None]
        half = F(road.half) * depth * F(0.5 if road.across else 1.0) + F(0.004)
        beside = layer.inside / half  # 0 at the border, 1 in the middle
        if road.kind in ("dirt", "clay"):
            level = level - F(0.35) * np.clip(1 - np.abs(beside - F(0.55)) * 5, 0, 1)
        color = _pick(_ramp(road.ramp, self.light), level)
        if road.lines is not None:
            place = self.frame.xs * 9 if road.across else (self.near[rows] * F(1.6))[:, None]
            dashes = np.clip(wave(place) * 6, 0, 1)
            width = half * F(len(self.frame.xs))
            middle = np.clip((beside - F(0.94)) * width + F(0.3), 0, 1) * dashes
            border = np.clip((F(0.035) - np.abs(beside - F(0.11))) * width + F(0.3), 0, 1)
            line = np.array(road.lines, F) * np.array(self.light.ambient, F)
            color += (np.maximum(middle, border) * F(0.85))[..., None] * (line - color)
        return color

    def _water(self, layer: Layer, canvas: np.ndarray) -> np.ndarray:
        rows = slice(layer.first, layer.last)
        land, frame = self.scene.land, self.frame
        ripple = self._ground(layer, "ripple", 0.9) - F(0.5)
        color = _pick(_ramp(land.water, self.light), F(0.5) + ripple * (self.fade[rows] * F(0.9))[:, None])
        sky_rows = int(np.searchsorted(frame.ys, F(land.horizon - land.swell)))
        if sky_rows < 2:
            sky: np.ndarray = np.array(self.light.zenith, F)
        else:
            up = F(sky_rows - 1) * (1 - np.clip(frame.depth[rows], 0, 1))
            row = np.clip(up[:, None] + ripple * F(0.16 * sky_rows), 0, sky_rows - 1).astype(np.int32)
            column = np.arange(len(frame.xs), dtype=np.int32)
            sky = canvas.reshape(-1, 3)[row * len(frame.xs) + column]
        glance = land.mirror * (F(1.15) - F(0.5) * np.clip(frame.depth[rows], 0, 1))[:, None, None]
        color += np.minimum(glance, F(0.95)) * (sky - color)
        return color

    def _ridge(self, layer: Layer, ridge: Ridge) -> np.ndarray:
        rows = slice(layer.first, layer.last)
        name = "leaf" if ridge.category != SKY and ridge.category == 4 else "ground"
        level = _sample(self.frame, name, self.frame.ys[rows] * F(1.4), self.frame.xs * F(0.9) + F(ridge.start[1]))
        lower = np.clip(layer.inside / F(ridge.height), 0, 1)
        color = _pick(_ramp(ridge.ramp, self.light), F(0.75) - lower * F(0.4) + (level - F(0.5)) * F(0.5))
        color += F(self.light.haze) * (self.rim - color)
        return color
