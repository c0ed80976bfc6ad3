"""Today's LabelMe (wkentaro/labelme): one JSON file an image, which it names or embeds."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from foveate import pictures
from foveate.datasets.files import Pair
from foveate.datasets.folders import IMAGE_FOLDERS, LABEL_FOLDERS
from foveate.datasets.labelme.shapes import DONE, Annotation, Shape
from foveate.datasets.names import Files, NameIndex, normal, stem_of
from foveate.datasets.splits import SPLITS_FILE
from foveate.datasets.text_files import read_json
from foveate.disk import is_hidden
from foveate.errors import DataError
from foveate.pictures import list_pictures

_SAMPLE = 20  # files of a folder that are looked into
_CLASS_FILES = ("labels.txt", "classes.txt")
_FOLDERS = {*IMAGE_FOLDERS, *LABEL_FOLDERS, "data_annotated", "json", "jsons", "labelme"}


def list_json(folder: Path) -> list[Path]:
    """The annotation files of a folder, sorted by name."""
    return sorted(p for p in folder.glob("*.json") if p.name != SPLITS_FILE and not is_hidden(p.name))


def looks_like_labelme(file: Path) -> bool:
    """True if the file begins as labelme's do; the rest may be malformed."""
    try:
        with file.open("rb") as stream:
            return b'"shapes"' in stream.read(1 << 16)
    except OSError:
        return False


def annotation_folders(root: Path, most: int | None = None) -> list[Path]:
    """The folders of labelme's files: the root if it holds some, else those of the project below it.

    In a project, the root holds a list of classes or the images, or half of its several folders of images hold
    such files, or else the folders have names such as data_annotated, annotations or images. most: folders looked into.
    """

    def holds(folder: Path) -> bool:
        return any(map(looks_like_labelme, list_json(folder)[:_SAMPLE]))

    if holds(root):
        return [root]
    is_project = root.is_dir() and (bool(list_pictures(root)) or any((root / n).is_file() for n in _CLASS_FILES))
    below = [p for p in sorted(root.iterdir()) if p.is_dir() and p.name[0] != "."][:most] if root.is_dir() else []
    parts = [p for p in below if list_pictures(p)]
    is_project = is_project or (len(parts) > 1 and 2 * sum(map(holds, parts)) >= len(parts))
    below += [p for folder in below for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] != "."][:most]
    named = [p for p in below if is_project or p.name.lower() in _FOLDERS]
    return sorted(filter(holds, named))


def read_annotation(file: Path, finder: PictureFinder) -> Annotation:
    """Read one file; its image must lie in the finder's root. Raises DataError naming file and shape."""
    data = read_json(file)
    name = require_labelme(file, data)
    embedded = data.get("imageData") is not None
    # The file of an embedded image is not opened, so its path is only a name.
    picture = file.parent / PureWindowsPath(name).name if embedded else finder.find(file, name)
    state = state_of(data)
    shapes = tuple(read_shapes(file, data["shapes"])) if state == DONE else ()
    return Annotation(file, picture, shapes, stated_size(data), embedded, state)


def require_labelme(file: Path, data: Any) -> str:
    """The image's path in the content of a file. Raises DataError for what is no LabelMe file."""
    if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
        raise DataError(f"{file}: no list 'shapes', so not a LabelMe file; repair it or move it elsewhere")
    name = data.get("imagePath")
    if not isinstance(name, str) or not name:
        raise DataError(f"{file}: no 'imagePath'; expected the picture's file name")
    return name


def state_of(data: dict[str, Any]) -> str:
    """The state that a labelling page keeps in a file: draft, done or skipped; done for files without one."""
    own = data.get("foveate")
    state = own.get("state") if isinstance(own, dict) else None
    return state if isinstance(state, str) else DONE


