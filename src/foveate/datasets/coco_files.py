"""Files of COCO's annotations in a folder, and the images that they list.

COCO's own files are called `instances_<split><year>.json`. Other tools call theirs otherwise: `_annotations.coco.json`
in the folder of each split (Roboflow), `result.json` (Label Studio), `annotations.json` (labelme2coco), `labels.json`
(FiftyOne), `annotations/train.json` (MMDetection's guides). Such a file is known by its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from foveate.datasets.names import Files, NameIndex
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.errors import DataError
from foveate.pictures import PICTURE_SUFFIXES

_OWN = re.compile(r"instances_(?P<split>.+?)(?P<year>\d{4})?\.json")
_NOT_OBJECTS = re.compile(r"(captions|image_info|panoptic|stuff|.*keypoints).*\.json", re.IGNORECASE)
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_MOST = 20  # JSON files in a folder, above which they are one an image and not COCO's
_NO_SPLIT = {
    "person",
    "keypoints",
    "stuff",
    "default",
    "all",
    "instances",
    "annotations",
    "coco",
    "result",
    "labels",
    "json",
}


class AnnotationFile(NamedTuple):
    """A file of annotations. split: '' if its name and folder say none. year: '' if its name says none."""

    path: Path
    split: str
    year: str


def annotation_files(root: Path) -> list[AnnotationFile]:
    """The files of objects with outlines, sorted by path; COCO's own names alone, where there are such."""
    if not root.is_dir():
        return []
    own = [f for folder in (root, root / "annotations") for f in sorted(folder.glob("instances_?*.json"))]
    found = [
        AnnotationFile(file, split_called(match["split"].strip("_-")), match["year"] or "")
        for file in own
        if (match := _OWN.fullmatch(file.name)) is not None
    ]
    if found:
        return found
    files = [(file, split) for folder, split in _folders(root) for file in _json_files(folder)]
    for known in (_looks_like_coco, _has_other_outlines):
        found = found or [
            AnnotationFile(file, split or _split_of(file.stem), _year_of(file.stem))
            for file, split in files
            if known(file)
        ]
    return found


def box_files(root: Path) -> list[Path]:
    """The files of COCO's form whose objects have boxes, but no outlines."""
    if not root.is_dir():
        return []
    files = [file for folder, _ in _folders(root) for file in _json_files(folder)]
    return [f for f in files if not _NOT_OBJECTS.fullmatch(f.name) and _has_keys(f) and not _has_outlines(f)]


def _folders(root: Path) -> list[tuple[Path, str]]:
    """Folders that files of annotations may lie in, and the split that each is called after, '' for none."""
    inside = [p for p in sorted(root.iterdir()) if p.is_dir()]
    own = [(p, "") for p in (root, *inside) if p == root or p.name.lower() in ("annotations", "labels")]
    for path in inside:
        if (split := split_called(path.name)) in SPLIT_ORDER:
            own += [(p, split) for p in (path, path / "annotations", path / "labels") if p.is_dir()]
    return own


def _json_files(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.glob("*.json") if p.name[0] != "." and p.is_file())
    return files if len(files) <= _MOST else []


def _looks_like_coco(file: Path) -> bool:
    return not _NOT_OBJECTS.fullmatch(file.name) and _has_keys(file) and _has_outlines(file)


def _has_other_outlines(file: Path) -> bool:
    """True for COCO's keypoints and stuff, whose objects have outlines, too."""
    return "panoptic" not in file.name.lower() and _has_keys(file) and _has_outlines(file)


def _has_keys(file: Path) -> bool:
    try:
        data = file.read_bytes()
    except OSError:
        return False
    return all(key in data for key in _KEYS)


def _has_outlines(file: Path) -> bool:
    """True if an object has a segmentation that is not empty, or if there is no object."""
    data = file.read_bytes()
    return re.search(rb'"segmentation"\s*:\s*[\[{]\s*[^\s\]}]', data) is not None or b'"category_id"' not in data


def _split_of(stem: str) -> str:
    """The split in a file's name; '' if it has none. 'coco_valid2017' -> 'val'."""
    words = [word for word in re.split(r"[^a-z]+", stem.lower()) if word and word not in _NO_SPLIT]
    splits = {split for word in words if (split := split_called(word)) in SPLIT_ORDER}
    return splits.pop() if len(splits) == 1 else ""


