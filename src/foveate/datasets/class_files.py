"""Class lists that other tools write, beside `classes.txt`.

labelmap.txt     CVAT, and Datumaro's Pascal VOC: 'name:r,g,b:parts:actions', in label order
class_names.txt  labelme2voc: one name a line, in label order
labels.txt       LabelMe: the same; '__ignore__' is no class but the unscored value
_classes.csv     Roboflow's semantic masks: 'Pixel Value, Class', then a row a class
label_colors.txt CVAT's exports as CamVid, KITTI and Cityscapes: 'r g b name'
class_dict.csv   CamVid, DeepGlobe and others on Kaggle: 'name,r,g,b' below a line of names
objectInfo150.txt ADE20K's benchmark: 'Idx', 'Name' and others, then a row a class from 1; 0 is not labelled

label_colors.txt and class_dict.csv give the colours of classes and not their label values, so only masks of colours
are read by them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from foveate.datasets.classes import (
    CLASSES_FILE,
    ClassList,
    Color,
    check_colors,
    checked,
    read_classes,
    require_plain,
    take_numbers,
)
from foveate.datasets.names import in_any_case
from foveate.datasets.text_files import read_text
from foveate.errors import DataError
from foveate.pictures import PICTURE_SUFFIXES

CVAT_FILE, VOC_NAMES_FILE, LABELME_FILE, ROBOFLOW_FILE = "labelmap.txt", "class_names.txt", "labels.txt", "_classes.csv"
COLOR_FILE, COLOR_TABLE, ADE_FILE = "label_colors.txt", "class_dict.csv", "objectinfo150.txt"
FILES = (CLASSES_FILE, CVAT_FILE, VOC_NAMES_FILE, LABELME_FILE, ROBOFLOW_FILE, COLOR_FILE, COLOR_TABLE, ADE_FILE)
IGNORE_LABEL = "__ignore__"
_CVAT_LINE = re.compile(r"(?P<name>[^#:][^:]*):(?:(?P<color>\d{1,9},\d{1,9},\d{1,9}))?:[^:]*:[^:]*")
_CVAT_UNSCORED = "ignored"  # Datumaro's name of Pascal VOC's void


def find_classes(root: Path) -> ClassList | None:
    """The class list of a folder: in it, one level down, or one level up; of several, the first of FILES.

    A `labels.txt` above the folder counts only if it is LabelMe's beyond doubt. Lists one level down must agree.
    Raises DataError: a malformed list, or lists that differ.
    """
    for places in levels(root):
        above = places == [root.absolute().parent]
        for name in FILES:
            if above and name == LABELME_FILE and not is_labelme(in_any_case(places[0], name)):
                continue
            found = [classes for place in places if (classes := _read(in_any_case(place, name))) is not None]
            for other in found[1:]:
                if other != found[0]:
                    raise DataError(
                        f"{root}: the files {name} in its folders differ; write one {CLASSES_FILE} in {root} for all"
                    )
            if found:
                return replace(found[0], file=f"../{name}" if above else name)
    return None


def levels(root: Path) -> list[list[Path]]:
    """The folders in which a list may be: the root itself, those in it, and the one above it."""
    below = sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != ".") if root.is_dir() else []
    return [[root], below, [root.absolute().parent]]


def _read(path: Path) -> ClassList | None:
    """The list in a file of any of the formats; None if there is none."""
    if not path.is_file():
        return None
    return {
        CLASSES_FILE: read_classes,
        CVAT_FILE: read_cvat,
        VOC_NAMES_FILE: read_names,
        LABELME_FILE: read_names,
        ROBOFLOW_FILE: read_roboflow,
        COLOR_FILE: read_colors,
        COLOR_TABLE: read_color_table,
        ADE_FILE: read_ade,
    }[path.name.lower()](path)


def is_labelme(path: Path) -> bool:
    """True if there is a list of names, and one among them that only LabelMe gives."""
    return path.is_file() and any(
        line.strip() in (IGNORE_LABEL, "_background_") for line in read_text(path).splitlines()
    )


def read_names(path: Path) -> ClassList | None:
    """LabelMe's lists: one name a line; `__ignore__`, the value 255 of its masks, is no class.

    Numbers in front of all names are the label values, as in `classes.txt`. None for a `labels.txt` that lists other
    things: files, or the same word twice. Raises DataError.
    """
    lines = (line.strip() for line in read_text(path).splitlines())
    names = [name for name in lines if name and name != IGNORE_LABEL]
    if path.name.lower() == LABELME_FILE and (len(set(names)) < max(len(names), 1) or any(map(_names_a_file, names))):
        return None
    require_plain(path, names)
    colors: list[Color | None] = [None] * len(names)
    ignored: list[int] = []
    values = take_numbers(path, names, colors, ignored, [])
    check_colors(path, names, colors)
    return checked(path, ClassList(tuple(names), ignore=ignored[0] if ignored else None, values=values))


def _names_a_file(line: str) -> bool:
    return any(Path(word).suffix.lower() in (*PICTURE_SUFFIXES, ".txt", ".json", ".xml") for word in line.split())


def read_cvat(path: Path) -> ClassList | None:
    """CVAT's list; None if no line has its form, since other tools use the same file name. Raises DataError."""
    lines = [(n, line.strip()) for n, line in enumerate(read_text(path).splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and line[0] != "#"]
    found = [(n, line, _CVAT_LINE.fullmatch(line)) for n, line in lines]
    if not any(match for _, _, match in found):
        return None
    names: list[str] = []
    colors: list[Color | None] = []
    unscored: list[Color] = []
    for number, line, match in found:
        color = _color(match["color"]) if match else None
        if match is None or (match["color"] and color is None):
            raise DataError(f"{path}, line {number}: '{line}'; expected 'name:r,g,b:parts:actions'")
        name = match["name"].strip()
        if name == _CVAT_UNSCORED and color is not None:
            unscored.append(color)
            continue
        names.append(name)
        colors.append(color)
    check_colors(path, names, colors)
    given = tuple(c for c in colors if c is not None)
    return checked(path, ClassList(tuple(names), given, ignore_colors=tuple(unscored)))


def _color(text: str | None) -> Color | None:
    r, g, b = (int(v) for v in text.split(",")) if text else (256, 0, 0)
    return (r, g, b) if max(r, g, b) <= 255 else None


def read_colors(path: Path) -> ClassList | None:
    """CVAT's colours, 'r g b name' a line; None for a file of another form."""
    lines = [line.split(None, 3) for line in read_text(path).splitlines() if line.strip() and line.strip()[0] != "#"]
    if not all(len(words) == 4 for words in lines):
        return None
    return _by_color(path, [(words[3].strip(), ",".join(words[:3])) for words in lines])


def read_color_table(path: Path) -> ClassList | None:
    """A table of names and colours, with columns called name, r, g and b; None for a file of another form."""
    rows = list(_rows(path))
    names = [cell.lower() for cell in rows[0]] if rows else []
    places = [names.index(name) for name in ("name", "r", "g", "b") if name in names]
    if len(places) < 4 or any(len(row) <= max(places) for row in rows):
        return None
    return _by_color(path, [(row[places[0]], ",".join(row[place] for place in places[1:])) for row in rows[1:]])


def _by_color(path: Path, rows: list[tuple[str, str]]) -> ClassList | None:
    """The list of names with colours 'r,g,b'; None if one of these is no colour."""
    colors = [_color(text) if re.fullmatch(r"\d{1,3},\d{1,3},\d{1,3}", text) else None for _, text in rows]
    if not rows or None in colors or not all(name for name, _ in rows):
        return None
    names = [name for name, _ in rows]
    check_colors(path, names, colors)
    given = tuple(color for color in colors if color is not None)
    return checked(path, ClassList(tuple(names), given, by_color=True))


def read_roboflow(path: Path) -> ClassList | None:
    """Roboflow's table of pixel values; None for its tables of whole images, which have the same file name.

    Raises DataError.
    """
    rows = list(_rows(path))
    if not rows or rows[0][0].lower() != "pixel value":
        return None
    values: dict[int, str] = {}
    for row in rows[1:]:
        if len(row) != 2 or not re.fullmatch(r"\d{1,9}", row[0]) or not row[1] or int(row[0]) in values:
            raise DataError(f"{path}: row '{', '.join(row)}'; expected a pixel value, once, and the name of its class")
        values[int(row[0])] = row[1]
    numbers = tuple(sorted(values))
    names = [values[n] for n in numbers]
    check_colors(path, names, [None] * len(names))
    return checked(path, ClassList(tuple(names), values=() if numbers == tuple(range(len(numbers))) else numbers))


def read_ade(path: Path) -> ClassList | None:
    """ADE20K's table of classes, numbered from 1; None for a file of another form. The first name of each is taken."""
    rows = [line.split("\t") for line in read_text(path).splitlines() if line.strip()]
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not {"idx", "name"} <= set(head) or any(len(row) < len(head) for row in rows):
        return None
    index, name = head.index("idx"), head.index("name")
    names = [row[name].partition(",")[0].strip() for row in rows[1:]]
    if [row[index].strip() for row in rows[1:]] != [str(k) for k in range(1, len(rows))] or not all(names):
        return None
    check_colors(path, names, [None] * len(names))
    return checked(path, ClassList(tuple(names), ignore=0))


def _rows(path: Path) -> Iterator[list[str]]:
    for row in csv.reader(read_text(path).splitlines()):
        if any(cell.strip() for cell in row):
            yield [cell.strip() for cell in row]
