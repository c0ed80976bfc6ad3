"""CVAT's own XML ("CVAT for images 1.1"): an `annotations.xml` with the shapes of all images, or several such files.

Polygons, boxes, ellipses and masks become pixels; polygons by COCO's routine, which CVAT's exports use. Shapes of one
label and one `group_id` are one object. A shape of a higher `z_order` lies on top, of equal ones the later. Class 0 is
"background", every pixel without a shape; the label `__ignore__` is not scored. Lines, points, cuboids and skeletons
have no area: they are refused by name. Tracks ("CVAT for video") are another format.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from foveate.datasets.coco_files import Finder
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, Scan, raise_problems, require_folder
from foveate.datasets.names import normal
from foveate.datasets.objects import Objects, ObjectSource, divide
from foveate.datasets.outlines import is_flat, require_pixels
from foveate.datasets.spelling import spelling_note
from foveate.datasets.splits import SPLIT_ORDER, ordered, split_called
from foveate.disk import is_hidden
from foveate.errors import DataError, counted, first_names
from foveate.labels.outlines import fill_edges
from foveate.pictures import list_pictures
from foveate.records import ClassTable, Problem
from foveate.records.base import unused_label
from foveate.registry import dataset

BACKGROUND, IGNORE_LABEL = "background", "__ignore__"
_HEAD = 1 << 16  # bytes of a file that are read at once to recognise it
_ELEMENT = re.compile(rb"<(image|track)\s")
_CORNERS = 64  # of the polygon that stands for an ellipse
_AREAS = ("polygon", "box", "ellipse", "mask")
_OTHERS = ("polyline", "points", "cuboid", "skeleton")


@dataclass(frozen=True)
class Shape:
    """One shape of an image.

    polygon: (P, 2) float64 along the edges of pixels; None for a mask. runs: lengths of its runs, row by row, zeros
    first. box: left, top, width and height of a mask.
    """

    label: str
    group: int
    z_order: int
    polygon: np.ndarray | None = None
    runs: tuple[int, ...] = ()
    box: tuple[int, int, int, int] = (0, 0, 0, 0)

    def mask(self, height: int, width: int) -> np.ndarray:
        """(height, width) bool. Raises ValueError for runs that do not fit."""
        if self.polygon is not None:
            return fill_edges([[(x, y) for x, y in self.polygon.tolist()]], height, width)
        left, top, wide, high = self.box
        if sum(self.runs) != wide * high or left < 0 or top < 0 or left + wide > width or top + high > height:
            raise ValueError(f"a mask of {sum(self.runs)} pixels in a box of {wide}x{high} at ({left}, {top})")
        values = np.arange(len(self.runs)) % 2 == 1
        found = np.zeros((height, width), bool)
        found[top : top + high, left : left + wide] = np.repeat(values, self.runs).reshape(high, wide)
        return found


@dataclass(frozen=True)
class Annotation:
    """The shapes of one image, bottom first. size: (height, width)."""

    file: Path
    size: tuple[int, int]
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class CVATLabels:
    """Paints shapes, by class or by object."""

    classes: ClassTable

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices, the ignore value under `__ignore__`. Raises DataError."""
        label = np.zeros((height, width), np.uint8 if self.classes.ignore_index <= 255 else np.int32)
        for shape, mask in self._masks(pair, height, width):
            label[mask] = self._value(shape.label)
        return label

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """Each object with all of its pixels, also where another covers it. Raises DataError."""
        masks: dict[tuple[str, int, int], np.ndarray] = {}
        unscored = np.zeros((height, width), bool)
        for place, (shape, mask) in enumerate(self._masks(pair, height, width)):
            if shape.label == IGNORE_LABEL:
                unscored |= mask
            elif shape.label != BACKGROUND:
                key = (shape.label, shape.group, 0) if shape.group else (shape.label, 0, place + 1)
                masks[key] = masks[key] | mask if key in masks else mask
        covered = np.any(list(masks.values()), axis=0) if masks else np.zeros((height, width), bool)
        return Objects(
            np.stack(list(masks.values())) if masks else np.zeros((0, height, width), bool),
            [self._value(label) for label, _, _ in masks],
            unscored=unscored & ~covered,
        )

    def _value(self, label: str) -> int:
        return self.classes.ignore_index if label == IGNORE_LABEL else self.classes.names.index(label)

    def _masks(self, pair: Pair, height: int, width: int) -> Iterator[tuple[Shape, np.ndarray]]:
        annotation: Annotation = pair.label
        if annotation.size != (height, width):
            raise DataError(
                f"{pair.picture}: the picture is {width}x{height}, but {annotation.file} says "
                f"{annotation.size[1]}x{annotation.size[0]}; they must be of one size"
            )
        for number, shape in enumerate(annotation.shapes, 1):
            try:
                yield shape, shape.mask(height, width)
            except ValueError as error:
                where = f"{annotation.file}: {pair.picture.name}, shape {number} ('{shape.label}')"
                raise DataError(f"{where}: {error} of a picture of {width}x{height}; they must fit") from error


