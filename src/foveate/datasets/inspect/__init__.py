"""What a labelled set holds: classes or captions, counts, shares, sizes, samples, and every problem file by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision import tv_tensors

from foveate.datasets.captions import CaptionSource
from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.files import FileDataset, FileSource, Problem, UnusableFilesError
from foveate.datasets.idx import Idx
from foveate.datasets.inspect.captions import CaptionInspection
from foveate.datasets.inspect.findings import ClassInspection, Findings, Inspection, SplitCount
from foveate.errors import ConfigError, DataError
from foveate.records import CaptionSample, ClassificationSample, DataSource, SemanticSample

__all__ = ["CaptionInspection", "ClassInspection", "Findings", "Inspection", "SplitCount", "inspect"]

_SAMPLES = 12
_CLASS_SAMPLES = 24  # of pictures with one label each: as many of every class
_AT_ONCE = 256
_SAMPLE_SIDE = 512  # samples are for looking at: a satellite picture is not kept whole

Found = Inspection | ClassInspection | CaptionInspection
_KINDS: dict[str, type[Found]] = {kind.task: kind for kind in (Inspection, ClassInspection, CaptionInspection)}


def inspect(source: DataSource, progress: Callable[[int, int], None] | None = None) -> Found:
    """Read every picture and label of a set, going on past those that cannot be used.

    progress: called with (pictures done, all pictures). Nothing that is wrong with a file raises; it is a Problem.
    Raises ConfigError for data of another family than these three.
    """
    path = str(getattr(source, "path", ""))
    task = getattr(source, "task", "semantic")
    if task not in _KINDS:
        raise ConfigError(f"data for {task} cannot be inspected; expected data for {', '.join(_KINDS)}")
    kind = _KINDS[task]
    try:
        found = kind(path, source.describe())
        datasets = _datasets(source, found.problems)
    except UnusableFilesError as error:  # too many for what is left to be a set
        return kind(path, f"{type(source).__name__}: cannot be opened", problems=error.problems)
    except DataError as error:
        return kind(path, f"{type(source).__name__}: cannot be opened", problems=[_problem(error)])
    if isinstance(found, CaptionInspection) and isinstance(source, CaptionSource):
        found.left_out, found.silent = source.scan.left_out, len(source.scan.silent)
    total, done = sum(len(d) for d in datasets.values()), 0
    keep = _keep_by_class(found) if isinstance(found, ClassInspection) else _keep_spread(found, total)
    for split, dataset in datasets.items():
        _begin(found, split, dataset)
        for sample in _each(dataset):
            done += 1
            if isinstance(sample, DataError):
                found.problems.append(_problem(sample))
            elif isinstance(found, Inspection):
                found.add(split, sample, dataset.classes)
            else:
                found.add(split, sample)
            keep(sample)
            if progress is not None:
                progress(done, total)
    if isinstance(found, ClassInspection):
        found.samples.sort(key=lambda sample: sample["label"])
    return found


def _begin(found: Found, split: str, dataset: Any) -> None:
    """Start counting a split."""
    if isinstance(found, CaptionInspection):
        found.begin(split)
        return
    found.classes = dataset.classes
    size = len(dataset.classes)
    if isinstance(found, Inspection):
        found.splits[split] = SplitCount(0, np.zeros(size + 1, np.int64), np.zeros(size, np.int64))
    else:
        found.splits[split] = np.zeros(size, np.int64)


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


def _keep_spread(found: Inspection | CaptionInspection, total: int) -> Callable[[Any], None]:
    """Keeps samples from all over the set; one that could not be read is replaced by the next one that can."""
    wanted = {round(i * total / _SAMPLES) for i in range(_SAMPLES)}
    due, done = 0, 0

    def keep(sample: Any) -> None:
        nonlocal due, done
        due += done in wanted
        done += 1
        if len(found.samples) >= due or isinstance(sample, DataError):
            return
        if isinstance(found, CaptionInspection):
            found.samples.append(_told(sample))
        else:
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
    if isinstance(source, (ClassFolders, Idx, CaptionSource)):
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


def _told(sample: CaptionSample) -> CaptionSample:
    size = _sample_size(sample["image"])
    image = sample["image"] if size is None else _resized(sample["image"], size)
    return CaptionSample(image=image, captions=sample["captions"], name=sample["name"])


def _sample_size(image: Tensor) -> list[int] | None:
    """What a sample is shrunk to; None where it is small enough."""
    scale = _SAMPLE_SIDE / max(image.shape[-2:])
    return None if scale >= 1 else [max(1, round(side * scale)) for side in image.shape[-2:]]


def _resized(image: Tensor, size: list[int]) -> tv_tensors.Image:
    return tv_tensors.Image(interpolate(image[None].float(), size, mode="area")[0].to(image.dtype))
