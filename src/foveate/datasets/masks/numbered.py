"""Masks whose values number the objects of an image: every object is class 1.

The numbers of a file run from 1, or were thinned out when small objects were removed, and each is one connected region
but where another object lies across it. Classes may look so, too, as layers do; what is decided without a class list is
therefore said, and where both readings are as likely the masks are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from foveate.datasets.classes import CLASSES_FILE
from foveate.datasets.masks.evidence import blobs, sample
from foveate.datasets.masks.grey_values import GreyValues, plane_of
from foveate.datasets.masks.layers import UNDECIDED
from foveate.datasets.masks.reader import MaskReader
from foveate.datasets.masks.tally import MOST
from foveate.errors import DataError

_MISSING = 0.1  # of the numbers, at most, where they run from 1
_MANY = 16  # numbers in a set, before gaps among them are taken for objects that were removed
_WHOLE = 0.9  # of the objects, at least, are one region each
_PARTED = 0.5  # the same where many objects lie behind others
_FEW = 4  # numbers in a set, before gaps among them are taken for that under one name
_OWN = 1 / 3  # of the files, at most, hold a number on average, where numbers are not shared as classes are


@dataclass(frozen=True)
class Numbers:
    """The values of a set as numbers of objects."""

    greys: GreyValues

    @cached_property
    def sets(self) -> list[frozenset[int]]:
        """The numbers of each file that has any, but not what is unscored; [] for a set that cannot number objects."""
        greys = self.greys
        if not greys.values or min(greys.values) < 0:
            return []
        sets = [f.values - {0, UNDECIDED} - greys.found.nodata for f in greys.found.files]
        sets = [s - {255} if 254 not in s and max(s - {255}, default=0) > 0 else s for s in sets]
        return [s for s in sets if s]

    @property
    def possible(self) -> bool:
        """True for numbers on a background of 0, without a class list that gives each value its name.

        One name alone says that there is no background, if there is no 0.
        """
        known = self.greys.known
        has_background = 0 in self.greys.values or (known is not None and len(known.names) == 1)
        return bool(self.sets) and has_background and (known is None or not known.values)

    @property
    def different(self) -> int:
        """The number of different numbers."""
        return len(frozenset().union(*self.sets))

    @property
    def highest(self) -> int:
        """The largest number."""
        return max(map(max, self.sets))

    @property
    def run_from_one(self) -> bool:
        """True if hardly a number is missing below the largest of each file."""
        return sum(max(s) - len(s) for s in self.sets) <= _MISSING * sum(map(max, self.sets))

    @property
    def are_exact(self) -> bool:
        """True if nearly every file has all numbers up to its largest, and files have many different ones."""
        exact = sum(max(s) == len(s) for s in self.sets)
        return exact >= _WHOLE * len(self.sets) and len({len(s) for s in self.sets}) > 2 and self.highest > _FEW

    @property
    def vary(self) -> bool:
        """True if files have different numbers of values."""
        counts = len({len(s) for s in self.sets})
        wide = any(f.wide for f in self.greys.found.files)
        return counts > (1 if wide or len(self.sets) < 6 else 2) and self.highest >= (2 if wide else 4)

    @property
    def are_own(self) -> bool:
        """True if a number is in few files."""
        return sum(map(len, self.sets)) <= _OWN * self.different * len(self.sets)

    @cached_property
    def whole(self) -> float:
        """The share of the values of the files that are one region; 0 for hardly any values."""
        greys = self.greys
        left_out = frozenset({255, UNDECIDED} if greys.top == 255 else {UNDECIDED}) | (greys.found.nodata - {0})
        files = sample([f.path for f in greys.found.files if len(f.values) > 1])
        counts = [blobs(plane_of(path, greys.plane, greys.found.step), 0, left_out) for path in files]
        numbers = sum(c.numbers for c in counts)
        return sum(c.whole for c in counts) / numbers if numbers > 2 else 0.0


def object_numbers(greys: GreyValues) -> MaskReader | None:
    """Numbers that run from 1 in every file, each of one region. Raises DataError for names of more classes."""
    numbers, known = Numbers(greys), greys.known
    if not numbers.possible:
        return None
    if known is None:
        likely = numbers.vary and (numbers.run_from_one or numbers.highest >= MOST)
        return _said(greys, numbers) if likely and numbers.whole >= _WHOLE else None
    if len(known.names) <= 2:
        many = numbers.run_from_one or numbers.different > _MANY
        least = len(known.names) + 1  # a value that none of the names is for
        return _by_list(greys, numbers) if numbers.highest >= least and many and numbers.whole >= _WHOLE else None
    likely = numbers.run_from_one and numbers.vary and numbers.highest > len(known.names)
    if likely and numbers.whole >= _WHOLE:
        raise DataError(
            f"{greys.found.highest().path}: values run to {numbers.highest} and number the objects of each picture, "
            f"but {known.file} names {len(known.names)} classes; name one class, which every object has, or save the "
            "class of each pixel"
        )
    return None


def parted_or_sparse_numbers(greys: GreyValues) -> MaskReader | None:
    """Numbers of which many are missing, or whose objects lie in parts behind others. Raises DataError in doubt."""
    numbers, known = Numbers(greys), greys.known
    if not numbers.sets or (known is not None and not numbers.possible) or numbers.whole < _PARTED:
        return None
    if known is not None:
        many = numbers.are_exact or numbers.different > (_MANY if len(known.names) == 2 else _FEW)
        return _by_list(greys, numbers) if len(known.names) <= 2 and numbers.highest > 2 and many else None
    own = numbers.are_own and numbers.different > _MANY and numbers.whole >= _WHOLE
    if numbers.possible and (numbers.are_exact or own):
        return _said(greys, numbers)
    if numbers.different > _MANY and numbers.highest < MOST:
        raise greys.doubt(
            f"holds some of {numbers.different} values up to {numbers.highest}, most of them one region of their "
            "picture: are they classes, or numbers of objects?",
            "the one name of the objects, or with the name of each value",
        )
    return None


def with_doubt(greys: GreyValues, reader: MaskReader) -> MaskReader:
    """A reader of guessed classes, with a note if the values may number objects as well."""
    numbers = Numbers(greys)
    if not numbers.sets or numbers.highest < 3 or numbers.whole < _PARTED:
        return reader
    note = (
        f"the masks' values, up to {numbers.highest}, are taken for classes, though most are one region of their "
        f"picture; if they number objects, write {CLASSES_FILE} with the one name of these"
    )
    return replace(reader, notes=(*reader.notes, note))


def _by_list(greys: GreyValues, numbers: Numbers) -> MaskReader:
    """The reader for a list of one name, or of two; if the first of two is no background's, it says so."""
    known = greys.known
    named = known is None or len(known.names) == 1 or known.background == 0
    return _reader(greys, numbers) if named else _said(greys, numbers)


def _said(greys: GreyValues, numbers: Numbers) -> MaskReader:
    """The reader of object numbers that no class list asks for, with a note that says so."""
    reader = _reader(greys, numbers)
    note = (
        f"the masks' values, up to {numbers.highest}, are taken for numbers of objects, since most are one region of "
        f"their picture; if they are classes, as layers are, write {CLASSES_FILE} with the name of each value"
    )
    return replace(reader, notes=(*reader.notes, note))


def _reader(greys: GreyValues, numbers: Numbers) -> MaskReader:
    table = greys.two_classes
    most = max(map(len, numbers.sets))
    remark = f"object numbers, up to {most} in a picture: every object is class '{table.names[1]}'"
    is_void = 255 in greys.values and not any(255 in s for s in numbers.sets)
    codes = ({255: table.ignore_index} if is_void else {}) | ({0: 0} if 0 in greys.found.nodata else {})
    return greys.reader("objects", table, codes, remark)
