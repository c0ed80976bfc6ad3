"""The synthetic Pasture data set: scenes that are drawn on access, without a download.

    Pasture(height=128, width=128).open("train")[0]  # a SemanticSample
    Pasture(captions=3).open("train", "captioning")[0]  # the same scene with three captions

A scene is sampled from the seed (world, split, index), so no two splits share one. The same seed gives the same labels
on every machine, and the same pixels on one platform: randomness is PCG64's raw stream, and labels depend on
exactly rounded arithmetic alone (see `dice`). `scene(i)` gives the layout of an image; `instances(i)` its objects.

**The distribution.** Lengths are shares of the image's width, unless a height is named.

- Light: noon 36 %, overcast 18, golden 16, dusk 9, storm 8, mist 7, night 6; each with its own sky, tint, haze, clouds
  and shadows, all jittered, and a sun on either side. Camera noise of 0.5 to 4 grey levels.
- Horizon: at 20-60 % of the height (84 % of scenes); above the image, looking down (9 %); at 60-80 %, looking up
  (7 %). Behind it 0, 1 or 2 ridges (46, 40, 14 %), half of them grassy hills, half distant woods.
- Grass: six ramps, from lush to hay, parched and frosted, with fields, blades, shadows of clouds, and flowers in 30 %.
- Roads: 0, 1 or 2 (28, 60, 12 %); asphalt, wet, gravel, dirt or clay; winding to the horizon (72 %) or crossing the
  image; 36-72 % wide at the bottom line, 4 % at the horizon.
- Water: none 30 %, one or two lakes 34, a river 20, a sea from the horizon 16; it mirrors 20-60 % of the sky.
- Things, with the probabilities of 0, 1, 2, ...; one without a place (a cow, if all is lake) is left out.
  Trees 30, 44, 26 %: broad, conifer, poplar, bush or bare, in leaves of seven colours, 0.6-1.1 high (bushes 0.34-0.55).
  Cows 30, 44, 26 %: grazing, standing, walking or resting, plain or patched, six coats; bodies 0.4-0.62 long.
  People 30, 46, 24 %: standing, walking, running, throwing, cheering or sitting, 0.52-0.95 high if they stood upright,
  in clothes of thirteen colours. Sizes of these three follow the distance from the horizon within the ranges given,
  and shrink with the height in images wider than high; a foot is lowered until 85 % of the thing can be seen.
  Birds 12, 26, 32, 30 %: flying or soaring anywhere (62 %), else standing or swimming.
  Frisbees 14, 40, 30, 16 %: flying anywhere, near a person's hand, or lying on the ground.
  A bird or frisbee is 0.03 + 0.07 m wide, m the largest of four uniform numbers: 3 to 10 %, and 8.6 % on average.
- Occlusion: near things are drawn over far ones; about 0.9 of an image's things are at least partly seen.

Colours overlap between the classes on purpose (see `palette`): shape and surroundings decide. Labels are hard, at the
pixels' centres; the image's edges are soft. Sky, grass, road and water are stuff. Trees, cows, people, birds and
frisbees are things, each an instance while any pixel of it is visible; distant woods carry the label tree and are no
instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from foveate.datasets.objects import InstanceDataset
from foveate.datasets.pasture.captions import PastureCaptionsDataset
from foveate.datasets.pasture.classes import ANSWERS, PastureClassesDataset
from foveate.datasets.pasture.clips import PastureClipsDataset
from foveate.datasets.pasture.cows import PastureCowsDataset
from foveate.datasets.pasture.dataset import PastureDataset
from foveate.datasets.pasture.questions import PastureQuestionsDataset
from foveate.datasets.pasture.scene import CLASSES, Light, Scene, Thing
from foveate.datasets.splits import SPLIT_ORDER
from foveate.errors import ConfigError, unknown
from foveate.records import DataSource
from foveate.registry import dataset

__all__ = ["CLASSES", "Light", "Pasture", "PastureDataset", "Question", "Scene", "Thing"]

Question = Literal["animal", "cows"]
_MIN_SIDE = 32
_MAX_CAPTIONS = 100


@dataset("pasture")
@dataclass(frozen=True)
class Pasture(DataSource):
    """Synthetic scenes of sky, grass, road, water, trees, cows, people, birds and frisbees.

    All families show the same scenes; co-localisation shows only those with a cow in them, and video other things in
    them, which move.

    height: of every image, in pixels; 32 or more, usually 128.
    width: of every image, in pixels; 32 or more, usually 128.
    train: number of training scenes, usually 2000 to 8000; 0: no such split.
    val: number of validation scenes, usually 200 to 400; 0: no such split.
    test: number of test scenes, usually 200 to 400; 0: no such split.
    seed: of all scenes, 0 to 2**32 - 1; another seed gives other scenes in every split.
    captions: number of captions of each scene or clip, 1 to 100; for captioning and video alone.
    question: for classification alone. 'animal': none, cow, bird or both; 'cows': no, one or two cows (no scene has
        more). A cow counts with at least 1/512 of the image's pixels visible, a bird with 1/2048.
    """

    height: int = 128
    width: int = 128
    train: int = 2000
    val: int = 200
    test: int = 200
    seed: int = 0
    captions: int = 5
    question: Question = "animal"
    tasks: ClassVar[tuple[str, ...]] = (
        "semantic", "instances", "captioning", "classification", "colocalisation", "questions",
        "video",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for side in ("height", "width"):
            if getattr(self, side) < _MIN_SIDE:
                raise ConfigError(
                    f"pasture {side} {getattr(self, side)} is too small to show a scene; use {_MIN_SIDE} or more"
                )
        for split in SPLIT_ORDER:
            if not 0 <= getattr(self, split) < 2**32:
                raise ConfigError(f"pasture {split}={getattr(self, split)}; expected the number of scenes, 0 or more")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"pasture seed {self.seed} is outside 0..4294967295; choose one within")
        if not 1 <= self.captions <= _MAX_CAPTIONS:
            raise ConfigError(f"pasture captions={self.captions} of each scene; use 1 to {_MAX_CAPTIONS}")
        if self.question not in get_args(Question):
            raise ConfigError(f"pasture question is '{self.question}'; expected {' or '.join(get_args(Question))}")

    def splits(self) -> tuple[str, ...]:
        """Names of the splits that have scenes."""
        return tuple(split for split in SPLIT_ORDER if getattr(self, split))

    def open(self, split: str, task: str = "") -> Any:
        """One split as a data set of a family. Raises ConfigError for an unknown split or family."""
        task = self.serve(task)
        if split not in self.splits():
            raise ConfigError(unknown("split of the pasture", split, self.splits()))
        if task == "video":
            return PastureClipsDataset(self, split)
        scenes = PastureDataset(self, split)
        if task == "instances":
            return InstanceDataset(scenes)
        if task == "captioning":
            return PastureCaptionsDataset(scenes, self.captions)
        if task == "classification":
            return PastureClassesDataset(scenes, self.question)
        if task == "questions":
            return PastureQuestionsDataset(scenes)
        return PastureCowsDataset(scenes) if task == "colocalisation" else scenes

    def describe(self, task: str = "") -> str:
        """The generated data, its counts and its size, in one line."""
        counts = ", ".join(f"{getattr(self, split)} {split}" for split in self.splits())
        scenes = f"the pasture: drawn scenes of {self.width}x{self.height}, {counts or 'none'}, seed {self.seed}"
        content = {
            "instances": "their objects",
            "captioning": f"{self.captions} caption{'s' if self.captions != 1 else ''} a scene",
            "classification": ", ".join(ANSWERS[self.question]),
            "colocalisation": "those with a cow",
            "questions": "pairs of a question with two answers",
            "video": f"clips of what happens there, {self.captions} caption{'s' if self.captions != 1 else ''} each",
        }.get(self.serve(task))
        return f"{scenes}; {content}" if content else scenes
