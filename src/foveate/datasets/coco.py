"""COCO instances (polygons and run lengths) as semantic labels.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; the format of cocodataset.org/#format-data. Masks
are rasterised by the field's own mask API, so an object has the pixels that COCO's evaluation gives it.

Class 0 is "background", every pixel without an object. The categories follow in the order of their ids, without the
gaps that COCO's ids have (1..90 -> 1..80). Where objects overlap the smaller one is on top, since a small object on
a large one (a ball on a dog) would vanish otherwise; of equal ones, the later in the file. Crowd regions are the
ignore value, beneath all objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as mask_api

from foveate.datasets.files import Pair, Scan, raise_problems, read_json, require_folder
from foveate.datasets.objects import Objects, ObjectSource, divide
from foveate.datasets.splits import SPLIT_NAMES, ordered
from foveate.errors import ConfigError, DataError, unknown
from foveate.pictures import list_pictures
from foveate.records import ClassTable, Problem
from foveate.registry import dataset

BACKGROUND = "background"
_FILE = re.compile(r"instances_(?P<split>.+?)(?P<year>\d{4})?\.json")


@dataset("coco")
@dataclass(frozen=True)
class COCO(ObjectSource):
    """COCO instances: `instances_<split><year>.json`, in the folder or in `annotations/`, one file a split.

    Images lie in `images/<split><year>`, `<split><year>`, `images/<split>`, `<split>`, `images` or the folder. Of a
    single file a split is drawn. Images that no file lists are left out; listed ones without objects are all
    background.

    path: the folder.
    year: '2014' or another, if there are several; '' is the latest.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    year: str = ""
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there are files called instances_*.json."""
        return bool(instance_files(path))

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        labels: COCOLabels = scan.read_label  # type: ignore[assignment]
        left_out = f"; {labels.unlisted} pictures are in no file and left out" if labels.unlisted else ""
        return (
            f"COCO instances ({', '.join(labels.files)}): {scan.counts()}{left_out}, {len(scan.classes)} classes (0 is "
            f"background, then the categories by id; smaller objects over larger), "
            f"ignore {scan.classes.ignore_index} (crowds)"
        )

    def read(self) -> Scan:
        """Read the files and find their images. Raises DataError, and ConfigError for a year that is not there."""
        root = require_folder(self.path)
        files = self._files_of_year(root)
        problems: list[Problem] = []
        contents = {split: _Content(file, problems) for split, file in files.items()}
        classes = _classes(list(contents.values()))
        folders = {split: _picture_folder(root, split, content) for split, content in contents.items()}
        splits = {s: list(content.pairs(folders[s], classes, problems)) for s, content in contents.items()}
        drawn = ""
        if len(splits) == 1:
            splits, drawn = divide(root, splits.popitem()[1], problems, self.seed)
        if not any(splits.values()):
            raise_problems(problems)
            raise DataError(f"{root}: no picture is listed in {', '.join(f.name for f in files.values())}")
        listed = {folders[s] / name for s, content in contents.items() for name in content.names()}
        unlisted = sum(p not in listed for folder in set(folders.values()) for p in list_pictures(folder))
        labels = COCOLabels(classes, tuple(f.name for f in files.values()), unlisted)
        return Scan(ordered(splits), classes, labels, problems, drawn=drawn)

    def _files_of_year(self, root: Path) -> dict[str, Path]:
        """Split -> file, of the wanted year."""
        by_year: dict[str, dict[str, Path]] = {}
        for file in instance_files(root):
            match = _FILE.fullmatch(file.name)
            if match is not None:
                split = match["split"].strip("_-")
                by_year.setdefault(match["year"] or "", {})[SPLIT_NAMES.get(split, split)] = file
        if not by_year:
            raise DataError(f"{root}: no file instances_*.json in it or in its folder annotations")
        if self.year and self.year not in by_year:
            raise ConfigError(f"{unknown('year', self.year, sorted(by_year))} (in {root})")
        return by_year[self.year or max(by_year)]


def instance_files(path: Path) -> list[Path]:
    """The files called instances_*.json, sorted by name."""
    return sorted(f for folder in (path, path / "annotations") for f in folder.glob("instances_?*.json"))


# Labels


@dataclass(frozen=True)
class Annotation:
    """One object or crowd.

    label: class index. parts: polygons as (P, 2) float64 x and y, or one run-length dict {size, counts}.
    """

    id: Any
    label: int
    crowd: bool
    parts: tuple[np.ndarray, ...] | dict[str, Any]


@dataclass(frozen=True)
class Listed:
    """Annotations of one image. size: (height, width), if stated."""

    file: Path
    size: tuple[int, int] | None
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class COCOLabels:
    """Paints annotations, by class or by object. files, unlisted: for `COCO.describe`."""

    classes: ClassTable
    files: tuple[str, ...] = ()
    unlisted: int = 0

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices, the ignore value on crowds. Raises DataError."""
        listed = _checked(pair, height, width)
        label = np.zeros((height, width), np.uint8 if self.classes.ignore_index <= 255 else np.int32)
        layers = [(a, rasterise(listed.file, a, height, width)) for a in listed.annotations]
        layers.sort(key=lambda layer: (not layer[0].crowd, -int(layer[1].sum())))
        for annotation, mask in layers:
            label[mask] = self.classes.ignore_index if annotation.crowd else annotation.label
        return label

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """Each object with all the pixels it was annotated with, also where another covers it; crowds are left out.

        That is what COCO's evaluation compares with. Raises DataError.
        """
        listed = _checked(pair, height, width)
        single = [a for a in listed.annotations if not a.crowd and a.label]
        masks = [rasterise(listed.file, a, height, width) for a in single]
        return Objects(np.stack(masks) if masks else np.zeros((0, height, width), bool), [a.label for a in single])


