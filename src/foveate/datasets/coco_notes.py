"""Notes on COCO's files: what they hold that may be other than was meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from foveate.datasets.coco_files import Finder
from foveate.datasets.files import Pair
from foveate.errors import counted, first_names


class Content(Protocol):
    """An annotation file after it was read.

    stray_boxes, flat, nested, ignored: ids of annotations whose box lies elsewhere than their outline, whose outline
    encloses nothing, of which an outline lies within another, and that say `ignore`. crowds: category -> annotations
    that are crowds. single: categories of which an annotation is none.
    """

    file: Path
    stray_boxes: list[Any]
    flat: list[Any]
    nested: list[Any]
    ignored: list[Any]
    crowds: Counter[str]
    single: set[str]


def moved_note(finder: Finder) -> list[str]:
    """A note on images that lie elsewhere than the file says."""
    if not finder.moved:
        return []
    shown = ", ".join(f"'{name}' is {place.relative_to(finder.root)}" for name, place in finder.moved[:3])
    more = ", ..." if len(finder.moved) > 3 else ""
    count, file = len(finder.moved), finder.file.name
    return [f"{counted(count, 'picture')} not where {file} says, but found by name ({shown}{more})"]


def empty_note(splits: Mapping[str, Sequence[Pair]]) -> list[str]:
    """A note on listed images without an object."""
    empty = sorted({pair.picture.name for pairs in splits.values() for pair in pairs if not pair.label.annotations})
    if not empty:
        return []
    return [f"{counted(len(empty), 'picture')} listed without an object, and so all background ({first_names(empty)})"]


def annotation_notes(contents: Sequence[Content]) -> list[str]:
    """Notes on boxes that lie elsewhere than their outlines, outlines without a pixel or in others, and crowds."""
    stray = [f"annotation {one} of {content.file.name}" for content in contents for one in content.stray_boxes]
    flat = [f"annotation {one} of {content.file.name}" for content in contents for one in content.flat]
    nested = [f"annotation {one} of {content.file.name}" for content in contents for one in content.nested]
    notes = []
    if stray:
        words = "does not meet its outline" if len(stray) == 1 else "do not meet their outlines"
        notes.append(f"{counted(len(stray), 'box')} {words} ({first_names(stray)}); outlines are used, and no boxes")
    if flat:
        words = "lies on a line or point and so has" if len(flat) == 1 else "lie on a line or point and so have"
        notes.append(f"{counted(len(flat), 'outline')} {words} no pixel ({first_names(flat)}); draw again, or remove")
    if nested:
        words = "has an outline" if len(nested) == 1 else "have an outline"
        notes.append(
            f"{counted(len(nested), 'object')} {words} within another of the same object ({first_names(nested)}); COCO "
            "joins outlines, so the inner one is filled: if it is a hole, export run lengths"
        )
    ignored = [f"annotation {one} of {content.file.name}" for content in contents for one in content.ignored]
    if ignored:
        words = "says 'ignore'" if len(ignored) == 1 else "say 'ignore'"
        notes.append(
            f"{counted(len(ignored), 'object')} {words} ({first_names(ignored)}), which is not read; "
            "set iscrowd to 1 where an object is not to be scored, or remove it"
        )
    return notes + _crowd_note(contents)


def _crowd_note(contents: Sequence[Content]) -> list[str]:
    """A note on categories that crowds alone have, since these are not scored."""
    crowds = sum((content.crowds for content in contents), Counter[str]())
    single = {name for content in contents for name in content.single}
    only = {name: count for name, count in crowds.items() if name not in single and count}
    if not only:
        return []
    shown = ", ".join(f"{count} of '{name}'" for name, count in sorted(only.items())[:3])
    more = ", ..." if len(only) > 3 else ""
    return [
        f"every object of {counted(len(only), 'class')} is marked as a crowd ({shown}{more}), which is not scored; "
        "some tools mark all run lengths so: if they are single objects, set iscrowd to 0"
    ]
