"""`classes.txt`: the names of the classes, in label order.

One name a line. A colour after it is the class's colour in RGB masks and in drawings. A line `ignore:` names what is
not scored, a label value or (in RGB masks) a colour; several such lines may stand. `ignore: 0` says that 0 is not
scored and that the names count from 1. `unlabelled:` says what pixels are that nobody decided on (without a shape,
transparent, no data, 255): `ignore` or `background`. Numbers in front of all names are their label values. `#` begins a
comment line.

    sky #8080ff
    road 128 64 128
    traffic light #ffc800
    ignore: 11
    ignore: #000000
    unlabelled: ignore
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foveate.datasets.names import normal
from foveate.datasets.text_files import read_text
from foveate.errors import ConfigError, DataError, counted
from foveate.pictures import atomic_write
from foveate.records import ClassTable
from foveate.records.base import unused_label

CLASSES_FILE = "classes.txt"
BACKGROUNDS = ("background", "_background_")
UNLABELLED = ("ignore", "background")
Color = tuple[int, int, int]
_HEX = re.compile(r"#([0-9a-fA-F]{6})$")
_HEADING = frozenset({"name", "names", "class", "classes", "class_name", "class_names", "categories", "labels"})
_HEADINGS = _HEADING | {"id", "index", "value", "pixel value", "label", "category", "color", "colour", "r", "g", "b"}
_NUMBERED = re.compile(r"(\d{1,9})(?:\s*[:;=)]\s*|\s+-\s+|[.,]\s*(?=\D)|\s+)(\S.*)")  # '0 sky', '0: sky', '0. sky'
_MARKS = " \t,;"  # between a name and its colour
_UNSCORED = ("void", "ignore", "ignored", "unlabelled", "unlabeled", "__ignore__")  # names that 255 may have
_TRIPLE = re.compile(r"(?:^|[\s,;(\[])(\d{1,9})[\s,;]+(\d{1,9})[\s,;]+(\d{1,9})[)\]]?$")


@dataclass(frozen=True)
class ClassList:
    """Content of a class list.

    colors: one a class, or none at all. ignore: the unscored label value that was stated first; 0 also says that the
    names count from 1. ignore_colors: unscored colours of RGB masks. unlabelled: 'ignore' or 'background', what
    undecided pixels are, or '' where nothing is said. more_ignored: further unscored label values. values: the label
    value of each name, where the list gives them. by_color: True where the order of the list says nothing, so that
    only masks of colours are read by it. file: the list's name in messages.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] = ()
    ignore: int | None = None
    ignore_colors: tuple[Color, ...] = ()
    unlabelled: str = ""
    more_ignored: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    by_color: bool = False
    file: str = field(default=CLASSES_FILE, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(normal(name) for name in self.names))

    def table(self) -> ClassTable:
        """The class table; the unscored value is 255 unless stated, or 65535 where 255 is a class.

        A stated value below 1 marks pixels of the files only, since labels of the table count from 0.
        """
        usual = unused_label(len(self.names))
        stated = self.ignore is not None and self.ignore > 0 and not self.values
        return ClassTable(self.names, self.colors, self.ignore if stated and self.ignore is not None else usual)

    @property
    def first(self) -> int:
        """The label value of the first name: 1 where 0 is not scored, else 0."""
        return int(0 in self.ignored)

    @property
    def ignored(self) -> tuple[int, ...]:
        """All label values that are stated to be unscored."""
        return () if self.ignore is None else (self.ignore, *self.more_ignored)

    @property
    def background(self) -> int | None:
        """The label of the class that is called background; None if none is."""
        return next((label for label, name in enumerate(self.names) if name in BACKGROUNDS), None)

    def undecided_label(self) -> int:
        """The label of undecided pixels: unscored, or background where the list says so."""
        decided = self.background if self.unlabelled == "background" else None
        return self.table().ignore_index if decided is None else decided

    def label_values(self) -> tuple[int, ...]:
        """The value that stands for each name in the files."""
        return self.values or tuple(range(self.first, self.first + len(self.names)))


