"""Pascal VOC segmentation: `JPEGImages`, `SegmentationClass`, `SegmentationObject` and `ImageSets/Segmentation`.

Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, and its development kit: masks are
palette PNGs whose indices are the labels, 255 is void (the border drawn around objects, and what is too hard to
tell). In `SegmentationObject` the indices number the objects of an image, 255 is void again.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate.datasets.checks import COMBINED
from foveate.datasets.class_files import find_classes
from foveate.datasets.classes import ClassList, Color
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, Scan, raise_problems, require_folder
from foveate.datasets.masks import MaskReader, Published, recognise_masks, split_doubts
from foveate.datasets.masks.layers import distinct, only_roughly, pack_color, read_layers
from foveate.datasets.names import NameIndex
from foveate.datasets.objects import Objects, ObjectSource, divide
from foveate.datasets.pairing import pair_by_stem
from foveate.datasets.splits import list_lines, ordered, split_by_lists, split_parts
from foveate.errors import ConfigError, DataError, counted, first_names, unknown
from foveate.pictures import list_pictures
from foveate.records import ClassTable, Problem
from foveate.registry import dataset

NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VOID = 255
LISTS = Path("ImageSets", "Segmentation")


def voc_color(label: int) -> Color:
    """The kit's colour of a label: its bits, dealt in turn to red, green and blue, from the highest bit down."""
    red = green = blue = 0
    for place in range(8):
        bits = label >> 3 * place
        red |= (bits & 1) << 7 - place
        green |= (bits >> 1 & 1) << 7 - place
        blue |= (bits >> 2 & 1) << 7 - place
    return red, green, blue


_VOID_COLOR = pack_color(voc_color(VOID))
COLORS = tuple(voc_color(label) for label in range(len(NAMES)))
CLASSES = ClassTable(NAMES, COLORS, VOID)
OWN = Published(
    "Pascal VOC", ClassList(NAMES, COLORS, VOID, (voc_color(VOID),), file="Pascal VOC's own list"), r"\d{4}_\d{6}"
)


@dataset("voc")
@dataclass(frozen=True)
class VOC(ObjectSource):
    """Pascal VOC segmentation: a VOCdevkit, or one of its year folders (VOC2012).

    The splits are the lists of `ImageSets/Segmentation` that are called after splits; images in no list are left out,
    and so is a test list whose masks were not published. Without lists a split is drawn. The 21 official classes are
    those of masks whose values or colours are the kit's; a `classes.txt` in the year folder, or another tool's list,
    replaces them.

    path: the folder that holds `JPEGImages`, or a parent of year folders.
    year: '2007' or another, if there are several; '' is the latest.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    year: str = ""
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a year folder with segmentation masks."""
        return bool(year_folders(path))

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan, name = self.scan, self._year_folder().name
        labels: VOCLabels = scan.read_label  # type: ignore[assignment]
        classes = f"{counted(len(scan.classes), 'class')} ({labels.masks.remark}), ignore {scan.classes.ignore_index}"
        return f"Pascal VOC ({name}): {scan.counts()}, {classes}"

    def read(self) -> Scan:
        """Find pairs and lists. Raises DataError, and ConfigError for a year that is not there."""
        root = self._year_folder()
        pairs, problems = pair_by_stem(list_pictures(root / "JPEGImages"), _class_masks(root))
        twice: list[Problem] = []  # kept apart: the other problems are of files that a list may not name
        lists = _lists(root / LISTS, twice)
        notes = _unread_lists(root, lists, pairs)
        drawn, without_test = Drawn(), False
        if lists:
            splits, without_test = _by_lists(pairs, lists, problems)
        else:
            splits = {"train": pairs}
        problems += twice
        undivided = splits.get("train") or splits.get("trainval") or []
        if not splits.get("val"):
            divided, drawn = divide(root, undivided, problems, self.seed)
            splits = {**splits, **divided}
        if without_test:
            drawn.clause = "; ".join(filter(None, ("test.txt has no masks and is left out", drawn.clause)))
        if not any(splits.values()):
            raise_problems(problems)
        files = [pair.label for pairs in splits.values() for pair in pairs]
        masks = recognise_masks(list(dict.fromkeys(files)), find_classes(root), OWN)
        notes += split_doubts(masks, {split: [pair.label for pair in pairs] for split, pairs in splits.items()})
        return Scan(ordered(splits), masks.classes, VOCLabels(masks), problems, drawn=drawn, notes=notes)

    def _year_folder(self) -> Path:
        years = year_folders(require_folder(self.path))
        if not years:
            raise DataError(f"{self.path}: no JPEGImages and SegmentationClass in it, nor in a folder VOC20xx of it")
        if not self.year:
            return list(years.values())[-1]
        if self.year not in years:
            raise ConfigError(f"{unknown('year', self.year, years)} (in {self.path})")
        return years[self.year]


