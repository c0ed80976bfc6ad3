"""Pictures that are nearly equal in two splits or two classes: encoded or resized again, or frames of one film.

In two splits, copies that are flipped are found, too. In two classes they are not, as a flip may make another class,
as of an arrow or a letter. Parts of a picture are not found. Files that are equal byte for byte are
`foveate.datasets.checks`'. Shapes: C channels, H x W pixels.
"""

from __future__ import annotations

import contextlib
import filecmp
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foveate.errors import counted, first_names
from foveate.pictures.fingerprints import SIDE, Fingerprint, fingerprint, flipped, near_duplicates
from foveate.pictures.intensities import SENTINELS

ALIKE = 0.995  # the least correlation of small images that are one picture
APART = 3.0  # grey values of 255, at most, by which these differ on average


class _Seen(NamedTuple):
    file: Path
    split: str
    group: str
    print: Fingerprint


class NearEqual:
    """Fingerprints of the pictures of a data set, while these are read one by one."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}

    def add(self, split: str, dataset: Any, index: int, sample: Any) -> None:
        """Take in a sample, if it is one picture from a file of at least 32 x 32 pixels."""
        files = dataset if hasattr(dataset, "pairs") else getattr(dataset, "objects", None)
        pairs: Sequence[Any] = getattr(files, "pairs", ())
        image = sample.get("image") if isinstance(sample, dict) else None
        if index >= len(pairs) or image is None or image.ndim != 3 or min(image.shape[1:]) < SIDE:
            return
        file: Path = pairs[index].picture
        if file not in self._seen and (found := fingerprint(_grey(image.numpy()))) is not None:
            class_of = getattr(dataset, "class_of", None)
            name = class_of(index) if class_of is not None else ""
            self._seen[file] = _Seen(file, split, name, found)

    def notes(self, noun: str = "picture") -> list[str]:
        """Sentences on pictures of two splits, and of two classes, that are nearly equal; noun: of one."""
        found = []
        for (first, second), twins in self._twins("split").items():
            found.append(
                f"{_said(twins, noun)} in {first} and in {second} nearly alike ({_names(twins)}), as if encoded or "
                f"resized again, or frames of one film, so that {second} is no test of what was learned; remove one of "
                "each"
            )
        for (first, second), twins in self._flipped().items():
            found.append(
                f"{_said(twins, noun)} in {first} and in {second} nearly alike but flipped or turned upside down "
                f"({_names(twins)}), so that {second} is no test of what was learned; divide before pictures are "
                "augmented, or remove one of each"
            )
        for (first, second), twins in self._twins("group").items():
            found.append(
                f"{_said(twins, noun)} in class {first} and in class {second} nearly alike ({_names(twins)}), as if "
                "encoded or resized again; each has one class: remove the wrong one"
            )
        return found

    def _twins(self, key: str) -> dict[tuple[str, str], list[tuple[Path, Path]]]:
        """(group, group) -> pairs of files, each of the second group once; groups by 'split' or 'group' (the class)."""
        found: dict[tuple[str, str], list[tuple[Path, Path]]] = {}
        for (one, first), (other, second) in itertools.combinations(self._groups(key).items(), 2):
            taken: set[int] = set()
            for i, j in _matches([s.print for s in first], [s.print for s in second]):
                if j in taken:
                    continue
                taken.add(j)
                if not _are_equal(first[i].file, second[j].file):
                    found.setdefault((one, other), []).append((first[i].file, second[j].file))
        return found

    def _flipped(self) -> dict[tuple[str, str], list[tuple[Path, Path]]]:
        """(split, split) -> pairs of files, of one class where there are classes, that are alike if one is flipped."""
        found: dict[tuple[str, str], list[tuple[Path, Path]]] = {}
        for (one, first), (other, second) in itertools.combinations(self._groups("split").items(), 2):
            # Those that are alike as they stand have a note already, and may be symmetrical.
            taken = {j for _, j in _matches([s.print for s in first], [s.print for s in second])}
            for prints in zip(*(flipped(s.print) for s in second), strict=True):
                for i, j in _matches([s.print for s in first], prints):
                    if j not in taken and first[i].group == second[j].group:
                        taken.add(j)
                        found.setdefault((one, other), []).append((first[i].file, second[j].file))
        return found

    def _groups(self, key: str) -> dict[str, list[_Seen]]:
        groups: dict[str, list[_Seen]] = {}
        for seen in self._seen.values():
            if name := getattr(seen, key):
                groups.setdefault(name, []).append(seen)
        return groups


def _matches(first: Sequence[Fingerprint], second: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """(index in `first`, index in `second`) of images that are nearly equal, the likest first."""
    for i, j, likeness in near_duplicates(first, second):
        if likeness >= ALIKE and _apart(first[i], second[j]) <= APART:
            yield i, j


def _grey(image: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (H, W, 3) uint8: three channels of 8 bits as they are, of others their mean in its own range."""
    if image.dtype == np.uint8 and len(image) == 3:
        return image.transpose(1, 2, 0)
    mean = image.astype(np.float64).mean(axis=0)
    unknown = ~np.isfinite(mean) | np.isin(mean.astype(np.float32), np.array(SENTINELS, np.float32))
    mean = np.where(unknown, mean[~unknown].min() if not unknown.all() else 0, mean)
    low, high = float(mean.min()), float(mean.max())
    scaled = (mean - low) * (255 / (high - low)) if high > low else np.zeros_like(mean)
    return np.repeat(scaled.astype(np.uint8)[:, :, None], 3, axis=2)


def _apart(one: Fingerprint, other: Fingerprint) -> float:
    return float(np.abs(one.small.astype(np.float32) - other.small).mean())


def _are_equal(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return filecmp.cmp(one, other, shallow=False)
    return False


def _said(twins: Sequence[tuple[Path, Path]], noun: str) -> str:
    return f"{counted(len(twins), noun)} {'is' if len(twins) == 1 else 'are'}"


def _names(twins: Sequence[tuple[Path, Path]]) -> str:
    return first_names([f"{one.name} = {other.name}" if one.name != other.name else one.name for one, other in twins])
