"""Objects of a label map: the connected parts of each class, split where they narrow.

A label map does not say where one object ends and a neighbour of its class begins. Parts are split by the watershed of
the distance to their edge (Vincent and Soille 1991), one basin a maximum that rises above its surroundings by DEPTH,
an h-maximum (Soille 2003). That divides round objects that touch, may divide long or bent ones that are one, and never
joins what lies apart.

Shapes: labels (H, W), K classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from foveate.errors import counted
from foveate.records import ClassTable, InstancePrediction, SemanticPrediction
from foveate.records.instances import encode_mask, instances_of

NEIGHBOURS = np.ones((3, 3), bool)  # pixels that meet at a corner are connected, too
DEPTH = 0.75  # pixels, h; of 0.5 to 1.25 the best on training masks of nuclei
MOST_PIXELS = 2**22  # of the window around a part that is split; memory grows with it


def objects_in(
    prediction: SemanticPrediction, least_area: int = 1, pixel_size: float = 1.0, divide: bool = True
) -> InstancePrediction:
    """Return the objects of a label map, each with a score of 1, since a semantic model gives none.

    Pixels of the class table's background (`ClassTable.background`), and of no class, are no objects. least_area:
    smaller parts are left out, in pixels. pixel_size: as in `InstancePrediction`. divide: split connected parts where
    they narrow.
    """
    labels, classes = prediction.mask, prediction.classes
    first = 0 if classes.background is None or len(classes) == 1 else 1
    things = ClassTable(classes.names[first:], classes.colors[first:], classes.ignore_index) if first else classes
    size = (labels.shape[0], labels.shape[1])
    masks, found, unsplit = [], [], 0
    for label in range(first, len(classes)):
        parts, count = ndimage.label(labels == label, NEIGHBOURS)
        windows = ndimage.find_objects(parts, count)
        for number, (rows, columns) in enumerate(windows, 1):
            part = parts[rows, columns] == number
            if np.count_nonzero(part) < least_area:
                continue
            unsplit += divide and part.size > MOST_PIXELS
            for top, left, mask in split(part) if divide else [(0, 0, part)]:
                if np.count_nonzero(mask) >= least_area:
                    masks.append(encode_mask(mask, size, columns.start + left, rows.start + top))
                    found.append(label - first)
    note = ""
    if unsplit:
        note = (
            f"{counted(unsplit, 'connected part')} of more than {MOST_PIXELS} pixels, with the window around it, "
            "counted as one object without a try to split it"
        )
    return InstancePrediction(
        instances_of(size, masks, found), things, 0.0, prediction.name, pixel_size, note=note
    )  # fmt: skip


def split(part: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the objects of a connected part (h, w) bool: top and left of each in it, and its pixels (h', w') bool."""
    basins = part.astype(np.int32) if part.size > MOST_PIXELS else _basins(part)
    for number, window in enumerate(ndimage.find_objects(basins), 1):
        if window is not None:
            yield window[0].start, window[1].start, basins[window] == number


def _basins(part: np.ndarray) -> np.ndarray:
    """Object numbers (h, w) of a part's pixels."""
    padded = np.pad(part, 1)
    distance = ndimage.distance_transform_edt(padded)
    levelled = reconstruction(distance - DEPTH, distance)  # maxima that rise by less are levelled
    seeds, count = ndimage.label(local_maxima(levelled) & padded, NEIGHBOURS)
    if count < 2:
        return part.astype(np.int32)
    basins: np.ndarray = watershed(-distance, seeds, mask=padded)[1:-1, 1:-1]
    return basins
