"""Scenes of the Pasture data set with one class each: the answer to a question about the visible animals.

The answers are as frequent as the scenes make them, at 128x128: none 5 %, cow 12, bird 25, both 58; no cow 30 %, one
45, two 25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from foveate.datasets.pasture.dataset import PastureDataset
from foveate.datasets.pasture.scene import BIRD, COW
from foveate.records import ClassificationSample, ClassTable, ObjectSample

if TYPE_CHECKING:
    from foveate.datasets.pasture import Question

ANSWERS = {"animal": ("none", "cow", "bird", "both"), "cows": ("no cow", "one cow", "two cows")}
# Visible share of the image's pixels from which an animal counts: 32 and 8 of 128x128. Smaller ones are not recognised.
MIN_COW, MIN_BIRD = 1 / 512, 1 / 2048


class PastureClassesDataset:
    """Scenes with one label each: a ClassificationDataset. Every access draws the scene again; nothing is kept."""

    channels = 3

    def __init__(self, scenes: PastureDataset, question: Question) -> None:
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


def answer(question: Question, scene: ObjectSample) -> int:
    """The index of the true answer in ANSWERS[question], by the visible objects of a scene."""
    pixels: Tensor = scene["masks"].flatten(1).sum(1)
    area = scene["image"].shape[-2] * scene["image"].shape[-1]
    cows = int(((scene["labels"] == COW) & (pixels >= MIN_COW * area)).sum())
    if question == "cows":
        return min(cows, len(ANSWERS["cows"]) - 1)
    birds = int(((scene["labels"] == BIRD) & (pixels >= MIN_BIRD * area)).sum())
    return (cows > 0) + 2 * (birds > 0)
