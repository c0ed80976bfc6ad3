"""The class list of a folder: `classes.txt`, or what the folder has in its place before the first edit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from foveate.datasets.classes import CLASSES_FILE, UNLABELLED, ClassList, hex_color, read_classes
from foveate.datasets.labelme import class_list
from foveate.datasets.labelme.shapes import BACKGROUND, BACKGROUND_LABELS, IGNORE_LABEL
from foveate.datasets.names import normal
from foveate.disk import atomic_write, sync_folder
from foveate.errors import ConfigError, DataError
from foveate.records import ClassTable
from foveate.studio.document import RefusedError

MOST = 1000


def read(root: Path, labels: Iterable[str]) -> ClassList:
    """The list of `classes.txt` or of labelme's `labels.txt`; without them, of all labels found. Raises DataError."""
    listed = class_list(root)
    if listed is not None:
        return listed
    found = sorted({label for label in labels if label not in (IGNORE_LABEL, *BACKGROUND_LABELS)})
    return ClassList(tuple(found))


def revision(root: Path) -> str:
    """The digest of `classes.txt`, or 'none'. Raises DataError if it cannot be read."""
    file = root / CLASSES_FILE
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "none"
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); make it readable") from error


class Renames:
    """Class names that were changed while the studio runs, for pages that still have the earlier ones."""

    def __init__(self) -> None:
        self._steps: list[tuple[tuple[str, ...], tuple[str, ...], Mapping[str, str]]] = []

    def add(self, before: Sequence[str], after: Sequence[str], renamed: Mapping[str, str]) -> None:
        """Keep a change of the list. renamed: old name -> new name."""
        self._steps.append((tuple(before), tuple(after), dict(renamed)))

    def since(self, root: Path, known: Any) -> dict[str, str]:
        """Name that a page has -> the class's name now, of those that differ.

        known: the names that the page chose from, in their order; None where it does not say. Classes that were added
        after them are no matter, nor is a folder without a list, whose classes are the labels that are found. Raises
        RefusedError for a page whose list is another one for other reasons, since its labels may mean other classes.
        """
        if known is None:
            return {}
        if not isinstance(known, list) or not all(isinstance(name, str) for name in known):
            wrong = f"classes is {known!r:.40}; expected the list of the names that were chosen from"
            raise RefusedError("labels", wrong)
        listed = class_list(root)
        if listed is None:
            return {}
        names = list(known)
        for before, after, renamed in self._steps:
            if list(before[: len(names)]) == names:
                now = [renamed.get(name, name) for name in names]
                if list(after[: len(now)]) == now:
                    names = now
        _require_same(names, listed.names)
        return {old: new for old, new in zip(known, names, strict=True) if old != new}


def _require_same(known: list[str], names: Sequence[str]) -> None:
    """Raise RefusedError unless the list begins with the names that a page has."""
    if list(names[: len(known)]) == known:
        return
    place = next(i for i, name in enumerate(known) if i >= len(names) or names[i] != name)
    now = f"is '{names[place]}'" if place < len(names) else "is gone"
    change = f"class {place + 1} was '{known[place]}' and {now} now"
    raise RefusedError(
        "classes-changed",
        f"the classes were changed elsewhere since this page was opened: {change}; reload the page",
    )


