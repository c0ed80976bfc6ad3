"""What an inspection finds in sets of label maps, and of pictures of one class each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from foveate.datasets.files import Problem
from foveate.records import ClassificationSample, ClassTable, SemanticSample


@dataclass
class SplitCount:
    """One split: K classes.

    pictures: how many were read without a problem. pixels: (K + 1,) label counts, the ignored ones last.
    present: (K,) in how many pictures a class occurs.
    """

    pictures: int
    pixels: np.ndarray
    present: np.ndarray


@dataclass
class Findings:
    """What `inspect` finds in any set.

    recognised: the format in one line. classes: None where the set is too damaged to tell them.
    sizes: (height, width) -> how many pictures. channels: C -> how many pictures.
    samples: a handful, for a contact sheet.
    """

    task: ClassVar[str]

    path: str
    recognised: str
    classes: ClassTable | None = None
    splits: dict[str, Any] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    samples: list[Any] = field(default_factory=list)

    def pictures(self) -> dict[str, int]:
        """Split -> how many pictures were read without a problem."""
        raise NotImplementedError

    def shares(self) -> dict[str, float]:
        """Class name -> its share of what is labelled, 0..1, over all splits."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Everything but the samples, as plain JSON values."""
        sizes = [{"width": w, "height": h, "pictures": n} for (h, w), n in self.sizes.most_common()]
        return {
            "path": self.path,
            "recognised": self.recognised,
            "task": self.task,
            "pictures": self.pictures(),
            "classes": [] if self.classes is None else self._classes_json(self.classes),
            "channels": {str(c): n for c, n in sorted(self.channels.items())},
            "sizes": sizes,
            "problems": [{"file": str(p.file), "problem": p.what} for p in self.problems],
        }

    def text(self) -> str:
        """The findings as plain lines for a terminal."""
        lines = [self.recognised]
        if self.splits:
            counts = ", ".join(f"{split} {count}" for split, count in self.pictures().items())
            lines += [f"pictures: {counts}", f"sizes: {self._sizes_text()}", f"channels: {self._channels_text()}"]
            lines += self._details()
        if not self.problems:
            return "\n".join([*lines, "problems: none"])
        return "\n".join([*lines, f"problems: {len(self.problems)}", *(f"  {p}" for p in self.problems)])

    def see(self, sample: Any) -> None:
        """Count the size and channels of a sample's picture."""
        channels, height, width = sample["image"].shape
        self.sizes[height, width] += 1
        self.channels[channels] += 1

    def _details(self) -> list[str]:
        """Lines about what is labelled, and how."""
        return [] if self.classes is None else self._classes_text(self.classes)

    def _classes_json(self, classes: ClassTable) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _classes_text(self, classes: ClassTable) -> list[str]:
        raise NotImplementedError

    def _sizes_text(self) -> str:
        if not self.sizes:
            return "none"
        if len(self.sizes) <= 3:
            return ", ".join(f"{w}x{h} ({n})" for (h, w), n in self.sizes.most_common())
        sides = np.array([size for size, n in self.sizes.items() for _ in range(n)])
        low, middle, high = np.quantile(sides, (0, 0.5, 1), axis=0).astype(int)
        return (
            f"{len(self.sizes)} different; width {low[1]}..{high[1]} (median {middle[1]}), "
            f"height {low[0]}..{high[0]} (median {middle[0]})"
        )

    def _channels_text(self) -> str:
        return ", ".join(f"{c} ({n})" for c, n in sorted(self.channels.items())) or "none"


