"""Scenes of the Pasture data set as images with label maps, and with their objects."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from foveate.datasets.pasture.compose import compose
from foveate.datasets.pasture.draw import FIRST_THING, classes_of, render
from foveate.datasets.pasture.scene import CLASSES, TREE, Scene
from foveate.datasets.splits import SPLIT_ORDER
from foveate.deferred import tv_tensors
from foveate.ops.boxes import tight_boxes
from foveate.records import ClassTable, InstanceSample, ObjectSample, SemanticSample

if TYPE_CHECKING:
    from foveate.datasets.pasture import Pasture


class PastureDataset:
    """Scenes with label maps: a SemanticDataset. Every access draws the scene again; nothing is kept."""

    classes = CLASSES
    things = ClassTable(CLASSES.names[TREE:], CLASSES.colors[TREE:], CLASSES.ignore_index)
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
        """The layout of a scene: its things with their places, poses and colours."""
        source = self.source
        seed = (source.seed, SPLIT_ORDER.index(self.split), self._checked(index))
        return compose(seed, source.height / source.width)

    def instances(self, index: int) -> ObjectSample:
        """The same image with its N trees, cows, people, birds and frisbees, far ones first.

        Masks hold visible pixels; a thing without a visible pixel is left out. Distant woods are labelled tree but are
        no instances.
        """
        scene = self.scene(index)
        image, ids = render(scene, self.source.height, self.source.width)
        seen = np.flatnonzero(np.bincount(ids.ravel(), minlength=FIRST_THING + len(scene.things))[FIRST_THING:])
        masks = ids == (seen + FIRST_THING)[:, None, None]
        boxes = tight_boxes(torch.from_numpy(masks))
        labels = [scene.things[k].category for k in seen.tolist()]
        return ObjectSample(
            image=tv_tensors.Image(torch.from_numpy(image)),
            masks=tv_tensors.Mask(torch.from_numpy(masks)),
            boxes=tv_tensors.BoundingBoxes(
                boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(ids.shape[0], ids.shape[1])
            ),
            labels=torch.tensor(labels, dtype=torch.int64),
            name=self.name(index),
        )

    def layered(self, index: int) -> InstanceSample:
        """The same in one layer, as things do not overlap; labels count the five classes of things."""
        scene = self.scene(index)
        image, ids = render(scene, self.source.height, self.source.width)
        seen, layer = np.unique(np.maximum(ids.astype(np.int32) - FIRST_THING + 1, 0), return_inverse=True)
        # 0 may be missing where things fill the image.
        layer, seen = (layer, seen[1:]) if seen[0] == 0 else (layer + 1, seen)
        labels = torch.tensor([scene.things[k - 1].category for k in seen.tolist()], dtype=torch.int64)
        return InstanceSample(
            image=tv_tensors.Image(torch.from_numpy(image)),
            layers=tv_tensors.Mask(torch.from_numpy(layer.reshape(1, *ids.shape).astype(np.int32))),
            labels=labels - TREE,
            crowd=torch.zeros(len(labels), dtype=torch.bool),
            name=self.name(index),
        )

    def visible_shares(self, index: int) -> np.ndarray:
        """The visible share of each object of `layered`, in its order, (N,) in 0..1.

        Pixels that are seen over those that the thing would have in the image if nothing else stood there.
        """
        scene = self.scene(index)
        height, width = self.source.height, self.source.width
        seen = np.bincount(render(scene, height, width)[1].ravel(), minlength=FIRST_THING + len(scene.things))
        shares = []
        for number in np.flatnonzero(seen[FIRST_THING:]).tolist():
            alone = dataclasses.replace(scene, things=(scene.things[number],))
            whole = np.count_nonzero(render(alone, height, width)[1] == FIRST_THING)
            shares.append(seen[FIRST_THING + number] / whole)
        return np.array(shares, np.float64)

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"scene {index} of pasture/{self.split}, which has {len(self)}")
        return index % len(self)
