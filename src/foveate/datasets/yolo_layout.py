"""Folders, lists and settings of a set in YOLO's form (Ultralytics): `data.yaml`, and images beside text files.

`data.yaml` holds `names`, and for `train`, `val` and `test` each a folder of images or a list of their paths. Paths of
another disk are looked for in the folder by their last parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from foveate.datasets.folders import holds_pictures, subfolders
from foveate.datasets.splits import SPLIT_ORDER, split_called, split_parts, stray_folders
from foveate.datasets.text_files import read_text
from foveate.errors import DataError, counted
from foveate.pictures import list_pictures
from foveate.records import Problem

IMAGES, LABELS = "images", "labels"


@dataclass(frozen=True)
class Part:
    """A folder of images and the folder of their text files."""

    images: Path
    labels: Path

    def folders(self) -> list[Part]:
        """The folders themselves, and those below that of the images, each with its folder of text files."""
        inside = [path for path in subfolders(self.images) if list_pictures(path)]
        return [self, *(Part(path, self.labels / path.relative_to(self.images)) for path in inside)]


@dataclass(frozen=True)
class Settings:
    """Content of a `data.yaml`.

    names: of the classes, [] if there are none. splits: split -> the paths that the file gives for it. notes: what
    the file says that does not fit.
    """

    file: Path | None = None
    names: list[str] = field(default_factory=list)
    splits: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The folders of each split ('' if undivided), and the lists that divide all of their images."""

    parts: dict[str, Part]
    lists: dict[str, Path]


def read_settings(root: Path) -> Settings:
    """The YAML file of a folder that has `names`, or else paths of splits; the first of several.

    Raises DataError for what is no YAML, for names that are none, and for the labels of another task.
    """
    found = Settings()
    for file in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        try:
            content: Any = yaml.safe_load(read_text(file))
        except yaml.YAMLError as error:
            raise DataError(f"{file}: not YAML ({' '.join(str(error).split())}); repair or remove it") from error
        if not isinstance(content, dict):
            continue
        named = {split_called(str(key)): _paths(value) for key, value in content.items()}
        splits = {split: named[split] for split in SPLIT_ORDER if named.get(split)}
        if content.get("names") is None and not splits:
            continue
        if content.get("kpt_shape") is not None:
            raise DataError(
                f"{file}: kpt_shape {content['kpt_shape']} says that the labels are poses (a box and its key points), "
                "which have no outlines; export segments, or remove kpt_shape if the lines are polygons"
            )
        if content.get("names") is not None:
            names, stated = _names(file, content["names"]), content.get("nc")
            fits = stated is None or stated == len(names)
            note = (
                f"{file.name} says nc: {stated}, but names {counted(len(names), 'class')}, which are read; correct one"
            )
            return Settings(file, names, splits, () if fits else (note,))
        found = found if found.file is not None else Settings(file, [], splits)
    return found


def _paths(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one.strip()]


