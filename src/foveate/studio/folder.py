"""The images of a folder, and the files that belong to each: its labels, its index mask, its place in `.foveate`.

    photos/IMG_1.jpg           the image, never written to
    photos/IMG_1.json          its labels in LabelMe's form: the truth
    photos/labels/IMG_1.png    its index mask, derived
    photos/.foveate/           lock, jobs, pre-labels, previews: all but lost versions can be made again

Where the images lie in `images/`, the JSON files lie in `annotations/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.datasets import recognise
from foveate.datasets.folders import IMAGE_FOLDERS
from foveate.datasets.labelme import LabelMe
from foveate.datasets.names import distinct_names, normal, stem_of
from foveate.datasets.splits import SPLITS_FILE, VAL_SHARE, draw_share, draw_split, read_splits, split_called
from foveate.errors import DataError, counted
from foveate.pictures import list_pictures

OWN_FOLDER, MASK_FOLDER, ANNOTATION_FOLDER = ".foveate", "labels", "annotations"


@dataclass(frozen=True)
class Picture:
    """One image of the folder.

    id: 12 hexadecimal digits of its name below the folder. name: that of the split file, its stem. path, labels, mask:
    of the image, its JSON file and its index mask. stated: the image's path as its JSON file names it.
    """

    id: str
    name: str
    path: Path
    labels: Path
    mask: Path
    stated: str

    def version(self) -> str:
        """A short digest of size and time of the image file. Raises DataError if it is gone."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read ({error.strerror}); put it back, or reload the page"
            ) from None
        return hashlib.sha256(f"{found.st_size}:{found.st_mtime_ns}".encode()).hexdigest()[:12]


class Folder:
    """A folder of images that is labelled. Raises DataError for one that cannot be."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            wrong = "a file" if self.root.exists() else "no such folder"
            raise DataError(f"{root}: {wrong}; expected the folder that holds the pictures")
        _require_own_labels(self.root)
        self.own = self.root / OWN_FOLDER
        self.problems: list[str] = []
        self.pictures: dict[str, Picture] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look for images again."""
        below = self._image_folder()
        images = below or self.root
        files = [path for path in list_pictures(images) if self._is_inside(path)]
        annotations = self.root / ANNOTATION_FOLDER if below else self.root
        prefix = f"../{below.name}/" if below else ""
        self._require_plain(*([below] if below else []), annotations, self.root / MASK_FOLDER, self.own)
        _require_distinct(files)
        found = {}  # other threads read `pictures` meanwhile
        for name, path in zip(distinct_names(files, self.root), files, strict=True):
            relative = path.relative_to(self.root).as_posix()
            key = hashlib.sha256(normal(relative).encode()).hexdigest()[:12]
            stem = path.name.removesuffix(path.suffix)
            labels, mask = annotations / f"{stem}.json", self.root / MASK_FOLDER / f"{stem}.png"
            found[key] = Picture(key, name, path, labels, mask, prefix + path.name)
        self.pictures = found

    def _image_folder(self) -> Path | None:
        """`images/` in the folder, or None where the images lie in the folder itself."""
        found = [p for p in sorted(self.root.iterdir()) if p.is_dir() and p.name.lower() in IMAGE_FOLDERS]
        found = [p for p in found if list_pictures(p)]
        if list_pictures(self.root):
            if found:
                raise DataError(
                    f"{self.root}: pictures lie in the folder and in {found[0].name}/; put them into one of the two"
                )
            return None
        if len(found) > 1:
            raise DataError(f"{self.root}: pictures lie in {found[0].name}/ and in {found[1].name}/; give one of them")
        if found:
            return found[0]
        parts = [p for p in sorted(self.root.iterdir()) if p.is_dir() and p.name[0] != "." and list_pictures(p)]
        if parts:
            hint = f"they lie in {parts[0].name}/: give {parts[0]}"
            if all(split_called(p.name) in ("train", "val", "test") for p in parts):
                hint = f"each split is labelled by itself: give {parts[0]}"
            raise DataError(f"{self.root}: no pictures in the folder or in images/; {hint}")
        raise DataError(f"{self.root}: no pictures; put some there, or into {self.root / 'images'}")

    def _is_inside(self, path: Path) -> bool:
        """True for a file below the folder; a link that leads out is refused, with a sentence in `problems`."""
        if not path.is_symlink() or path.resolve().is_relative_to(self.root.resolve()):
            return True
        sentence = f"{path.name} is a link that leads out of the folder and is not shown; copy the file instead"
        if sentence not in self.problems:
            self.problems.append(sentence)
        return False

    def _require_plain(self, *folders: Path) -> None:
        for folder in folders:
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                kind = "a link" if folder.is_symlink() else "a file"
                raise DataError(f"{folder}: {kind}; expected a folder, which labels are written to")

    def __getitem__(self, key: str) -> Picture:
        return self.pictures[key]

    def __len__(self) -> int:
        return len(self.pictures)

    # The validation fifth

    def validation(self) -> set[str]:
        """Ids of the images that are to be labelled blind, as the reader of the folder divides it.

        With a splits.json those that it says, and of later images those whose draw is below a fifth; without one the
        fifth that is drawn of all images.
        """
        drawn = self._written()
        names = {p.name: p.id for p in self.pictures.values()}
        if drawn is None:
            val = draw_split(list(names), 0, self.root)["val"] if len(names) > 1 else []
            return {names[name] for name in val}
        known = {stem_of(name) for group in drawn.values() for name in group}
        val = [stem_of(name) for name in drawn.get("val", [])]
        later = [name for name in names if name not in known and draw_share(name, 0) < VAL_SHARE]
        return {names[name] for name in [*val, *later] if name in names}

    @property
    def is_divided(self) -> bool:
        """True if a splits.json says which images are of the validation fifth."""
        return (self.root / SPLITS_FILE).is_file()

    def _written(self) -> dict[str, list[str]] | None:
        return read_splits(self.root / SPLITS_FILE) if self.is_divided else None

    def settle(self) -> None:
        """Write the division of all images to splits.json, unless there is one.

        Before pre-labels are shown it must stand, or a picture that was labelled with their help could be drawn into
        validation later. Raises DataError, OutputError.
        """
        from foveate.datasets.drawn import write_splits

        if self._written() is None:
            splits = draw_split([p.name for p in self.pictures.values()], 0, self.root)
            if not write_splits(self.root / SPLITS_FILE, splits, 0):
                raise DataError(f"{self.root / SPLITS_FILE}: cannot be written, which proposals need; make it writable")


def _require_own_labels(root: Path) -> None:
    """Raise DataError for a folder that is labelled in another form than LabelMe's.

    Its labels would no longer be read once there is a LabelMe file, since one form is read of a folder.
    """
    try:
        source = recognise(root)
    except DataError:  # without labels
        return
    if not isinstance(source, LabelMe) and {"semantic", "instances"} & set(source.tasks):
        form = (type(source).__doc__ or "").partition(":")[0]
        raise DataError(
            f"{root} is labelled already, in another form ({form}); the studio writes LabelMe files, and training "
            "would read these alone: label copies of the pictures in a folder of their own"
        )


def _require_distinct(files: Sequence[Path]) -> None:
    """Raise DataError for images whose JSON files would share a name."""
    known: dict[str, Path] = {}
    for path in files:
        key = normal(path.name.removesuffix(path.suffix)).lower()
        if (first := known.setdefault(key, path)) is not path:
            raise DataError(
                f"{first} and {path.name} would share the labels {first.stem}.json; rename one of the two "
                f"({counted(len(files), 'picture')} in the folder)"
            )
