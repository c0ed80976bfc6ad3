"""Audit of label maps: regions that the model is sure to be of another class than their label says."""

from __future__ import annotations

import numpy as np
import PIL.Image
from scipy import ndimage

from foveate.pictures.fitting import shrink, shrink_factor
from foveate.pictures.windows import ArrayWindows
from foveate.records import ClassTable
from foveate.tasks.auditing import Audited, Suspect, entropy
from foveate.visualize.overlay import overlay
from foveate.visualize.pixels import rgb8

LEAST = 25  # pixels of a region; smaller ones are noise at contours
OPENING = np.ones((3, 3))  # what does not hold a square of this size is a contour that is drawn otherwise
MARGIN = 0.5  # of a region's longer side, which is shown around it
LONGEST = 320  # pixels of a drawing's panel
GAP = 4  # pixels between panels


def audit_labels(probabilities: np.ndarray, truth: np.ndarray, classes: ClassTable) -> Audited:
    """Doubts about one label map. probabilities: (K, H, W). truth: (H, W) labels; others than 0 to K - 1 do not count.

    Regions are of pixels of one label that one other class is likelier for, without those that are thinner than three
    pixels or smaller than LEAST: along contours, labels and predictions always differ.
    """
    known = (truth >= 0) & (truth < len(classes))
    if not known.any():
        return Audited(float("nan"))
    labels = np.where(known, truth, 0)
    of_label = np.take_along_axis(probabilities, labels[None], axis=0)[0]
    counts = np.bincount(labels[known], minlength=len(classes))
    sums = np.bincount(labels[known], weights=of_label[known], minlength=len(classes))
    confidence = {n: (float(s), int(c)) for n, s, c in zip(classes.names, sums, counts, strict=True) if c}
    likely = probabilities.argmax(axis=0)
    best = probabilities.max(axis=0)
    suspects = []
    wrong = known & (likely != labels)
    pairs = np.unique(labels[wrong] * len(classes) + likely[wrong])
    for pair in pairs.tolist():
        given, other = divmod(pair, len(classes))
        region = ndimage.binary_opening(wrong & (labels == given) & (likely == other), OPENING)
        numbers, _ = ndimage.label(region)
        for number, place in enumerate(ndimage.find_objects(numbers), 1):
            part = numbers[place] == number
            size = int(part.sum())
            if size < LEAST:
                continue
            rows, columns = place
            suspects.append(
                Suspect(
                    classes.names[given], classes.names[other],
                    float(best[place][part].mean()), float(of_label[place][part].mean()), size,
                    (columns.start, rows.start, columns.stop, rows.stop),
                )
            )  # fmt: skip
    return Audited(float(entropy(probabilities)[known].mean()), suspects, confidence)


def draw_suspect(
    image: np.ndarray, truth: np.ndarray, likely: np.ndarray, classes: ClassTable, box: tuple[int, ...]
) -> PIL.Image.Image:
    """Three panels of a region with its surroundings: image (H, W, C), labels, prediction; all of them for no box."""
    height, width = truth.shape
    left, top, right, bottom = box or (0, 0, width, height)
    extra = round(MARGIN * max(right - left, bottom - top)) if box else 0
    top, left = max(0, top - extra), max(0, left - extra)
    bottom, right = min(height, bottom + extra), min(width, right + extra)
    windows = ArrayWindows(rgb8(image[top:bottom, left:right]))
    step, pixels = shrink_factor(windows, LONGEST), shrink(windows, LONGEST)
    panels = [pixels]
    for labels in (truth, likely):
        part = labels[top:bottom, left:right][step // 2 :: step, step // 2 :: step]
        panels.append(overlay(pixels, part[: pixels.shape[0], : pixels.shape[1]], classes, background=True))
    gap = np.full((pixels.shape[0], GAP, 3), 255, np.uint8)
    return PIL.Image.fromarray(np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1))
