"""LabelMe annotations: today's JSON files and the older XML of MIT's web tool, as semantic labels and as objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from foveate.datasets.class_files import levels
from foveate.datasets.classes import CLASSES_FILE, ClassList, read_classes
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, Scan, raise_problems, read_pair_picture, require_folder
from foveate.datasets.labelme import json_files, xml_files
from foveate.datasets.labelme.shapes import (
    BACKGROUND,
    BACKGROUND_LABELS,
    DONE,
    IGNORE_LABEL,
    Annotation,
    LabelMeLabels,
    is_covered,
)
from foveate.datasets.names import in_any_case, normal, stem_of
from foveate.datasets.objects import ObjectSource, divide
from foveate.datasets.spelling import near_names
from foveate.datasets.splits import ordered, split_parts, stray_folders
from foveate.datasets.text_files import read_text
from foveate.disk import is_file, is_hidden
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.pictures import list_pictures
from foveate.records import Problem
from foveate.registry import dataset

LABELS_FILE = "labels.txt"  # labelme's own
_MOST_FOLDERS = 64  # folders that are looked into to recognise the format


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

        def holds(folder: Path) -> bool:
            return folder.is_dir() and bool(json_files.annotation_folders(folder, _MOST_FOLDERS))

        return path.is_dir() and (_is_xml(path) or holds(path) or bool(split_parts(path, holds)))

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan, root = self.scan, Path(self.path)
        labels: LabelMeLabels = scan.read_label  # type: ignore[assignment]
        what = "MIT LabelMe XML" if _is_xml(root) else "LabelMe JSON"
        source = _class_file(root)
        origin = f"from {source.name}" if source else f"no {LABELS_FILE}, so every label found, in alphabetical order"
        undecided = "every pixel has a shape"
        if labels.background is not None:
            undecided = f"pixels without a shape are class {labels.background}, {BACKGROUND}"
        elif labels.undecided:
            undecided = "pixels without a shape are ignored"
        return (
            f"{what}: {scan.counts()}, {counted(len(scan.classes), 'class')} ({origin}; {undecided}), "
            f"ignore {scan.classes.ignore_index}"
        )

    def read(self) -> Scan:
        """Read every annotation file. Raises DataError where none is of use."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        notes: list[str] = []
        annotations, left_out = _read_all(root, problems, notes)
        labels = _labels(root, [a for found in annotations.values() for a in found], problems)
        splits = {s: [Pair(a.picture, a) for a in found if labels.paints(a)] for s, found in annotations.items()}
        if not any(splits.values()):
            raise_problems(problems)
            if notes:
                raise DataError(f"{root}: no labelled picture ({'; '.join(notes)}); finish the labels of some")
            raise DataError(f"{root}: no LabelMe files; expected *.json, or Annotations/*.xml beside Images")
        read = [pair.label for pairs in splits.values() for pair in pairs]
        if not problems and not any(annotation.shapes for annotation in read):
            raise DataError(
                f"{root}: none of {counted(len(read), 'LabelMe file')} has a shape; draw some (flags, which are of "
                "whole pictures, are not read: for these, sort the pictures into a folder a class)"
            )
        drawn = Drawn()
        undivided = splits.pop("", []) or (splits["train"] if splits.get("train") and not splits.get("val") else [])
        if undivided:
            divided, drawn = divide(root, undivided, problems, self.seed, left_out)
            splits = {**splits, **divided}
        embedded = any(a.embedded for found in annotations.values() for a in found)
        # Without embedded images a header tells the number of channels.
        reader = json_files.read_picture if embedded else read_pair_picture
        notes += _empty_note(splits)
        if _class_file(root) is None:
            notes += _drift_note(annotations.get("", []))
            notes += _misspelt_note([a for found in annotations.values() for a in found])
        return Scan(ordered(splits), labels.classes, labels, problems, reader, drawn, left_out, notes)


def _is_xml(root: Path) -> bool:
    xml = (root / xml_files.ANNOTATIONS).rglob("*.xml")
    return (root / xml_files.IMAGES).is_dir() and next(xml, None) is not None


