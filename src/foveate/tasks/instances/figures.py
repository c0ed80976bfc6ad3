"""Drawings of objects: contours over the image, and charts of what was found."""

from __future__ import annotations

import colorsys

import numpy as np

from foveate.records import ClassTable, Instances
from foveate.visualize.overlay import brightening
from foveate.visualize.pixels import contours, rgb8

LONGEST = 2048  # pixels of a drawn image's longest side


def draw_objects(image: np.ndarray, objects: Instances, classes: ClassTable, by_class: bool = False) -> np.ndarray:
    """Draw the contour of each object over an image, (H, W, 3) uint8; nothing else is painted, a dark image brightened.

    image: (H, W[, C]), of the objects' size or a whole factor smaller. The colour is the class's; with one class, each
    object's own, so that neighbours differ, unless by_class.
    """
    drawn = visible(image)
    numbers = objects.numbers()
    factor = max(1, numbers.shape[0] // drawn.shape[0])
    numbers = numbers[factor // 2 :: factor, factor // 2 :: factor][: drawn.shape[0], : drawn.shape[1]]
    thickness = max(1, round(max(drawn.shape[:2]) / 800))
    edge = _inner_edges(numbers, thickness)
    drawn[edge] = colors_of(objects, classes, by_class)[numbers[edge]]
    return drawn


def visible(image: np.ndarray) -> np.ndarray:
    """An image (H, W[, C]) as (H, W, 3) uint8 of its own, brightened if it is nearly black, as overlays are."""
    table = brightening(image)
    return np.array(rgb8(image)) if table is None else table[rgb8(image)]


def _inner_edges(numbers: np.ndarray, thickness: int) -> np.ndarray:
    """Pixels of objects within `thickness` of another number, on every side, (H, W) bool."""
    edge = contours(numbers, thickness)
    edge |= contours(numbers[::-1, ::-1], thickness)[::-1, ::-1]
    return edge & (numbers > 0)


def colors_of(objects: Instances, classes: ClassTable, by_class: bool = False) -> np.ndarray:
    """Return colours (N + 1, 3) uint8 by object number: its class's, or its own where there is one class.

    by_class: the class's in any case.
    """
    if len(classes) > 1 or by_class:
        chosen = [classes.colors[int(label)] for label in objects.labels]
    else:
        hues = [(k * 0.618034) % 1.0 for k in range(len(objects))]
        chosen = [_rgb8(*colorsys.hls_to_rgb(hue, 0.55, 0.95)) for hue in hues]
    return np.array([(0, 0, 0), *chosen], np.uint8)


def _rgb8(red: float, green: float, blue: float) -> tuple[int, int, int]:
    return round(255 * red), round(255 * green), round(255 * blue)
