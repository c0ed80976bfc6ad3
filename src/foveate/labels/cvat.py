"""Writer of CVAT's own XML, "CVAT for images 1.1": `annotations.xml` beside `images/`.

A part of an object is a polygon where that has its very pixels, else a `mask` of run lengths. Parts of one object share
a `group_id`. Pixels that are not scored have the label `__ignore__`, as in LabelMe, since CVAT has no name for them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects
from scipy.ndimage import label as regions_of

from foveate.disk import atomic_write
from foveate.labels.base import NO_OBJECT, Labelled, LabelWriter, class_lines, copy_image, write_text
from foveate.labels.labelme import IGNORE_LABEL
from foveate.labels.outlines import edge_outlines, fill_edges
from foveate.records import ClassTable
from foveate.records.instances import Instances


class CVATWriter(LabelWriter):
    """One XML file for all images; an image's split is its `subset`. Of overlapping objects the smaller is on top."""

    keeps_objects = True

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        super().__init__(folder, classes)
        self.root = ElementTree.Element("annotations")
        ElementTree.SubElement(self.root, "version").text = "1.1"
        labels = ElementTree.SubElement(
            ElementTree.SubElement(ElementTree.SubElement(self.root, "meta"), "task"), "labels"
        )
        names = [*((classes.names[k], classes.colors[k]) for k in range(len(classes))), (IGNORE_LABEL, (224, 224, 192))]
        for name, (r, g, b) in names:
            node = ElementTree.SubElement(labels, "label")
            ElementTree.SubElement(node, "name").text = name
            ElementTree.SubElement(node, "color").text = f"#{r:02x}{g:02x}{b:02x}"
            ElementTree.SubElement(node, "type").text = "any"
            ElementTree.SubElement(node, "attributes")
        self._count = 0

    def add(self, one: Labelled) -> None:
        """Copy one image, and take in its shapes."""
        path = copy_image(one, self.folder / "images", self.stem(one.name))
        height, width = one.label.shape
        about = {"id": str(self._count), "name": path.name, "width": str(width), "height": str(height)}
        self._count += 1
        image = ElementTree.SubElement(self.root, "image", about | ({"subset": one.split} if one.split else {}))
        objects = self.objects_of(one)
        unscored = objects.crowd | (objects.labels == NO_OBJECT)
        order = np.lexsort((-objects.areas, ~unscored)).tolist()
        for place, k in enumerate(order):
            label = IGNORE_LABEL if unscored[k] else self.classes.names[objects.labels[k]]
            shapes = list(_shapes(objects, k))
            group = {"group_id": str(place + 1)} if len(shapes) > 1 else {}
            for kind, values in shapes:
                given = {"label": label, "source": "manual", "occluded": "0"} | values | {"z_order": str(place)} | group
                ElementTree.SubElement(image, kind, given)

    def finish(self) -> None:
        """Write `annotations.xml` and `classes.txt`."""
        ElementTree.indent(self.root, " ")
        with atomic_write(self.folder / "annotations.xml") as temporary:
            ElementTree.ElementTree(self.root).write(temporary, encoding="utf-8", xml_declaration=True)
        write_text(self.folder / "classes.txt", class_lines(self.classes))


def _shapes(objects: Instances, k: int) -> Iterator[tuple[str, dict[str, str]]]:
    """(element, its own attributes) of each part of an object."""
    (left, top, _, _), whole = objects.part(k)
    numbers, _ = regions_of(whole)
    for number, place in enumerate(find_objects(numbers), 1):
        part = numbers[place] == number
        x, y = left + place[1].start, top + place[0].start
        outlines, holes = edge_outlines(part)
        if not holes and len(outlines) == 1 and (fill_edges(outlines, *part.shape) == part).all():
            yield "polygon", {"points": ";".join(f"{px + x:.2f},{py + y:.2f}" for px, py in outlines[0])}
        else:
            box = {"left": x, "top": y, "width": part.shape[1], "height": part.shape[0]}
            yield "mask", {"rle": ", ".join(map(str, run_lengths(part)))} | {key: str(v) for key, v in box.items()}


def run_lengths(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of a mask, row by row, the first of zeros (0 if the first pixel is set)."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    runs = np.diff([0, *starts.tolist(), flat.size]).tolist()
    return [0, *runs] if flat[0] else runs