def _json_folders(root: Path, problems: list[Problem], notes: list[str]) -> dict[str, list[Path]]:
    """Split ('' for undivided) -> the folders of its JSON files."""

    def holds(path: Path) -> bool:
        return path.is_dir() and bool(json_files.annotation_folders(path))

    splits = split_parts(root, lambda path: path.is_dir() and (any(path.glob("*.json")) or holds(path)), problems)
    if splits:
        notes += stray_folders(root, splits.values(), holds)
        return {split: json_files.annotation_folders(folder) or [folder] for split, folder in splits.items()}
    found = json_files.annotation_folders(root)
    if found == [root]:
        below = (p for p in sorted(root.iterdir()) if p.is_dir() and p.name[0] != ".")
        notes += [f"{p.name}/ holds labels as well and is not read; give it by itself" for p in below if holds(p)]
    return {"": found or [next((f for f in (root, root / "annotations") if json_files.list_json(f)), root)]}


def _read_all(root: Path, problems: list[Problem], notes: list[str]) -> tuple[dict[str, list[Annotation]], list[Path]]:
    """(split -> annotations, images without one, which are left out). Files that cannot be used become problems."""
    finder = json_files.PictureFinder(root)
    read: Callable[[Path], Annotation]
    if _is_xml(root):
        files, read = {"": xml_files.list_xml(root)}, partial(xml_files.read_annotation, root=root)
        inside = root / xml_files.IMAGES
        folders = {p.parent for p in inside.rglob("*") if not any(map(is_hidden, p.relative_to(inside).parts))}
    else:
        found_in = _json_folders(root, problems, notes)
        files = {split: [f for one in found for f in json_files.list_json(one)] for split, found in found_in.items()}
        read = partial(json_files.read_annotation, finder=finder)
        folders = {f.parent for found in files.values() for f in found}
        if folders and all(folder.parent == root and list_pictures(folder) for folder in folders):  # a batch each
            folders |= {p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name) and "" in files}
    annotations: dict[str, list[Annotation]] = {split: [] for split in files}
    named: set[Path] = set()
    unfinished = Counter[str]()  # state -> files
    unread: set[str] = set()  # stems of images whose file cannot be read, or embeds them
    for split, found in files.items():
        for file in found:
            try:
                annotation = read(file)
            except DataError as error:
                problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
                unread.add(normal(file.stem))
                continue
            folders.add(annotation.picture.parent)
            if annotation.state != DONE:
                unfinished[annotation.state] += 1
                continue
            named.add(annotation.picture)
            if annotation.embedded:
                unread.add(normal(file.stem))
            if annotation.embedded or is_file(annotation.picture):
                annotations[split].append(annotation)
            else:
                problems.append(Problem(file, f"its picture {annotation.picture} does not exist"))
    notes += _elsewhere_note(finder)
    notes += _unfinished_note(unfinished)
    pictures = [p for folder in sorted(folders) if folder.is_dir() for p in list_pictures(folder)]
    return annotations, [p for p in pictures if p not in named and stem_of(p.name) not in unread]


def _elsewhere_note(finder: json_files.PictureFinder) -> list[str]:
    """A note on files whose image is not the one that they name."""
    if not finder.elsewhere:
        return []
    shown = ", ".join(f"{file.name} says '{name}' and is read with {p.name}" for file, name, p in finder.elsewhere[:3])
    more = ", ..." if len(finder.elsewhere) > 3 else ""
    count = len(finder.elsewhere)
    return [f"{counted(count, 'file')} with the name of another picture than the one that is read: {shown}{more}"]


def _unfinished_note(unfinished: Counter[str]) -> list[str]:
    """A note on images whose labels are not done."""
    if not unfinished:
        return []
    shown = " and ".join(counted(count, state, state if state == "skipped" else "") for state, count in
                         sorted(unfinished.items()))  # fmt: skip
    return [f"left out are pictures whose labels are not done: {shown}"]


