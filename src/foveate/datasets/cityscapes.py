"""Cityscapes (Cordts et al. 2016): street scenes of 50 cities, label ids turned into the 19 train ids."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate import pictures
from foveate.datasets.class_files import find_classes
from foveate.datasets.files import FileSource, Pair, Scan, require_folder
from foveate.datasets.folders import describe_masks, with_val
from foveate.datasets.masks import recognise_masks
from foveate.disk import is_hidden
from foveate.errors import DataError
from foveate.records import ClassTable, Problem
from foveate.registry import dataset

# (label id, name, colour) in the order of the train ids, from the corpus's own label definition; every other id
# (ego vehicle, parking, caravan ...) is unscored.
LABELS: tuple[tuple[int, str, tuple[int, int, int]], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
_LOOKED_AT = 16  # masks that tell whether labels are scored at all
IDS = 34  # label ids run from 0 to 33; the licence plate's -1 is stored as 255
CLASSES = ClassTable(tuple(name for _, name, _ in LABELS), tuple(color for _, _, color in LABELS), 255)
_PICTURE, _IDS, _TRAIN_IDS = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"


@dataset("cityscapes")
@dataclass(frozen=True)
class Cityscapes(FileSource):
    """Cityscapes: leftImg8bit/{split}/{city}/*_leftImg8bit.png and gtFine/{split}/{city}/*_gtFine_labelIds.png.

    The 19 train ids are the classes, 255 is unscored. Other data in this layout needs a class list in the folder, such
    as `classes.txt`, by which its masks are read. `*_labelTrainIds.png` is read if there is no
    `*_labelIds.png`. The test part has no public labels (its masks hold only unscored ids), so it is left out.

    path: the folder that holds leftImg8bit and gtFine.
    seed: of the drawn split; any integer, used only if there is no val.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if both folders are there."""
        return (path / "leftImg8bit").is_dir() and (path / "gtFine").is_dir()

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        if self.scan.read_label is not read_ids:
            return describe_masks(self, "Folders in the layout of Cityscapes")
        return f"Cityscapes: {self.scan.counts()}, 19 classes (label ids as train ids), ignore 255"

    def read(self) -> Scan:
        """Find the frames of train and val. Raises DataError."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        pairs = {split: _pairs(root, split, problems) for split in ("train", "val")}
        if not any(pairs.values()):
            raise DataError(
                f"{root}: no labelled pictures; expected leftImg8bit/train/CITY/*{_PICTURE} and "
                f"gtFine/train/CITY/*{_IDS}"
            )
        pairs, drawn = with_val(root, pairs, problems, self.seed)
        own = find_classes(root)
        if own is not None and own.names != CLASSES.names:
            reader = recognise_masks([pair.label for part in pairs.values() for pair in part], own)
            return Scan(pairs, reader.classes, reader, problems, drawn=drawn)
        _require_scored(pairs)
        return Scan(pairs, CLASSES, read_ids, problems, drawn=drawn)


def _require_scored(pairs: dict[str, list[Pair]]) -> None:
    """Raise DataError for labels of other data, and for train ids under the name of label ids.

    No mask of some has then a label of Cityscapes that is scored; or, of train ids, most pixels are unscored, 255 is
    among the values, and none is above the last train id.
    """
    files = [pair.label for part in pairs.values() for pair in part]
    held: Counter[int] = Counter()
    scored = 0
    for path in files[:: max(1, len(files) // _LOOKED_AT)]:
        with contextlib.suppress(DataError):
            values, counts = np.unique(pictures.read_raw(path).values, return_counts=True)
            found = dict(zip(values.tolist(), counts.tolist(), strict=True))
            if found.keys() - set(range(IDS)) - {255}:
                return  # reading it says what is wrong with the values
            held.update(found)
            derived = path.name.endswith(_TRAIN_IDS)
            ids = range(len(CLASSES)) if derived else [label for label, _, _ in LABELS]
            scored += sum(found.get(label, 0) for label in ids)
    if held and not scored:
        raise DataError(
            f"{files[0]}: the masks hold {', '.join(map(str, sorted(held)[:6]))}, none of which is a scored class of "
            "Cityscapes; if these are labels of other data, write classes.txt beside leftImg8bit, a name for each"
        )
    as_ids = not files[0].name.endswith(_TRAIN_IDS)
    if as_ids and 255 in held and 2 * scored < held.total() and max(held.keys() - {255}, default=IDS) < len(CLASSES):
        raise DataError(
            f"{files[0]}: the masks hold 255 and nothing from {len(CLASSES)} to {IDS - 1}, and most pixels are "
            f"unscored, so they seem to be train ids; call their files *{_TRAIN_IDS}"
        )


def _pairs(root: Path, split: str, problems: list[Problem]) -> list[Pair]:
    images, fine = root / "leftImg8bit" / split, root / "gtFine" / split
    by_key = {_key(p, images, _PICTURE): p for p in _files(images, _PICTURE)}
    labels: dict[str, Path] = {}
    for ending in (_TRAIN_IDS, _IDS):  # the ids that the corpus ships win over the derived ones
        labels |= {_key(p, fine, ending): p for p in _files(fine, ending)}
    problems += [Problem(p, "a picture without a label") for key, p in by_key.items() if key not in labels]
    problems += [Problem(p, "a label without a picture") for key, p in labels.items() if key not in by_key]
    return [Pair(p, labels[key]) for key, p in by_key.items() if key in labels]


def _files(folder: Path, ending: str) -> list[Path]:
    """The files `<city>/*<ending>` of a split's folder, without hidden ones."""
    found = folder.glob(f"*/*{ending}")
    return sorted(p for p in found if not any(map(is_hidden, p.relative_to(folder).parts)))


def _key(file: Path, folder: Path, ending: str) -> str:
    return file.relative_to(folder).as_posix().removesuffix(ending)


def train_ids() -> np.ndarray:
    """(256,) uint8: label id -> train id, 255 for all that is unscored, 254 for values that are no label id."""
    table = np.full(256, 254, np.uint8)
    table[:IDS] = 255
    table[255] = 255
    for train_id, (label_id, _, _) in enumerate(LABELS):
        table[label_id] = train_id
    return table


def read_ids(pair: Pair, height: int, width: int) -> np.ndarray:
    """(H, W) train ids, or 255. A `ReadLabel`. Raises DataError."""
    path: Path = pair.label
    values = pictures.read_raw(path).values
    if values.ndim != 2 or values.dtype != np.uint8:
        raise DataError(f"{path}: expected an 8-bit index PNG of label ids; got {values.dtype} of shape {values.shape}")
    if path.name.endswith(_TRAIN_IDS):
        return values
    labels = train_ids()[values]
    unknown = np.unique(values[labels == 254])
    if unknown.size:
        listing = ", ".join(map(str, unknown[:5]))
        raise DataError(f"{path}: value {listing} is not a Cityscapes label id (0..{IDS - 1}, 255); restore the file")
    return labels
