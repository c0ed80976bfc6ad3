"""Masks whose values are the labels: grey values, palette indices, or an alpha channel.

A set is one of these, tried in this order: binary, binary with 0 and 1 in some files and 0 and 255 in others, as the
class list says, luminances of the list's colours, of a published corpus, object numbers, binary with smoothed edges,
stretched greys, object numbers of which some are missing or in parts, and as guessed from the values. Each function
gives the reader of one meaning, or None if the values do not have it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np

from foveate.datasets.classes import CLASSES_FILE, ClassList
from foveate.datasets.masks.advice import codes_of
from foveate.datasets.masks.grey_values import TOPS, GreyValues
from foveate.datasets.masks.layers import UNDECIDED, read_layers, unpack
from foveate.datasets.masks.numbered import object_numbers, parted_or_sparse_numbers, with_doubt
from foveate.datasets.masks.published import Published
from foveate.datasets.masks.reader import MaskReader, Plane
from foveate.datasets.masks.smoothed import lossy, smoothed
from foveate.datasets.masks.tally import MOST, Tally
from foveate.errors import DataError, counted
from foveate.records import UNNAMED_PAIR, ClassTable

_GAP = 10  # greys that are farther apart are no consecutive labels
_ROUNDING = 2  # greys from an even division of 0..255 (of 0..65535: 257 times as much) that are taken for it
_ANNOTATORS = 4  # values of one class by several annotators, at most
_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
_LABELS = 64  # labels below this may stand beside an unscored 255, though there are gaps between them


def decide(found: Tally, known: ClassList | None, theirs: Published | None, plane: Plane) -> MaskReader:
    """The reader of a set whose labels are values of the given plane. Raises DataError."""
    greys = GreyValues(found, known, plane)
    _require_classes_beside_nodata(greys)
    two_classes = _binary(greys) or _binary_mixed(greys) or lossy(greys)
    if two_classes is None:
        _require_one_annotator(greys)
        _require_one_meaning_of_top(greys, theirs)
    return (
        two_classes
        or _as_listed(greys)
        or _by_luminance(greys)
        or _as_published(greys, theirs)
        or object_numbers(greys)
        or smoothed(greys)
        or _stretched(greys)
        or parted_or_sparse_numbers(greys)
        or _guessed(greys)
    )


def _require_classes_beside_nodata(greys: GreyValues) -> None:
    """Raise DataError where no second value is left beside one that the files declare to be no data."""
    declared = sorted((greys.found.nodata & greys.found.values) - {0})
    if declared and len(greys.values) == 1:
        holding = greys.found.holding(declared)[0]
        raise DataError(
            f"{holding.path}: declares {declared[0]} to be no data, and no mask holds a value besides but "
            f"{min(greys.values)}; if {declared[0]} is a class, declare no value, or another one, to be no data"
        )


# Two classes


def _binary(greys: GreyValues) -> MaskReader | None:
    """0 and 255: 255 is class 1, unless there are more classes and 255 is stated to be unscored."""
    known, top = greys.known, greys.top
    if top is None or not greys.values <= {0, top} or (known is not None and known.values):
        return None
    if known is not None and len(known.names) > 2:
        if top in known.ignored:
            return None
        held = f"only 0 and {top}, so two classes" if 0 in greys.values else f"{top} alone, so one class"
        raise DataError(
            f"{greys.found.highest().path}: the masks of the set hold {held}, but {known.file} names "
            f"{len(known.names)}; name two, or save labels as class indices"
        )
    if known is not None and known.first and len(known.names) == 1:
        return greys.reader("binary", known.table(), {0: known.table().ignore_index, top: 0}, greys.binary_form(0))
    stated = f", although {known.file} says 'ignore: {top}'" if known is not None and top in known.ignored else ""
    remark = f"{greys.binary_form(1)} of 0 and {top}: {top} is class '{greys.two_names[1]}'{stated}"
    return greys.reader("binary", greys.two_classes, {0: 0, top: 1}, remark)


def _binary_mixed(greys: GreyValues) -> MaskReader | None:
    """0 and 1 in some files, 0 and 255 in others: both are class 1, unless unscored values are stated.

    Raises DataError if more than two classes are named.
    """
    known, top = greys.known, greys.top
    if top is None or not {1, top} <= greys.values <= {0, 1, top}:
        return None
    ones, tops = (greys.found.holding([value]) for value in (1, top))
    if known is not None and (known.ignored or known.values):
        return None
    if any(1 in file.values for file in tops):
        return None  # an index and an unscored value
    if not greys.is_plain(2):
        raise DataError(
            f"{ones[0].path}: 0 and 1, but 0 and {top} in {tops[0].path}; if {top} is not scored, write a line "
            f"'ignore: {top}' in {CLASSES_FILE}, and if it is the same class as 1, save masks alike"
        )
    remark = (
        f"{greys.binary_form(1)}, 0 and 1 in {counted(len(ones), 'file')}, 0 and {top} in {len(tops)}: "
        f"1 and {top} are class '{greys.two_names[1]}'"
    )
    return greys.reader("binary", greys.two_classes, {0: 0, 1: 1, top: 1}, remark)


def _require_one_annotator(greys: GreyValues) -> None:
    """Raise DataError if every file holds one value beside 0, and these lie farther apart than labels do.

    They may be one object that was drawn in 1, 127 and 255 by several annotators, or as many classes.
    """
    known = greys.known
    if 0 not in greys.values or not greys.is_plain(2) or (known is not None and known.ignored):
        return
    own = [(f, f.values & greys.values - {0}) for f in greys.found.files]
    marks = Counter(min(values) for _, values in own if len(values) == 1)
    if not 2 <= len(marks) <= _ANNOTATORS or max(marks) < _LABELS or any(len(values) > 1 for _, values in own):
        return
    rare = next(f for f, values in own if values == {min(marks, key=lambda value: (marks[value], -value))})
    listing = ", ".join(f"{value} in {counted(n, 'file')}" for value, n in sorted(marks.items()))
    raise DataError(
        f"{rare.path}: every mask holds one value beside 0, and it is {listing}; if these are one class by several "
        f"annotators, save masks alike, and if they are classes, write {CLASSES_FILE} with the name of each value"
    )


def _require_one_meaning_of_top(greys: GreyValues, theirs: Published | None) -> None:
    """Raise DataError if some files hold 0 and 255 alone, others further labels, and nothing says what 255 is."""
    known, top, found = greys.known, greys.top, greys.found
    if top is None or (known is not None and (top in known.ignored or known.values)):
        return
    if greys.given is None and theirs is not None and theirs.evidence(found, greys.values):
        return
    alone = [file for file in found.files if file.values == {0, top}]
    others = [file for file in found.files if file.values - {0, top, UNDECIDED} - found.nodata]
    if alone and others and smoothed(greys) is None:
        raise DataError(
            f"{alone[0].path}: only 0 and {top} (so in {counted(len(alone), 'file')}), but other labels in "
            f"{others[0].path} (in {len(others)}); if {top} is not scored, write a line 'ignore: {top}' in "
            f"{CLASSES_FILE}, and if it is a class in some files, save masks alike"
        )


# Many classes


def _as_listed(greys: GreyValues) -> MaskReader | None:
    """The labels of the class list."""
    known = greys.known
    if known is None:
        return None
    if 0 in greys.values and greys.values - set(TOPS) <= {0, 1} and greys.is_plain(1) and not known.ignored:
        remark = f"{greys.found.form}: 0 is background, 1 is class '{known.names[0]}'"
        void = dict.fromkeys(TOPS, 255)
        return greys.reader(greys.kind, greys.two_classes, {0: 0, 1: 1} | void, remark)
    return _by_list(greys, known) if not greys.unlisted else None


def _as_published(greys: GreyValues, theirs: Published | None) -> MaskReader | None:
    """The labels of the corpus in whose layout the set is."""
    reason = theirs.evidence(greys.found, greys.values) if theirs is not None and greys.given is None else ""
    if theirs is None or not reason:
        return None
    reader = _by_list(GreyValues(greys.found, theirs.classes, greys.plane), theirs.classes)
    said = "" if reason == "names" else f", {theirs.title}'s {reason} and so its names"
    return replace(reader, remark=reader.remark + said)


def _by_list(greys: GreyValues, known: ClassList) -> MaskReader:
    start = f", names from {known.first}: 0 is not scored" if known.first else ""
    return greys.reader(greys.kind, known.table(), codes_of(known), f"{greys.found.form}{start}", known)


def _by_luminance(greys: GreyValues) -> MaskReader | None:
    """Colours of the class list that were turned into greys, 0.299 R + 0.587 G + 0.114 B, by which each is told."""
    known = greys.known
    if known is None or not known.colors:
        return None
    table = known.table()
    colors = [*enumerate(known.colors), *((table.ignore_index, color) for color in known.ignore_colors)]
    codes = dict.fromkeys(known.ignored, table.ignore_index)
    values = sorted(greys.values - codes.keys())
    for value in values:
        near = [label for label, color in colors if abs(np.dot(color, _LUMINANCE) - value) <= 1]
        if len(near) != 1:
            return None
        codes[value] = near[0]
    if len(values) < 2 or len({codes[value] for value in values}) < len(values):
        return None
    listing = ", ".join(map(str, values))
    return greys.reader("index", table, codes, f"greys {listing}, the luminances of the colours of {known.file}")


def _stretched(greys: GreyValues) -> MaskReader | None:
    """Labels that were stretched over 0..255 or 0..65535 so that they can be seen: a grey a class, in rising order."""
    known = greys.known
    ignored = frozenset() if known is None else frozenset(known.ignored)
    steps = sorted(greys.values - ignored)
    if known is not None and known.values:
        return None
    size = len(steps) if known is None else len(known.names)
    if len(steps) < (3 if known is None else 2) or steps[0] < 0 or len(steps) > size or size > 26:
        return None
    top = 255 if steps[-1] <= 255 else 65535
    even = [round(grey * (size - 1) / top) for grey in steps]
    rounding = _ROUNDING * top / 255
    near = all(abs(grey - i * top / (size - 1)) <= rounding for i, grey in zip(even, steps, strict=True))
    is_even = near and len(set(even)) == len(even)
    apart = min(b - a for a, b in itertools.pairwise(steps)) >= _GAP
    if not apart or not (is_even or (known is not None and len(steps) == size)):
        return None
    places = even if is_even else list(range(size))
    listing = f"stretched greys {', '.join(map(str, steps))}"
    if known is None:
        _refuse_thin(greys, steps)
        table = ClassTable(tuple(f"class_{g}" for g in steps), tuple((g, g, g) for g in steps))
        remark = f"{listing}; no {CLASSES_FILE}, so classes are named after the values found"
        return greys.reader("index", table, dict(zip(steps, places, strict=True)), remark)
    table = known.table()
    codes = dict(zip(steps, places, strict=True)) | dict.fromkeys(ignored, table.ignore_index)
    return greys.reader("index", table, codes, f"{listing} as {size} classes")


def _refuse_thin(greys: GreyValues, steps: list[int]) -> None:
    """Raise DataError if a grey between others fills no region anywhere, since it may be a smoothed edge's."""
    for grey in steps[1:-1]:
        place = int(np.searchsorted(greys.edges.codes, grey))
        if 20 * greys.edges.inner[place] <= greys.edges.pixels[place]:
            listing = ", ".join(map(str, steps))
            raise greys.doubt(
                f"holds the greys {listing}, and {grey} fills no region: is it a class, or the edge of a smoothed "
                "mask?",
                f"{len(steps)} names, or save masks unsmoothed",
            )


