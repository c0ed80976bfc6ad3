"""Findings of `foveate datasets inspect` in images with one class each."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foveate.records import ClassificationDataset, ClassificationSample, ClassTable
from foveate.tasks.findings import ImageFindings
from foveate.visualize.sheets import class_sheet

NUM_CLASS_EXAMPLES = 24  # over all classes, as many of each


@dataclass
class ClassificationFindings(ImageFindings):
    """Findings in a data set of images with one class each.

    classes: None if the set cannot be opened. splits: split -> (K,) images of each class that were read without a
    problem. samples: the first of each class, as many of each, in the order of the classes.
    """

    classes: ClassTable | None = None
    splits: dict[str, np.ndarray] = field(default_factory=dict)

    def begin(self, split: str, dataset: ClassificationDataset) -> None:
        """Start counting a split."""
        super().begin(split, dataset)
        self.classes = dataset.classes
        self.splits[split] = np.zeros(len(dataset.classes), np.int64)

    def add(self, split: str, sample: ClassificationSample) -> None:
        """Count one sample."""
        super().add(split, sample)
        self.splits[split][sample["label"]] += 1

    def wants(self, sample: ClassificationSample) -> bool:
        """True for the first samples of each class."""
        if self.classes is None or len(self.samples) >= NUM_CLASS_EXAMPLES:
            return False
        kept = sum(s["label"] == sample["label"] for s in self.samples)
        return kept < max(1, NUM_CLASS_EXAMPLES // len(self.classes))

    def keep(self, sample: ClassificationSample) -> None:
        """Add an example behind those of its class."""
        bisect.insort(self.samples, sample, key=lambda s: int(s["label"]))

    def shares(self) -> dict[str, float]:
        """Class name -> share of the images of all splits, 0..1."""
        if self.classes is None:
            return {}
        counts = np.sum([*self.splits.values(), np.zeros(len(self.classes), np.int64)], axis=0)
        return {n: float(c) / max(int(counts.sum()), 1) for n, c in zip(self.classes.names, counts, strict=True)}

    def details_to_json(self) -> dict[str, Any]:
        """Classes with their shares and images."""
        classes = [
            {"name": name, "share": share, "pictures": {split: int(n[i]) for split, n in self.splits.items()}}
            for i, (name, share) in enumerate(self.shares().items())
        ]
        return super().details_to_json() | {"classes": classes}

    def details(self) -> list[str]:
        """A line a class: its share of the images, and their number in each split."""
        lines = super().details()
        if self.classes is None:
            return lines
        wide = max(len(name) for name in (*self.classes.names, "name"))
        heads = "".join(f"  {split:>7}" for split in self.splits)
        lines.append(f"{'class':>8}  {'name':<{wide}}  of pictures{heads}")
        for i, (name, share) in enumerate(self.shares().items()):
            counts = "".join(f"  {n[i]:>7}" for n in self.splits.values())
            remark = "  nothing to learn it from" if not self.splits.get("train", np.ones(i + 1))[i] else ""
            lines.append(f"{i:>8}  {name:<{wide}}  {share:>11.2%}{counts}{remark}")
        return lines

    def sheet(self) -> Any:
        """Images above the names of their classes."""
        if self.classes is None or not self.samples:
            return None
        return class_sheet([(self.pixels(s), self.classes.names[s["label"]], s["name"]) for s in self.samples])
