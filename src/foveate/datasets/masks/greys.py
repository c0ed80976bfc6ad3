"""Masks whose values are the labels: grey values, palette indices, or an alpha channel.

A set is one of these, tried in this order: binary, binary by two hands, as the class list says, of a published corpus,
object numbers, binary with smoothed edges, stretched greys, and as guessed from the values.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from foveate.datasets.classes import CLASSES_FILE, ClassList
from foveate.datasets.masks.advice import advice, codes_of, require_no_name_of_zero
from foveate.datasets.masks.evidence import Edges, blobs, edges, sample, shades
from foveate.datasets.masks.layers import UNDECIDED, read_layers, unpack
from foveate.datasets.masks.published import Published
from foveate.datasets.masks.reader import MaskKind, MaskReader, Plane
from foveate.datasets.masks.tally import MOST, Tally
from foveate.errors import DataError
from foveate.records import ClassTable

TOPS = (255, 65535)  # the largest values of 8 and 16 bits: white, or void
_GAP = 10  # greys that are farther apart are no consecutive labels
_ROUNDING = 2  # greys from an even division of 0..255 that are taken for it
_LABELS = 64  # labels below this may stand beside an unscored 255, though there are gaps between them
_FAR = 0.15  # of the range between two main values: shades nearer to one of them are its own, as JPEG leaves them
_INNER = 0.02  # of all inner pixels, at most, lie in shades
_SOLID, _SPECK = 0.2, 0.001  # of a value's pixels are inner where it fills regions; of all pixels are specks
_RARE = 0.1  # of all pixels, at most, are such shades, if they are JPEG's
_BETWEEN = 0.5  # of a shade's pixels, at least, lie between their neighbours
_NUMBERED = 0.1  # of object numbers, at most, are missing
_CROPPED = 16  # numbers, before gaps among them are taken for objects outside of a cropped picture
_WHOLE = 0.9  # of the objects, at least, are one region each


def decide(found: Tally, known: ClassList | None, theirs: Published | None, plane: Plane) -> MaskReader:
    """The reader of a set whose labels are values of the given plane. Raises DataError."""
    greys = Greys(found, known, plane)
    two_classes = greys.binary() or greys.binary_by_two_hands() or greys.lossy()
    if two_classes is None:
        greys.require_one_meaning_of_top(theirs)
    return (
        two_classes
        or greys.as_listed()
        or greys.as_published(theirs)
        or greys.object_numbers()
        or greys.smoothed()
        or greys.stretched()
        or greys.guessed()
    )


@dataclass(frozen=True)
class Greys:
    """The values of a set. Each method gives the reader of one meaning, or None if the values do not have it."""

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

    # Two classes

    def binary(self) -> MaskReader | None:
        """0 and 255: 255 is class 1, unless there are more classes and 255 is stated to be unscored."""
        known, top = self.known, self.top
        if top is None or not self.values <= {0, top} or (known is not None and known.values):
            return None
        if known is not None and len(known.names) > 2:
            if top in known.ignored:
                return None
            raise DataError(
                f"the masks hold only 0 and {top}, so two classes, but {known.file} names {len(known.names)}; "
                f"name two, or save labels as class indices"
            )
        if known is not None and known.first and len(known.names) == 1:
            return self._reader("binary", known.table(), {0: known.table().ignore_index, top: 0}, self._binary_form(0))
        stated = f", although {known.file} says 'ignore: {top}'" if known is not None and top in known.ignored else ""
        remark = f"{self._binary_form(1)} of 0 and {top}: {top} is class '{self._two_names[1]}'{stated}"
        return self._reader("binary", self._two_classes, {0: 0, top: 1}, remark)

    def binary_by_two_hands(self) -> MaskReader | None:
        """0 and 1 in some files, 0 and 255 in others: both are class 1, unless unscored values are stated.

        Raises DataError if more than two classes are named.
        """
        known, top = self.known, self.top
        if top is None or not {1, top} <= self.values <= {0, 1, top}:
            return None
        ones, tops = (self.found.holding([value]) for value in (1, top))
        if known is not None and (known.ignored or known.values):
            return None
        if any(1 in file.values for file in tops):
            return None  # an index and an unscored value
        if not self._is_plain(2):
            raise DataError(
                f"{ones[0].path}: 0 and 1, but 0 and {top} in {tops[0].path}; if {top} is not scored, write a line "
                f"'ignore: {top}' in {CLASSES_FILE}, and if it is the same class as 1, save masks alike"
            )
        remark = (
            f"{self._binary_form(1)}, 0 and 1 in {len(ones)} files, 0 and {top} in {len(tops)}: "
            f"1 and {top} are class '{self._two_names[1]}'"
        )
        return self._reader("binary", self._two_classes, {0: 0, 1: 1, top: 1}, remark)

    def require_one_meaning_of_top(self, theirs: Published | None) -> None:
        """Raise DataError if some files hold 0 and 255 alone, others further labels, and nothing says what 255 is."""
        known, top = self.known, self.top
        if top is None or (known is not None and (top in known.ignored or known.values)):
            return
        if self.given is None and theirs is not None and theirs.evidence(self.found, self.values):
            return
        alone = [file for file in self.found.files if file.values == {0, top}]
        others = [file for file in self.found.files if file.values - {0, top, UNDECIDED} - self.found.nodata]
        if alone and others:
            raise DataError(
                f"{alone[0].path}: only 0 and {top} (so in {len(alone)} files), but other labels in "
                f"{others[0].path} (in {len(others)}); if {top} is not scored, write a line 'ignore: {top}' in "
                f"{CLASSES_FILE}, and if it is a class in some files, save masks alike"
            )

    def lossy(self) -> MaskReader | None:
        """JPEG: only two classes far apart can be told. Raises DataError for any other."""
        lossy = next((file for file in self.found.files if file.lossy), None)
        if lossy is None:
            return None
        reader = self._smoothed_binary() if self._is_plain(2) and len(self.values) > 1 else None
        if reader is None:
            raise DataError(f"{lossy.path}: a JPEG keeps labels only roughly; save masks as PNG")
        return reader

    def smoothed(self) -> MaskReader | None:
        """Two values with shades between them along the edges. Raises DataError for shades between more values."""
        if len(self.values) < 4:
            return None
        reader = self._smoothed_binary() if self._is_plain(2) else None
        if reader is None:
            on_edges = shades(self._edges) & set(self._unlisted)
            if len(on_edges) > 3 and 2 * len(on_edges) >= len(self._unlisted):
                raise DataError(
                    f"{self.found.holding(on_edges)[0].path}: {len(on_edges)} values, such as {min(on_edges)}, lie "
                    "only on the edges between others, so the masks were smoothed; resize masks without interpolation "
                    "(nearest), and save them as PNG"
                )
        return reader

    def _smoothed_binary(self) -> MaskReader | None:
        found = self._edges
        ends = (0, self.top) if 0 in self.values and self.top else sorted(found.codes[np.argsort(found.pixels)[-2:]])
        low, high = (int(end) for end in ends)
        others = (found.codes != low) & (found.codes != high)
        far = (found.codes > low + _FAR * (high - low)) & (found.codes < high - _FAR * (high - low))
        solid = far & (found.inner > _SOLID * found.pixels) & (found.pixels > _SPECK * found.pixels.sum())
        beyond = found.pixels[np.abs(found.codes - (low + high) / 2) > (0.5 + _FAR) * (high - low)].sum()
        third = beyond > _SPECK * found.pixels.sum() or solid.any()
        if third or found.inner[others].sum() > _INNER * found.inner.sum():
            return None
        steps = far.sum() > 2 and found.between[far].sum() >= _BETWEEN * found.pixels[far].sum()
        ringing = (others & (found.codes > high - _FAR * (high - low))).sum() > 2  # JPEG's, around both values
        if not steps and not (ringing and found.pixels[far].sum() <= _RARE * found.pixels.sum()):
            return None
        middle = (low + high + 1) / 2
        remark = (
            f"{self._binary_form(1)} of {low} and {high} with shades along the edges: "
            f"{int(np.ceil(middle))} and more is class '{self._two_names[1]}'"
        )
        return replace(self._reader("binary", self._two_classes, {low: 0, high: 1}, remark), threshold=middle)

    # Many classes

    def as_listed(self) -> MaskReader | None:
        """The labels of the class list."""
        known = self.known
        if known is None:
            return None
        if 0 in self.values and self.values - set(TOPS) <= {0, 1} and self._is_plain(1) and not known.ignored:
            remark = f"{self.found.form}: 0 is background, 1 is class '{known.names[0]}'"
            void = dict.fromkeys(TOPS, 255)
            return self._reader(self._kind, self._two_classes, {0: 0, 1: 1} | void, remark)
        return self._by_list(known) if not self._unlisted else None

    def as_published(self, theirs: Published | None) -> MaskReader | None:
        """The labels of the corpus in whose layout the set is."""
        reason = theirs.evidence(self.found, self.values) if theirs is not None and self.given is None else ""
        if theirs is None or not reason:
            return None
        reader = Greys(self.found, theirs.classes, self.plane)._by_list(theirs.classes)
        said = "" if reason == "names" else f", {theirs.title}'s {reason} and so its names"
        return replace(reader, remark=reader.remark + said)

    def _by_list(self, known: ClassList) -> MaskReader:
        start = f", names from {known.first}: 0 is not scored" if known.first else ""
        return self._reader(self._kind, known.table(), codes_of(known), f"{self.found.form}{start}", known)

    def stretched(self) -> MaskReader | None:
        """Labels that were stretched over 0..255 so that they can be seen: a grey a class, in rising order."""
        known = self.known
        ignored = frozenset() if known is None else frozenset(known.ignored)
        greys = sorted(self.values - ignored)
        if known is not None and known.values:
            return None
        size = len(greys) if known is None else len(known.names)
        if len(greys) < (3 if known is None else 2) or greys[0] < 0 or len(greys) > size or size > 26:
            return None
        even = [round(grey * (size - 1) / 255) for grey in greys]
        is_even = all(abs(grey - i * 255 / (size - 1)) <= _ROUNDING for i, grey in zip(even, greys, strict=True))
        apart = min(b - a for a, b in itertools.pairwise(greys)) >= _GAP
        if not apart or not (is_even or (known is not None and len(greys) == size)):
            return None
        places = even if is_even else list(range(size))
        listing = f"stretched greys {', '.join(map(str, greys))}"
        if known is None:
            self._refuse_thin(greys)
            table = ClassTable(tuple(f"class_{g}" for g in greys), tuple((g, g, g) for g in greys))
            remark = f"{listing}; no {CLASSES_FILE}, so classes are named after the values found"
            return self._reader("index", table, dict(zip(greys, places, strict=True)), remark)
        table = known.table()
        codes = dict(zip(greys, places, strict=True)) | dict.fromkeys(ignored, table.ignore_index)
        return self._reader("index", table, codes, f"{listing} as {size} classes")

    def _refuse_thin(self, greys: list[int]) -> None:
        """Raise DataError if a grey between others fills no region anywhere, since it may be a smoothed edge's."""
        for grey in greys[1:-1]:
            place = int(np.searchsorted(self._edges.codes, grey))
            if 20 * self._edges.inner[place] <= self._edges.pixels[place]:
                listing = ", ".join(map(str, greys))
                raise self._doubt(
                    f"holds the greys {listing}, and {grey} fills no region: is it a class, or the edge of a smoothed "
                    "mask?",
                    f"{len(greys)} names, or save masks unsmoothed",
                )

    def guessed(self) -> MaskReader:
        """Without a class list, a class a value; with one, a reader that complains of the values it lacks.

        Raises DataError where a guess would be as likely wrong as right.
        """
        if self.known is not None:
            return self._by_list(self.known)
        void = {top for top in TOPS if top in self.values and max(self.values - set(TOPS), default=top) < top}
        labels = sorted(self.values - void)
        if not labels:
            labels, void = [0], void
        if labels[0] < 0:
            raise self._doubt(f"holds the label value {labels[0]}", f"its names, and 'ignore: {labels[0]}' if unscored")
        if labels[-1] >= MOST:
            raise DataError(
                f"{self.found.highest().path}: label values run to {labels[-1]}, too many to be guessed as classes "
                f"(are they object numbers?); write {CLASSES_FILE}, one name a line, beside the pictures"
            )
        unscored = 0 in self.found.nodata and len(labels) > 2 and labels[0] == 0
        if 2 * len(labels) >= labels[-1] + 1:
            labels = list(range(labels[-1] + 1))
        elif void and labels[-1] >= _LABELS:
            listing = ", ".join(map(str, labels[:5]))
            raise self._doubt(
                f"holds {listing} and {min(void)}: is that a class, or unscored?", "the name of each class"
            )
        labels = labels[1:] if unscored else labels
        table = ClassTable(tuple(f"class_{label}" for label in labels), self._palette(labels))
        codes = {value: i for i, value in enumerate(labels)} | dict.fromkeys(void, table.ignore_index)
        codes |= {0: table.ignore_index} if unscored else {}
        clause = ", 0 is no data" if unscored else ""
        remark = f"{self.found.form}{clause}; no {CLASSES_FILE}, so classes are named after the label values"
        if self._may_number_objects():
            remark += f"; if they number objects, write {CLASSES_FILE} with the one name of these"
        return self._reader(self._kind, table, codes, remark)

    def _doubt(self, what: str, lines: str) -> DataError:
        path = self.found.files[0].path if self.top is None else self.found.holding([self.top])[0].path
        return DataError(f"{path}: {what}; write {CLASSES_FILE}, beside the pictures, with {lines}")

    def _palette(self, labels: list[int]) -> tuple[tuple[int, int, int], ...]:
        first = next((f for f in self.found.files if f.palette), None)
        palette = None if first is None else read_layers(first.path).palette
        return () if palette is None or labels[-1] >= len(palette) else tuple(unpack(int(palette[i])) for i in labels)

    # Objects

    def object_numbers(self) -> MaskReader | None:
        """Numbers without gaps in every file, each of one connected region: every object is class 1.

        Raises DataError if there are names for more classes.
        """
        known, sets = self.known, self._numbers
        if not sets or (known is not None and known.values):
            return None
        highest, counts = max(map(max, sets)), {len(s) for s in sets}
        wide = any(f.wide for f in self.found.files)
        varied = len(counts) > (1 if wide or len(sets) < 6 else 2)
        if self._is_plain(2) and known is not None:
            likely = highest > 2 and (self._without_gaps or len(frozenset().union(*sets)) > _CROPPED)
        elif known is not None:
            likely = self._without_gaps and varied and highest > len(known.names)
        else:
            likely = (self._without_gaps or highest >= MOST) and varied and highest >= (2 if wide else 4)
        if not likely or not self._are_blobs():
            return None
        if known is not None and len(known.names) > 2:
            raise DataError(
                f"{self.found.highest().path}: values run to {highest} and number the objects of each picture, but "
                f"{known.file} names {len(known.names)} classes; name one class, which every object has, or save the "
                "class of each pixel"
            )
        table = self._two_classes
        most = max(map(len, sets))
        remark = f"object numbers, up to {most} in a picture: every object is class '{table.names[1]}'"
        void = {255: table.ignore_index} if 255 in self.values and not any(255 in s for s in sets) else {}
        return self._reader("objects", table, void, remark)

    @cached_property
    def _numbers(self) -> list[frozenset[int]]:
        """The values of each file but 0 and what is not scored; nothing for a set that cannot number objects."""
        sets = [f.values - {0, UNDECIDED} - self.found.nodata for f in self.found.files]
        sets = [s - {255} if 254 not in s and max(s - {255}, default=0) > 0 else s for s in sets]
        return [s for s in sets if s] if 0 in self.values and min(self.values) >= 0 else []

    @property
    def _without_gaps(self) -> bool:
        return sum(max(s) - len(s) for s in self._numbers) <= _NUMBERED * sum(map(max, self._numbers))

    def _may_number_objects(self) -> bool:
        """True for values that are classes as likely as numbers of objects."""
        sets = self._numbers
        if len({len(s) for s in sets}) < 2 or max(map(max, sets)) < 3:
            return False
        return self._without_gaps and self._are_blobs()

    def _are_blobs(self) -> bool:
        left_out = frozenset({255, UNDECIDED} if self.top == 255 else {UNDECIDED}) | (self.found.nodata - {0})
        files = sample([f.path for f in self.found.files if len(f.values) > 1])
        counts = [blobs(_plane_of(path, self.plane), 0, left_out) for path in files]
        numbers, whole = sum(c.numbers for c in counts), sum(c.whole for c in counts)
        return numbers > 2 and whole >= _WHOLE * numbers

    # Shared

    def _is_plain(self, most: int) -> bool:
        """True if no more than `most` classes are named, and none by a value."""
        return self.known is None or (len(self.known.names) <= most and not self.known.values)

    @cached_property
    def _edges(self) -> Edges:
        files = sample([f.path for f in self.found.files if len(f.values) > 1])
        return edges([partial(_plane_of, path, self.plane) for path in files], colored=False)

    @property
    def _kind(self) -> MaskKind:
        return "palette" if self.found.files[0].palette else "index"

    def _binary_form(self, classes: int) -> str:
        return f"binary {self.found.form}" if classes else f"binary {self.found.form}, 0 is not scored"

    @property
    def _two_names(self) -> tuple[str, str]:
        if self.known is None:
            return "background", "foreground"
        return self.known.names[0] if len(self.known.names) > 1 else "background", self.known.names[-1]

    @property
    def _two_classes(self) -> ClassTable:
        colors = self.known.colors if self.known is not None and len(self.known.colors) == 2 else ()
        return ClassTable(self._two_names, colors)

    @cached_property
    def _unlisted(self) -> list[int]:
        codes = {} if self.known is None else codes_of(self.known)
        return sorted(self.values - codes.keys())

    def _reader(
        self, kind: MaskKind, table: ClassTable, codes: dict[int, int], remark: str, known: ClassList | None = None
    ) -> MaskReader:
        listed = known or self.known
        undecided = table.ignore_index if listed is None else listed.undecided_label()
        nodata = {value: undecided for value in (*self.found.nodata, UNDECIDED) if value not in codes}
        every = tuple(sorted((codes | nodata).items()))
        file = CLASSES_FILE if listed is None else listed.file
        remedy = advice(self.values, listed)
        return MaskReader(kind, table, every, remark, self.plane, advice=remedy, file=file)


def _plane_of(path: Path, plane: Plane) -> np.ndarray:
    layers = read_layers(path)
    found = layers.alpha if plane == "alpha" else layers.values
    if found is None:
        raise DataError(f"{path}: changed while it was read; try again")
    return found
