"""Findings of `foveate datasets inspect` in images that a model learns to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foveate.tasks.findings import ImageFindings
from foveate.visualize.sheets import class_sheet


@dataclass
class DrawingFindings(ImageFindings):
    """Findings in a data set of images without labels."""

    def sheet(self) -> Any:
        """Some of the images; None if there are none."""
        if not self.samples:
            return None
        return class_sheet([(self.pixels(sample), "", sample["name"]) for sample in self.samples])
