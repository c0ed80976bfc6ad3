"""The pasture as a world of classes: one question, asked of every scene.

    PastureClasses(question="cows").open("train")[0]  # a ClassificationSample, drawn when it is asked for

The pictures are the pasture's own, scene by scene; the label is read from the objects that can be seen in them. The
answers are as frequent as the pasture makes them, at 128x128: none 5 %, cow 12, bird 25, both 58; no cow 30 %, one 45,
two 25.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from foveate.datasets.pasture import CLASSES, Pasture, PastureDataset
from foveate.errors import ConfigError
from foveate.records import ClassificationSample, ClassTable, InstanceSample
from foveate.registry import dataset

Question = Literal["animal", "cows"]
ANSWERS = {"animal": ("none", "cow", "bird", "both"), "cows": ("no cow", "one cow", "two cows")}
# The share of the picture's pixels from which an animal counts: 32 and 8 of 128x128. Of less, nobody could tell.
LEAST_COW, LEAST_BIRD = 1 / 512, 1 / 2048
_COW, _BIRD = (CLASSES.names.index(name) for name in ("cow", "bird"))


@dataset("pasture_classes")
@dataclass(frozen=True)
class PastureClasses:
    """The pasture's scenes with one label each: which animal is in it, or how many cows.

    question: 'animal': none, cow, bird or both; 'cows': no, one or two cows (the pasture holds no more).
        A cow counts with at least 1/512 of the picture's pixels visible, a bird with 1/2048.
    height, width: of every picture, in pixels, at least 32.
    train, val, test: number of scenes in each split; a split without scenes does not exist.
    seed: of the world, below 2**32. The scenes are those of the pasture of the same size and seed.
    """

    question: Question = "animal"
    height: int = 128
    width: int = 128
    train: int = 2000
    val: int = 200
    test: int = 200
    seed: int = 0
    task: ClassVar[str] = "classification"

    def __post_init__(self) -> None:
        if self.question not in get_args(Question):
            raise ConfigError(
                f"question '{self.question}' is none the pasture answers; expected {' or '.join(get_args(Question))}"
            )
        self.scenes  # noqa: B018  (its checks are ours)

    @property
    def scenes(self) -> Pasture:
        """The world behind it."""
        return Pasture(self.height, self.width, self.train, self.val, self.test, self.seed)

    def splits(self) -> tuple[str, ...]:
        """The splits that have scenes."""
        return self.scenes.splits()

    def open(self, split: str) -> PastureClassesDataset:
        """One split. Raises DataError for a name that does not exist."""
        return PastureClassesDataset(self.question, self.scenes.open(split))

    def describe(self) -> str:
        """What it is, in one line."""
        return f"{self.scenes.describe()}; {', '.join(ANSWERS[self.question])}"


class PastureClassesDataset:
    """One split. Every access draws anew; nothing is kept."""

    channels = 3

    def __init__(self, question: Question, scenes: PastureDataset) -> None:
        self.question, self.scenes = question, scenes
        self.classes = ClassTable(ANSWERS[question])

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> ClassificationSample:
        scene = self.scenes.instances(index)
        return ClassificationSample(image=scene["image"], label=answer(self.question, scene), name=scene["name"])

    def name(self, index: int) -> str:
        """'pasture/train/000123'."""
        return self.scenes.name(index)


def answer(question: Question, scene: InstanceSample) -> int:
    """The index in ANSWERS[question] of what is true of a scene's visible objects."""
    pixels: Tensor = scene["masks"].flatten(1).sum(1)
    area = scene["image"].shape[-2] * scene["image"].shape[-1]
    cows = int(((scene["labels"] == _COW) & (pixels >= LEAST_COW * area)).sum())
    if question == "cows":
        return min(cows, len(ANSWERS["cows"]) - 1)
    birds = int(((scene["labels"] == _BIRD) & (pixels >= LEAST_BIRD * area)).sum())
    return (cows > 0) + 2 * (birds > 0)
