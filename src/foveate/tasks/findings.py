"""Findings of `foveate datasets inspect`, for any family and for families of images.

Those of a family are in its `inspection.py`. The engine fills them:

    found = SemanticFindings(path, source.describe())
    found.expect(total)
    found.begin("train", dataset)
    found.add("train", dataset[0])  # or found.fail(problem)
    print(found.text())

H x W pixels, C channels.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from foveate.deferred import tv_tensors
from foveate.errors import listed
from foveate.pictures.intensities import (
    ValueSample,
    Window,
    kind_of,
    mixed_depths,
    range_text,
    sentinel_of,
    to_unit,
    value_range,
    values_of,
    window_text,
)
from foveate.records import Problem, summarise

NUM_EXAMPLES = 12
FAR = 8  # factor between the largest values of two images from which their scales differ
DARK = 4  # of 255: images without a brighter pixel look black
MAX_EXAMPLE_SIDE = 512  # pixels; examples are for looking at, so that a satellite image is not kept whole

T = TypeVar("T", bound=Mapping[str, Any])


@dataclass
class Findings:
    """Findings of an inspection in a data set.

    path: the folder, '' for generated data. recognised: the format in one line. task: name of the family.
    counts: split -> samples that were read without a problem. problems: files that cannot be used.
    source_notes: what may be other than was meant (`DataSource.notes`).
    remarks: further facts that the source knows (`DataSource.remarks`); they are added to the JSON.
    total: samples to be read. failed: those among them that could not be read.
    notes: remarks on files that are no problems -> names of the samples.

    noun: the JSON key of the counts, and their name in the text. sample_noun: the name of one sample in notes.
    """

    noun: ClassVar[str] = "samples"
    sample_noun: ClassVar[str] = "picture"

    path: str
    recognised: str
    task: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    source_notes: list[str] = field(default_factory=list)
    remarks: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    failed: int = 0
    notes: dict[str, list[str]] = field(default_factory=dict)

    def expect(self, total: int) -> None:
        """Take the number of samples that will be read, over all splits; called before the first of them."""
        self.total = total

    def begin(self, split: str, dataset: Any) -> None:
        """Start counting a split."""
        self.counts[split] += 0

    def add(self, split: str, sample: Any) -> None:
        """Count one sample."""
        self.counts[split] += 1

    def fail(self, problem: Problem) -> None:
        """Take in a sample that could not be read."""
        self.problems.append(problem)
        self.failed += 1

    def note(self, what: str, name: str) -> None:
        """Take in a remark on one sample's file."""
        self.notes.setdefault(what, []).append(name)

    def end(self) -> None:
        """Take in what only the whole set tells; called after the last sample."""

    def to_json(self) -> dict[str, Any]:
        """All findings but the examples, as plain JSON values."""
        head = {"path": self.path, "recognised": self.recognised, "task": self.task, self.noun: dict(self.counts)}
        problems = [{"file": str(p.file), "problem": p.what} for p in self.problems]
        notes = [{"note": what, "files": names} for what, names in self.notes.items()]
        told = {"notes": notes, "source_notes": self.source_notes, "problems": problems}
        return head | self.details_to_json() | told | self.remarks

    def text(self) -> str:
        """The findings as plain lines for a terminal."""
        lines = [self.recognised]
        if self.counts:
            lines.append(f"{self.noun}: {', '.join(f'{split} {count}' for split, count in self.counts.items())}")
            lines += self.details()
        lines += [f"note: {listed(names, self.sample_noun)}: {what}" for what, names in self.notes.items()]
        if not self.problems:
            return "\n".join([*lines, "problems: none"])
        lines.append(f"problems: {len(self.problems)}")
        return "\n".join([*lines, *(f"  {line}" for line in summarise(self.problems))])

    def details(self) -> list[str]:
        """The family's lines of `text`."""
        return []

    def details_to_json(self) -> dict[str, Any]:
        """The family's entries of `to_json`."""
        return {}

    def sheet(self) -> Any:
        """A contact sheet of some samples, a PIL image; None if there is nothing to draw."""
        return None


