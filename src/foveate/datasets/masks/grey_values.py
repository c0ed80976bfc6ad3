"""The values of a set of masks beside its class list: the facts and the readers that every rule on values shares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from foveate.datasets.classes import CLASSES_FILE, ClassList
from foveate.datasets.masks.advice import advice, codes_of, names_from_one, require_no_name_of_zero, unlabelled_twice
from foveate.datasets.masks.evidence import Edges, edges, sample
from foveate.datasets.masks.few_bits import values_of
from foveate.datasets.masks.layers import UNDECIDED, read_layers
from foveate.datasets.masks.reader import MaskKind, MaskReader, Plane
from foveate.datasets.masks.tally import Tally
from foveate.errors import DataError
from foveate.records import UNNAMED_PAIR, ClassTable

TOPS = (255, 65535)  # the largest values of 8 and 16 bits: white, or void


@dataclass(frozen=True)
class GreyValues:
    """The values of a set.

    found: the sums of its files. given: its class list, if there is one. plane: the layer that holds the values.
    """

    found: Tally
    given: ClassList | None
    plane: Plane

    @cached_property
    def values(self) -> frozenset[int]:
        """All values but those that are no data."""
        return self.found.values - {UNDECIDED} - (self.found.nodata - {0})

    @cached_property
    def top(self) -> int | None:
        """255 or 65535, if it occurs."""
        return next((top for top in TOPS if top in self.values), None)

    @cached_property
    def known(self) -> ClassList | None:
        """The class list, with what follows for it from the values: a background in front, or names from 1."""
        known = self.given
        if known is None or known.values:
            return known
        size, named = len(known.names), known.background is not None
        if known.unlabelled == "background" and not named:
            if known.first:
                known = replace(known, ignore=next((v for v in known.ignored if v), None), more_ignored=())
            return replace(
                known, names=("background", *known.names), colors=((0, 0, 0), *known.colors) if known.colors else ()
            )
        from_one = size in self.values and not known.ignored and max(self.values - set(TOPS), default=0) == size
        if from_one and (0 in self.found.nodata or (known.unlabelled == "ignore" and not named)):
            return replace(known, ignore=0)
        if known.first and size not in self.values:
            require_no_name_of_zero(known, self.found.files[0].path.parent)
        return known

    def is_plain(self, most: int) -> bool:
        """True if no more than `most` classes are named, and none by a value."""
        return self.known is None or (len(self.known.names) <= most and not self.known.values)

    @cached_property
    def edges(self) -> Edges:
        """Places of the values, in some of the files."""
        files = sample([f.path for f in self.found.files if len(f.values) > 1])
        return edges([partial(plane_of, path, self.plane, self.found.step) for path in files], colored=False)

    @cached_property
    def unlisted(self) -> list[int]:
        """The values that the class list does not have, in rising order."""
        codes = {} if self.known is None else codes_of(self.known)
        return sorted(self.values - codes.keys())

    @property
    def kind(self) -> MaskKind:
        """The kind of a reader that takes the values as they are."""
        return "palette" if self.found.files[0].palette else "index"

    def binary_form(self, classes: int) -> str:
        """'binary index PNG', and the fate of 0 if there is one class."""
        return f"binary {self.found.form}" if classes else f"binary {self.found.form}, 0 is not scored"

    @property
    def two_names(self) -> tuple[str, str]:
        """The names of two classes, the second of which is the object."""
        if self.known is None:
            return UNNAMED_PAIR
        return self.known.names[0] if len(self.known.names) > 1 else "background", self.known.names[-1]

    @property
    def two_classes(self) -> ClassTable:
        """The table of two classes."""
        colors = self.known.colors if self.known is not None and len(self.known.colors) == 2 else ()
        return ClassTable(self.two_names, colors)

    def reader(
        self, kind: MaskKind, table: ClassTable, codes: dict[int, int], remark: str, known: ClassList | None = None
    ) -> MaskReader:
        """The reader of values with the labels `codes`; what is no data is undecided.

        known: the class list in place of the set's own.
        """
        listed = known or self.known
        undecided = table.ignore_index if listed is None else listed.undecided_label()
        nodata = {value: undecided for value in (*self.found.nodata, UNDECIDED) if value not in codes}
        every = tuple(sorted((codes | nodata).items()))
        file = CLASSES_FILE if listed is None else listed.file
        notes = [
            *names_from_one(self.values, listed),
            *unlabelled_twice(self.values, listed),
            *self._scored_nodata(table, codes),
        ]
        remedy = advice(self.found, self.values, listed)
        return MaskReader(kind, table, every, remark, self.plane, advice=remedy, file=file, notes=tuple(notes))

    def _scored_nodata(self, table: ClassTable, codes: dict[int, int]) -> list[str]:
        """A note on each value that files declare to be no data and that is a class all the same."""
        scored = [v for v in sorted(self.found.nodata & self.found.values) if codes.get(v) in range(len(table))]
        ends = () if self.known is None or self.known.values else (0, max(self.known.label_values()))
        notes = []
        for value in scored:
            name = table.names[codes[value]]
            if self.given is None:
                remedy = f"write {CLASSES_FILE} with a line 'ignore: {value}' and the names of the other values"
            elif value in ends:
                remedy = f"put a line 'ignore: {value}' in place of its name in {CLASSES_FILE}"
            else:
                remedy = "save it as 255"
            notes.append(
                f"the masks declare {value} to be no data, but it is scored as class '{name}'"
                + (f", as {self.given.file} says" if self.given is not None else "")
                + f"; if it is not meant to be, {remedy}"
            )
        return notes

    def doubt(self, what: str, lines: str) -> DataError:
        """The error for values that a class list has to explain; lines: what to write there."""
        path = self.found.files[0].path if self.top is None else self.found.holding([self.top])[0].path
        return DataError(f"{path}: {what}; write {CLASSES_FILE}, beside the pictures, with {lines}")


def plane_of(path: Path, plane: Plane, step: int = 1) -> np.ndarray:
    """(H, W) values of a file, divided by the step of its set. Raises DataError."""
    layers = read_layers(path)
    found = layers.alpha if plane == "alpha" else layers.values
    if found is None:
        raise DataError(f"{path}: changed while it was read; try again")
    return found if plane == "alpha" else values_of(layers, step)
