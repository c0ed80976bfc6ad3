"""COCO instances (polygons and run lengths) as semantic labels.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; the format of cocodataset.org/#format-data. Masks
are rasterised by the field's own mask API, so an object has the pixels that COCO's evaluation gives it.

Class 0 is "background", every pixel without an object. The categories follow in the order of their ids, without the
gaps that COCO's ids have (1..90 -> 1..80). Where objects overlap the smaller one is on top, since a small object on
a large one (a ball on a dog) would vanish otherwise; of equal ones, the later in the file. Crowd regions are the
ignore value, beneath all objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from faster_coco_eval.core import mask as mask_api

from foveate.datasets.coco_files import AnnotationFile, Finder, annotation_files, box_files, by_split, plain_id
from foveate.datasets.coco_notes import annotation_notes, empty_note, moved_note
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, Scan, raise_problems, require_folder
from foveate.datasets.objects import Objects, ObjectSource, divide, without_background
from foveate.datasets.outlines import is_flat, is_nested, is_stray, require_pixels, runs_by_rows
from foveate.datasets.spelling import spelling_note
from foveate.datasets.splits import ordered, unknown_split
from foveate.datasets.text_files import read_json
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.pictures import list_pictures
from foveate.records import ClassTable, Problem
from foveate.records.base import unused_label
from foveate.registry import dataset

BACKGROUND = "background"
_CROWD = {0: False, 1: True, "0": False, "1": True, None: False}  # also for false and true


@dataset("coco")
@dataclass(frozen=True)
class COCO(ObjectSource):
    """COCO instances: `instances_<split><year>.json`, or other tools' files of this form, one file a split.

    They lie in the folder, in `annotations/`, or in the folders of the splits (see `foveate.datasets.coco_files`).
    Images lie in `images/<split><year>`, `<split><year>`, `images/<split>`, `<split>`, `images`, beside the file or in
    the folder, or are found by name below it. Of a single file a split is drawn. Images that no file lists are left
    out; listed ones without objects are all background. A category that only groups others is no class.

    path: the folder.
    year: '2014' or another, if there are several; '' is the latest.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    year: str = ""
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there are files called instances_*.json, or JSON with COCO's lists and with outlines."""
        return bool(annotation_files(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """COCO's boxes without outlines."""
        files = box_files(path)
        if not files:
            return ""
        return f"holds boxes without outlines ({files[0].name}); draw polygons or masks, and export them as COCO again"

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        labels: COCOLabels = scan.read_label  # type: ignore[assignment]
        left_out = f"; {counted(labels.unlisted, 'picture')} in no file and left out" if labels.unlisted else ""
        start = f"COCO instances ({', '.join(labels.files)}): {scan.counts()}{left_out}, "
        if task == "instances":
            classes = counted(len(without_background(scan.classes)), "class")
            return f"{start}{classes} (the categories by id; objects that overlap keep all of their pixels)"
        return (
            f"{start}{counted(len(scan.classes), 'class')} (0 is background, then the categories by id; smaller "
            f"objects over larger), ignore {scan.classes.ignore_index} (crowds)"
        )

    def read(self) -> Scan:
        """Read the files and find their images. Raises DataError, and ConfigError for a year that is not there."""
        root = require_folder(self.path)
        files, others = by_split(self._files_of_year(root))
        problems: list[Problem] = []
        notes = [unknown_split(file.name) for file in others]
        contents = {split: _Content(file, problems) for split, file in files.items()}
        classes = _classes(list(contents.values()), notes)
        splits: dict[str, list[Pair]] = {}
        folders: set[Path] = set()
        for split, content in contents.items():
            names = list(content.names())
            finder = Finder(root, content.file, split, names)
            splits[split] = list(content.pairs(finder, classes, problems))
            if names and not splits[split]:
                where = f"{finder.folder} or anywhere below {root}"
                raise DataError(
                    f"{content.file}: none of its {counted(len(names), 'picture')} ({names[0]}, ...) is in {where}"
                )
            folders |= {pair.picture.parent for pair in splits[split]}
            notes += moved_note(finder)
        listed = {pair.picture for pairs in splits.values() for pair in pairs}
        unlisted = [p for folder in sorted(folders) for p in list_pictures(folder) if p not in listed]
        drawn = Drawn()
        whole = splits.get("train") if "train" in splits else next(iter(splits.values())) if len(splits) == 1 else None
        if whole and "val" not in splits:
            divided, drawn = divide(root, whole, problems, self.seed, unlisted)
            splits = {split: pairs for split, pairs in splits.items() if pairs is not whole} | divided
        if not any(splits.values()):
            raise_problems(problems)
            raise DataError(f"{root}: no picture is listed in {', '.join(f.name for f in files.values())}")
        notes += [*empty_note(splits), *spelling_note(classes.names)]
        notes += annotation_notes(list(contents.values()))
        labels = COCOLabels(classes, tuple(_short(root, f) for f in files.values()), len(unlisted))
        return Scan(ordered(splits), classes, labels, problems, drawn=drawn, notes=notes)

    def _files_of_year(self, root: Path) -> list[AnnotationFile]:
        """The files of the wanted year."""
        files = annotation_files(root)
        if not files:
            raise DataError(f"{root}: no file instances_*.json, nor other JSON with COCO's images and annotations")
        years = sorted({file.year for file in files})
        if self.year and self.year not in years:
            raise ConfigError(f"{unknown('year', self.year, years)} (in {root})")
        return [file for file in files if file.year == (self.year or years[-1])]


def _short(root: Path, file: Path) -> str:
    """A file's name, with its folder where that is the one of a split."""
    return file.name if file.parent in (root, root / "annotations") else file.relative_to(root).as_posix()


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

    drawn_upright: ClassVar[bool] = False  # the format does not say it

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
        """Each object and crowd with all the pixels it was annotated with, also where another covers it.

        That is what COCO's evaluation compares with. Raises DataError.
        """
        listed = _checked(pair, height, width)
        known = [a for a in listed.annotations if a.label]
        masks = [rasterise(listed.file, a, height, width) for a in known]
        return Objects(
            np.stack(masks) if masks else np.zeros((0, height, width), bool),
            [a.label for a in known],
            [a.crowd for a in known],
        )


def rasterise(file: Path, annotation: Annotation, height: int, width: int) -> np.ndarray:
    """(height, width) bool. Raises DataError naming file and annotation."""
    where, parts = f"{file}: annotation {annotation.id}", annotation.parts
    if isinstance(parts, dict):
        if list(parts["size"]) != [height, width]:
            raise DataError(f"{where}: run lengths of size {parts['size']}, expected {[height, width]}, the picture's")
        try:
            runs = mask_api.frPyObjects(parts, height, width) if isinstance(parts["counts"], list) else parts
            return mask_api.decode(runs).astype(bool)
        except (ValueError, RuntimeError, TypeError, OverflowError) as error:
            raise DataError(f"{where}: ill-formed run lengths ({error}); expected {height * width} pixels") from error
    # The rasteriser walks along every edge, so a stray coordinate of 1e12 would take all memory.
    if any(abs(p - (width / 2, height / 2)).max() > 2 * max(height, width) for p in parts):
        raise DataError(f"{where}: a polygon runs far outside the picture of {width}x{height}")
    corners = np.concatenate(parts)
    require_pixels(corners, height, width, where)
    if (corners.max(0) <= 0).any() or (corners.min(0) >= (width, height)).any():
        raise DataError(f"{where}: no part of it lies inside the picture of {width}x{height}; correct it, or remove it")
    polygons = [p.ravel().tolist() for p in parts]
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects(polygons, height, width))).astype(bool)


