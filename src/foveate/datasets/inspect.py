"""What a labelled set holds: classes, counts, pixel shares, sizes, samples, and every problem file by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn.functional import interpolate
from torchvision import tv_tensors

from foveate.datasets.files import FileDataset, FileSource, Problem
from foveate.errors import DataError
from foveate.records import ClassTable, DataSource, SemanticDataset, SemanticSample

_SAMPLES = 12
_SAMPLE_SIDE = 512  # samples are for looking at: a satellite picture is not kept whole


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
class Inspection:
    """The findings of `inspect`.

    recognised: the format in one line. classes: None where the set is too damaged to tell them.
    sizes: (height, width) -> how many pictures. channels: C -> how many pictures.
    samples: a handful spread over the set, shrunk, for a contact sheet.
    """

    path: str
    recognised: str
    classes: ClassTable | None = None
    splits: dict[str, SplitCount] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    samples: list[SemanticSample] = field(default_factory=list)

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
        sizes = [{"width": w, "height": h, "pictures": n} for (h, w), n in self.sizes.most_common()]
        return {
            "path": self.path,
            "recognised": self.recognised,
            "pictures": {split: count.pictures for split, count in self.splits.items()},
            "classes": self._classes_json(),
            "ignore_index": None if self.classes is None else self.classes.ignore_index,
            "ignored_share": self.ignored_share(),
            "channels": {str(c): n for c, n in sorted(self.channels.items())},
            "sizes": sizes,
            "problems": [{"file": str(p.file), "problem": p.what} for p in self.problems],
        }

    def text(self) -> str:
        """The findings as plain lines for a terminal."""
        lines = [self.recognised]
        if self.splits:
            counts = ", ".join(f"{split} {count.pictures}" for split, count in self.splits.items())
            lines += [f"pictures: {counts}", f"sizes: {self._sizes_text()}", f"channels: {self._channels_text()}"]
        if self.classes is not None and self.splits:
            lines += self._classes_text(self.classes)
        if not self.problems:
            return "\n".join([*lines, "problems: none"])
        return "\n".join([*lines, f"problems: {len(self.problems)}", *(f"  {p}" for p in self.problems)])

    def _pixels(self) -> np.ndarray:
        size = len(self.classes or ()) + 1
        return np.sum([s.pixels for s in self.splits.values()] or [np.zeros(size, np.int64)], axis=0)

    def _classes_json(self) -> list[dict[str, Any]]:
        if self.classes is None:
            return []
        shares = self.shares()
        return [
            {
                "name": name,
                "color": list(color),
                "pixel_share": shares[name],
                "pictures": {split: int(count.present[i]) for split, count in self.splits.items()},
            }
            for i, (name, color) in enumerate(zip(self.classes.names, self.classes.colors, strict=True))
        ]

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


def inspect(source: DataSource, progress: Callable[[int, int], None] | None = None) -> Inspection:
    """Read every picture and label of a set, going on past those that cannot be used.

    progress: called with (pictures done, all pictures). Nothing that is wrong with a file raises; it is a Problem.
    """
    path = str(getattr(source, "path", ""))
    try:
        found = Inspection(path, source.describe())
        datasets = _datasets(source, found.problems)
    except DataError as error:
        return Inspection(path, f"{type(source).__name__}: cannot be opened", problems=[_problem(error)])
    total = sum(len(d) for d in datasets.values())
    wanted = {round(i * total / _SAMPLES) for i in range(_SAMPLES)}
    due, done = 0, 0
    for split, dataset in datasets.items():
        found.classes = dataset.classes
        size = len(dataset.classes)
        count = found.splits[split] = SplitCount(0, np.zeros(size + 1, np.int64), np.zeros(size, np.int64))
        for index in range(len(dataset)):
            due += done in wanted
            done += 1
            try:
                sample = dataset[index]
            except DataError as error:
                found.problems.append(_problem(error))
                continue
            finally:
                if progress is not None:
                    progress(done, total)
            _add(found, count, sample, dataset.classes)
            if len(found.samples) < due:  # a sample that could not be read is replaced by the next one that can
                found.samples.append(_shrunk(sample))
    return found


def _datasets(source: DataSource, problems: list[Problem]) -> dict[str, SemanticDataset]:
    if not isinstance(source, FileSource):
        return {split: source.open(split) for split in source.splits()}
    scan = source.scan
    problems += scan.problems  # opening would raise them
    return {s: FileDataset(pairs, scan.classes, scan.read_label, scan.read_picture) for s, pairs in scan.pairs.items()}


def _problem(error: DataError) -> Problem:
    """A DataError's line starts with the file it names."""
    name, _, what = str(error).partition(": ")
    return Problem(Path(name), what or str(error))


def _add(found: Inspection, count: SplitCount, sample: SemanticSample, classes: ClassTable) -> None:
    labels = sample["mask"].numpy().ravel()
    pixels = np.bincount(np.where(labels == classes.ignore_index, len(classes), labels), minlength=len(classes) + 1)
    count.pictures += 1
    count.pixels += pixels
    count.present += pixels[:-1] > 0
    channels, height, width = sample["image"].shape
    found.sizes[height, width] += 1
    found.channels[channels] += 1


def _shrunk(sample: SemanticSample) -> SemanticSample:
    image, mask = sample["image"], sample["mask"]
    scale = _SAMPLE_SIDE / max(image.shape[-2:])
    if scale >= 1:
        return sample
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    small = interpolate(image[None].float(), size, mode="area")[0].to(image.dtype)
    labels = interpolate(mask[None, None].float(), size, mode="nearest-exact")[0, 0].to(mask.dtype)
    return SemanticSample(image=tv_tensors.Image(small), mask=tv_tensors.Mask(labels), name=sample["name"])
