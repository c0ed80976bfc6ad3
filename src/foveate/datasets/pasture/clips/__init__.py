"""Clips of the Pasture data set: drawn scenes in which one or two things happen, with their captions.

A clip has 16 to 32 frames, 8 a second. In it a cow walks to the left or right, grazes or turns around; a person walks,
waves, throws or catches a frisbee; a bird takes off or lands; or dusk falls. Each takes 4 to 6 frames, and the first
and the last frame see nothing happen.

- One event in 20 % of the clips; two in sequence, with a frame or more between them, in 60 %; two together, which begin
  with the same frame, in 20 %. Two events have different actors. Which acts is uniform over cow, person, bird and
  light, what it does over its kinds; so no order is more frequent than its reverse.
- A cow, a person and a bird that does nothing is there with a probability of 70 %, and a person who does nothing holds
  a frisbee in 30 %.
- The camera is still in 80 %, else it pans over the whole clip by 12 to 25 % of the width.
- Land, colours and sizes are those of scenes, by daylight and without water; of their things far trees stay.

The same seed gives the same plot and captions on every machine, and the same pixels on one platform, as of scenes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from foveate.datasets.pasture.clips.motion import blended, light_share, things_at
from foveate.datasets.pasture.clips.plot import Plot, plot
from foveate.datasets.pasture.clips.sentences import PHRASES, captions_of
from foveate.datasets.pasture.draw import lay_things
from foveate.datasets.pasture.land import Frame, layers
from foveate.datasets.pasture.paint import backdrop, finish
from foveate.datasets.pasture.scene import Scene, Thing
from foveate.datasets.splits import SPLIT_ORDER
from foveate.pictures.fitting import fit
from foveate.records import Caption, Clip, ClipFormat, VideoSample, spaced

if TYPE_CHECKING:
    from foveate.datasets.pasture import Pasture

RATE = 8.0  # frames a second


@dataclass(frozen=True)
class Film:
    """A clip that is drawn when its frames are asked for: a `records.Video`.

    height, width: of its frames.
    """

    plot: Plot
    height: int
    width: int

    def frames(self, numbers: Sequence[int]) -> np.ndarray:
        """(K, 3, H, W) uint8: the frames of these numbers."""
        plot, scene = self.plot, self.plot.scene
        wide = self.width + round(abs(plot.pan) * self.width)
        frame = Frame.of(scene.land, self.height, wide, scene.aspect)
        day = self._ground(scene, frame)
        falls = any(light_share(plot, number) for number in numbers)
        dusk_light = dataclasses.replace(plot.dusk, drift=scene.light.drift)
        dusk = self._ground(dataclasses.replace(scene, light=dusk_light), frame) if falls else day
        scale, middle = self.width / wide, (wide - self.width) // 2
        ids = np.zeros(day.shape[1:], np.int32)  # labels, of which a clip has none
        drawn = np.empty((len(numbers), 3, self.height, self.width), np.uint8)
        for target, number in zip(drawn, numbers, strict=True):
            part = light_share(plot, number)
            canvas = day + (dusk - day) * np.float32(part) if part else day.copy()
            light = blended(scene.light, plot.dusk, part)
            things = [_moved(thing, scale, middle / wide) for thing in things_at(plot, number)]
            lay_things(canvas, ids, things, light, frame)
            # The noise of the camera is another in each frame; (3, 5) / 8 of a tile apart.
            grain = dataclasses.replace(light, drift=(number * 0.375 % 1, number * 0.625 % 1))
            left = self._left(number, wide)
            target[:] = finish(canvas, grain, frame)[:, :, left : left + self.width]
        return drawn

    def sampled(self, form: ClipFormat) -> Clip:
        """The frames that a model of this format reads."""
        numbers = spaced(self.plot.frames, form.frames)
        frames = torch.from_numpy(self.frames(numbers))
        seconds = tuple(number / RATE for number in numbers)
        duration = self.plot.frames / RATE
        return Clip(
            fit(frames, form.image), tuple(numbers), self.plot.frames, seconds, duration, (self.height, self.width)
        )

    @staticmethod
    def _ground(scene: Scene, frame: Frame) -> np.ndarray:
        """Sky, land and trees, which never move: (3, H, W) float32."""
        canvas, ids = backdrop(scene, frame, layers(scene.land, frame))
        lay_things(canvas, ids, scene.things, scene.light, frame)
        return canvas

    def _left(self, number: int, wide: int) -> int:
        """The left border of the window in a wide scene."""
        way = number / (self.plot.frames - 1)
        return round((way if self.plot.pan > 0 else 1 - way) * (wide - self.width))


def _moved(thing: Thing, scale: float, left: float) -> Thing:
    """A thing in shares of the window -> in shares of the scene."""
    return dataclasses.replace(thing, x=left + thing.x * scale, y=thing.y * scale, size=thing.size * scale)


class PastureClipsDataset:
    """Clips with captions: a VideoDataset. Frames are drawn when they are read; nothing is kept."""

    channels = 3
    features = 0
    phrases = PHRASES

    def __init__(self, source: Pasture, split: str) -> None:
        self.source, self.split = source, split

    def __len__(self) -> int:
        return int(getattr(self.source, self.split))

    def __getitem__(self, index: int) -> VideoSample:
        found = self.plot(index)
        return VideoSample(
            video=Film(found, self.source.height, self.source.width),
            captions=captions_of(found, self.source.captions),
            events=found.events,
            name=self.name(index),
        )

    def plot(self, index: int) -> Plot:
        """The content of a clip."""
        seed = (self.source.seed, SPLIT_ORDER.index(self.split), self._checked(index))
        return plot(seed, self.source.height / self.source.width)

    def name(self, index: int) -> str:
        """'pasture/train/000123'."""
        return f"pasture/{self.split}/{self._checked(index):06d}"

    def captions(self, index: int) -> tuple[Caption, ...]:
        """Captions of a clip, without drawing it."""
        return captions_of(self.plot(index), self.source.captions)

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of pasture/{self.split}, which has {len(self)}")
        return index % len(self)