@dataset("cvat")
@dataclass(frozen=True)
class CVAT(ObjectSource):
    """CVAT for images 1.1: `annotations.xml` with the images in `images/` or anywhere below the folder.

    All XML files of the folder are read, each with images of its own. An image's `subset` is its split, or else the
    one that the file is called after (`annotations_train.xml`); without any a split is drawn. Images that no file lists
    are left out; listed ones without a shape are all background. The classes are the labels of the files, in their
    order, after "background". `__ignore__` is not scored.

    path: the folder that holds the XML files.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if an XML file of CVAT's images is there."""
        return bool(annotation_files(path))

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        return (
            f"CVAT for images: {scan.counts()}, {counted(len(scan.classes), 'class')} (0 is background), "
            f"ignore {scan.classes.ignore_index} ({IGNORE_LABEL})"
        )

    def read(self) -> Scan:
        """Read the files and find their images. Raises DataError."""
        root = require_folder(self.path)
        files = annotation_files(root)
        if not files:
            raise DataError(f"{root}: no XML file of CVAT for images; export 'CVAT for images 1.1'")
        problems: list[Problem] = []
        trees = {file: _tree(file) for file in files}
        pairs = {file: _pairs(root, file, tree, problems) for file, tree in trees.items()}
        splits = _once(pairs, problems)
        if not any(splits.values()):
            raise_problems(problems)
            raise DataError(f"{files[0]}: no image; expected <image> with shapes")
        classes = _classes(trees, splits)
        notes = [*_notes(root, trees), *_shape_notes([pair for found in splits.values() for pair in found])]
        notes += spelling_note(classes.names)
        if "" in splits and len(splits) > 1:
            notes.append(f"{counted(len(splits['']), 'image')} in no subset called train, val or test, and left out")
            del splits[""]
        read = {pair.picture for found in pairs.values() for _, pair in found}
        listed = {
            normal(PureWindowsPath(node.get("name", "")).name) for tree in trees.values() for node in tree.iter("image")
        }
        pictures = [p for folder in sorted({p.parent for p in read}) for p in list_pictures(folder)]
        left_out = [p for p in pictures if p not in read and normal(p.name) not in listed]
        drawn = Drawn()
        undivided = splits.pop("", []) or (splits.get("train", []) if not splits.get("val") else [])
        if undivided:
            divided, drawn = divide(root, undivided, problems, self.seed, left_out)
            splits |= divided
        return Scan(
            ordered(splits), classes, CVATLabels(classes), problems, drawn=drawn, left_out=left_out, notes=notes
        )


def annotation_files(root: Path) -> list[Path]:
    """The XML files of a folder that are CVAT's of images."""
    return [file for file in _xml_files(root) if _first_element(file) == "image"]


def _xml_files(root: Path) -> list[Path]:
    return sorted(p for p in root.glob("*.xml") if not is_hidden(p.name) and p.is_file()) if root.is_dir() else []


def _pairs(root: Path, file: Path, tree: ElementTree.Element, problems: list[Problem]) -> list[tuple[str, Pair]]:
    """(split or '', image with its shapes) of each image of a file that can be used. Raises DataError for tracks."""
    if tree.find("track") is not None:
        raise DataError(f"{file}: holds tracks (CVAT for video); export 'CVAT for images 1.1' instead")
    nodes = tree.findall("image")
    finder = Finder(root, file, "", [node.get("name", "") for node in nodes])
    called = split_called(file.stem.lower().removeprefix("annotations").strip("_- ."))
    found = []
    for node in nodes:
        name = node.get("name", "")
        picture, complaint = finder.find(name)
        if picture is None:
            problems.append(Problem(finder.folder / name, complaint))
            continue
        try:
            annotation = _annotation(file, node)
        except (DataError, ValueError) as error:
            problems.append(Problem(file, f"image '{name}': {error}"))
            continue
        split = split_called(node.get("subset") or called)
        found.append((split if split in SPLIT_ORDER else "", Pair(picture, annotation)))
    return found


def _once(pairs: dict[Path, list[tuple[str, Pair]]], problems: list[Problem]) -> dict[str, list[Pair]]:
    """Split -> its images; one that is listed before is left out, and a problem."""
    first: dict[Path, Path] = {}
    splits: dict[str, list[Pair]] = {}
    for file, found in pairs.items():
        for split, pair in found:
            if pair.picture in first:
                owner = first[pair.picture]
                where = "the file lists it twice" if owner == file else f"{owner.name} lists it, too"
                problems.append(Problem(file, f"image '{pair.picture.name}': {where}; keep one"))
            else:
                first[pair.picture] = file
                splits.setdefault(split, []).append(pair)
    return splits


def _notes(root: Path, trees: dict[Path, ElementTree.Element]) -> list[str]:
    """Notes on what files hold that is not read: tags of whole images, and tracks."""
    notes = []
    for file in _xml_files(root):
        tags = sum(len(node.findall("tag")) for node in trees[file].findall("image")) if file in trees else 0
        if tags:
            notes.append(f"{counted(tags, 'tag')} of whole images in {file.name}, which are not read")
        if file not in trees and _first_element(file) == "track":
            notes.append(f"{file.name} holds tracks (CVAT for video) and is not read")
    return notes


