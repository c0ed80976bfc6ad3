"""YOLO's segments (Ultralytics): a text file an image, a line an object: `class x1 y1 x2 y2 x3 y3 ...`.

x and y are shares of the image's width and height. A corner belongs to the pixel that it lies in, and the drawn line
belongs to the object, as where Ultralytics fills its polygons. Class 0 is "background", every pixel without an object;
YOLO's classes follow. Where objects overlap, the smaller lies on top. An image without a text file, or with an empty
one, is all background.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from foveate.datasets.class_files import find_classes
from foveate.datasets.classes import CLASSES_FILE, Color, read_classes
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, Scan, raise_problems, require_folder
from foveate.datasets.folders import find_parts, holds_pictures, split_lists, stray_lists
from foveate.datasets.names import NameIndex, in_any_case, stem_of
from foveate.datasets.objects import Objects, ObjectSource, divide
from foveate.datasets.spelling import spelling_note
from foveate.datasets.splits import list_lines, ordered, split_by_lists
from foveate.datasets.text_files import read_text
from foveate.datasets.yolo_layout import Layout, Part, find_layout, layout_parts, read_settings
from foveate.errors import DataError, counted, first_names
from foveate.labels.outlines import fill_centres
from foveate.pictures import list_pictures
from foveate.records import ClassTable, Problem
from foveate.records.base import unused_label
from foveate.registry import dataset

BACKGROUND = "background"
_LOOKED_AT = 50  # text files of a folder that are looked into
_BOX = 5  # numbers in a line of a box


@dataclass(frozen=True)
class Segments:
    """The polygons of one image, in shares of its width and height. labels: YOLO's classes, from 0."""

    drawn_upright: ClassVar[bool] = False  # the format does not say it
    size: ClassVar[None] = None

    file: Path
    labels: tuple[int, ...] = ()
    polygons: tuple[np.ndarray, ...] = ()  # each (P, 2) float64