@dataclass
class Inspection(Findings):
    """The findings in a set of pictures and label maps.

    samples: spread over the set, shrunk.
    """

    task = "semantic"

    splits: dict[str, SplitCount] = field(default_factory=dict)
    samples: list[SemanticSample] = field(default_factory=list)

    def pictures(self) -> dict[str, int]:
        """Split -> how many pictures were read without a problem."""
        return {split: count.pictures for split, count in self.splits.items()}

    def shares(self) -> dict[str, float]:
        """Class name -> share of the labelled pixels of all splits, 0..1; ignored pixels do not count."""
        if self.classes is None:
            return {}
        pixels = self._pixels()[:-1]
        return {n: float(c) / max(int(pixels.sum()), 1) for n, c in zip(self.classes.names, pixels, strict=True)}

    def ignored_share(self) -> float:
        """Share of all pixels that are not scored, 0..1."""
        pixels = self._pixels()
        return float(pixels[-1]) / max(int(pixels.sum()), 1)

    def to_json(self) -> dict[str, Any]:
        """Everything but the samples, as plain JSON values."""
        ignore = None if self.classes is None else self.classes.ignore_index
        return super().to_json() | {"ignore_index": ignore, "ignored_share": self.ignored_share()}

    def add(self, split: str, sample: SemanticSample, classes: ClassTable) -> None:
        """Count a sample."""
        labels = sample["mask"].numpy().ravel()
        pixels = np.bincount(np.where(labels == classes.ignore_index, len(classes), labels), minlength=len(classes) + 1)
        count = self.splits[split]
        count.pictures += 1
        count.pixels += pixels
        count.present += pixels[:-1] > 0
        self.see(sample)

    def _pixels(self) -> np.ndarray:
        size = len(self.classes or ()) + 1
        return np.sum([s.pixels for s in self.splits.values()] or [np.zeros(size, np.int64)], axis=0)

    def _classes_json(self, classes: ClassTable) -> list[dict[str, Any]]:
        shares = self.shares()
        return [
            {
                "name": name,
                "color": list(color),
                "pixel_share": shares[name],
                "pictures": {split: int(count.present[i]) for split, count in self.splits.items()},
            }
            for i, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
        ]

    def _classes_text(self, classes: ClassTable) -> list[str]:
        total = sum(s.pictures for s in self.splits.values())
        present = np.sum([s.present for s in self.splits.values()], axis=0)
        wide = max(len(name) for name in (*classes.names, "ignored"))
        lines = [f"{'class':>8}  {'name':<{wide}}  of pixels  in pictures"]
        for i, (name, share) in enumerate(self.shares().items()):
            where = f"{present[i]} of {total}" if present[i] else "none: nothing to learn it from"
            lines.append(f"{i:>8}  {name:<{wide}}  {share:>9.2%}  {where}")
        lines.append(f"{classes.ignore_index:>8}  {'ignored':<{wide}}  {self.ignored_share():>9.2%}")
        return lines


@dataclass
class ClassInspection(Findings):
    """The findings in a set of pictures of one class each.

    splits: split -> (K,) how many pictures of each class were read without a problem. samples: by class, as many of
    each.
    """

    task = "classification"

    splits: dict[str, np.ndarray] = field(default_factory=dict)
    samples: list[ClassificationSample] = field(default_factory=list)

    def pictures(self) -> dict[str, int]:
        """Split -> how many pictures were read without a problem."""
        return {split: int(counts.sum()) for split, counts in self.splits.items()}

    def shares(self) -> dict[str, float]:
        """Class name -> share of the pictures of all splits, 0..1."""
        if self.classes is None:
            return {}
        counts = np.sum([*self.splits.values(), np.zeros(len(self.classes), np.int64)], axis=0)
        return {n: float(c) / max(int(counts.sum()), 1) for n, c in zip(self.classes.names, counts, strict=True)}

    def add(self, split: str, sample: ClassificationSample) -> None:
        """Count a sample."""
        self.splits[split][sample["label"]] += 1
        self.see(sample)

    def _classes_json(self, classes: ClassTable) -> list[dict[str, Any]]:
        return [
            {"name": name, "share": share, "pictures": {split: int(n[i]) for split, n in self.splits.items()}}
            for i, (name, share) in enumerate(self.shares().items())
        ]

    def _classes_text(self, classes: ClassTable) -> list[str]:
        wide = max(len(name) for name in (*classes.names, "name"))
        heads = "".join(f"  {split:>7}" for split in self.splits)
        lines = [f"{'class':>8}  {'name':<{wide}}  of pictures{heads}"]
        for i, (name, share) in enumerate(self.shares().items()):
            counts = "".join(f"  {n[i]:>7}" for n in self.splits.values())
            remark = "  nothing to learn it from" if not self.splits.get("train", np.ones(i + 1))[i] else ""
            lines.append(f"{i:>8}  {name:<{wide}}  {share:>11.2%}{counts}{remark}")
        return lines
