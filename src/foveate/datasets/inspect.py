"""What a labelled set holds: classes, counts, shares, sizes, samples, and every problem file by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision import tv_tensors

from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.files import FileDataset, FileSource, Problem, UnusableFilesError
from foveate.datasets.idx import Idx
from foveate.errors import DataError
from foveate.records import ClassificationSample, ClassTable, DataSource, SemanticSample

_SAMPLES = 12
_CLASS_SAMPLES = 24  # of pictures with one label each: as many of every class
_AT_ONCE = 256
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
        if self.classes is not None and self.splits:
            lines += self._classes_text(self.classes)
        if not self.problems:
            return "\n".join([*lines, "problems: none"])
        return "\n".join([*lines, f"problems: {len(self.problems)}", *(f"  {p}" for p in self.problems)])

    def see(self, sample: Any) -> None:
        """Count the size and channels of a sample's picture."""
        channels, height, width = sample["image"].shape
        self.sizes[height, width] += 1
        self.channels[channels] += 1

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


def inspect(source: DataSource, progress: Callable[[int, int], None] | None = None) -> Inspection | ClassInspection:
    """Read every picture and label of a set, going on past those that cannot be used.

    progress: called with (pictures done, all pictures). Nothing that is wrong with a file raises; it is a Problem.
    """
    path = str(getattr(source, "path", ""))
    by_class = getattr(source, "task", "semantic") == "classification"
    kind: type[Inspection | ClassInspection] = ClassInspection if by_class else Inspection
    try:
        found = kind(path, source.describe())
        datasets = _datasets(source, found.problems)
    except UnusableFilesError as error:  # too many for what is left to be a set
        return kind(path, f"{type(source).__name__}: cannot be opened", problems=error.problems)
    except DataError as error:
        return kind(path, f"{type(source).__name__}: cannot be opened", problems=[_problem(error)])
    total, done = sum(len(d) for d in datasets.values()), 0
    keep = _keep_by_class(found) if isinstance(found, ClassInspection) else _keep_spread(found, total)
    for split, dataset in datasets.items():
        found.classes = classes = dataset.classes
        size = len(classes)
        if isinstance(found, Inspection):
            found.splits[split] = SplitCount(0, np.zeros(size + 1, np.int64), np.zeros(size, np.int64))
        else:
            found.splits[split] = np.zeros(size, np.int64)
        for sample in _each(dataset):
            done += 1
            if isinstance(sample, DataError):
                found.problems.append(_problem(sample))
            elif isinstance(found, Inspection):
                found.add(split, sample, classes)
            else:
                found.add(split, sample)
            keep(sample)
            if progress is not None:
                progress(done, total)
    if isinstance(found, ClassInspection):
        found.samples.sort(key=lambda sample: sample["label"])
    return found


def _each(dataset: Any) -> Iterator[Any]:
    """The samples in order; in place of one that cannot be read, what is wrong with it."""
    for start in range(0, len(dataset), _AT_ONCE):
        indices = range(start, min(start + _AT_ONCE, len(dataset)))
        if hasattr(dataset, "draw"):  # much faster for many at once
            yield from dataset.draw([(0, index) for index in indices])
            continue
        for index in indices:
            try:
                sample = dataset[index]
            except DataError as error:
                sample = error
            yield sample


def _keep_spread(found: Inspection, total: int) -> Callable[[Any], None]:
    """Keeps samples from all over the set; one that could not be read is replaced by the next one that can."""
    wanted = {round(i * total / _SAMPLES) for i in range(_SAMPLES)}
    due, done = 0, 0

    def keep(sample: Any) -> None:
        nonlocal due, done
        due += done in wanted
        done += 1
        if len(found.samples) < due and not isinstance(sample, DataError):
            found.samples.append(_shrunk(sample))

    return keep


def _keep_by_class(found: ClassInspection) -> Callable[[Any], None]:
    """Keeps the first samples of every class, as many of each."""
    kept: Counter[int] = Counter()

    def keep(sample: Any) -> None:
        if isinstance(sample, DataError) or found.classes is None or len(found.samples) >= _CLASS_SAMPLES:
            return
        if kept[sample["label"]] < max(1, _CLASS_SAMPLES // len(found.classes)):
            kept[sample["label"]] += 1
            found.samples.append(_small(sample))

    return keep


def _datasets(source: DataSource, problems: list[Problem]) -> dict[str, Any]:
    if isinstance(source, FileSource):
        scan = source.scan
        problems += scan.problems  # opening would raise them
        return {
            s: FileDataset(pairs, scan.classes, scan.read_label, scan.read_picture) for s, pairs in scan.pairs.items()
        }
    if isinstance(source, (ClassFolders, Idx)):
        problems += source.scan.problems
        return {split: source.sound(split) for split in source.splits()}
    return {split: source.open(split) for split in source.splits()}


def _problem(error: DataError) -> Problem:
    """A DataError's line starts with the file it names."""
    name, _, what = str(error).partition(": ")
    return Problem(Path(name), what or str(error))


def _shrunk(sample: SemanticSample) -> SemanticSample:
    image, mask = sample["image"], sample["mask"]
    size = _sample_size(image)
    if size is None:
        return sample
    labels = interpolate(mask[None, None].float(), size, mode="nearest-exact")[0, 0].to(mask.dtype)
    return SemanticSample(image=_resized(image, size), mask=tv_tensors.Mask(labels), name=sample["name"])


def _small(sample: ClassificationSample) -> ClassificationSample:
    size = _sample_size(sample["image"])
    image = sample["image"].clone() if size is None else _resized(sample["image"], size)  # not a view of a whole batch
    return ClassificationSample(image=tv_tensors.Image(image), label=sample["label"], name=sample["name"])


def _sample_size(image: Tensor) -> list[int] | None:
    """What a sample is shrunk to; None where it is small enough."""
    scale = _SAMPLE_SIDE / max(image.shape[-2:])
    return None if scale >= 1 else [max(1, round(side * scale)) for side in image.shape[-2:]]


def _resized(image: Tensor, size: list[int]) -> tv_tensors.Image:
    return tv_tensors.Image(interpolate(image[None].float(), size, mode="area")[0].to(image.dtype))