def rasterise(file: Path, annotation: Annotation, height: int, width: int) -> np.ndarray:
    """(height, width) bool. Raises DataError naming file and annotation."""
    where, parts = f"{file}: annotation {annotation.id}", annotation.parts
    if isinstance(parts, dict):
        if list(parts["size"]) != [height, width]:
            raise DataError(f"{where}: run lengths of size {parts['size']}, expected {[height, width]}, the picture's")
        try:
            runs = mask_api.frPyObjects(parts, height, width) if isinstance(parts["counts"], list) else parts
            return mask_api.decode(runs).astype(bool)
        except (ValueError, RuntimeError, TypeError) as error:
            raise DataError(f"{where}: ill-formed run lengths ({error}); expected {height * width} pixels") from error
    # The rasteriser walks along every edge, so a stray coordinate of 1e12 would take all memory.
    if any(abs(p - (width / 2, height / 2)).max() > 2 * max(height, width) for p in parts):
        raise DataError(f"{where}: a polygon runs far outside the picture of {width}x{height}")
    polygons = [p.ravel().tolist() for p in parts]
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects(polygons, height, width))).astype(bool)


def _checked(pair: Pair, height: int, width: int) -> Listed:
    listed: Listed = pair.label
    if listed.size not in (None, (height, width)):
        raise DataError(
            f"{pair.picture}: the picture is {width}x{height}, but {listed.file} says "
            f"{listed.size[1]}x{listed.size[0]}; they must be of one size"
        )
    return listed


# Files


class _Content:
    """One annotation file, its outer form checked. Raises DataError; complaints about single entries are collected."""

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        self.file, data = file, read_json(file)
        for key in ("images", "annotations", "categories"):
            if not isinstance(data, dict) or not isinstance(data.get(key), list):
                raise DataError(f"{file}: no list '{key}'; expected COCO's images, annotations and categories")
        self.images, self.annotations, self.categories = data["images"], data["annotations"], data["categories"]
        self.images = [i for i in self.images if self._is_entry(i, "image", {"id", "file_name"}, problems)]
        required = {"image_id", "category_id", "segmentation"}
        self.annotations = [a for a in self.annotations if self._is_entry(a, "annotation", required, problems)]

    def _is_entry(self, entry: Any, kind: str, required: set[str], problems: list[Problem]) -> bool:
        if not isinstance(entry, dict):
            problems.append(Problem(self.file, f"{entry!r:.40} among the {kind}s; expected an object with {required}"))
            return False
        # Only segmentations are lists or objects; an id must be a single value.
        bad = [k for k in sorted(required) if k not in entry or (k != "segmentation" and not _is_id(entry[k]))]
        if bad:
            problems.append(Problem(self.file, f"{kind} {entry.get('id', 'without id')} has no {' and no '.join(bad)}"))
        return not bad

    def names(self) -> Iterator[str]:
        """The images' file names."""
        return (str(image["file_name"]) for image in self.images)

    def pairs(self, folder: Path, classes: ClassTable, problems: list[Problem]) -> Iterator[Pair]:
        """The images whose files exist, with their annotations."""
        by_image: dict[Any, list[Annotation]] = {}
        for image in self.images:
            if image["id"] in by_image:
                problems.append(Problem(self.file, f"two images have the id {image['id']}"))
            by_image[image["id"]] = []
        label_of = {c["id"]: classes.names.index(c["name"]) for c in self.categories}
        for entry in self.annotations:
            complaint, annotation = _annotation(entry, by_image, label_of)
            if annotation is None:
                problems.append(Problem(self.file, f"annotation {entry.get('id', 'without id')}: {complaint}"))
            else:
                by_image[entry["image_id"]].append(annotation)
        for image in self.images:
            name, size = str(image["file_name"]), (image.get("height"), image.get("width"))
            picture = folder / name
            listed = Listed(self.file, size if None not in size else None, tuple(by_image[image["id"]]))
            if _climbs(name):
                problems.append(Problem(self.file, f"image {image['id']}: file_name '{name}' climbs out of its folder"))
            elif not picture.is_file():
                problems.append(Problem(picture, f"no such picture, but {self.file.name} lists it"))
            else:
                yield Pair(picture, listed)


