"""Notes on a whole set of masks: what is read as it stands, but may be other than was meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from foveate.datasets.classes import hex_color
from foveate.datasets.masks.few_bits import summary_of
from foveate.datasets.masks.layers import UNDECIDED, unpack
from foveate.datasets.masks.reader import MaskReader
from foveate.datasets.masks.tally import Summary, Tally, summarise
from foveate.errors import DataError, counted, first_names
from foveate.records import UNNAMED_PAIR

_ALIKE = 0.9  # overlap of all masks with the first, from which they mark one place
_LEAST = 0.05  # of the places, at least, are marked: small objects may overlap by chance
_FEW = 3  # masks, from which their likeness is no accident


def mask_notes(found: Tally) -> list[str]:
    """The notes on a set of masks."""
    return [*_one_value(found), *_one_place(found), *_inverted(found)]


def _one_value(found: Tally) -> list[str]:
    """A note on masks that all hold one and the same value, of which nothing can be learned."""
    codes = found.values | found.colors
    if len(codes) != 1 or any(len(f.alpha) > 1 for f in found.files):
        return []
    (code,) = codes
    shown = hex_color(unpack(code)) if found.colors else "no number" if code == UNDECIDED else str(code)
    return [
        f"every mask holds {shown} in all of its pixels, so that there is nothing to learn; were they saved rightly?"
    ]


def _one_place(found: Tally) -> list[str]:
    """A note on masks that mark nearly the same place in every image, as those of a field of view do."""
    grids = [np.array(f.grid) for f in found.files if f.grid]
    if len(grids) < _FEW or len({len(grid) for grid in grids}) != 1:
        return []
    usual = Counter(grids[0].tolist()).most_common(1)[0][0]
    first = grids[0] != usual
    if first.mean() < _LEAST:
        return []
    for grid in grids:
        marked = grid != usual
        both = (marked & (grid == grids[0])).sum()
        if both < _ALIKE * (marked | first).sum():
            return []
    return [
        f"all {len(grids)} masks mark nearly the same place, whatever is in the picture, as masks of the field of view "
        "do; if the labels are elsewhere, call their folder labels"
    ]


def _inverted(found: Tally) -> list[str]:
    """A note on TIFFs that are displayed inverted, since their labels are the stored values."""
    inverted = [f for f in found.files if f.white_is_zero]
    if not inverted:
        return []
    shown = inverted[0].path.name + (", ..." if len(inverted) > 1 else "")
    verb = "says" if len(inverted) == 1 else "say"
    mixed = "" if len(inverted) == len(found.files) else ", as those of the others are"
    return [
        f"{counted(len(inverted), 'mask')} of {len(found.files)} ({shown}) {verb} that white is 0, as ImageJ's "
        f"inverting lookup table does; the stored values are read{mixed}; if objects are stored as 0 there, save "
        "these masks with black as 0"
    ]


def exchanged_note(reader: MaskReader, found: Tally) -> list[str]:
    """A note on masks of two classes in which the object lies around the background, as where the two are exchanged."""
    if len(reader.classes) != 2 or reader.kind == "objects":
        return []
    around: dict[int, list[Summary]] = {0: [], 1: []}
    for file in found.files:
        if (label := _label_around(reader, file)) in around:
            around[label].append(file)
    rare, usual = sorted((0, 1), key=lambda label: len(around[label]))
    if not around[rare]:
        return _all_exchanged(reader, around, found)
    names = first_names([file.path.name for file in around[rare]])
    inner, outer = reader.classes.names[usual], reader.classes.names[rare]
    return [
        f"class '{outer}' lies around '{inner}' in {counted(len(around[rare]), 'mask')} ({names}), and within it in "
        f"{len(around[usual])}; if the two values are exchanged in some, save masks alike"
    ]


def _all_exchanged(reader: MaskReader, around: Mapping[int, list[Summary]], found: Tally) -> list[str]:
    """A note on masks whose object lies around the background in most, and within it in none; of a list, by its names.

    A list names the background if it calls a class so.
    """
    outer, inner = (name.lower() for name in reader.classes.names)
    if 2 * len(around[0]) > len(found.files) and inner.strip("_") == "background" != outer.strip("_"):
        return [
            f"class '{reader.classes.names[0]}' lies around '{reader.classes.names[1]}' in "
            f"{counted(len(around[0]), 'mask')} of {len(found.files)}; if the names are exchanged, write that of "
            f"what the lower value is first in {reader.file}"
        ]
    if 2 * len(around[1]) <= len(found.files) or reader.classes.names != UNNAMED_PAIR:
        return []
    return [
        f"class '{UNNAMED_PAIR[1]}' lies around '{UNNAMED_PAIR[0]}' in {counted(len(around[1]), 'mask')} of "
        f"{len(found.files)}; if objects are stored as 0, write classes.txt, with the name of what 0 is first"
    ]


def _label_around(reader: MaskReader, file: Summary) -> int | None:
    """The class that lies around the other in a file; None if neither does."""
    if file.around is None:
        return None
    if reader.threshold is not None:
        return int(file.around >= reader.threshold)
    code: int | None = file.around
    if reader.plane == "colors" and not file.colors:
        code = dict(file.palette).get(file.around) if file.palette else file.around * 0x10101
    return dict(reader.codes).get(code) if code is not None else None


def split_doubts(reader: MaskReader, masks: Mapping[str, Sequence[Path]]) -> list[str]:
    """Notes on what the masks of train and val hold; masks: split -> their files."""
    return [*_values_apart(reader, masks), *_one_class(reader, masks)]


def _one_class(reader: MaskReader, masks: Mapping[str, Sequence[Path]]) -> list[str]:
    """A note on a val of which every mask holds one class alone, though train has more."""
    if reader.threshold is not None or not {"train", "val"} <= set(masks):
        return []
    held = {split: frozenset[int]().union(*(_labels(reader, path) for path in masks[split])) for split in masks}
    if len(held["train"]) < 2 or len(held["val"]) != 1:
        return []
    (label,) = held["val"]
    name, others = reader.classes.names[label], counted(len(held["train"]), "class")
    return [f"val's masks hold class '{name}' alone, train's {others}, so that scores on val say nothing of the others"]


def _labels(reader: MaskReader, path: Path) -> frozenset[int]:
    """The classes of a file; none for a file that cannot be read."""
    try:
        file = summary_of(summarise(path), reader.step)
    except DataError:
        return frozenset()
    values = file.every_color() if reader.plane == "colors" else file.alpha if reader.plane == "alpha" else file.values
    if reader.kind == "objects":
        unscored = {code for code, _ in reader.codes}
        return frozenset(int(value != reader.background) for value in values - unscored)
    label_of = dict(reader.codes)
    return frozenset(label for value in values if (label := label_of.get(value, -1)) in range(len(reader.classes)))


def _values_apart(reader: MaskReader, masks: Mapping[str, Sequence[Path]]) -> list[str]:
    """A note on train and val of which each has values that the other lacks, whose meaning was guessed."""
    guessed = all(name.startswith("class_") for name in reader.classes.names)
    if reader.kind not in ("index", "palette") or not guessed or not {"train", "val"} <= set(masks):
        return []
    own = {
        split: frozenset[int]().union(*(_values(path, reader.step) for path in masks[split]))
        for split in ("train", "val")
    }
    train, val = own["train"] - own["val"], own["val"] - own["train"]
    if not train or not val:
        return []
    return [
        f"train's masks hold {_shown(train)}, which val's lack, and val's hold {_shown(val)}, which train's lack; if "
        "the two number their classes differently, save masks alike"
    ]


def _values(path: Path, step: int) -> frozenset[int]:
    try:
        return summary_of(summarise(path), step).values
    except DataError:  # reading it says so
        return frozenset()


def _shown(values: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(values)[:4])) + (", ..." if len(values) > 4 else "")
