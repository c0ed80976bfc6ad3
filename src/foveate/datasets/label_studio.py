"""Label Studio's own JSON: a list of tasks with their annotations (labelstud.io/guide/task_format).

Polygons, rectangles, ellipses and what the brush painted become pixels. Coordinates are in percent of the image's width
and height; a rectangle is turned clockwise about its top left corner, an ellipse about its centre. A later region lies
on top. Each region is an object. Class 0 is "background", every pixel without a region; the label `__ignore__` is not
scored. Predictions of a model are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from foveate.datasets.brush import stroke_runs
from foveate.datasets.coco_files import Finder
from foveate.datasets.contents import is_brush_mask
from foveate.datasets.files import Pair, Scan, raise_problems, require_folder
from foveate.datasets.objects import ObjectSource, divide
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
from foveate.datasets.splits import ordered
from foveate.datasets.text_files import read_json
from foveate.disk import is_hidden
from foveate.errors import DataError, counted, first_names
from foveate.pictures import PICTURE_SUFFIXES, list_pictures, picture_size
from foveate.records import ClassTable, Problem
from foveate.records.base import unused_label
from foveate.registry import dataset

_HEAD = 1 << 20  # bytes by which a file is known
_TASKS = re.compile(
    r'"(annotations|completions)"\s*:\s*\[[\s\S]*("(polygon|rectangle|ellipse|brush)(labels)?"|"format"\s*:\s*"rle")'
)
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?P<name>.+)")  # what Label Studio puts before the name of an uploaded file
_NO_AREA = ("keypoint", "vector")
_GEOMETRY = ("points", "width", "radiusX", "rle")  # keys of which a region has one


@dataset("label_studio")
@dataclass(frozen=True)
class LabelStudio(ObjectSource):
    """Label Studio's JSON: *.json with tasks, and the images in `images/` or anywhere below the folder.

    Images are found by name, with or without the eight signs that Label Studio puts before the names of uploads. Of
    several annotations of a task, the one that is marked as ground truth is read. Tasks without an annotation, skipped
    ones and images without a task are left out. Classes are the labels found, in alphabetical order, after
    "background".

    path: the folder that holds the JSON files.
    seed: of the drawn split; any integer.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if a JSON file has tasks with regions that have outlines."""
        return bool(_task_files(path))

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        return (
            f"Label Studio JSON: {scan.counts()}, {counted(len(scan.classes), 'class')} (0 is background), "
            f"ignore {scan.classes.ignore_index} ({IGNORE_LABEL})"
        )

    def read(self) -> Scan:
        """Read the tasks and find their images. Raises DataError."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        pairs: dict[Path, Pair] = {}
        predicted: list[str] = []  # tasks without an annotation
        for file in _task_files(root):
            for pair in _pairs(root, file, problems, predicted):
                if pair.picture in pairs:
                    what = f"'{pair.picture.name}' is the picture of two tasks; keep one"
                    problems.append(Problem(file, what))
                pairs.setdefault(pair.picture, pair)
        if not pairs:
            raise_problems(problems)
            made = _of_models(predicted)
            raise DataError(f"{root}: no annotated task{made}; label some, and export them as JSON again")
        names = sorted({shape.label for pair in pairs.values() for shape in pair.label.shapes})
        table = (BACKGROUND, *(name for name in names if name not in (BACKGROUND, IGNORE_LABEL)))
        if len(table) < 2:
            raise_problems(problems)
            raise DataError(f"{root}: no region with a label; label some, and export them as JSON again")
        classes = ClassTable(table, (), unused_label(len(table)))
        pictures = [p for folder in sorted({p.parent for p in pairs}) for p in list_pictures(folder)]
        left_out = [p for p in pictures if p not in pairs and not is_brush_mask(p)]
        notes = spelling_note(table)
        if predicted:
            notes.append(f"left out{_of_models(predicted)}; accept these there, and export again")
        if empty := sorted(p.name for p, pair in pairs.items() if not pair.label.shapes):
            notes.append(
                f"{counted(len(empty), 'picture')} without a region, and so all background ({first_names(empty)})"
            )
        splits, drawn = divide(root, list(pairs.values()), problems, self.seed, left_out)
        reader = ShapeLabels(classes)
        return Scan(ordered(splits), classes, reader, problems, drawn=drawn, left_out=left_out, notes=notes)


def _task_files(root: Path) -> list[Path]:
    """The JSON files of a folder that hold tasks with outlines."""
    files = sorted(root.glob("*.json")) if root.is_dir() else []
    return [file for file in files if not is_hidden(file.name) and file.is_file() and _holds_tasks(file)]


