"""The pasture: an embedded world of drawn scenes, with no download.

    Pasture(height=128, width=128).open("train")[0]  # a SemanticSample, drawn when it is asked for

A scene is thrown from the seed (world, split, index), so no two splits share one. The same seed gives the same labels
on every machine, and the same pixels on one platform: randomness is PCG64's raw stream, and whatever decides a label is
exactly rounded arithmetic (see `dice`). `scene(i)` holds the layout behind a picture; `instances(i)` its objects.

**The distribution.** Lengths are shares of the picture's width, unless a height is named.

- Light: noon 36 %, overcast 18, golden 16, dusk 9, storm 8, mist 7, night 6; each with its own sky, tint, haze, clouds
  and shadows, all jittered, and a sun that may stand on either side. Camera noise of 0.5 to 4 grey levels.
- Horizon: at 20-60 % of the height (84 % of scenes); above the picture, looking down (9 %); at 60-80 %, looking up
  (7 %). Behind it 0, 1 or 2 ridges (46, 40, 14 %), half of them grassy hills, half distant woods.
- Grass: six ramps, from lush to hay, parched and frosted, with fields, blades, shadows of clouds, and flowers in 30 %.
- Roads: 0, 1 or 2 (28, 60, 12 %); asphalt, wet, gravel, dirt or clay; winding to the horizon (72 %) or crossing the
  picture; 36-72 % wide at the bottom line, 4 % at the horizon.
- Water: none 30 %, one or two lakes 34, a river 20, a sea from the horizon 16; it mirrors 20-60 % of the sky.
- Things, with the probabilities of 0, 1, 2, ... thrown; one that finds no place (a cow where all is lake) is left out.
  Trees 30, 44, 26 %: broad, conifer, poplar, bush or bare, in leaves of seven colours, 0.6-1.1 high (bushes 0.34-0.55).
  Cows 30, 44, 26 %: grazing, standing, walking or resting, plain or patched, six coats; bodies 0.4-0.62 long.
  People 30, 46, 24 %: standing, walking, running, throwing, cheering or sitting, 0.52-0.95 high if they stood upright,
  in clothes of thirteen colours. Sizes of these three follow the distance from the horizon within the ranges given,
  and shrink with the height in pictures wider than high; a foot is lowered until 85 % of the thing can be seen.
  Birds 12, 26, 32, 30 %: flying or soaring anywhere (62 %), else standing or swimming.
  Frisbees 14, 40, 30, 16 %: flying anywhere, near a person's hand, or lying on the ground.
  A bird or frisbee is 0.03 + 0.07 m wide, m the largest of four uniform numbers: 3 to 10 %, and 8.6 % on average.
- Occlusion: near things are drawn over far ones; about 0.9 of a picture's things are at least partly seen.

Colours overlap between the classes on purpose (see `palette`): shape and surroundings decide. Labels are hard, at the
pixels' centres; the picture's edges are soft. Sky, grass, road and water are stuff. Trees, cows, people, birds and
frisbees are things, each an instance while any pixel of it is visible; distant woods carry the label tree and are no
instance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torchvision import tv_tensors

from foveate.datasets.pasture.compose import compose
from foveate.datasets.pasture.draw import FIRST_THING, classes_of, render
from foveate.datasets.pasture.scene import CLASSES, Light, Scene, Thing
from foveate.errors import ConfigError, DataError, unknown
from foveate.records import InstanceSample, SemanticSample
from foveate.registry import dataset

__all__ = ["CLASSES", "Light", "Pasture", "PastureDataset", "Scene", "Thing"]

_SPLITS = ("train", "val", "test")
_LEAST = 32


@dataset("pasture")
@dataclass(frozen=True)
class Pasture:
    """Drawn scenes of sky, grass, road, water, trees, cows, people, birds and frisbees.

    height, width: of every picture, in pixels, at least 32.
    train, val, test: number of scenes in each split; a split without scenes does not exist.
    seed: of the world, below 2**32; another seed is another world with other scenes in every split.
    """

    height: int = 128
    width: int = 128
    train: int = 2000
    val: int = 200
    test: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for side in ("height", "width"):
            if getattr(self, side) < _LEAST:
                raise ConfigError(
                    f"pasture {side} {getattr(self, side)} is too small to show a scene; use {_LEAST} or more"
                )
        for split in _SPLITS:
            if not 0 <= getattr(self, split) < 2**32:
                raise ConfigError(f"pasture {split}={getattr(self, split)} is no number of scenes; use 0 or more")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"pasture seed {self.seed} is outside 0..4294967295; choose one within")

    def splits(self) -> tuple[str, ...]:
        """The splits that have scenes."""
        return tuple(split for split in _SPLITS if getattr(self, split))

    def open(self, split: str) -> PastureDataset:
        """One split. Raises DataError for a name that does not exist."""
        if split not in self.splits():
            raise DataError(unknown("split of the pasture", split, self.splits()))
        return PastureDataset(self, split)

    def describe(self) -> str:
        """What it is, in one line."""
        counts = ", ".join(f"{getattr(self, split)} {split}" for split in self.splits())
        return f"the pasture: drawn scenes of {self.width}x{self.height}, {counts or 'none'}, seed {self.seed}"


class PastureDataset:
    """One split of the pasture. Every access draws anew; nothing is kept."""

    classes = CLASSES
    channels = 3

    def __init__(self, source: Pasture, split: str) -> None:
        self.source = source
        self.split = split

    def __len__(self) -> int:
        return int(getattr(self.source, self.split))

    def __getitem__(self, index: int) -> SemanticSample:
        scene = self.scene(index)
        image, ids = render(scene, self.source.height, self.source.width)
        return SemanticSample(
            image=tv_tensors.Image(torch.from_numpy(image)),
            mask=tv_tensors.Mask(torch.from_numpy(classes_of(scene, ids))),
            name=self.name(index),
        )

    def name(self, index: int) -> str:
        """'pasture/train/000123'."""
        return f"pasture/{self.split}/{self._checked(index):06d}"

    def scene(self, index: int) -> Scene:
        """The layout of a scene: what is where, in which pose and colours."""
        source = self.source
        seed = (source.seed, _SPLITS.index(self.split), self._checked(index))
        return compose(seed, source.height / source.width)

    def instances(self, index: int) -> InstanceSample:
        """The same picture with its trees, cows, people, birds and frisbees, N of them, far ones first.

        Masks hold visible pixels; a thing of which none is visible is left out. Distant woods are labelled tree but are
        no instances.
        """
        scene = self.scene(index)
        image, ids = render(scene, self.source.height, self.source.width)
        seen = np.flatnonzero(np.bincount(ids.ravel(), minlength=FIRST_THING + len(scene.things))[FIRST_THING:])
        masks = ids == (seen + FIRST_THING)[:, None, None]
        boxes = torch.tensor([_box(mask) for mask in masks], dtype=torch.float32).reshape(-1, 4)
        labels = [scene.things[k].category for k in seen.tolist()]
        return InstanceSample(
            image=tv_tensors.Image(torch.from_numpy(image)),
            masks=tv_tensors.Mask(torch.from_numpy(masks)),
            boxes=tv_tensors.BoundingBoxes(
                boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(ids.shape[0], ids.shape[1])
            ),
            labels=torch.tensor(labels, dtype=torch.int64),
            name=self.name(index),
        )

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"scene {index} of pasture/{self.split}, which has {len(self)}")
        return index % len(self)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels' borders."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