def stated_size(data: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) as a file states them; None for a file that does not."""
    height, width = data.get("imageHeight"), data.get("imageWidth")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


class PictureFinder:
    """The images of labelme's files below a root, also of files that were renamed or moved with their image.

    elsewhere: files whose image is another than their imagePath says, with that path and the image.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.elsewhere: list[tuple[Path, str, Path]] = []
        self._files = Files()
        self._beside: dict[Path, NameIndex] = {}
        self._below: NameIndex | None = None

    def find(self, file: Path, name: str) -> Path:
        """The image of a file: the one that its imagePath names, else the one of the file's own name.

        Where both exist, the file's own name counts, since labelme gives a file the name of its image, and the
        imagePath inside is not renamed with it. Raises DataError for a path out of the root, and if several images
        may be meant.
        """
        own = stem_of(file.with_suffix(".png").name)
        same_name = stem_of(PureWindowsPath(name).name) == own
        try:
            stated = resolve_inside(file, name, self.root)
        except DataError:
            if not same_name:
                raise
            stated = file.parent / PureWindowsPath(name).name
        found = self._files.find(stated)
        if found is not None and same_name:
            return found
        if file.parent not in self._beside:
            self._beside[file.parent] = NameIndex(list_pictures(file.parent))
        candidates = self._beside[file.parent].find(own)
        if not candidates and found is None:
            candidates = self._anywhere(file, own) or self._anywhere(file, stem_of(PureWindowsPath(name).name))
        if len(candidates) > 1:
            shown = " and ".join(str(p.relative_to(self.root)) for p in candidates[:2])
            raise DataError(f"{file}: imagePath '{name}' is not there, and its picture may be {shown}; keep one")
        if not candidates:
            return found or stated
        if candidates[0] != found:
            self.elsewhere.append((file, name, candidates[0]))
        return candidates[0]

    def _anywhere(self, file: Path, stem: str) -> list[Path]:
        """The images of a name below the root, of several those that share most folders with the file."""
        if self._below is None:
            below = [p for p in sorted(self.root.rglob("*")) if p.suffix.lower() in pictures.PICTURE_SUFFIXES]
            visible = (p for p in below if not any(part[0] == "." for part in p.parts[-2:]))
            self._below = NameIndex(p for p in visible if p.is_file())
        found = self._below.find(stem)
        near = [len(Path(os.path.commonpath([p, file])).parts) for p in found]
        return [p for p, shared in zip(found, near, strict=True) if shared == max(near)]


def resolve_inside(file: Path, name: str, root: Path) -> Path:
    """The target of a path in `file`. Raises DataError if it is outside of `root`.

    Windows' separators are understood, as labelme understands them.
    """
    stated = PureWindowsPath(name)
    # joinpath lets an absolute path replace the folder; a path with a drive letter is refused below.
    target = Path(os.path.normpath(file.parent.absolute() / stated.as_posix()))
    inside = any(target.is_relative_to(os.path.normpath(base)) for base in (root.absolute(), root.resolve()))
    if stated.drive or not inside:
        raise DataError(
            f"{file}: imagePath '{name}' leads out of the folder {root}; "
            f"move the picture inside, or give the folder that holds both"
        )
    return target if Path(stated.as_posix()).is_absolute() else Path(os.path.normpath(file.parent / stated.as_posix()))


def read_shapes(file: Path, entries: list[Any]) -> Iterator[Shape]:
    """The shapes of a file, as its list has them. Raises DataError naming file and shape."""
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise DataError(f"{file}: shape {number} has no label; expected an object with label, points, shape_type")
        where = f"{file}: shape {number} ('{entry['label']}')"
        points = entry.get("points")
        if not isinstance(points, list) or not all(_is_point(p) for p in points):
            raise DataError(f"{where}: points {points!r:.60}; expected a list of [x, y]")
        mask = entry.get("mask")
        shape = Shape(
            label=normal(entry["label"]),
            kind=str(entry.get("shape_type") or "polygon"),
            points=tuple((p[0], p[1]) for p in points),
            group=_group(entry.get("group_id"), where),
            mask=None if mask is None else _base64(mask, where),
        )
        if complaint := shape.complaint():
            raise DataError(f"{where}: {complaint}")
        yield shape


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(type(v) in (int, float) for v in point)


def _group(value: Any, where: str) -> int | str | None:
    if value is None or isinstance(value, (int, str)):
        return value
    raise DataError(f"{where}: group_id {value!r:.40}; expected a number or null")


def _base64(text: Any, where: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, TypeError, ValueError) as error:
        raise DataError(f"{where}: not base64 ({error}); expected an encoded picture") from error


def read_picture(pair: Pair, channels: int | None) -> np.ndarray:
    """A `ReadPicture`: the embedded image if there is one, as labelme does, else the file. Raises DataError."""
    annotation: Annotation = pair.label
    if not annotation.embedded:
        return pictures.read_picture(pair.picture, channels=channels)
    where = f"{annotation.file}: imageData"
    # Read again each time: the images of a whole set would not fit into memory.
    data = _base64(read_json(annotation.file)["imageData"], where)
    return pictures.decode_picture(data, where, channels=channels)
