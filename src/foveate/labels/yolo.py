"""Writer of YOLO's segments: `images/SPLIT/NAME.jpg`, `labels/SPLIT/NAME.txt` and `data.yaml` (Ultralytics).

A line is a class and one polygon, in shares of width and height. An object of several parts becomes one polygon whose
parts are joined by lines, as Ultralytics joins them; holes are filled. There is no place for what
is not scored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from foveate.labels.base import NO_OBJECT, Labelled, LabelWriter, copy_image, write_text
from foveate.labels.outlines import Polygon, centre_outlines
from foveate.records import ClassTable


class YOLOWriter(LabelWriter):
    """A text file an image; classes count from 0, without the background."""

    keeps_objects, keeps_unscored = True, False

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        super().__init__(folder, classes)
        self.splits: dict[str, str] = {}

    def add(self, one: Labelled) -> None:
        """Write one image and its polygons."""
        stem, split = self.stem(one.name), one.split or "train"
        copy_image(one, self.folder / "images" / split, stem)
        self.splits[split] = f"images/{split}"
        objects = self.objects_of(one)
        height, width = one.label.shape
        lines = []
        for k, label in enumerate(objects.labels.tolist()):
            if label == NO_OBJECT or objects.crowd[k]:
                continue
            (left, top, _, _), part = objects.part(k)
            polygon = joined(centre_outlines(part))
            # The middle of pixel x is x + 0.5 in a frame that begins at the left edge of pixel 0.
            shares = [v for x, y in polygon for v in ((x + left + 0.5) / width, (y + top + 0.5) / height)]
            lines.append(" ".join([str(self.things.index(label)), *(f"{v:.7g}" for v in shares)]))
        write_text(self.folder / "labels" / split / f"{stem}.txt", "".join(f"{line}\n" for line in lines))

    def finish(self) -> None:
        """Write `data.yaml`."""
        names = {i: self.classes.names[k] for i, k in enumerate(self.things)}
        content = {**{"path": "."}, **dict(sorted(self.splits.items())), "names": names}
        write_text(self.folder / "data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def joined(polygons: list[Polygon]) -> Polygon:
    """One closed polygon of several: from each to the next by the shortest line between corners, and back by the same.

    A bridge has no area, but a rasteriser that draws the lines of a polygon draws it one pixel wide.
    """
    whole = list(polygons[0])
    rest = [list(p) for p in polygons[1:]]
    while rest:
        here = np.array(whole)
        gaps = [np.hypot(*(here[:, None] - np.array(p)[None]).transpose(2, 0, 1)) for p in rest]
        nearest = int(np.argmin([gap.min() for gap in gaps]))
        a, b = np.unravel_index(gaps[nearest].argmin(), gaps[nearest].shape)
        other = rest.pop(nearest)
        turned = other[int(b) :] + other[: int(b) + 1]
        whole = whole[: int(a) + 1] + turned + whole[int(a) :]
    return whole