def _holds_tasks(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(_HEAD)
        head = start.decode("utf-8", errors="replace")
        if not head.lstrip("\ufeff \t\r\n").startswith("[") or _TASKS.search(head) is None:
            return False
        while start and b'"data"' not in start:  # which stands behind the annotations, and so behind long strokes
            start = (start[-8:] + more) if (more := stream.read(_HEAD)) else b""
        return bool(start)


def _of_models(predicted: list[str]) -> str:
    """The clause on tasks that a model alone has labelled; '' without any."""
    if not predicted:
        return ""
    has = "has" if len(predicted) == 1 else "have"
    return f": {counted(len(predicted), 'task')} ({first_names(predicted)}) {has} predictions of a model alone"


def _pairs(root: Path, file: Path, problems: list[Problem], predicted: list[str]) -> Iterator[Pair]:
    """The images of the annotated tasks of a file, with their regions; fills the lists. Raises DataError."""
    tasks = [task for task in read_json(file) if isinstance(task, dict)]
    named = [(task, _image_name(task)) for task in tasks]
    finder = Finder(root, file, "", [name for _, name in named if name])
    for task, name in named:
        where = f"task {task.get('id', 'without id')}"
        made = [one for one in task.get("annotations") or task.get("completions") or () if not _is_skipped(one)]
        true = [one for one in made if one.get("ground_truth")]
        chosen = true if len(true) == 1 else made
        if not chosen:
            if task.get("predictions") and not (task.get("annotations") or task.get("completions")):
                predicted.append(str(task.get("id")))
            continue
        if len(chosen) > 1:
            what = f"{where} has {counted(len(chosen), 'annotation')}, as by several people; mark one as ground truth"
            problems.append(Problem(file, what))
            continue
        picture, complaint = finder.find(name)
        if picture is None and (match := _UPLOADED.fullmatch(PurePosixPath(name).name)):
            picture, _ = finder.find(match["name"])
        if picture is None:
            what = complaint if name else "names no picture in its data"
            problems.append(Problem(file, f"{where}, '{name}': {what}"))
            continue
        try:
            yield Pair(picture, _annotation(file, picture, chosen[0].get("result") or []))
        except DataError as error:
            problems.append(Problem(file, f"{where}, {error}"))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(Problem(file, f"{where}: ill-formed region ({error}); export the project again"))


def _is_skipped(annotation: Any) -> bool:
    return not isinstance(annotation, dict) or bool(annotation.get("was_cancelled") or annotation.get("skipped"))


def _image_name(task: dict[str, Any]) -> str:
    """The name of a task's image below the folder; '' if its data name none."""
    data = task.get("data")
    for value in data.values() if isinstance(data, dict) else ():
        if not isinstance(value, str):
            continue
        _, local, inside = value.partition("?d=")  # of /data/local-files/
        name = inside if local else value.partition("?")[0]
        if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
            return name if local else PurePosixPath(name).name
    return ""


def _annotation(file: Path, picture: Path, regions: list[dict[str, Any]]) -> Annotation:
    """The regions of an image. Raises DataError, and KeyError, TypeError or ValueError for ill-formed ones."""
    labelled = {region.get("id") for region in regions if _labels(region)}
    height, width = picture_size(picture)
    shapes = []
    for number, region in enumerate(regions, 1):
        kind, value = str(region.get("type", "")), region.get("value") or {}
        where = f"region {number} ({kind})"
        if kind.startswith(_NO_AREA):
            raise DataError(f"{where} has no area; draw a polygon, or remove it")
        if not any(key in value for key in _GEOMETRY):
            if kind.startswith(("brush", "bitmask")):
                raise DataError(f"{where} has no run lengths ('rle'), which alone are read of painted regions")
            continue  # a choice or a text about the image, or a relation
        if not (labels := _labels(region)):
            if region.get("id") in labelled:  # a region without its label, which another entry repeats with it
                continue
            raise DataError(f"{where} has no label; give it one, or remove it")
        if len(labels) > 1:
            raise DataError(f"{where} has {counted(len(labels), 'label')}, {' and '.join(labels[:2])}; give it one")
        if region.get("image_rotation"):
            raise DataError(
                f"{where} was drawn on a picture turned by {region['image_rotation']} degrees; turn the file"
            )
        size = int(region.get("original_height", height)), int(region.get("original_width", width))
        if size != (height, width):
            raise DataError(
                f"{where} was drawn on a picture of {size[1]}x{size[0]}, but {picture.name} is {width}x{height}; they "
                "must be of one size"
            )
        shapes.append(Shape(labels[0], _area(value, where, height, width)))
    return Annotation(file, (height, width), tuple(shapes))


def _area(value: dict[str, Any], where: str, height: int, width: int) -> Polygon | Runs:
    """The area of a region. Raises DataError, and KeyError, TypeError or ValueError for an ill-formed one."""
    if "rle" in value:
        packed = value["rle"]
        if not isinstance(packed, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in packed):
            raise DataError(f"{where}: 'rle' is no list of bytes, 0 to 255; export the project as JSON again")
        try:
            return Runs(stroke_runs(bytes(packed), height, width), (0, 0, width, height))
        except ValueError as error:
            raise DataError(f"{where}: {error}; export the project as JSON again") from error
    corners = _corners(value, width, height)
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise DataError(f"{where} has {counted(len(corners), 'point')}; expected three or more")
    return Polygon(corners)


def _labels(region: dict[str, Any]) -> list[str]:
    """The labels of a region, which stand under the name of its type."""
    value = region.get("value") or {}
    found = value.get(region.get("type")) or value.get("labels") or []
    return [str(name).strip() for name in found if str(name).strip()] if isinstance(found, list) else []


def _corners(value: dict[str, Any], width: int, height: int) -> np.ndarray:
    """The corners (P, 2) of a region in pixels."""
    scale = np.array([width, height]) / 100
    if "points" in value:
        return np.array(value["points"], float).reshape(-1, 2) * scale
    middle = np.array([value["x"], value["y"]], float) * scale
    if "radiusX" in value:
        apart = ellipse(*(np.array([value["radiusX"], value["radiusY"]], float) * scale))
    else:
        wide, high = np.array([value["width"], value["height"]], float) * scale
        apart = np.array([[0, 0], [wide, 0], [wide, high], [0, high]])
    return turned(apart, float(value.get("rotation") or 0)) + middle