def relabelled(change: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """A page's change with the new names of classes."""
    found = dict(change)
    for name in ("objects", "outlines"):
        if isinstance(shapes := change.get(name), list):
            found[name] = [_named(shape, renamed) for shape in shapes]
    return found


def _named(shape: Any, renamed: Mapping[str, str]) -> Any:
    label = shape.get("label") if isinstance(shape, dict) else None
    return {**shape, "label": renamed[label]} if isinstance(label, str) and label in renamed else shape


def to_json(listed: ClassList) -> list[dict[str, str]]:
    """Names and colours."""
    if not listed.names:
        return []
    table = listed.table()
    return [{"name": n, "color": hex_color(c)} for n, c in zip(table.names, table.colors, strict=True)]


def from_json(given: Mapping[str, Any], before: ClassList) -> tuple[ClassList, dict[str, str]]:
    """Read what the page sent -> (the list, old name -> new name of those that were renamed). Raises RefusedError."""
    unlabelled, entries = given.get("unlabelled"), given.get("classes")
    if unlabelled not in UNLABELLED:
        raise RefusedError("class", f"unlabelled is {unlabelled!r:.40}; expected {' or '.join(UNLABELLED)}")
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST:
        raise RefusedError("class", f"classes must be a list of 1 to {MOST} classes")
    names: list[str] = []
    colors: list[tuple[int, int, int] | None] = []
    renamed: dict[str, str] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        names.append(_name(name, names))
        colors.append(_color(entry.get("color")))
        was = entry.get("was")
        if was not in (None, names[-1]):
            if was not in before.names:
                raise RefusedError("class", f"'{str(was)[:60]}' cannot become '{names[-1]}': there is no such class")
            renamed[was] = names[-1]
    if unlabelled == "background" and BACKGROUND not in names:
        names.insert(0, BACKGROUND)
        colors.insert(0, (0, 0, 0))
    try:
        found = replace(before, names=tuple(names), colors=complete(names, colors), unlabelled=unlabelled, values=())
        found.table()
    except ConfigError as error:
        raise RefusedError("class", str(error)) from None
    return found, renamed


def _name(name: Any, before: list[str]) -> str:
    text = normal(name).strip() if isinstance(name, str) else ""
    if not text or len(text) > 100 or not text.isprintable() or not text.strip():
        raise RefusedError("class", f"a class is called {name!r:.60}; expected a name of 1 to 100 printable characters")
    if (
        text[0] == "#"
        or re.match(r"(?i)(ignore|unlabell?ed)\s*:", text)
        or re.search(r"#\S*$|\d+[\s,]+\d+[\s,]+\d+$", text)
    ):
        raise RefusedError("class", f"'{text}' would be read as something else in {CLASSES_FILE}; choose another name")
    if text == IGNORE_LABEL:
        raise RefusedError(
            "class", f"'{text}' marks pixels that are not scored and can be no class; choose another name"
        )
    text = BACKGROUND if text in BACKGROUND_LABELS else text
    if text in before:
        raise RefusedError("class", f"two classes are called '{text}'; names must differ")
    return text


def _color(text: Any) -> tuple[int, int, int] | None:
    if text is None:
        return None
    if not isinstance(text, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise RefusedError("class", f"a colour is {text!r:.40}; expected six hexadecimal digits, as #ffc800")
    value = int(text[1:], 16)
    return value >> 16, value >> 8 & 255, value & 255


def complete(names: list[str], colors: list[tuple[int, int, int] | None]) -> tuple[tuple[int, int, int], ...]:
    """A colour a class: the given ones, for the others those of the fixed palette that are not taken."""
    given = [color for color in colors if color is not None]
    for color in given:
        if given.count(color) > 1:
            twice = [n for n, c in zip(names, colors, strict=True) if c == color]
            raise RefusedError("class", f"classes {' and '.join(twice)} have the same colour {hex_color(color)}")
    usual = ClassTable(tuple(map(str, range(2 * len(names)))), ignore_index=65535).colors
    free = iter([color for color in usual if color not in given])
    return tuple(color if color is not None else next(free) for color in colors)


def write(root: Path, listed: ClassList) -> None:
    """Write `classes.txt`. Raises OutputError, and DataError if it would be read otherwise than it is meant."""
    table = listed.table()
    lines = [f"{name} {hex_color(color)}" for name, color in zip(table.names, table.colors, strict=True)]
    lines += [f"ignore: {value}" for value in listed.ignored]
    lines += [f"ignore: {hex_color(color)}" for color in listed.ignore_colors]
    if listed.unlabelled:
        lines.append(f"unlabelled: {listed.unlabelled}")
    with atomic_write(root / CLASSES_FILE) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")
        again = read_classes(temporary)
        if again.names != listed.names:
            raise DataError(f"the names would be read as {', '.join(again.names)}; choose others")
    sync_folder(root)