def _guessed(greys: GreyValues) -> MaskReader:
    """Without a class list, a class a value; with one, a reader that complains of the values it lacks.

    Raises DataError where a guess would be as likely wrong as right.
    """
    if greys.known is not None:
        return _by_list(greys, greys.known)
    void = {top for top in TOPS if top in greys.values and max(greys.values - set(TOPS), default=top) < top}
    labels = sorted(greys.values - void)
    if not labels:
        labels, void = [0], void
    if labels[0] < 0:
        raise greys.doubt(f"holds the label value {labels[0]}", f"its names, and 'ignore: {labels[0]}' if unscored")
    if labels[-1] >= MOST:
        raise DataError(
            f"{greys.found.highest().path}: label values run to {labels[-1]}, too many to be guessed as classes "
            f"(are they object numbers?); write {CLASSES_FILE}, one name a line, beside the pictures"
        )
    unscored = 0 in greys.found.nodata and len(labels) > 2 and labels[0] == 0
    if 2 * len(labels) >= labels[-1] + 1:
        labels = list(range(labels[-1] + 1))
    elif void and labels[-1] >= _LABELS:
        listing = ", ".join(map(str, labels[:5]))
        raise greys.doubt(f"holds {listing} and {min(void)}: is that a class, or unscored?", "the name of each class")
    labels = labels[1:] if unscored else labels
    is_pair = labels == [0, 1]
    names = UNNAMED_PAIR if is_pair else tuple(f"class_{label}" for label in labels)
    table = ClassTable(names, _palette(greys, labels))
    codes = {value: i for i, value in enumerate(labels)} | dict.fromkeys(void, table.ignore_index)
    codes |= {0: table.ignore_index} if unscored else {}
    clause = ", 0 is no data" if unscored else ""
    naming = f"no {CLASSES_FILE}, so classes are named after the label values"
    remark = f"{greys.found.form}{clause}; {naming}"
    if is_pair:
        remark = f"{greys.binary_form(1)} of 0 and 1: 1 is class '{names[1]}'"
    return with_doubt(greys, greys.reader(greys.kind, table, codes, remark))


def _palette(greys: GreyValues, labels: list[int]) -> tuple[tuple[int, int, int], ...]:
    first = next((f for f in greys.found.files if f.palette), None)
    palette = None if first is None else read_layers(first.path).palette
    return () if palette is None or labels[-1] >= len(palette) else tuple(unpack(int(palette[i])) for i in labels)
