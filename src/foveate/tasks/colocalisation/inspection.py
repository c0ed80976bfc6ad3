"""Findings of `foveate datasets inspect` in images with objects of a common kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from foveate.errors import counted
from foveate.records import ColocalisationSample
from foveate.tasks.findings import ImageFindings, spread, spread_text
from foveate.visualize.pixels import rgb8
from foveate.visualize.sheets import class_sheet

BOX_COLOR = (255, 196, 0)


@dataclass
class ColocalisationFindings(ImageFindings):
    """Findings in a data set of images with objects of a common kind.

    boxes: number of boxes of an image -> number of images that have as many.
    """

    boxes: Counter[int] = field(default_factory=Counter)

    def add(self, split: str, sample: ColocalisationSample) -> None:
        """Count one sample."""
        super().add(split, sample)
        self.boxes[len(sample["boxes"])] += 1

    def details_to_json(self) -> dict[str, Any]:
        """Boxes an image."""
        return super().details_to_json() | {"boxes_a_picture": spread(self.boxes)}

    def details(self) -> list[str]:
        """Boxes an image."""
        return [*super().details(), f"boxes a picture: {spread_text(self.boxes)}"]

    def sheet(self) -> Any:
        """Images with their boxes."""
        if not self.samples:
            return None
        return class_sheet(
            [(_with_boxes(s, self.pixels(s)), _boxes_text(len(s["boxes"])), s["name"]) for s in self.samples]
        )


def _with_boxes(sample: ColocalisationSample, pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the image with an outline around each box."""
    drawn = Image.fromarray(rgb8(pixels))
    pen = ImageDraw.Draw(drawn)
    for left, top, right, bottom in sample["boxes"].tolist():
        pen.rectangle((left, top, right - 1, bottom - 1), outline=BOX_COLOR, width=max(1, round(max(drawn.size) / 100)))
    return np.asarray(drawn)


def _boxes_text(count: int) -> str:
    return counted(count, "box")