def _annotation(
    entry: dict[str, Any], images: dict[Any, list[Annotation]], label_of: dict[Any, int]
) -> tuple[str, Annotation | None]:
    """The annotation of an entry, or what is wrong with it."""
    if entry["image_id"] not in images:
        return f"image_id {entry['image_id']} is not an image of the file", None
    if entry["category_id"] not in label_of:
        return f"category_id {entry['category_id']} is not a category of the file", None
    shape = entry["segmentation"]
    parts: tuple[np.ndarray, ...] | dict[str, Any] | None = None
    if not shape:
        return "the segmentation is empty; expected polygons or run lengths", None
    if isinstance(shape, dict):
        if isinstance(shape.get("size"), list) and isinstance(shape.get("counts"), (list, str)):
            parts = shape
    elif isinstance(shape, list) and all(_is_polygon(p) for p in shape):
        # Arrays, since the floats of a large corpus would take four times the memory as Python objects.
        parts = tuple(np.array(p, np.float64).reshape(-1, 2) for p in shape)
    if parts is None:
        return "ill-formed segmentation; expected lists [x1, y1, x2, y2, x3, y3, ...] or {size, counts}", None
    crowd = bool(entry.get("iscrowd", 0))
    return "", Annotation(entry.get("id", "without id"), label_of[entry["category_id"]], crowd, parts)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str))


def _is_polygon(numbers: Any) -> bool:
    if not isinstance(numbers, list) or len(numbers) < 6 or len(numbers) % 2:
        return False
    return all(type(n) in (int, float) and math.isfinite(n) for n in numbers)


def _climbs(name: str) -> bool:
    return PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts


def _classes(contents: Sequence[_Content]) -> ClassTable:
    """Background and the categories, which all files must share. Raises DataError."""
    names: dict[int, str] = {}
    for content in contents:
        own: dict[int, str] = {}
        for category in content.categories:
            if not isinstance(category, dict) or type(category.get("id")) is not int or not category.get("name"):
                raise DataError(f"{content.file}: category {category}; expected an integer id and a name")
            if category["id"] in own or category["name"] in own.values():
                where = f"{content.file}: category {category['id']} '{category['name']}'"
                raise DataError(f"{where} occurs twice; rename one, or remove it")
            own[category["id"]] = category["name"]
        if names and own != names:
            raise DataError(f"{content.file}: other categories than in {contents[0].file}; all splits must share them")
        names = own
    if not names:
        raise DataError(f"{contents[0].file}: no categories; expected at least one")
    # A file may have a category for the background; it is class 0 as well.
    table = (BACKGROUND, *(names[i] for i in sorted(names) if names[i] != BACKGROUND))
    return ClassTable(table, ignore_index=255 if len(table) <= 255 else 65535)


def _picture_folder(root: Path, split: str, content: _Content) -> Path:
    """The first of the usual folders that holds one of the listed images. Raises DataError."""
    match = _FILE.fullmatch(content.file.name)
    full = f"{match['split']}{match['year'] or ''}" if match else split
    usual = [f"images/{full}", full, f"images/{split}", split, "images", "."]
    names = [name for name in content.names() if not _climbs(name)]
    for folder in dict.fromkeys([*(root / u for u in usual), content.file.parent]):
        if folder.is_dir() and any((folder / name).is_file() for name in names):
            return folder
    if not names:
        return root
    raise DataError(
        f"{content.file}: none of its {len(names)} pictures ({names[0]}, ...) is in {', '.join(usual[:-1])} or {root}"
    )
