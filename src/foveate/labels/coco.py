"""Writer of COCO's objects: `annotations/instances_SPLIT.json` beside `images/SPLIT/` (cocodataset.org/#format-data).

Polygons where they have the object's very pixels when COCO's own routine fills them, else run lengths: an object with a
hole has no exact polygon. Pixels that are not scored become crowds of every class, which is how COCO excuses them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from foveate.labels.base import NO_OBJECT, Labelled, LabelWriter, copy_image, write_text
from foveate.labels.outlines import edge_outlines, fill_edges
from foveate.records import ClassTable
from foveate.records.instances import Instances


class COCOWriter(LabelWriter):
    """One file of annotations a split; categories count from 1, without the background."""

    keeps_objects = keeps_crowds = True

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        super().__init__(folder, classes)
        self.images: dict[str, list[dict[str, Any]]] = {}
        self.annotations: dict[str, list[dict[str, Any]]] = {}
        self._count = 0

    def add(self, one: Labelled) -> None:
        """Copy one image, and take in its objects."""
        split = one.split or "all"
        path = copy_image(one, self.folder / "images" / split, self.stem(one.name))
        images = self.images.setdefault(split, [])
        annotations = self.annotations.setdefault(split, [])
        height, width = one.label.shape
        number = len(images) + 1
        images.append({"id": number, "file_name": path.name, "height": height, "width": width})
        objects = self.objects_of(one)
        for k, label in enumerate(objects.labels.tolist()):
            categories = self.things if label == NO_OBJECT else [label]
            for value in categories:
                self._count += 1
                annotations.append(
                    {"id": self._count, "image_id": number, "category_id": self.things.index(value) + 1}
                    | _shape(objects, k)
                )
                if objects.scores[k] < 1:
                    annotations[-1]["score"] = round(float(objects.scores[k]), 4)

    def finish(self) -> None:
        """Write the annotations of each split."""
        categories = [{"id": i, "name": self.classes.names[k]} for i, k in enumerate(self.things, 1)]
        for split, images in self.images.items():
            content = {"images": images, "categories": categories, "annotations": self.annotations[split]}
            write_text(self.folder / "annotations" / f"instances_{split}.json", json.dumps(content) + "\n")


def _shape(objects: Instances, k: int) -> dict[str, Any]:
    """Box, area and outline of an object."""
    (left, top, right, bottom), part = objects.part(k)
    crowd = bool(objects.crowd[k])
    segmentation: Any = None
    if not crowd:
        outlines, holes = edge_outlines(part)
        if not holes and (fill_edges(outlines, *part.shape) == part).all():
            segmentation = [[v for x, y in polygon for v in (x + left, y + top)] for polygon in outlines]
    if segmentation is None:
        segmentation = {"size": list(objects.size), "counts": objects.masks[k]["counts"].decode()}
    return {
        "bbox": [left, top, right - left, bottom - top], "area": int(np.count_nonzero(part)), "iscrowd": int(crowd),
        "segmentation": segmentation,
    }  # fmt: skip