def _checked(pair: Pair, height: int, width: int) -> Listed:
    listed: Listed = pair.label
    if listed.size not in (None, (height, width)):
        turned = " (is it turned by EXIF? save it upright, and export again)" if listed.size == (width, height) else ""
        raise DataError(
            f"{pair.picture}: the picture is {width}x{height}, but {listed.file} says "
            f"{listed.size[1]}x{listed.size[0]}{turned}; they must be of one size"
        )
    return listed


# Files


class _Content:
    """One annotation file, its outer form checked. Raises DataError; complaints about single entries are collected."""

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        self.file, data = file, read_json(file)
        self.stray_boxes: list[Any] = []  # ids of annotations whose box lies elsewhere than their outline
        self.flat: list[Any] = []  # ids of annotations whose outline encloses nothing
        self.nested: list[Any] = []  # ids of annotations of which an outline lies within another
        self.ignored: list[Any] = []  # ids of annotations that say `ignore`
        self.crowds: Counter[str] = Counter()  # category -> annotations that are crowds
        self.single: set[str] = set()  # categories of which an annotation is no crowd
        for key in ("images", "annotations", "categories"):
            if not isinstance(data, dict) or not isinstance(data.get(key), list):
                raise DataError(f"{file}: no list '{key}'; expected COCO's images, annotations and categories")
        self.images, self.annotations, self.categories = data["images"], data["annotations"], data["categories"]
        for entry in (e for e in (*self.images, *self.annotations, *self.categories) if isinstance(e, dict)):
            entry.update({key: plain_id(entry[key]) for key in ("id", "image_id", "category_id") if key in entry})
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

    def pairs(self, finder: Finder, classes: ClassTable, problems: list[Problem]) -> Iterator[Pair]:
        """The images whose files exist, with their annotations."""
        by_image: dict[Any, list[Annotation]] = {}
        for image in self.images:
            if image["id"] in by_image:
                problems.append(Problem(self.file, f"two images have the id {image['id']}"))
            by_image[image["id"]] = []
        label_of = {c["id"]: classes.names.index(c["name"]) for c in self.categories if c["name"] in classes.names}
        for entry in self.annotations:
            complaint, annotation = _annotation(entry, by_image, label_of)
            if annotation is None:
                problems.append(Problem(self.file, f"annotation {entry.get('id', 'without id')}: {complaint}"))
            elif runs_by_rows(entry.get("bbox"), annotation.parts):
                what = (
                    "the run lengths go along rows, by their box; COCO's go down columns: encode the transposed mask "
                    "(np.asfortranarray)"
                )
                problems.append(Problem(self.file, f"annotation {annotation.id}: {what}"))
            else:
                by_image[entry["image_id"]].append(annotation)
                if is_stray(entry.get("bbox"), annotation.parts):
                    self.stray_boxes.append(annotation.id)
                if not isinstance(annotation.parts, dict) and all(map(is_flat, annotation.parts)):
                    self.flat.append(annotation.id)
                if not isinstance(annotation.parts, dict) and is_nested(annotation.parts):
                    self.nested.append(annotation.id)
                if entry.get("ignore") in (1, True) and not annotation.crowd:
                    self.ignored.append(annotation.id)
                name = classes.names[annotation.label]
                self.crowds[name] += annotation.crowd
                self.single |= set() if annotation.crowd else {name}
        for image in self.images:
            name, size = str(image["file_name"]), (image.get("height"), image.get("width"))
            listed = Listed(self.file, size if None not in size else None, tuple(by_image[image["id"]]))
            picture, complaint = finder.find(name)
            if picture is not None:
                yield Pair(picture, listed)
            elif complaint.startswith("no such picture"):
                problems.append(Problem(finder.folder / name, complaint))
            else:
                problems.append(Problem(self.file, f"image {image['id']}: {complaint}"))


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
    crowd = entry.get("iscrowd", 0)
    if not isinstance(crowd, (int, float, str, type(None))) or crowd not in _CROWD:
        return f"iscrowd is {crowd!r:.40}; expected 0 or 1", None
    return "", Annotation(entry.get("id", "without id"), label_of[entry["category_id"]], _CROWD[crowd], parts)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str))


