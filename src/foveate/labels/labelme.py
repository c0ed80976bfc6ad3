"""Writer of LabelMe's JSON, a file beside each image (wkentaro/labelme).

A part of an object is a polygon where that has its very pixels when LabelMe fills it, else a shape of type `mask`,
which holds pixels one by one: those with holes. Pixels that are not scored have the label `__ignore__`.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects
from scipy.ndimage import label as regions_of

from foveate.labels.base import NO_OBJECT, TOUCHING, Labelled, LabelWriter, class_lines, copy_image, write_text
from foveate.labels.outlines import centre_outlines, fill_centres
from foveate.records.instances import Instances

IGNORE_LABEL = "__ignore__"


class LabelMeWriter(LabelWriter):
    """SPLIT/NAME.jpg beside SPLIT/NAME.json; `classes.txt`, and LabelMe's own `labels.txt`.

    Where objects overlap, the smaller is painted last, since LabelMe's later shapes cover the earlier.
    """

    keeps_objects = True

    def add(self, one: Labelled) -> None:
        """Write one image and its shapes."""
        folder, stem = self.folder / one.split, self.stem(one.name)
        path = copy_image(one, folder, stem)
        objects = self.objects_of(one)
        unscored = objects.crowd | (objects.labels == NO_OBJECT)
        order = np.lexsort((-objects.areas, ~unscored))  # what is not scored lies below all objects
        shapes = [
            shape | {"group_id": group}
            for group, k in enumerate(order.tolist(), 1)
            for shape in shapes_of(objects, k, IGNORE_LABEL if unscored[k] else self.classes.names[objects.labels[k]])
        ]
        content = annotation(path.name, (one.label.shape[0], one.label.shape[1]), shapes)
        write_text(folder / f"{stem}.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        """Write the lists of classes."""
        write_text(self.folder / "classes.txt", class_lines(self.classes))
        names = [self.classes.names[k] for k in self.things]
        write_text(self.folder / "labels.txt", "\n".join(["__ignore__", "_background_", *names, ""]))


def annotation(image: str, size: tuple[int, int], shapes: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of one file. image: the image's file name. size: (height, width)."""
    return {
        "version": "5.0.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None,
        "imageHeight": size[0], "imageWidth": size[1],
    }  # fmt: skip


def shapes_of(objects: Instances, k: int, label: str) -> Iterator[dict[str, Any]]:
    """The shapes of an object, one for each part whose pixels touch."""
    (left, top, _, _), whole = objects.part(k)
    numbers, _ = regions_of(whole, TOUCHING)
    for number, place in enumerate(find_objects(numbers), 1):
        part = numbers[place] == number
        x, y = left + place[1].start, top + place[0].start
        polygons = centre_outlines(part)
        shape: dict[str, Any] = {"label": label, "flags": {}}
        if len(polygons) == 1 and (fill_centres(polygons, *part.shape) == part).all():
            yield shape | {"shape_type": "polygon", "points": [[px + x, py + y] for px, py in polygons[0]]}
        else:
            corner = [float(x + part.shape[1] - 1), float(y + part.shape[0] - 1)]
            yield shape | {"shape_type": "mask", "points": [[float(x), float(y)], corner], "mask": _png(part)}


def _png(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
