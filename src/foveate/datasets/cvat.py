"""CVAT's own XML ("CVAT for images 1.1"): an `annotations.xml` with the shapes of all images, or several such files.

Polygons, boxes, ellipses and masks become pixels; polygons by COCO's routine, which CVAT's exports use. Shapes of one
label and one `group_id` are one object. A shape of a higher `z_order` lies on top, of equal ones the later. Class 0 is
"background", every pixel without a shape; the label `__ignore__` is not scored. Lines, points, cuboids and skeletons
have no area: they are refused by name. Tracks ("CVAT for video") are another format.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from foveate.datasets.coco_files import Finder
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, Scan, raise_problems, require_folder
from foveate.datasets.names import normal
from foveate.datasets.objects import ObjectSource, divide
from foveate.datasets.outlines import is_flat, require_pixels
from foveate.datasets.shapes import (
    BACKGROUND,
    IGNORE_LABEL,
    Annotation,
    Polygon,
    Runs,
    Shape,
    ShapeLabels,
    ellipse,
    turned,
)
from foveate.datasets.spelling import spelling_note
from foveate.datasets.splits import SPLIT_ORDER, ordered, split_called
from foveate.disk import is_hidden
from foveate.errors import DataError, counted, first_names
from foveate.pictures import list_pictures
from foveate.records import ClassTable, Problem
from foveate.records.base import unused_label
from foveate.registry import dataset

_HEAD = 1 << 16  # bytes of a file that are read at once to recognise it
_ELEMENT = re.compile(rb"<(image|track)\s")
_AREAS = ("polygon", "box", "ellipse", "mask")
_OTHERS = ("polyline", "points", "cuboid", "skeleton")


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
            ordered(splits), classes, ShapeLabels(classes), problems, drawn=drawn, left_out=left_out, notes=notes
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
        except (DataError, ValueError, OverflowError) as error:
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
        if isinstance(shape.area, Polygon) and is_flat(shape.area.corners)
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
    shapes: list[tuple[int, Shape]] = []
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
            runs = np.array([int(word) for word in child.get("rle", "").split(",")], np.int64)
            left, top, width, height = (int(float(child.get(key, ""))) for key in ("left", "top", "width", "height"))
            shapes.append((order, Shape(label, Runs(runs, (left, top, width, height)), group)))
            continue
        points = _points(child)
        if len(points) < 3 or not np.isfinite(points).all():
            raise DataError(f"{where} has {counted(len(points), 'point')}; expected three or more")
        if abs(points - np.array(size[::-1]) / 2).max() > 2 * max(size):
            raise DataError(f"{where} runs far outside the picture of {size[1]}x{size[0]}")
        require_pixels(points, *size, where)
        shapes.append((order, Shape(label, Polygon(points), group)))
    return Annotation(file, size, tuple(shape for _, shape in sorted(shapes, key=lambda one: one[0])))  # stable


def _points(node: ElementTree.Element) -> np.ndarray:
    """The corners (P, 2) of a polygon, of a box or of an ellipse, turned as its `rotation` says."""
    if node.tag == "polygon":
        return np.array([[float(v) for v in point.split(",")] for point in node.get("points", "").split(";")])
    if node.tag == "box":
        left, top, right, bottom = (float(node.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr"))
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    else:
        x, y, rx, ry = (float(node.get(key, "")) for key in ("cx", "cy", "rx", "ry"))
        corners = ellipse(rx, ry) + np.array([x, y])
    middle = corners.mean(0)
    return turned(corners - middle, float(node.get("rotation") or 0)) + middle


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