def sheet_of(found: Findings, samples: Sequence[Any], dataset: Any) -> Any:
    """The contact sheet that empty findings draw of these samples, a PIL image or None; dataset: theirs."""
    found.expect(len(samples))
    found.begin("train", dataset)
    for sample in samples:
        found.add("train", sample)
    return found.sheet()


@dataclass
class ImageFindings(Findings):
    """Findings in a data set of images.

    sizes: (height, width) -> number of images. channels: C -> number of images.
    ranges: type of the values -> (least, largest, number of images). window: what a training would take for black and
        white; () is the full range.
    samples: examples for the contact sheet, spread over the set, shrunk to at most MAX_EXAMPLE_SIDE pixels.
    """

    noun: ClassVar[str] = "pictures"

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    samples: list[Any] = field(default_factory=list)
    ranges: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    window: Window = ()
    _names: dict[str, list[str]] = field(default_factory=dict, repr=False)  # kind of values -> images
    _drawn: ValueSample | None = field(default=None, repr=False)  # of the first split
    _tops: list[tuple[float, str]] = field(default_factory=list, repr=False)  # largest value of each image
    _position: int = 0  # in the split

    def begin(self, split: str, dataset: Any) -> None:
        """Start counting a split; intensities are learned from the first, which is train."""
        super().begin(split, dataset)
        self._position = 0
        if self._drawn is None:
            self._drawn = ValueSample(len(dataset) if hasattr(dataset, "__len__") else self.total)

    def fail(self, problem: Problem) -> None:
        """Take in a sample that could not be read."""
        super().fail(problem)
        self._position += 1

    def end(self) -> None:
        """Choose the window, complain about several depths, and note values of another scale."""
        if self._drawn is not None and set(self._names) - {"8 bits"}:
            self.window = self._drawn.window()
        if len(self._names) > 1:
            fewest = min(self._names.values(), key=len)
            self.problems.append(Problem(Path(fewest[0]), mixed_depths(self._names)))
        else:
            self._note_scales()

    def _note_scales(self) -> None:
        """Note images whose largest values are far below those of all others, where the window is one for all."""
        tops = sorted((top, name) for top, name in self._tops if top > 0)
        steps = [after[0] / before[0] for before, after in itertools.pairwise(tops)]
        if not steps or max(steps) < FAR or set(self._names) == {"8 bits"}:
            return
        place = steps.index(max(steps)) + 1
        what = f"no value above {tops[place - 1][0]:g}, where others reach {tops[place][0]:g} and more; "
        for _, name in tops[:place]:
            self.note(what + "if they are of another scale, save all alike, since one range is black to white", name)

    def _note_values(self, image: np.ndarray, low: float, high: float, name: str) -> None:
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            self.note("pixels that are no number, which are black", name)
        if image.dtype.kind in "if" and (value := sentinel_of(low)) is not None:
            self.note(
                f"the least value is {value:g}, which usually marks pixels without data, and is read as a value; "
                "declare it to be no data (gdal_edit.py -a_nodata does), or save another value there",
                name,
            )
        if image.dtype == np.uint8 and low < high <= DARK:
            self.note(f"no value above {DARK} of 255, so nearly black; were shares of 0 to 1 saved as 8 bits?", name)

    def _add_values(self, split: str, sample: Any) -> None:
        image = sample["image"]
        values = values_of(image)
        self._names.setdefault(kind_of(values), []).append(sample["name"])
        low, high = value_range(image)
        self._tops.append((high, sample["name"]))
        self._note_values(image.numpy(), low, high, sample["name"])
        least, largest, count = self.ranges.get(values, (low, high, 0))
        self.ranges[values] = (float(np.fmin(least, low)), float(np.fmax(largest, high)), count + 1)
        if self._drawn is not None and split == next(iter(self.counts)) and kind_of(values) != "8 bits":
            self._drawn.add(image, self._position)
        self._position += 1

    def pixels(self, sample: Mapping[str, Any]) -> np.ndarray:
        """The image of a sample (H, W, C) as it is drawn: uint8, or float in 0..1 by the window."""
        array: np.ndarray = sample["image"].permute(1, 2, 0).numpy()
        return array if array.dtype == np.uint8 or len(self.window) != array.shape[2] else to_unit(array, self.window)

    def add(self, split: str, sample: Any) -> None:
        """Count one sample, and keep it if it is an example."""
        self._add_values(split, sample)
        if self.wants(sample):
            self.keep(shrink(sample))
        super().add(split, sample)
        channels, height, width = sample["image"].shape
        self.sizes[height, width] += 1
        self.channels[channels] += 1

    def wants(self, sample: Any) -> bool:
        """True if the sample becomes an example; by default NUM_EXAMPLES do, spread over the set.

        In place of one that could not be read it is the next one that can.
        """
        position = self.counts.total() + self.failed
        due = {place for i in range(NUM_EXAMPLES) if (place := round(i * self.total / NUM_EXAMPLES)) <= position}
        return len(self.samples) < len(due)

    def keep(self, sample: Any) -> None:
        """Add an example."""
        self.samples.append(sample)

    def details(self) -> list[str]:
        """Sizes, channels and intensities."""
        channels = ", ".join(f"{c} ({n})" for c, n in sorted(self.channels.items())) or "none"
        lines = [f"sizes: {self.sizes_text()}", f"channels: {channels}"]
        several = len(self.ranges) > 1
        ranges = [range_text(kind, *found, counted=several) for kind, found in self.ranges.items()]
        window = f"; black to white: {window_text(self.window)}" if self.window else ""
        return [*lines, f"intensities: {'; '.join(ranges)}{window}"] if ranges else lines

    def details_to_json(self) -> dict[str, Any]:
        """Classes, which a family adds, channels and sizes."""
        return {
            "classes": [],
            "channels": {str(c): n for c, n in sorted(self.channels.items())},
            "intensities": [
                {"values": values, "low": low, "high": high, "pictures": n}
                for values, (low, high, n) in self.ranges.items()
            ],
            "window": [list(bounds) for bounds in self.window],
            "sizes": [{"width": w, "height": h, "pictures": n} for (h, w), n in self.sizes.most_common()],
        }

    def sizes_text(self) -> str:
        """Up to three sizes with their counts, or the ranges of more."""
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