@dataclass(frozen=True)
class YOLOLabels:
    """Paints polygons, by class or by object."""

    classes: ClassTable

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices; the smaller object lies on top."""
        found = self.objects(pair, height, width)
        label = np.zeros((height, width), np.uint8 if self.classes.ignore_index <= 255 else np.int32)
        for k in np.argsort([-int(mask.sum()) for mask in found.masks], kind="stable"):
            label[found.masks[k]] = found.labels[k]
        return label

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """Each object with all of its pixels, also where another covers it."""
        segments: Segments = pair.label
        masks = []
        for polygon in segments.polygons:
            inside = np.floor(polygon * (width, height)).clip(0, (width - 1, height - 1))
            masks.append(fill_centres([[(x, y) for x, y in inside.tolist()]], height, width))
        return Objects(
            np.stack(masks) if masks else np.zeros((0, height, width), bool),
            [label + 1 for label in segments.labels],
        )


@dataset("yolo")
@dataclass(frozen=True)
class YOLO(ObjectSource):
    """YOLO segments: DATA/images/SPLIT beside DATA/labels/SPLIT, or DATA/SPLIT/{images,labels} (Roboflow).

    Each text file has a line an object, `class x1 y1 x2 y2 x3 y3 ...` in shares of width and height. Names come from
    `names` of data.yaml, else from a `classes.txt` or another tool's list. Boxes, lines of five numbers, and poses
    are refused. Splits are the folders or lists that data.yaml names, folders called after splits, or lists train.txt
    and val.txt; without these a split is drawn.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if text files of polygons lie where masks would, and no masks are there.

        Of files without a line, as of pictures without an object, a `data.yaml` with names decides.
        """
        if any(holds_pictures(part.labels) for part in find_parts(path).values()):
            return False
        parts = layout_parts(path)
        if any(_line_length(part.labels) > _BOX for part in parts.values()):
            return True
        return any(_are_empty(part.labels) for part in parts.values()) and _has_names(path)

    @staticmethod
    def near_miss(path: Path) -> str:
        """YOLO's boxes."""
        parts = layout_parts(path)
        if any(_line_length(part.labels) == _BOX for part in parts.values()):
            return "holds YOLO's boxes (five numbers a line), which have no outlines; draw polygons and export segments"
        return ""

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        return (
            f"YOLO segments: {scan.counts()}, {counted(len(scan.classes), 'class')} (0 is background; smaller objects "
            f"over larger), ignore {scan.classes.ignore_index}"
        )

    def read(self) -> Scan:
        """Read every text file. Raises DataError."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        notes: list[str] = []
        settings = read_settings(root)
        layout = find_layout(root, settings, problems, notes)
        splits = _divided(root, layout, problems, notes)
        if not any(splits.values()):
            raise_problems(problems)
            raise DataError(f"{root}: no pictures in folders images beside labels; expected YOLO's layout")
        notes += settings.notes
        used = {label for pairs in splits.values() for pair in pairs for label in pair.label.labels}
        classes = _classes(root, settings.names, used)
        notes += spelling_note(classes.names)
        empty = [pair.picture.name for pairs in splits.values() for pair in pairs if not pair.label.labels]
        if empty:
            shown = first_names(empty)
            notes.append(f"{counted(len(empty), 'picture')} without a line of text, and so all background ({shown})")
        drawn = Drawn()
        undivided = splits.pop("", []) or (splits.get("train", []) if not splits.get("val") else [])
        if undivided:
            divided, drawn = divide(root, undivided, problems, self.seed)
            splits |= divided
        return Scan(ordered(splits), classes, YOLOLabels(classes), problems, drawn=drawn, notes=notes)


def _line_length(folder: Path) -> int:
    """Numbers in the longest first line of some text files of a folder, if all are YOLO's; 0 otherwise."""
    longest = 0
    for file in sorted(folder.glob("*.txt"))[:_LOOKED_AT]:
        try:
            line = next((line for line in read_text(file).splitlines() if line.strip()), "")
            values = [float(word) for word in line.split()]
        except (DataError, ValueError):
            return 0
        if values and (len(values) < _BOX or values[0] != int(values[0])):
            return 0
        longest = max(longest, len(values))
    return longest


def _are_empty(folder: Path) -> bool:
    """True if there are text files in a folder, and those that are looked at have no content."""
    files = sorted(folder.glob("*.txt"))[:_LOOKED_AT]
    return bool(files) and not any(file.stat().st_size for file in files)


def _has_names(root: Path) -> bool:
    try:
        return bool(read_settings(root).names)
    except DataError:
        return False


def _divided(root: Path, layout: Layout, problems: list[Problem], notes: list[str]) -> dict[str, list[Pair]]:
    """Split ('' for undivided) -> its images, by the lists or folders. Texts that cannot be read become problems."""
    unread: list[Problem] = []
    pairs = {split: [p for one in part.folders() for p in _pairs(one, unread)] for split, part in layout.parts.items()}
    every = [pair for found in pairs.values() for pair in found]
    lists, named = layout.lists, split_lists(root, [] if layout.lists else problems)
    if not lists and "" in pairs:
        lists = named
    notes += _unread_lists(named, lists, pairs)
    if lists:
        notes += stray_lists(root, {**named, **lists}, every)
        # A problem is of the text; the lists name the image.
        images = {problem.file.with_suffix(".png"): problem for problem in unread}
        listed = [Problem(image, "") for image in images]
        chosen = split_by_lists(every, lists, listed)
        unread = [images.get(problem.file, problem) for problem in listed]
        pairs = {split: found for split, found in pairs.items() if split and split not in lists} | chosen
        read = {pair.picture for found in pairs.values() for pair in found}
        if left_out := [pair.picture.name for pair in every if pair.picture not in read]:
            shown = first_names(left_out)
            notes.append(f"{counted(len(left_out), 'picture')} in no list and left out ({shown})")
    problems += unread
    return pairs


