"""Class lists against the values that masks hold: the label of each value, and what to do about values without one."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from foveate.datasets.classes import CLASSES_FILE, ClassList
from foveate.datasets.masks.tally import Tally
from foveate.datasets.spelling import says_unscored
from foveate.errors import DataError, counted

_STRAY = 3  # unknown values, before they are taken for another numbering
# Without blanks and marks: 'no data', '_background_' and '__ignore__' are among them.
_NAMES_OF_ZERO = frozenset(
    {"unlabelled", "unlabeled", "nolabel", "unannotated", "unclassified", "noclass", "unknown", "undefined", "void",
     "none", "nothing", "empty", "nodata", "ignore", "ignored", "background", "bg"}
)  # fmt: skip


def codes_of(known: ClassList) -> dict[int, int]:
    """Value -> label of a class list; undecided pixels as it says."""
    table = known.table()
    codes = {table.ignore_index: known.undecided_label()}
    codes |= dict.fromkeys(known.ignored, table.ignore_index)
    return codes | {value: label for label, value in enumerate(known.label_values())}


def require_no_name_of_zero(known: ClassList, folder: Path) -> None:
    """Raise DataError if a list whose names count from 1 begins with a name that 0 is usually given."""
    if "".join(filter(str.isalnum, known.names[0].lower())) in _NAMES_OF_ZERO:
        raise DataError(
            f"{folder}: {known.file} says 'ignore: 0', so that its names count from 1, but begins with "
            f"'{known.names[0]}', and no mask holds {len(known.names)}; leave that name out if it is the name of 0"
        )


def names_from_one(values: Set[int], known: ClassList | None) -> list[str]:
    """A note on a list whose names count from 1, where no mask holds the value of the last one.

    Either that class does not occur, or the first name was meant for 0 and all of them are off by one.
    """
    size = 0 if known is None else len(known.names)
    labels = [value for value in values if 0 < value < 255]
    if known is None or not known.first or known.values or not labels or max(labels) >= size:
        return []
    return [
        f"{known.file} says 'ignore: 0', so its names count from 1: '{known.names[0]}' is 1, and '{known.names[-1]}' "
        f"is {size}, which no mask holds; if '{known.names[0]}' is the name of 0, which is not scored, leave it out"
    ]


def unlabelled_twice(values: Set[int], known: ClassList | None) -> list[str]:
    """A note on a list whose 0 is a name of pixels without a label, where masks hold both 0 and 255, as COCO-Stuff's.

    In these 255 is that, and every other value is one less than its number in the list.
    """
    if known is None or known.first or not {0, 255} <= values or max(known.label_values()) in values:
        return []
    name = next(name for name, value in zip(known.names, known.label_values(), strict=True) if value == 0)
    if not says_unscored(name):
        return []
    return [
        f"{known.file} calls 0 '{name}', and the masks hold 255, which is not scored, too; in COCO-Stuff's maps 255 "
        f"is '{name}', and other values are one less than in the list: if these are such maps, write {CLASSES_FILE} "
        f"without '{name}' and without numbers"
    ]


def advice(found: Tally, values: Set[int], known: ClassList | None) -> str:
    """The remedy for values that are no class's, given the files of a set and all of its values.

    It names a value as unscored only where that leaves the others as they are listed, and never the label after the
    last, which is likely a class without a name, nor one that is the only label of its files.
    """
    if known is None:
        return f"write {CLASSES_FILE}, one name a line, beside the pictures"
    size, last, own = len(known.names), max(known.label_values()), known.file == CLASSES_FILE
    unlisted, listed = sorted(values - codes_of(known).keys()), values & set(known.label_values())
    file = CLASSES_FILE if own else f"a {CLASSES_FILE}, in place of {known.file},"
    if unlisted == [last + 1] and not known.first and not known.values and known.background != 0:
        if 0 not in values:
            return f"if labels count from 1, write a line 'ignore: 0' in {file} so that its names do, too"
        names = counted(size, "name")
        return (
            f"the masks hold 0..{size}, and {known.file} has {names}: in {file} name 0 in a first line if it is a "
            "class, or write a line 'ignore: 0' if it is not scored and the names count from 1"
        )
    if len(unlisted) > _STRAY or len(listed) < min(size, 2):
        shown = ", ".join(map(str, sorted(values)[:6])) + (", ..." if len(values) > 6 else "")
        return f"the masks hold {shown}; name the class of each, or save class numbers in the order of {known.file}"
    remedy = f"add the class to {file}" if own else f"write {file} that names every class"
    apart = [value for value in unlisted if value != last + 1]
    if any(all(file.values <= {0, value} for file in found.holding([value])) for value in apart):
        return f"{remedy}, or save masks alike if it is a class that other files number otherwise"
    if not apart:
        return remedy
    lines = " and ".join(f"'ignore: {value}'" for value in apart)
    return f"{remedy}, or name an unscored value there with {'a line' if len(apart) == 1 else 'lines'} {lines}"