def spread(counts: Counter[int]) -> dict[str, int]:
    """The least, the median and the largest of counted numbers; {} if there is none."""
    if not counts:
        return {}
    values = sorted(counts.elements())
    return {"least": values[0], "median": values[len(values) // 2], "most": values[-1]}


def spread_text(counts: Counter[int]) -> str:
    """'2..7 (median 5)', '5' if all are equal, or 'none'."""
    found = spread(counts)
    if not found or found["least"] == found["most"]:
        return str(found.get("least", "none"))
    return f"{found['least']}..{found['most']} (median {found['median']})"


def shrink(sample: T) -> T:
    """A sample whose image, mask and boxes are at most MAX_EXAMPLE_SIDE high and wide; a copy of its own memory."""
    image = sample["image"]
    scale = MAX_EXAMPLE_SIDE / max(image.shape[-2:])
    if scale >= 1:
        return {**sample, "image": tv_tensors.Image(image.clone())}  # type: ignore[return-value]
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    small: dict[str, Any] = dict(sample)
    small["image"] = tv_tensors.Image(interpolate(image[None].float(), size, mode="area")[0].to(image.dtype))
    for key in ("mask", "layers"):
        if key in sample:
            planes = sample[key].reshape(1, -1, *image.shape[-2:])
            labels = interpolate(planes.float(), size, mode="nearest-exact")[0].to(planes.dtype)
            small[key] = tv_tensors.Mask(labels.reshape(*sample[key].shape[:-2], *size))
    if "boxes" in sample:
        factors = [after / before for after, before in zip(size, image.shape[-2:], strict=True)]
        boxes = sample["boxes"].as_subclass(Tensor) * Tensor([factors[1], factors[0]] * 2)
        small["boxes"] = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(size[0], size[1]))
    return small  # type: ignore[return-value]
