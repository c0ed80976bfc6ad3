"""Findings of `foveate datasets inspect` in images with label maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foveate.records import ClassTable, Problem, SemanticDataset, SemanticSample
from foveate.tasks.findings import ImageFindings
from foveate.visualize.sheets import contact_sheet


@dataclass
class SplitCount:
    """Labels of one split, of K classes.

    pixels: (K + 1,) pixels of each class, the ignored ones last. present: (K,) images in which a class occurs.
    """

    pixels: np.ndarray
    present: np.ndarray


@dataclass
class SemanticFindings(ImageFindings):
    """Findings in a data set of images with label maps.

    classes: None if the set cannot be opened. splits: split -> its labels.
    """

    classes: ClassTable | None = None
    splits: dict[str, SplitCount] = field(default_factory=dict)

    def begin(self, split: str, dataset: SemanticDataset) -> None:
        """Start counting a split."""
        super().begin(split, dataset)
        self.classes = dataset.classes
        size = len(dataset.classes)
        self.splits[split] = SplitCount(np.zeros(size + 1, np.int64), np.zeros(size, np.int64))

    def add(self, split: str, sample: SemanticSample) -> None:
        """Count one sample."""
        super().add(split, sample)
        if self.classes is None:
            return
        labels, size = sample["mask"].numpy().ravel(), len(self.classes)
        counts = np.bincount(np.where(labels == self.classes.ignore_index, size, labels), minlength=size + 1)
        if (counts[:-1] > 0).sum() > 1 and bool((sample["image"] == sample["image"].flatten()[0]).all()):
            self.note("one value in all pixels, but labels of several classes; was it saved rightly?", sample["name"])
        self.splits[split].pixels += counts
        self.splits[split].present += counts[:-1] > 0

    def end(self) -> None:
        """Complain where no pixel of train is scored."""
        super().end()
        train = self.splits.get("train")
        if train is not None and train.pixels.sum() > 0 and not train.pixels[:-1].any():
            what = "no pixel of train is scored, so there is nothing to learn; the labels may be of other classes"
            self.problems.append(Problem(Path(self.path), what))

    def shares(self) -> dict[str, float]:
        """Class name -> share of the labelled pixels of all splits, 0..1; ignored pixels do not count."""
        if self.classes is None:
            return {}
        counts = self._pixels()[:-1]
        return {n: float(c) / max(int(counts.sum()), 1) for n, c in zip(self.classes.names, counts, strict=True)}

    def ignored_share(self) -> float:
        """Share of all pixels that are not scored, 0..1."""
        counts = self._pixels()
        return float(counts[-1]) / max(int(counts.sum()), 1)

    def _pixels(self) -> np.ndarray:
        size = len(self.classes or ()) + 1
        return np.sum([s.pixels for s in self.splits.values()] or [np.zeros(size, np.int64)], axis=0)

    def details_to_json(self) -> dict[str, Any]:
        """Classes with their colours, shares and images, and the ignored pixels."""
        found = super().details_to_json()
        if self.classes is not None:
            shares = self.shares()
            found["classes"] = [
                {
                    "name": name,
                    "color": list(color),
                    "pixel_share": shares[name],
                    "pictures": {split: int(count.present[i]) for split, count in self.splits.items()},
                }
                for i, (name, color) in enumerate(zip(self.classes.names, self.classes.colors, strict=True))
            ]
        ignore = None if self.classes is None else self.classes.ignore_index
        return found | {"ignore_index": ignore, "ignored_share": self.ignored_share()}

    def details(self) -> list[str]:
        """A line a class: its share of the pixels, and the images that hold it."""
        lines, classes = super().details(), self.classes
        if classes is None:
            return lines
        total = self.counts.total()
        present = np.sum([s.present for s in self.splits.values()], axis=0)
        wide = max(len(name) for name in (*classes.names, "ignored"))
        lines.append(f"{'class':>8}  {'name':<{wide}}  of pixels  in pictures")
        for i, (name, share) in enumerate(self.shares().items()):
            images = f"{present[i]} of {total}" if present[i] else "none: nothing to learn it from"
            if present[i] and "train" in self.splits and not self.splits["train"].present[i]:
                images += ", none of them in train: nothing to learn it from"
            lines.append(f"{i:>8}  {name:<{wide}}  {share:>9.2%}  {images}")
        lines.append(f"{classes.ignore_index:>8}  {'ignored':<{wide}}  {self.ignored_share():>9.2%}")
        return lines

    def sheet(self) -> Any:
        """Images above their labels."""
        if self.classes is None or not self.samples:
            return None
        return contact_sheet([(self.pixels(s), s["mask"].numpy(), s["name"]) for s in self.samples], self.classes)
