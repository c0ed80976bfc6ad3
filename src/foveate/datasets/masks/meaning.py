"""The meaning of the values of a set of masks, decided over all of its files together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foveate.datasets.classes import CLASSES_FILE, ClassList
from foveate.datasets.files import Pair
from foveate.datasets.masks import colors, greys
from foveate.datasets.masks.doubts import exchanged_note, mask_notes
from foveate.datasets.masks.few_bits import BITS, as_stored
from foveate.datasets.masks.published import Published
from foveate.datasets.masks.reader import MaskReader
from foveate.datasets.masks.tally import MOST, Summary, Tally, tally
from foveate.errors import DataError, counted


def recognise_masks(files: Sequence[Path], known: ClassList | None, theirs: Published | None = None) -> MaskReader:
    """Decide what the values of a set of masks mean, over all files of all splits.

    known: the set's class list; without one, classes are named `class_0` and so on after the values or colours
    found. theirs: the corpus in whose layout the set is, and whose classes it has if its labels are that corpus's.
    Decodes every file once. Raises DataError: no mask can be read, values that cannot be told apart or that do not fit
    the class list.
    """
    found = tally(files)
    if not (known is not None and known.colors and colors.is_colored(found, known)):
        found = as_stored(found, known)
    alpha = alpha_masks(found)
    unread: tuple[str, ...] = ()
    if known is not None and known.by_color and (alpha is not None or not colors.is_colored(found, known)):
        unread = (
            f"{known.file} gives the classes of colours, and the masks hold none; for names, write {CLASSES_FILE} with "
            "the name of each value",
        )
        known = None
    if alpha is not None:
        reader = greys.decide(alpha, known, None, "alpha")
        reader = replace(reader, remark=f"alpha channel, {reader.remark}")
    elif colors.is_colored(found, known):
        reader = colors.decide(found, known, theirs)
    else:
        reader = greys.decide(found, known, theirs, "values")
    if found.step > 1 and reader.plane == "values":
        reader = replace(reader, step=found.step, remark=f"{reader.remark}, as stored in {BITS[found.step]} bits")
    if known is not None and known.file != CLASSES_FILE:
        reader = replace(reader, remark=f"{reader.remark}, names of {known.file}")
    notes = (*reader.notes, *unread, *mask_notes(found), *exchanged_note(reader, alpha or found))
    refused = _refused(reader, alpha or found)
    return replace(reader, refused=refused, notes=notes)


def _refused(reader: MaskReader, found: Tally) -> str:
    """The complaint about the first file with values that have no label; '' if all have one."""
    if reader.kind == "objects" or reader.threshold is not None:
        return ""
    known = {code for code, _ in reader.codes}
    bad = [f for f in found.files if not (f.every_color() if reader.plane == "colors" else f.values) <= known]
    for file in bad[:1]:
        try:
            reader(Pair(file.path, file.path), 0, 0)
        except DataError as error:
            return str(error) + (f" (such values in {counted(len(bad) - 1, 'more file')})" if len(bad) > 1 else "")
    return ""


def alpha_masks(found: Tally) -> Tally | None:
    """The alpha channels of a set whose labels lie there, as values; None if they lie in the values or colours.

    They do where nothing but alpha varies, or in photographs. Raises DataError where colours and alpha vary, and pixels
    of one colour are both transparent and not.
    """
    varied = [f for f in found.files if len(f.alpha) > 1]
    codes = frozenset().union(*(f.values | f.colors for f in found.files))
    levels = frozenset().union(*(f.alpha for f in found.files))
    if len(levels) < 2 or not (varied or len(codes) == 1):
        return None
    photographs = varied and all(len(f.values | f.colors) > MOST for f in varied)
    if len(codes) > 1 and not photographs:
        torn = next((f for f in varied if f.clear & f.solid or len(f.alpha) > 2), None)
        if torn is None:
            return None  # transparent pixels have a colour of their own, so alpha adds nothing
        raise DataError(
            f"{torn.path}: colours and transparency both vary, so it is not clear which of them is the label; "
            "save masks without an alpha channel"
        )
    opaque = [f.path for f in found.files if not f.alpha]
    if opaque:
        raise DataError(f"{opaque[0]}: has no alpha channel, which holds the other masks; save all masks alike")
    return Tally(tuple(_of_alpha(f) for f in found.files))


def _of_alpha(file: Summary) -> Summary:
    return replace(
        file, values=file.alpha, colors=frozenset(), palette=(), nodata=None, wide=max(file.alpha) > 255,
        around=file.alpha_around,
    )  # fmt: skip
