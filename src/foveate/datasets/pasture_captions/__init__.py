"""The pasture learns to speak: what somebody could say of each of its scenes.

    PastureCaptions().open("train")[0]  # a CaptionSample, drawn and told when it is asked for

The pictures are the pasture's own. A scene's captions are thrown from the seed (world, split, scene, caption), so the
first three of five are the same as the three of three. All that is said is true of the picture, as far as it can be
seen there (see `view`): who there is and how many, in which colours, doing what, on what, next to or behind whom, in
which light; what is large and central is told more often, and each caption of a scene prefers what the others left out.
Numbers, sides and "the only one" are said only where they are plain to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torchvision import tv_tensors

from foveate.datasets.pasture import Pasture, PastureDataset
from foveate.datasets.pasture.draw import render
from foveate.datasets.pasture_captions.lexicon import nouns
from foveate.datasets.pasture_captions.speak import tell
from foveate.datasets.pasture_captions.view import View, look
from foveate.errors import ConfigError
from foveate.records import Caption, CaptionSample
from foveate.registry import dataset

_MOST = 100


@dataset("pasture_captions")
@dataclass(frozen=True)
class PastureCaptions:
    """The pasture's scenes with several captions each; it is known which thing each word is about.

    captions: how many of each scene, 1 to 100.
    height, width: of every picture, in pixels, at least 32.
    train, val, test: number of scenes in each split; a split without scenes does not exist.
    seed: of the world, below 2**32. The scenes are those of the pasture of the same size and seed.
    """

    captions: int = 5
    height: int = 128
    width: int = 128
    train: int = 2000
    val: int = 200
    test: int = 200
    seed: int = 0
    task: ClassVar[str] = "captioning"

    def __post_init__(self) -> None:
        if not 1 <= self.captions <= _MOST:
            raise ConfigError(f"pasture captions={self.captions} of each scene; use 1 to {_MOST}")
        self.scenes  # noqa: B018  (its checks are ours)

    @property
    def scenes(self) -> Pasture:
        """The world behind it."""
        return Pasture(self.height, self.width, self.train, self.val, self.test, self.seed)

    def splits(self) -> tuple[str, ...]:
        """The splits that have scenes."""
        return self.scenes.splits()

    def open(self, split: str) -> PastureCaptionsDataset:
        """One split. Raises DataError for a name that does not exist."""
        return PastureCaptionsDataset(self.captions, self.scenes.open(split))

    def describe(self) -> str:
        """What it is, in one line."""
        return f"{self.scenes.describe()}; {self.captions} caption{'s' if self.captions != 1 else ''} a scene"


class PastureCaptionsDataset:
    """One split. Every access draws anew; nothing is kept."""

    channels = 3

    def __init__(self, count: int, scenes: PastureDataset) -> None:
        self.count, self.scenes = count, scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> CaptionSample:
        image, view = self._drawn(index)
        return CaptionSample(
            image=tv_tensors.Image(torch.from_numpy(image)),
            captions=tell(view, self.count),
            masks=tv_tensors.Mask(torch.from_numpy(view.masks)),
            named=nouns(view),
            name=self.name(index),
        )

    def name(self, index: int) -> str:
        """'pasture/train/000123'."""
        return self.scenes.name(index)

    def captions(self, index: int) -> tuple[Caption, ...]:
        """What is said of a scene. It depends on what can be seen, so the scene is drawn for it, too."""
        return tell(self.view(index), self.count)

    def view(self, index: int) -> View:
        """What can be seen of a scene: all that may be said of it."""
        return self._drawn(index)[1]

    def _drawn(self, index: int) -> tuple[np.ndarray, View]:
        scene, source = self.scenes.scene(index), self.scenes.source
        image, ids = render(scene, source.height, source.width)
        return image, look(scene, ids)