@dataclass(frozen=True)
class VOCLabels:
    """Reads the masks of an image, by class or by object."""

    masks: MaskReader

    @property
    def refused(self) -> str:
        """The complaint about the first class mask with values that have no label."""
        return self.masks.refused

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what the class masks may mean otherwise."""
        return self.masks.notes

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices, 255 where void."""
        return self.masks(pair, height, width)

    def object_file(self, pair: Pair) -> Path:
        """The mask of an image's objects."""
        folder = pair.label.parent
        return Path(folder.parent / folder.name.replace("Class", "Object") / pair.label.name)

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """The objects in the order of their numbers, each of the class that most of its pixels have; void is unscored.

        Raises DataError: no object mask, one of another size, or an object on nothing but background and void.
        """
        path = self.object_file(pair)
        classes, numbers = self(pair, height, width), _object_numbers(path)
        for file, values in ((pair.label, classes), (path, numbers)):
            if values.shape != (height, width):
                raise DataError(
                    f"{file}: the mask's shape is {values.shape}, expected {(height, width)} as {pair.picture.name} has"
                )
        found = [int(n) for n in np.unique(numbers) if n not in (0, VOID)]
        return Objects(
            np.stack([numbers == n for n in found]) if found else np.zeros((0, height, width), bool),
            [self._class_of(path, n, classes[numbers == n]) for n in found],
            unscored=(numbers == VOID) | ((classes == self.masks.classes.ignore_index) & (numbers == 0)),
        )

    def _class_of(self, path: Path, number: int, under: np.ndarray) -> int:
        votes = np.bincount(under[(under != 0) & (under != self.masks.classes.ignore_index)])
        if not votes.any():
            raise DataError(f"{path}: object {number} lies on background and void only, so it has no class")
        return int(votes.argmax())


def _class_masks(root: Path) -> list[Path]:
    """The masks of classes; of labelme2voc's former layout, which has arrays in SegmentationClass, the PNGs beside."""
    found, beside = list_pictures(root / "SegmentationClass"), root / "SegmentationClassPNG"
    return list_pictures(beside) if not found and beside.is_dir() else found


def _object_numbers(path: Path) -> np.ndarray:
    """(H, W) numbers of objects: grey values or a palette's indices, or from 1 for each colour, as CVAT writes them.

    Black is 0, and the colour of VOID in the kit's palette is VOID.
    """
    layers = read_layers(path)
    if layers.lossy:
        raise DataError(only_roughly(path))
    if layers.colors is None:
        assert layers.values is not None
        return layers.values
    found = [code for code in distinct(layers.colors).tolist() if code not in (0, _VOID_COLOR)]
    numbers = np.where(layers.colors == _VOID_COLOR, VOID, 0)
    for number, code in enumerate(found, 1):
        numbers[layers.colors == code] = number if number < VOID else number + 1
    return numbers


def year_folders(path: Path) -> dict[str, Path]:
    """Year ('' if the folder's name has none) -> its folder, the latest last."""
    candidates = [path, *sorted(path.glob("VOC[0-9]*")), *sorted(path.glob("VOCdevkit/VOC[0-9]*"))]
    found = [p for p in candidates if (p / "JPEGImages").is_dir() and (p / "SegmentationClass").is_dir()]
    return {"".join(re.findall(r"\d{4}", p.name)[:1]): p for p in found}


def _lists(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """Split -> its list, `trainval` among them; two lists of one split are a problem."""
    found = split_parts(folder, _is_list, problems)
    combined = next((p for p in _texts(folder) if p.stem.lower() == COMBINED), None)
    return {**found, COMBINED: combined} if combined is not None else found


def _is_list(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".txt"


def _texts(folder: Path) -> list[Path]:
    return sorted(filter(_is_list, folder.iterdir())) if folder.is_dir() else []


def _unread_lists(root: Path, lists: dict[str, Path], pairs: list[Pair]) -> list[str]:
    """A note on lists of labelled images that are not read: of no split's name, or in another folder."""
    index = NameIndex(pair.picture for pair in pairs)

    def names_images(path: Path) -> bool:
        with contextlib.suppress(DataError):
            return any(index.find_line(line)[1] for line in list_lines(path))
        return False

    others = [path for path in _texts(root / LISTS) if path not in lists.values()]
    if not lists:
        folders = (root, root / LISTS.parent, *(p for p in (root / LISTS.parent).glob("*") if p.name != LISTS.name))
        others += [path for folder in sorted(folders) for path in _texts(folder)]
    unread = [path.relative_to(root).as_posix() for path in others if names_images(path)]
    if not unread:
        return []
    shown = first_names(unread)
    return [
        f"{counted(len(unread), 'list')} not read ({shown}); if they divide the masks, put them into "
        f"{LISTS.as_posix()} and call them train.txt, val.txt and test.txt"
    ]


def _by_lists(pairs: list[Pair], lists: dict[str, Path], problems: list[Problem]) -> tuple[dict[str, list[Pair]], bool]:
    """Divide by the lists; of images and masks without a partner, only those in a list are problems.

    -> (splits, True if the list of test is left out, since its masks were not published).
    """
    index = NameIndex(pair.picture for pair in pairs)
    unpublished = "test" in lists and not any(index.find_line(line)[1] for line in list_lines(lists["test"]))
    known = {split: path for split, path in lists.items() if split != "test" or not unpublished}
    return split_by_lists(pairs, known, problems), unpublished
