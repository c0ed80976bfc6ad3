"""Findings of `foveate datasets inspect` in images with objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foveate.metrics.instances.counted import touching
from foveate.records import ClassTable, InstanceSample
from foveate.tasks.findings import ImageFindings
from foveate.tasks.instances.detect import counted_truth
from foveate.tasks.instances.figures import draw_objects
from foveate.visualize.report.parts import counted
from foveate.visualize.sheets import class_sheet


@dataclass
class InstanceFindings(ImageFindings):
    """Findings in a data set of images with objects.

    classes: None if the set cannot be opened. per_image: number of objects of each image. areas: of each object, by
    class. present: number of images that hold a class. close: objects within 1 pixel of another.
    """

    classes: ClassTable | None = None
    per_image: list[int] = field(default_factory=list)
    areas: dict[int, list[int]] = field(default_factory=dict)
    present: dict[int, int] = field(default_factory=dict)
    close: int = 0
    shared: int = 0

    def begin(self, split: str, dataset: Any) -> None:
        """Start counting a split."""
        super().begin(split, dataset)
        self.classes = dataset.classes

    def add(self, split: str, sample: InstanceSample) -> None:
        """Count one sample."""
        super().add(split, sample)
        objects = counted_truth(sample)
        if len(objects) < int((~sample["crowd"]).sum()):
            self.note("an outline covers no pixel, and is left out; draw it again, or remove it", sample["name"])
        self.per_image.append(len(objects))
        self.close += int(touching(objects).sum())
        if len(sample["layers"]) > 1:  # objects without a common pixel lie in one layer
            self.shared += int(((objects.overlaps(objects) > 0).sum(1) > 1).sum())
        for label, area in zip(objects.labels.tolist(), objects.areas.tolist(), strict=True):
            self.areas.setdefault(label, []).append(area)
        for label in set(objects.labels.tolist()):
            self.present[label] = self.present.get(label, 0) + 1

    def details_to_json(self) -> dict[str, Any]:
        """Objects by class, and an image."""
        found = super().details_to_json()
        if self.classes is None:
            return found
        found["classes"] = [
            {
                "name": name,
                "color": list(color),
                "objects": len(self.areas.get(i, [])),
                "pictures": self.present.get(i, 0),
                "median_area": float(np.median(self.areas[i])) if i in self.areas else None,
            }
            for i, (name, color) in enumerate(zip(self.classes.names, self.classes.colors, strict=True))
        ]
        return found | {
            "objects": sum(self.per_image),
            "most_objects": max(self.per_image, default=0),
            "pictures_without": self.per_image.count(0),
            "touching": self.close,
            "overlapping": self.shared,
        }

    def details(self) -> list[str]:
        """A line a class: its objects, their median area, and the images that hold it."""
        lines, classes = super().details(), self.classes
        if classes is None:
            return lines
        total, objects = len(self.per_image), sum(self.per_image)
        share = self.close / objects if objects else 0.0
        lines.append(
            f"objects: {objects}, up to {max(self.per_image, default=0)} in a picture, {self.per_image.count(0)} "
            f"pictures without; {share:.0%} touch another"
        )
        if self.shared:
            verb = "shares" if self.shared == 1 else "share"
            lines.append(
                f"overlap: {counted(self.shared, 'object', 'objects')} {verb} pixels with another; each keeps them "
                "in training and in AP; in maps of numbers (panoptic quality, TP ratio) they are the first one's"
            )
        wide = max(len(name) for name in (*classes.names, "class"))
        lines.append(f"{'class':>8}  {'name':<{wide}}  objects  median area  in pictures")
        for i, name in enumerate(classes.names):
            areas = self.areas.get(i, [])
            images = f"{self.present[i]} of {total}" if areas else "none: nothing to learn it from"
            median = f"{np.median(areas):.0f} px" if areas else "-"
            lines.append(f"{i:>8}  {name:<{wide}}  {len(areas):>7}  {median:>11}  {images}")
        return lines

    def sheet(self) -> Any:
        """Images with the contours of their objects."""
        if self.classes is None or not self.samples:
            return None
        drawn = []
        for sample in self.samples:
            objects = counted_truth(sample)
            image = draw_objects(self.pixels(sample), objects, self.classes)
            drawn.append((image, counted(len(objects), "object", "objects"), sample["name"]))
        return class_sheet(drawn, columns=4, thumb=240)