def _shape_notes(pairs: list[Pair]) -> list[str]:
    """Notes on images without a shape, and on shapes that enclose nothing."""
    empty = sorted(pair.picture.name for pair in pairs if not pair.label.shapes)
    flat = [
        pair.picture.name
        for pair in pairs
        for shape in pair.label.shapes
        if shape.polygon is not None and is_flat(shape.polygon)
    ]
    notes = []
    if empty:
        notes.append(f"{counted(len(empty), 'picture')} without a shape, and so all background ({first_names(empty)})")
    if flat:
        words = "lies on a line or point and so has" if len(flat) == 1 else "lie on a line or point and so have"
        notes.append(f"{counted(len(flat), 'shape')} {words} no pixel ({first_names(flat)}); draw again, or remove")
    return notes


def _first_element(file: Path) -> str:
    """'image' or 'track', whichever comes first in CVAT's XML; '' for another file."""
    with file.open("rb") as stream:
        content = stream.read(_HEAD)
        if b"<annotations>" not in content:
            return ""
        while (match := _ELEMENT.search(content)) is None:
            more = stream.read(_HEAD)
            if not more:
                return ""
            content = content[-16:] + more
    return match[1].decode()


def _tree(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DataError(f"{file}: malformed XML at line {line}, column {column + 1}; export it again") from error


def _annotation(file: Path, node: ElementTree.Element) -> Annotation:
    """The shapes of one image. Raises DataError, ValueError for numbers that are none."""
    size = (int(node.get("height", "")), int(node.get("width", "")))
    shapes = []
    for number, child in enumerate(node, 1):
        where, label = f"shape {number} ('{child.get('label', '')}')", child.get("label", "")
        if child.tag in _OTHERS:
            raise DataError(f"{where} is a {child.tag}, which has no area; draw a polygon or a mask, or remove it")
        if child.tag not in _AREAS:
            continue
        if not label.strip():
            raise DataError(f"{where} has no label; export the file again")
        group, order = int(child.get("group_id") or 0), int(child.get("z_order") or 0)
        if child.tag == "mask":
            runs = tuple(int(word) for word in child.get("rle", "").split(","))
            left, top, width, height = (int(float(child.get(key, ""))) for key in ("left", "top", "width", "height"))
            shapes.append(Shape(label, group, order, None, runs, (left, top, width, height)))
            continue
        points = _points(child)
        if len(points) < 3 or not np.isfinite(points).all():
            raise DataError(f"{where} has {counted(len(points), 'point')}; expected three or more")
        if abs(points - np.array(size[::-1]) / 2).max() > 2 * max(size):
            raise DataError(f"{where} runs far outside the picture of {size[1]}x{size[0]}")
        require_pixels(points, *size, where)
        shapes.append(Shape(label, group, order, points))
    return Annotation(file, size, tuple(sorted(shapes, key=lambda shape: shape.z_order)))  # stable


def _points(node: ElementTree.Element) -> np.ndarray:
    """The corners (P, 2) of a polygon, of a box or of an ellipse, turned as its `rotation` says."""
    if node.tag == "polygon":
        return np.array([[float(v) for v in point.split(",")] for point in node.get("points", "").split(";")])
    if node.tag == "box":
        left, top, right, bottom = (float(node.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr"))
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    else:
        x, y, rx, ry = (float(node.get(key, "")) for key in ("cx", "cy", "rx", "ry"))
        angles = np.arange(_CORNERS) * 2 * math.pi / _CORNERS
        corners = np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)
    turn = math.radians(float(node.get("rotation") or 0))
    middle = corners.mean(0)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return np.asarray((corners - middle) @ rotation + middle)


def _classes(trees: dict[Path, ElementTree.Element], splits: dict[str, list[Pair]]) -> ClassTable:
    """Background and the labels of the files, in their order, with their colours if all have one. Raises DataError."""
    names: list[str] = []
    colors: list[str] = []
    for node in (label for tree in trees.values() for label in tree.iter("label")):
        name = (node.findtext("name") or "").strip()
        if name and name not in (IGNORE_LABEL, BACKGROUND) and name not in names:
            names.append(name)
            colors.append((node.findtext("color") or "").strip())
    used = {shape.label for pairs in splits.values() for pair in pairs for shape in pair.label.shapes}
    used -= {IGNORE_LABEL, BACKGROUND}
    if not names:
        names = sorted(used)
    for pair in (pair for pairs in splits.values() for pair in pairs):
        for shape in pair.label.shapes:
            if shape.label in used and shape.label not in names:
                raise DataError(
                    f"{pair.label.file}: label '{shape.label}' is not among the file's labels; export it again"
                )
    rgb = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in colors if len(c) == 7 and c[0] == "#"]
    whole = len(rgb) == len(names) and len(set(rgb)) == len(rgb)
    black = next(c for c in ((0, 0, 0), (2, 2, 2)) if c not in rgb)
    table = (BACKGROUND, *names)
    return ClassTable(table, (black, *rgb) if whole else (), unused_label(len(table)))  # type: ignore[arg-type]
