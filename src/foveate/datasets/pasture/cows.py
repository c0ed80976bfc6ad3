"""Scenes of the Pasture data set with a cow in them, and the boxes of the cows."""

from __future__ import annotations

import torch

from foveate.datasets.pasture.dataset import PastureDataset
from foveate.datasets.pasture.scene import COW
from foveate.deferred import tv_tensors
from foveate.records import ClassTable, ColocalisationSample

# Visible share of the image's pixels from which a cow has a box; smaller ones are not recognised.
MIN_COW = 1 / 512


class PastureCowsDataset:
    """Scenes with a cow, which is read from their layouts. Every access draws the scene again; nothing is kept.

    A cow with fewer visible pixels than 1/512 of the image has no box. An image may therefore have no box; it is scored
    as one without objects.
    """

    channels = 3
    classes = ClassTable(("cow",))

    def __init__(self, scenes: PastureDataset) -> None:
        self.scenes = scenes
        self.members = [
            index for index in range(len(scenes)) if any(thing.category == COW for thing in scenes.scene(index).things)
        ]

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> ColocalisationSample:
        scene = self.scenes.instances(self.members[index])
        height, width = scene["image"].shape[-2:]
        pixels = scene["masks"].flatten(1).sum(1)
        cows = (scene["labels"] == COW) & (pixels >= MIN_COW * height * width)
        boxes = tv_tensors.BoundingBoxes(
            scene["boxes"][cows], format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(height, width)
        )
        labels = torch.zeros(int(cows.sum()), dtype=torch.int64)
        return ColocalisationSample(image=scene["image"], boxes=boxes, labels=labels, name=scene["name"])

    def name(self, index: int) -> str:
        """'pasture/train/000123'."""
        return self.scenes.name(self.members[index])