def _unread_lists(named: dict[str, Path], lists: dict[str, Path], pairs: dict[str, list[Pair]]) -> list[str]:
    """A note for each list beside folders of splits that has other images than the folder of its split."""
    index = NameIndex(pair.picture for found in pairs.values() for pair in found)
    notes = []
    for split, path in named.items():
        if path in lists.values():
            continue
        with contextlib.suppress(DataError):
            listed = {picture for line in list_lines(path) for picture in index.find_line(line)[1]}
            if listed and listed != {pair.picture for pair in pairs.get(split, [])}:
                notes.append(f"{path.name} is not read, since folders divide the pictures; name it in data.yaml")
    return notes


def _pairs(part: Part, problems: list[Problem]) -> list[Pair]:
    """The images of a folder with their polygons; lines that cannot be read become problems."""
    files = {stem_of(file.with_suffix(".png").name): file for file in sorted(part.labels.glob("*.txt"))}
    pairs = []
    for picture in list_pictures(part.images):
        file = files.pop(stem_of(picture.name), part.labels / f"{picture.stem}.txt")
        try:
            pairs.append(Pair(picture, read_segments(file) if file.is_file() else Segments(file)))
        except DataError as error:
            problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
    for file in files.values():
        if file.name not in ("classes.txt", "labels.txt"):
            problems.append(Problem(file, "a label without a picture"))
    return pairs


def read_segments(file: Path) -> Segments:
    """Read one text file. Raises DataError with the line."""
    labels: list[int] = []
    polygons: list[np.ndarray] = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        where = f"{file}: line {number}"
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise DataError(f"{where}: '{line:.40}'; expected a class and shares of width and height") from None
        if len(values) == _BOX:
            raise DataError(f"{where}: a box (five numbers), which has no outline; draw a polygon, or remove the line")
        if len(values) < 7 or len(values) % 2 == 0 or values[0] != int(values[0]) or values[0] < 0:
            raise DataError(f"{where}: {counted(len(values), 'number')}; expected a class and three or more x and y")
        points = np.array(values[1:]).reshape(-1, 2)
        if not all(map(math.isfinite, values)) or points.min() < -0.01 or points.max() > 1.01:
            raise DataError(f"{where}: coordinates {points.min():g} to {points.max():g}; expected shares from 0 to 1")
        labels.append(int(values[0]))
        polygons.append(points)
    return Segments(file, tuple(labels), tuple(polygons))


def _classes(root: Path, names: list[str], used: set[int]) -> ClassTable:
    """Background, and the names of data.yaml or a class list; made up where there are none. Raises DataError."""
    colors: tuple[Color, ...] = ()
    own = in_any_case(root, CLASSES_FILE)
    if names and own.is_file() and (stated := list(read_classes(own).names)) not in (names, [BACKGROUND, *names]):
        raise DataError(
            f"{own}: names {', '.join(stated[:3])}, but data.yaml {', '.join(names[:3])}; keep the one that is right"
        )
    if not names and (listed := find_classes(root)) is not None and not listed.by_color:
        if listed.values:
            raise DataError(
                f"{root / listed.file}: numbers {listed.values[0]} to {listed.values[-1]}; YOLO's begin at 0"
            )
        names, colors = list(listed.names), listed.colors
    if not names:
        names = [f"class_{k}" for k in range(max(used, default=0) + 1)]
    if used and max(used) >= len(names):
        raise DataError(f"{root}: class {max(used)} in the text files, but {counted(len(names), 'name')}; name it, too")
    if not all(name.strip() for name in names):
        raise DataError(f"{root}: class {[name.strip() for name in names].index('')} has an empty name; give it one")
    if BACKGROUND in names:
        raise DataError(f"{root}: a class is called {BACKGROUND}, which YOLO leaves unlabelled; rename it")
    table = (BACKGROUND, *names)
    black = next(c for c in ((0, 0, 0), (2, 2, 2)) if c not in colors)
    return ClassTable(table, (black, *colors) if colors else (), unused_label(len(table)))