def _drift_note(annotations: list[Annotation]) -> list[str]:
    """A note on labels that some folders of a project lack."""
    labels: dict[Path, set[str]] = {}
    for a in annotations:
        labels.setdefault(a.file.parent, set()).update(shape.label for shape in a.shapes)
    drift = []
    for label in sorted(set[str]().union(*labels.values())):
        having = [folder.name for folder in labels if label in labels[folder]]
        lacking = [folder.name for folder in labels if label not in labels[folder]]
        if lacking:
            where, names = ("only in", having) if len(having) == 1 else ("not in", lacking)
            drift.append(f"{label} {where} " + ", ".join(f"{name}/" for name in names))
    if not drift:
        return []
    shown = ", ".join(drift[:6]) + (", ..." if len(drift) > 6 else "")
    return [
        f"labels differ between folders: {shown}; if they are one class by several names, rename them, or list the "
        f"classes in {LABELS_FILE}"
    ]


def _misspelt_note(annotations: list[Annotation]) -> list[str]:
    """A note on rare labels that are spelt almost as a common one."""
    shapes = Counter(shape.label for a in annotations for shape in a.shapes)
    near, found = near_names(shapes), []
    for rare, common in near[:3]:
        files = [a.file.name for a in annotations if any(shape.label == rare for shape in a.shapes)]
        where = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
        found.append(f"'{rare}' ({counted(shapes[rare], 'shape')}, in {where}) beside '{common}' ({shapes[common]:,})")
    if not found:
        return []
    shown = "; ".join(found) + ("; ..." if len(near) > len(found) else "")
    return [
        f"labels that may be one class, spelt in two ways: {shown}; each is a class of its own: correct the files, or "
        f"list the classes in {LABELS_FILE}, and other labels are refused by name"
    ]


def _empty_note(splits: dict[str, list[Pair]]) -> list[str]:
    """A note on files without a shape."""
    empty = [pair.label.file.name for pairs in splits.values() for pair in pairs if not pair.label.shapes]
    if not empty:
        return []
    shown = ", ".join(empty[:3]) + (", ..." if len(empty) > 3 else "")
    return [f"{counted(len(empty), 'file')} without a shape, so that no pixel of the picture has a label ({shown})"]


# Classes


def _class_file(root: Path) -> Path | None:
    """The list of classes: in the folder, one level down, or one level up, where labelme's own projects have it."""
    files = (
        in_any_case(place, name) for places in levels(root) for name in (CLASSES_FILE, LABELS_FILE) for place in places
    )
    return next((file for file in files if file.is_file()), None)


def class_list(root: Path) -> ClassList | None:
    """The list that a folder's labels are read by; None where every label found is a class. Raises DataError."""
    file = _class_file(root)
    return None if file is None else (_read_labels(file) if file.name.lower() == LABELS_FILE else read_classes(file))


def _labels(root: Path, annotations: list[Annotation], problems: list[Problem]) -> LabelMeLabels:
    """The class table and where the background is in it; a label that is no class is a problem. Raises DataError."""
    file = _class_file(root)
    special = (*BACKGROUND_LABELS, IGNORE_LABEL)
    found = {shape.label for a in annotations for shape in a.shapes}
    listed = class_list(root) or ClassList(tuple(sorted(found - set(special))))
    names = tuple(BACKGROUND if name in BACKGROUND_LABELS else name for name in listed.names)
    listed = replace(listed, names=names)
    undecided = not all(map(is_covered, annotations))
    wanted = undecided and listed.unlabelled != "ignore"
    if BACKGROUND not in names and (wanted or not names or not found.isdisjoint(BACKGROUND_LABELS)):
        colors = ((0, 0, 0), *listed.colors) if listed.colors else ()
        listed = replace(listed, names=(BACKGROUND, *names), colors=colors)
    background = listed.names.index(BACKGROUND) if BACKGROUND in listed.names else None
    try:
        labels = LabelMeLabels(listed.table(), background if wanted or not undecided else None, undecided)
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
