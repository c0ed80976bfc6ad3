"""LabelMe annotations: today's JSON files and the older XML of MIT's web tool, as semantic labels and as objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foveate.datasets.class_files import levels
from foveate.datasets.classes import CLASSES_FILE, ClassList, read_classes
from foveate.datasets.files import Pair, Scan, raise_problems, read_pair_picture, read_text, require_folder
from foveate.datasets.labelme import json_files, xml_files
from foveate.datasets.labelme.shapes import BACKGROUND, BACKGROUND_LABELS, IGNORE_LABEL, Annotation, LabelMeLabels
from foveate.datasets.objects import ObjectSource, divide
from foveate.datasets.splits import ordered, split_parts
from foveate.disk import is_hidden
from foveate.errors import ConfigError, DataError, unknown
from foveate.pictures import list_pictures
from foveate.records import Problem
from foveate.registry import dataset

LABELS_FILE = "labels.txt"  # labelme's own


@dataset("labelme")
@dataclass(frozen=True)
class LabelMe(ObjectSource):
    """LabelMe: a folder of JSON files with their images, or MIT's Annotations and Images folders.

    JSON files lie in DATA or DATA/annotations (a split is drawn), or in DATA/train, DATA/val, DATA/test. Classes come
    from `classes.txt` or `labels.txt` (labelme's: `__ignore__` is not scored, `_background_` the background) in DATA,
    one level down or one level up; without them, every label found is a class, in alphabetical order. Class 0 is
    "background", the pixels without a shape, unless the list puts it elsewhere. Shapes are painted in the file's order,
    later ones over earlier.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if JSON files look like labelme's, or a folder Annotations of XML files is beside Images."""
        if _is_xml(path):
            return True
        files = [f for folder in _json_folders(path).values() for f in json_files.list_json(folder)[:20]]
        return any(json_files.looks_like_labelme(f) for f in files)

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan, root = self.scan, Path(self.path)
        labels: LabelMeLabels = scan.read_label  # type: ignore[assignment]
        what = "MIT LabelMe XML" if _is_xml(root) else "LabelMe JSON"
        source = _class_file(root)
        origin = f"from {source.name}" if source else f"no {LABELS_FILE}, so every label found, in alphabetical order"
        return (
            f"{what}: {scan.counts()}, {len(scan.classes)} classes ({origin}; pixels without a shape are class "
            f"{labels.background}, {BACKGROUND}), ignore {scan.classes.ignore_index}"
        )

    def read(self) -> Scan:
        """Read every annotation file. Raises DataError where none is of use."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        annotations = _read_all(root, problems)
        labels = _labels(root, [a for found in annotations.values() for a in found], problems)
        splits = {s: [Pair(a.picture, a) for a in found] for s, found in annotations.items()}
        if not any(splits.values()):
            raise_problems(problems)
            raise DataError(f"{root}: no LabelMe files; expected *.json, or Annotations/*.xml beside Images")
        drawn = ""
        undivided = splits.pop("", []) or (splits["train"] if splits.get("train") and not splits.get("val") else [])
        if undivided:
            divided, drawn = divide(root, undivided, problems, self.seed)
            splits = {**splits, **divided}
        embedded = any(a.embedded for found in annotations.values() for a in found)
        # Without embedded images a header tells the number of channels.
        reader = json_files.read_picture if embedded else read_pair_picture
        return Scan(ordered(splits), labels.classes, labels, problems, reader, drawn)


def _is_xml(root: Path) -> bool:
    xml = (root / xml_files.ANNOTATIONS).rglob("*.xml")
    return (root / xml_files.IMAGES).is_dir() and next(xml, None) is not None


def _json_folders(root: Path, problems: list[Problem] | None = None) -> dict[str, Path]:
    """Split ('' for undivided) -> the folder of its JSON files."""
    splits = split_parts(root, lambda path: path.is_dir() and any(path.glob("*.json")), problems)
    if splits:
        return splits
    return {"": next((f for f in (root, root / "annotations") if json_files.list_json(f)), root)}


def _read_all(root: Path, problems: list[Problem]) -> dict[str, list[Annotation]]:
    """Split -> annotations; files that cannot be used, and images without one, become problems."""
    if _is_xml(root):
        files, read = {"": xml_files.list_xml(root)}, xml_files.read_annotation
        inside = root / xml_files.IMAGES
        folders = {p.parent for p in inside.rglob("*") if not any(map(is_hidden, p.relative_to(inside).parts))}
    else:
        files = {split: json_files.list_json(folder) for split, folder in _json_folders(root, problems).items()}
        read, folders = json_files.read_annotation, {f.parent for found in files.values() for f in found}
    annotations: dict[str, list[Annotation]] = {split: [] for split in files}
    named: set[Path] = set()
    unread: set[str] = set()  # one complaint a pair is enough
    for split, found in files.items():
        for file in found:
            try:
                annotation = read(file, root)
            except DataError as error:
                problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
                unread.add(file.stem)
                continue
            named.add(annotation.picture)
            folders.add(annotation.picture.parent)
            if annotation.embedded or annotation.picture.is_file():
                annotations[split].append(annotation)
            else:
                problems.append(Problem(file, f"its picture {annotation.picture} does not exist"))
    pictures = [p for folder in sorted(folders) if folder.is_dir() for p in list_pictures(folder)]
    problems += [Problem(p, "a picture without a label") for p in pictures if p not in named and p.stem not in unread]
    return annotations


# Classes


def _class_file(root: Path) -> Path | None:
    """The list of classes: in the folder, one level down, or one level up, where labelme's own projects have it."""
    files = (place / name for places in levels(root) for name in (CLASSES_FILE, LABELS_FILE) for place in places)
    return next((file for file in files if file.is_file()), None)


def _labels(root: Path, annotations: list[Annotation], problems: list[Problem]) -> LabelMeLabels:
    """The class table and where the background is in it; a label that is no class is a problem. Raises DataError."""
    file = _class_file(root)
    special = (*BACKGROUND_LABELS, IGNORE_LABEL)
    if file is None:
        found = {shape.label for a in annotations for shape in a.shapes}
        listed = ClassList((BACKGROUND, *sorted(found - set(special))))
    else:
        listed = _with_background(_read_labels(file) if file.name == LABELS_FILE else read_classes(file))
    try:
        labels = LabelMeLabels(listed.table(), listed.names.index(BACKGROUND))
    except ConfigError as error:
        raise DataError(f"{file or root}: {error}") from error
    known = {*listed.names, *special}
    for a in annotations:
        for number, shape in enumerate(a.shapes, 1):
            if shape.label not in known:
                problems.append(
                    Problem(a.file, f"shape {number}: {unknown(f'label (not in {file})', shape.label, listed.names)}")
                )
    return labels


def _read_labels(file: Path) -> ClassList:
    names: Iterable[str] = (line.strip() for line in read_text(file).splitlines())
    return ClassList(tuple(name for name in names if name and name != IGNORE_LABEL))


def _with_background(listed: ClassList) -> ClassList:
    names = tuple(BACKGROUND if name in BACKGROUND_LABELS else name for name in listed.names)
    if BACKGROUND in names:
        return ClassList(names, listed.colors, listed.ignore)
    colors = ((0, 0, 0), *listed.colors) if listed.colors else ()
    return ClassList((BACKGROUND, *names), colors, listed.ignore)
