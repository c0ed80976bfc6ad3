"""`classes.txt`: the names of the classes, in label order.

One name a line. A colour after it is the class's colour in RGB masks and in drawings. A line `ignore:` names what is
not scored, a label value or (in RGB masks) a colour; several such lines may stand. `#` begins a comment line.

    sky #8080ff
    road 128 64 128
    traffic light #ffc800
    ignore: 11
    ignore: #000000
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from foveate.datasets.files import read_text
from foveate.errors import ConfigError, DataError
from foveate.pictures import atomic_write
from foveate.records import ClassTable

CLASSES_FILE = "classes.txt"
Color = tuple[int, int, int]
_HEX = re.compile(r"#([0-9a-fA-F]{6})$")
_TRIPLE = re.compile(r"(?:^|\s)(\d+)[\s,]+(\d+)[\s,]+(\d+)$")


@dataclass(frozen=True)
class ClassList:
    """Content of a class list.

    colors: one a class, or none at all. ignore: the unscored label value, if stated. ignore_colors: in RGB masks.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] = ()
    ignore: int | None = None
    ignore_colors: tuple[Color, ...] = ()

    def table(self) -> ClassTable:
        """The class table; the unscored value is 255 unless stated, or 65535 where 255 is a class."""
        usual = 255 if len(self.names) <= 255 else 65535
        return ClassTable(self.names, self.colors, usual if self.ignore is None else self.ignore)


def read_classes(path: Path) -> ClassList:
    """Read a class list. Raises DataError with the file and line."""
    names: list[str] = []
    colors: list[Color | None] = []
    ignore: int | None = None
    ignore_colors: list[Color] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = line.strip()
        if not line or (line[0] == "#" and not _HEX.match(line)):
            continue
        where = f"{path}, line {number}"
        key, _, value = line.partition(":")
        if key.strip().lower() == "ignore":
            rest, color = _split_color(value.strip(), where)
            if color is not None:
                ignore_colors.append(color)
            elif rest.isdecimal() and ignore in (None, int(rest)):
                ignore = int(rest)
            else:
                raise DataError(f"{where}: '{line}'; expected one label value or colours, as in 'ignore: 255'")
            continue
        name, color = _split_color(line, where)
        if not name:
            raise DataError(f"{where}: '{line}' has no class name; expected 'name' or 'name #rrggbb'")
        names.append(name)
        colors.append(color)
    _check(path, names, colors)
    given = tuple(c for c in colors if c is not None)
    found = ClassList(tuple(names), given, ignore, tuple(ignore_colors))
    try:
        found.table()
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
    return found


def write_classes(path: Path, table: ClassTable) -> None:
    """Write a class table so that `read_classes` gives it back. Raises OutputError."""
    lines = [f"{name} #{r:02x}{g:02x}{b:02x}" for name, (r, g, b) in zip(table.names, table.colors, strict=True)]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join([*lines, f"ignore: {table.ignore_index}", ""]), encoding="utf-8")


def _check(path: Path, names: list[str], colors: list[Color | None]) -> None:
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
        return text[: match.start()].strip(), (value >> 16, value >> 8 & 255, value & 255)
    if match := _TRIPLE.search(text):
        r, g, b = (int(match[i]) for i in (1, 2, 3))
        if max(r, g, b) > 255:
            raise DataError(f"{where}: colour {r} {g} {b}; expected values of 0..255")
        return text[: match.start()].strip(), (r, g, b)
    if stray := re.search(r"(?:^|\s)(#\S*)$", text):
        raise DataError(f"{where}: '{stray[1]}' is not a colour; expected six hexadecimal digits, as in #ffc800")
    return text, None


def hex_color(color: Color) -> str:
    """(255, 200, 0) -> '#ffc800'."""
    return "#{:02x}{:02x}{:02x}".format(*color)