def _names(file: Path, names: Any) -> list[str]:
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise DataError(f"{file}: names has the keys {sorted(names)[:5]}; expected 0, 1, 2, ...")
        names = [names[k] for k in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names is {names!r:.40}; expected a list of class names")
    if odd := [name for name in names if isinstance(name, bool) or not isinstance(name, (int, str))]:
        raise DataError(
            f"{file}: a name is {odd[0]!r}, as YAML reads yes, no, on, off, null and the like without quotes; put "
            "names into quotes"
        )
    return [str(name) for name in names]


def find_layout(root: Path, settings: Settings, problems: list[Problem], notes: list[str]) -> Layout:
    """The folders that their names or `data.yaml` give, and its lists; no parts if there are none.

    problems: takes in folders of which it is not clear which is meant. notes: takes in what is passed over.
    """
    parts = layout_parts(root, problems, notes)
    lists: dict[str, Path] = {}
    file = settings.file.name if settings.file is not None else ""
    for split, paths in settings.splits.items():
        found = [place for path in paths if (place := _inside(root, path)) is not None]
        absent = [path for path in paths if _inside(root, path) is None]
        if absent and (split not in parts or any(path.endswith(".txt") for path in absent)):
            notes.append(f"{file} names {absent[0]} as {split}, which is not there")
        if len(found) > 1:
            notes.append(f"{file} names several places as {split}, of which {_short(found[0], root)} alone is read")
        if found and found[0].is_file():
            lists[split] = found[0]
        elif found:
            _add(parts, split, found[0], root, file, notes)
    if "" in parts and len(parts) > 1:
        undivided = parts.pop("")
        parts.setdefault("train", undivided)
    taken = [place for part in parts.values() for place in (part.images, part.images.parent)]
    if "" not in parts:
        notes += stray_folders(root / IMAGES, taken, _has_pictures) if (root / IMAGES).is_dir() else []
        notes += stray_folders(root, [*taken, root / IMAGES, root / LABELS], _has_both)
    return Layout(parts, lists)


def _add(parts: dict[str, Part], split: str, folder: Path, root: Path, file: str, notes: list[str]) -> None:
    """Add the folder that a settings file names for a split to `parts`, or a note on why it cannot be it."""
    images = folder / IMAGES if not list_pictures(folder) and (folder / IMAGES).is_dir() else folder
    if images in [part.images for part in (parts.get(split), parts.get("")) if part is not None]:
        return
    owner = next((other for other, part in parts.items() if part.images == images), None)
    if owner is not None:
        notes.append(f"{file} names {_short(images, root)}/ as {split}, too, but it is read as {owner} alone")
        return
    below = images.relative_to(root).parts
    place = max((k for k, name in enumerate(below) if name == IMAGES), default=None)
    labels = root.joinpath(*below[:place], LABELS, *below[place + 1 :]) if place is not None else images
    if labels.is_dir() and _has_pictures(images):
        parts[split] = Part(images, labels)
    elif not any(note.startswith(f"{_short(images, root)}/ has no folder") for note in notes):
        missing = "no pictures" if labels.is_dir() else f"no folder {_short(labels, root)}/ of labels"
        notes.append(f"{file} names {_short(images, root)}/ as {split}, which has {missing} and is left out")


def layout_parts(root: Path, problems: list[Problem] | None = None, notes: list[str] | None = None) -> dict[str, Part]:
    """Split ('' for undivided) -> its folders, as they are called; {} if there are none.

    problems, notes: as of `find_layout`.
    """
    images, labels = root / IMAGES, root / LABELS
    texts = split_parts(labels, lambda path: path.is_dir() and any(path.rglob("*.txt")))
    found = {
        split: Part(path, labels / path.name if (labels / path.name).is_dir() else texts.get(split, labels / path.name))
        for split, path in split_parts(images, _has_pictures, problems).items()
    }
    if not any(part.labels.is_dir() for part in found.values()):
        beside = split_parts(root, lambda path: _has_pictures(path / IMAGES), problems)
        found = {split: Part(path / IMAGES, path / LABELS) for split, path in beside.items()}
        texts = {}
    whole = {split: part for split, part in found.items() if part.labels.is_dir()}
    if not whole:
        return {"": Part(images, labels)} if images.is_dir() and labels.is_dir() else {}
    if notes is not None:
        for split, part in found.items():
            if split not in whole:
                notes.append(f"{_short(part.images, root)}/ has no folder {_short(part.labels, root)}/ and is left out")
        for split, path in texts.items():
            if split not in found:
                notes.append(f"{_short(path, root)}/ has no folder of pictures {IMAGES}/{path.name}/ and is left out")
    return whole


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and holds_pictures(folder)


def _has_both(folder: Path) -> bool:
    return (folder / LABELS).is_dir() and _has_pictures(folder / IMAGES)


def _inside(root: Path, path: str) -> Path | None:
    """The file or folder in the root that a path means, whatever disk it was written on; None if there is none."""
    names = [name for name in re.split(r"[\\/]", path.strip()) if name not in ("", ".", "..")]
    tails = (root.joinpath(*names[start:]) for start in range(len(names)))
    return next((place for place in tails if place.exists()), None)


def _short(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