def read_classes(path: Path) -> ClassList:
    """Read a class list. Raises DataError with the file and line."""
    names: list[str] = []
    colors: list[Color | None] = []
    ignored: list[int] = []
    ignore_colors: list[Color] = []
    unlabelled = ""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = line.strip()
        if not line or (line[0] == "#" and not _HEX.match(line)):
            continue
        where = f"{path}, line {number}"
        key, _, value = (part.strip() for part in line.partition(":"))
        if key.lower() == "ignore":
            rest, color = _split_color(value, where)
            if color is not None:
                ignore_colors.append(color)
            elif re.fullmatch(r"-?\d{1,9}", rest):
                ignored.append(int(rest))
            else:
                raise DataError(f"{where}: '{line}'; expected one label value or colour, as in 'ignore: 255'")
            continue
        if key.lower() in ("unlabelled", "unlabeled") and ":" in line:
            if value.lower() not in UNLABELLED or unlabelled not in ("", value.lower()):
                raise DataError(f"{where}: '{line}'; expected one line 'unlabelled: {' | '.join(UNLABELLED)}'")
            unlabelled = value.lower()
            continue
        name, color = _split_color(line, where)
        if not name:
            raise DataError(f"{where}: '{line}' has no class name; expected 'name' or 'name #rrggbb'")
        names.append(name)
        colors.append(color)
    if len(names) == 1 and (several := re.split(r"[,;|\t]", names[0])) and len(several) > 1:
        shown = ", ".join(f"'{one.strip()}'" for one in several[:3])
        many = counted(len(several), "name")
        raise DataError(f"{path}: one line that looks like {many} ({shown}); write each on its own line")
    require_plain(path, names)
    values = take_numbers(path, names, colors, ignored, ignore_colors)
    check_colors(path, names, colors)
    given = tuple(c for c in colors if c is not None)
    ignore, more = (ignored[0], tuple(dict.fromkeys(ignored[1:]))) if ignored else (None, ())
    found = ClassList(tuple(names), given, ignore, tuple(ignore_colors), unlabelled, more, values)
    return checked(path, found)


def require_plain(path: Path, names: Sequence[str]) -> None:
    """Raise DataError for the syntax of other files, whose marks and headings would become names of classes."""
    first = names[0] if names else ""
    others = names[1:]
    cells = {cell.strip().lower() for cell in re.split(r"[,;\t]", first)}
    what = ""
    if names and (all(name.startswith("- ") for name in names) or (re.fullmatch(r"[^:]+:", first) and others)):
        what = "YAML"
    elif first[:1] in ("[", "{") or (len(names) > 2 and all(name.endswith(",") for name in names[:-1])):
        what = "a list of a program"
    elif first.startswith("<"):
        what = "XML"
    elif others and cells <= _HEADINGS and (len(cells) > 1 or first.lower() in _HEADING):
        raise DataError(f"{path}: begins with '{first}', as if it named the columns below; leave that line out")
    if what:
        raise DataError(f"{path}: is {what} ('{first[:30]}'); expected a name a line and nothing else, in label order")


def _numbers(names: Sequence[str]) -> list[tuple[int, str]]:
    """(number, name) of each line, if all have a number of 0..255 in front and differ without it; else []."""
    found = [(int(m[1]), m[2]) for m in map(_NUMBERED.fullmatch, names) if m is not None]
    is_whole = len(found) == len(names) and len({name for _, name in found}) == len(found)
    return found if is_whole and all(number <= 255 for number, _ in found) else []


