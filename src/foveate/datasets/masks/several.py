"""Several mask files of one image, each of an object, as those of BUSI: NAME_mask.png, NAME_mask_1.png and so on.

Such names do not say whether the masks are of several objects, of a class each, or drawn by several people. They are
taken for objects where nothing speaks for the others. Shapes: H x W pixels, N masks of an image.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from foveate.datasets.classes import CLASSES_FILE, ClassList
from foveate.datasets.files import Pair
from foveate.datasets.masks.reader import MaskReader
from foveate.datasets.names import number_of
from foveate.datasets.objects import Objects
from foveate.errors import DataError, counted, listed
from foveate.records import ClassTable

_SAME = 0.5  # intersection over union above which two masks are of one object
_TRIED = 64  # images whose masks are compared
_REMEDY = f"if each is the mask of one object, write {CLASSES_FILE} with the one name of the objects"


@dataclass(frozen=True)
class SeveralMasks:
    """Reads images of one mask file or several (`Pair.label` is a path, or a tuple of paths), each of one object.

    reader: of a single file. notes: sentences on what the files may mean otherwise.
    """

    reader: MaskReader
    notes: tuple[str, ...]
    kind: ClassVar[str] = "several"

    @property
    def classes(self) -> ClassTable:
        """Background and object."""
        return self.reader.classes

    @property
    def remark(self) -> str:
        """The recognised encoding, in one clause."""
        return f"{self.reader.remark}; the masks of a picture united, each one object"

    @property
    def refused(self) -> str:
        """The complaint about the first file with values that have no label."""
        return self.reader.refused

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) labels: 1 where a mask is 1, else the ignore value where a mask has it. Raises DataError."""
        masks = self._masks(pair, height, width)
        label = np.where((masks == self.classes.ignore_index).any(0), self.classes.ignore_index, 0)
        label[(masks == 1).any(0)] = 1
        return label

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """An object for each mask that is not empty, in the order of the files. Raises DataError."""
        masks = self._masks(pair, height, width)
        kept = (masks == 1)[(masks == 1).any((1, 2))]
        unscored = (masks == self.classes.ignore_index).any(0) & ~kept.any(0)
        return Objects(kept, [1] * len(kept), unscored=unscored)

    def _masks(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(N, height, width) labels of the files."""
        masks = []
        for file in files_of(pair.label):
            mask = self.reader(Pair(pair.picture, file), height, width)
            if mask.shape != (height, width):
                raise DataError(
                    f"{file}: the mask is {mask.shape[1]}x{mask.shape[0]} but its picture {pair.picture.name} is "
                    f"{width}x{height}; they must be of one size"
                )
            masks.append(mask)
        return np.stack(masks).astype(np.int64)


def files_of(label: Path | tuple[Path, ...]) -> tuple[Path, ...]:
    """The mask files of an image."""
    return label if isinstance(label, tuple) else (label,)


def unite(pairs: Sequence[Pair], reader: MaskReader, known: ClassList | None) -> SeveralMasks:
    """The reader of a set in which images have several masks of one object each.

    pairs: of all splits. reader: of single files. known: the set's class list, which decides if there is one. Raises
    DataError where the masks have more than two classes or number objects, or may be no masks of single objects.
    """
    several = sorted(pair for pair in pairs if len(files_of(pair.label)) > 1)
    if len(reader.classes) != 2 or reader.kind == "objects":
        kind = "number objects" if reader.kind == "objects" else f"hold {counted(len(reader.classes), 'class')}"
        raise DataError(
            f"{_said(several[0])}, and the masks {kind}; masks of a picture are united where each holds one object and "
            "nothing else: join the masks of a picture in one"
        )
    if known is None:
        _require_objects(pairs, several)
    tried = several[:_TRIED]
    twins = [pair for pair in tried if _are_of_one_object(pair, reader)]
    if 2 * len(twins) >= len(tried):
        raise DataError(
            f"{_said(twins[0])}, which lie over each other by more than half, as if several people had drawn one "
            f"object (so in {counted(len(twins), 'picture')}); keep one of them"
        )
    note = (
        f"the masks of {listed([pair.picture.name for pair in twins], 'picture')} lie over each other by more than "
        "half, as if several people had drawn one object; they are united, and count as objects each: keep one of "
        "them if they are of one object"
    )
    return SeveralMasks(reader, (*reader.notes, *([note] if twins else [])))


def _said(pair: Pair) -> str:
    files = files_of(pair.label)
    names = ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")
    return f"{pair.picture}: has {counted(len(files), 'mask')} ({names})"


def _require_objects(pairs: Sequence[Pair], several: Sequence[Pair]) -> None:
    """Raise DataError for numbers that leave some out, or as many masks of every image, as of classes or people."""
    for pair in several:
        if gap := _gap(files_of(pair.label)):
            names = ", ".join(file.name for file in files_of(pair.label)[:3])
            raise DataError(
                f"{pair.picture}: has the masks {names}, but none of number {gap}, so that the numbers may be those of "
                f"classes; {_REMEDY}, else join the masks of a picture in one, a value a class"
            )
    if len(pairs) > 1 and len({len(files_of(pair.label)) for pair in pairs}) == 1:
        raise DataError(
            f"{_said(several[0])}, and every picture has as many, so that they may be of a class each or drawn by "
            f"several people; {_REMEDY}, else join the masks of a picture in one, a value a class"
        )


def _gap(files: Sequence[Path]) -> int:
    """The first number that is left out at the ends of the files' names; 0 if none is.

    Numbers begin at 0 or 1, or at 2 behind a mask without one.
    """
    numbers = [number_of(file) for file in files if number_of(file) >= 0]
    first = numbers[0] if numbers[0] < 2 or (numbers[0] == 2 and len(numbers) < len(files)) else 1
    return next((n for n, own in enumerate(numbers, first) if n != own), 0)


def _are_of_one_object(pair: Pair, reader: MaskReader) -> bool:
    """True if two masks of an image share more than half of their pixels."""
    with contextlib.suppress(DataError):  # reading it later says what is wrong
        masks = [reader(Pair(pair.picture, file), 0, 0) == 1 for file in files_of(pair.label)]
        for one, other in itertools.combinations(masks, 2):
            if one.shape == other.shape and int((one & other).sum()) > _SAME * int((one | other).sum()):
                return True
    return False