def _year_of(stem: str) -> str:
    match = re.search(r"[a-z](\d{4})$", stem)
    return match[1] if match else ""


def by_split(files: Iterable[AnnotationFile]) -> tuple[dict[str, Path], list[Path]]:
    """(split -> its file, files beside these that no split is called after). Raises DataError for two of one split."""
    found: dict[str, Path] = {}
    for file in files:
        if file.split in found:
            raise DataError(
                f"{file.path}: a second file of annotations{f' of {file.split}' if file.split else ''}, beside "
                f"{found[file.split]}; keep one, or put train and val into their names"
            )
        found[file.split] = file.path
    named = {split: path for split, path in found.items() if split}
    return (named, [found[""]]) if named and "" in found else (found, [])


class Finder:
    """The images that a file of annotations lists, wherever its tool says that they are.

    moved: names that were found elsewhere than the file says, with their place.
    """

    def __init__(self, root: Path, file: Path, split: str, names: list[str]) -> None:
        self.root, self.file = root, file
        self.moved: list[tuple[str, Path]] = []
        self._files = Files()
        self._index: NameIndex | None = None
        self.folder = self._folder(split, names)

    def _folder(self, split: str, names: list[str]) -> Path:
        """The first of the usual folders that holds one of the listed images; the root if none does."""
        full = match["split"] + (match["year"] or "") if (match := _OWN.fullmatch(self.file.name)) else split
        names_of_folders = dict.fromkeys((f"images/{full}", full, f"images/{split}", split, "images", "data"))
        usual = [self.root / name for name in names_of_folders if name.strip("/")]
        near = [self.file.parent, self.file.parent / "images"]
        # In the folder of its split, a file lies beside its images.
        order = (*near, *usual, self.root) if self.file.parent.name not in ("annotations", "") else (*usual, self.root)
        for folder in dict.fromkeys((*order, *near)):
            tried = (self._inside(folder, one) for name in names for one in dict.fromkeys((name, unquote(name))))
            if folder.is_dir() and any(file is not None for file in tried):
                return folder
        return self.root

    def _inside(self, folder: Path, name: str) -> Path | None:
        """A name's file in a folder, never one outside of it."""
        for stated in dict.fromkeys((name, name.replace("\\", "/"))):
            if not climbs(stated) and (found := self._files.find(folder / stated)) is not None:
                return found
        return None

    def find(self, name: str) -> tuple[Path | None, str]:
        """(the image of a name, '') or (None, what is wrong with it).

        An image that is not where the file says is the one of its name below the root, if there is one.
        """
        found = self._inside(self.folder, name) or self._inside(self.root, name)
        if found is not None:
            return found, ""
        plain = unquote(name)
        if plain != name and (found := self._inside(self.folder, plain) or self._inside(self.root, plain)) is not None:
            self.moved.append((name, found))
            return found, ""
        if self._index is None:
            below = (p for p in sorted(self.root.rglob("*")) if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
            self._index = NameIndex(p for p in below if not _is_hidden(p.relative_to(self.root)))
        last = PurePosixPath(name.replace("\\", "/")).name
        places = [p for p in self._index.find(name) or self._index.find(last) if p.suffix.lower() == _suffix(last)]
        if len(places) == 1:
            self.moved.append((name, places[0]))
            return places[0], ""
        if places:
            shown = " and ".join(str(p.relative_to(self.root)) for p in places[:2])
            return None, f"'{name}' may be {shown}; write its folder into the file"
        if climbs(name):
            return None, f"file_name '{name}' climbs out of its folder, and no picture of this name is inside"
        return None, f"no such picture, but {self.file.name} lists it"


def climbs(name: str) -> bool:
    """True for a name that leads out of the folder that it is read in."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:/", str(path)) is not None


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_hidden(path: Path) -> bool:
    return any(part[0] == "." or part == "__MACOSX" for part in path.parts)


def plain_id(value: Any) -> Any:
    """An id as a number where it is one in quotes or with a decimal point, as '12' and 12.0, so that equal ids meet."""
    if isinstance(value, str) and re.fullmatch(r"0|[1-9]\d{0,17}", value.strip()):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