def _is_polygon(numbers: Any) -> bool:
    if not isinstance(numbers, list) or len(numbers) < 6 or len(numbers) % 2:
        return False
    # Of a size that a float can hold: an integer of JSON may be longer.
    return all(type(n) in (int, float) and abs(n) < 1e300 for n in numbers)  # false for NaN, too


def _classes(contents: Sequence[_Content], notes: list[str]) -> ClassTable:
    """Background and the categories, which all files must share. Raises DataError."""
    names: dict[int, str] = {}
    for content in contents:
        own: dict[int, str] = {}
        for category in content.categories:
            if not isinstance(category, dict) or type(category.get("id")) is not int or not _is_name(category):
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
    for name in _groups(contents):
        notes.append(f"category '{name}' groups the others and has no object of its own, so it is no class")
        names = {i: other for i, other in names.items() if other != name}
    # A file may have a category for the background; it is class 0 as well.
    table = (BACKGROUND, *(names[i] for i in sorted(names) if names[i] != BACKGROUND))
    return ClassTable(table, ignore_index=unused_label(len(table)))


def _is_name(category: dict[str, Any]) -> bool:
    """True if a category has a name, and a supercategory that is one, if any."""
    name, above = category.get("name"), category.get("supercategory")
    return isinstance(name, str) and bool(name.strip()) and (above is None or isinstance(above, str))


def _groups(contents: Sequence[_Content]) -> list[str]:
    """Names of the categories that are the supercategory of others, and that no object has."""
    used = {entry["category_id"] for content in contents for entry in content.annotations}
    categories = [category for content in contents for category in content.categories]
    above = {c.get("supercategory") for c in categories if c.get("supercategory") != c["name"]}
    return sorted({c["name"] for c in categories if c["name"] in above and c["id"] not in used})