def take_numbers(
    path: Path, names: list[str], colors: list[Color | None], ignored: list[int], ignore_colors: list[Color]
) -> tuple[int, ...]:
    """Take the numbers off the names, and put names and colours into their order. -> the label values.

    They are () where the names count from 0, or from 1 with 0 unscored, as without numbers. A 255 that is called void
    or the like is added to the unscored values. Raises DataError for a number that stands twice, and for gaps.
    """
    numbered = _numbers(names)
    if not numbered:
        return ()
    rows = sorted(zip(numbered, colors, strict=True), key=lambda row: row[0])
    for (one, _), (other, _) in itertools.pairwise(rows):
        if one[0] == other[0]:
            raise DataError(f"{path}: '{one[1]}' and '{other[1]}' have the number {one[0]}; give each name its own")
    (last, name), color = rows[-1]
    if last == 255 and name.lower() in _UNSCORED and len(rows) > 1:
        ignored += [] if last in ignored else [last]
        ignore_colors += [] if color is None or color in ignore_colors else [color]
        rows.pop()
    values = tuple(number for (number, _), _ in rows)
    missing = sorted({*range(values[-1])} - {*values, *ignored})
    if missing not in ([], [0]):
        gaps = ", ".join(map(str, missing[:5]))
        raise DataError(
            f"{path}: the names are numbered from {values[0]} to {values[-1]}, but none has the number {gaps}; number "
            "them without gaps, name values that are not scored as in 'ignore: 3', or write names alone in label order"
        )
    names[:], colors[:] = [name for (_, name), _ in rows], [color for _, color in rows]
    start = int(0 in ignored)
    return () if values == tuple(range(start, start + len(values))) else values


def checked(path: Path, found: ClassList) -> ClassList:
    """The list itself. Raises DataError if its table cannot be made, or an unscored value is also a class's."""
    try:
        table = found.table()
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
    for value in found.ignored:
        if value in found.label_values():
            name = table.names[found.label_values().index(value)]
            raise DataError(
                f"{path}: ignore value {value} is also the label of class '{name}'; the unscored values are those "
                "that no name has"
            )
    return found


def write_classes(path: Path, table: ClassTable) -> None:
    """Write a class table so that `read_classes` gives it back. Raises OutputError."""
    names = [f"{k} {name}" for k, name in enumerate(table.names)] if _numbers(table.names) else table.names
    lines = [f"{name} #{r:02x}{g:02x}{b:02x}" for name, (r, g, b) in zip(names, table.colors, strict=True)]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join([*lines, f"ignore: {table.ignore_index}", ""]), encoding="utf-8")


def check_colors(path: Path, names: list[str], colors: list[Color | None]) -> None:
    """Raise DataError for no names, for colours of some classes only, and for a colour of two classes."""
    if not names:
        raise DataError(f"{path}: no class names; expected one a line")
    bare = [name for name, color in zip(names, colors, strict=True) if color is None]
    if bare and len(bare) < len(names):
        raise DataError(f"{path}: class '{bare[0]}' has no colour but others have; give every class one, or none")
    given = [c for c in colors if c is not None]
    for color in given:
        if given.count(color) > 1:
            twice = [n for n, c in zip(names, colors, strict=True) if c == color]
            raise DataError(f"{path}: classes {' and '.join(twice)} have the same colour {hex_color(color)}")


def _split_color(text: str, where: str) -> tuple[str, Color | None]:
    """'road 128 64 128' -> ('road', (128, 64, 128))."""
    if match := _HEX.search(text):
        value = int(match[1], 16)
        return text[: match.start()].strip(_MARKS), (value >> 16, value >> 8 & 255, value & 255)
    if match := _TRIPLE.search(text):
        r, g, b = (int(match[i]) for i in (1, 2, 3))
        if max(r, g, b) > 255:
            raise DataError(f"{where}: colour {r} {g} {b}; expected values of 0..255")
        return text[: match.start()].strip(_MARKS), (r, g, b)
    if stray := re.search(r"(?:^|\s)(#\S*)$", text):
        raise DataError(f"{where}: '{stray[1]}' is not a colour; expected six hexadecimal digits, as in #ffc800")
    return text, None


def hex_color(color: Color) -> str:
    """(255, 200, 0) -> '#ffc800'."""
    return "#{:02x}{:02x}{:02x}".format(*color)
