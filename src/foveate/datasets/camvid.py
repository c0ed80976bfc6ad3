"""CamVid: road scenes from a driving car (Brostow, Fauqueur and Cipolla 2009), in the 11 classes of SegNet.

The classes, their colours and the division of the frames are those of Badrinarayanan, Kendall and Cipolla,
"SegNet" (2017), section 4.1, as its authors' list files have them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from foveate import pictures
from foveate.datasets.class_files import find_classes
from foveate.datasets.classes import CLASSES_FILE, ClassList, Color, read_classes
from foveate.datasets.files import FileSource, Pair, Scan, require_folder
from foveate.datasets.folders import Folders, describe_masks, paired_folders, with_val
from foveate.datasets.masks import Published, color_reader, recognise_masks, split_doubts
from foveate.datasets.pairing import pair_by_stem
from foveate.datasets.splits import ordered
from foveate.datasets.text_files import read_text
from foveate.errors import DataError
from foveate.records import ClassTable, Problem
from foveate.registry import dataset

# The 11 classes -> the classes of the full release that are merged into each, first the one that gives the colour.
MERGED: dict[str, tuple[str, ...]] = {
    "sky": ("Sky",),
    "building": ("Building", "Archway", "Bridge", "Tunnel", "Wall"),
    "pole": ("Column_Pole", "TrafficCone"),
    "road": ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    "pavement": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "tree": ("Tree", "VegetationMisc"),
    "sign_symbol": ("SignSymbol", "Misc_Text", "TrafficLight"),
    "fence": ("Fence",),
    "car": ("Car", "OtherMoving", "SUVPickupTruck", "Train", "Truck_Bus"),
    "pedestrian": ("Pedestrian", "Animal", "CartLuggagePram", "Child"),
    "bicyclist": ("Bicyclist", "MotorcycleScooter"),
}
# The full release's colours, for copies that lack its label_colors.txt.
COLORS: dict[str, Color] = {
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Void": (0, 0, 0),
    "Wall": (64, 192, 0),
}
VOID = 11
CLASSES = ClassTable(tuple(MERGED), tuple(COLORS[first] for first, *_ in MERGED.values()), VOID)
# Frames are called after their drive, as in 0016E5_07959 and Seq05VD_f00030.
OWN = Published(
    "CamVid",
    ClassList(CLASSES.names, CLASSES.colors, VOID, (COLORS["Void"],), file="CamVid's own list"),
    r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+",
)
SPLITS = ("train", "val", "test")
_RAW, _LABELED, _COLOR_FILE = "701_StillsRaw_full", "LabeledApproved_full", "label_colors.txt"


@dataset("camvid")
@dataclass(frozen=True)
class CamVid(FileSource):
    """CamVid: SegNet's train/ + trainannot/, the full release's 701_StillsRaw_full/, or split folders + classes.txt.

    All three give SegNet's 11 classes and leave void (11) unscored. The full release's 32 colours are merged into
    these classes and its frames divided as SegNet's lists are: 367 train, 101 val, 233 test. A `classes.txt` in
    SegNet's layout names the classes of other data; without one, labels that are not CamVid's are guessed.

    path: the folder that holds one of the three.
    seed: of the drawn split; any integer, used only if there is no val.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if the folder has one of the three layouts."""
        return _is_full(path) or _is_segnet(path) or _is_folders(path)

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        root = Path(self.path)
        if _is_full(root):
            return describe_masks(self, "CamVid, full release")
        if _is_segnet(root):
            own = self.scan.classes.names == CLASSES.names
            return describe_masks(self, "CamVid, SegNet layout" if own else "Folders in CamVid's SegNet layout")
        return describe_masks(self, "CamVid-style folders")

    def read(self) -> Scan:
        """Find the frames. Raises DataError."""
        root = require_folder(self.path)
        if _is_full(root):
            return _read_full(root)
        if _is_segnet(root):
            return _read_segnet(root, self.seed)
        if _is_folders(root):
            return Folders(self.path, self.seed).read()
        raise DataError(
            f"{root}: not a known layout of CamVid; expected train/ and trainannot/, {_RAW}/ and {_LABELED}/, or "
            f"train/images, train/labels and a {CLASSES_FILE} of its 11 classes"
        )


def official_split(stem: str) -> str:
    """The part that SegNet's lists put a frame of the full release in: 367 train, 101 val, 233 test of the 701."""
    sequence, _, rest = stem.partition("_")
    number = int(re.sub(r"\D", "", rest) or 0)
    if sequence == "Seq05VD" or (sequence == "0001TP" and number > 8520):
        return "test"
    # Every 30th frame of a drive is labelled; this stretch of one drive is labelled at 15 Hz, on odd numbers.
    return "val" if sequence == "0016E5" and 7959 <= number <= 8159 and number % 2 else "train"


def _is_full(root: Path) -> bool:
    return (root / _RAW).is_dir() and (root / _LABELED).is_dir()


def _is_segnet(root: Path) -> bool:
    return (root / "train").is_dir() and (root / "trainannot").is_dir()


def _is_folders(root: Path) -> bool:
    if not (root / CLASSES_FILE).is_file() or not paired_folders(root):
        return False
    try:
        names = read_classes(root / CLASSES_FILE).names
    except DataError:  # the plain reader will say what is wrong with it
        return False
    return [_plain(n) for n in names] == [_plain(n) for n in CLASSES.names]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _read_segnet(root: Path, seed: int) -> Scan:
    problems: list[Problem] = []
    pairs: dict[str, list[Pair]] = {}
    for split in SPLITS:
        images, labels = root / split, root / f"{split}annot"
        if images.is_dir() and labels.is_dir():
            pairs[split], alone = pair_by_stem(pictures.list_pictures(images), pictures.list_pictures(labels))
            problems += alone
            if (root / f"{split}.txt").is_file():
                pairs[split] = _listed(root / f"{split}.txt", pairs[split], problems)
    if not any(pairs.values()):
        raise DataError(f"{root}: no labelled pictures; expected frames in train/ and masks in trainannot/")
    pairs, drawn = with_val(root, pairs, problems, seed)
    masks = [pair.label for split in pairs.values() for pair in split]
    reader = recognise_masks(masks, find_classes(root), OWN)
    notes = split_doubts(reader, {split: [pair.label for pair in part] for split, part in pairs.items()})
    return Scan(pairs, reader.classes, reader, problems, drawn=drawn, notes=notes)


def _listed(path: Path, pairs: list[Pair], problems: list[Problem]) -> list[Pair]:
    """The pairs that a list names: a line holds the paths of an image and of a mask on the author's disk."""
    by_name = {pair.picture.name: pair for pair in pairs}
    names = [Path(line.split()[0]).name for line in read_text(path).splitlines() if line.strip()]
    problems += [
        Problem(path, f"names '{n}', but there is no labelled picture of that name") for n in names if n not in by_name
    ]
    return [by_name[n] for n in names if n in by_name]


def _read_full(root: Path) -> Scan:
    labels = {p.stem.removesuffix("_L"): p for p in pictures.list_pictures(root / _LABELED)}
    images = {p.stem: p for p in pictures.list_pictures(root / _RAW)}
    problems = [Problem(images[s], "a picture without a label") for s in images if s not in labels]
    problems += [Problem(labels[s], "a label without a picture") for s in labels if s not in images]
    pairs: dict[str, list[Pair]] = {}
    for stem in images:
        if stem in labels:
            pairs.setdefault(official_split(stem), []).append(Pair(images[stem], labels[stem]))
    if not pairs:
        raise DataError(f"{root}: no labelled pictures; expected {_RAW}/NAME.png and {_LABELED}/NAME_L.png")
    places = (root / _COLOR_FILE, root / _LABELED / _COLOR_FILE)
    path = next((p for p in places if p.is_file()), None)
    colors = _read_colors(path) if path else COLORS
    label = {fine: i for i, fines in enumerate(MERGED.values()) for fine in fines}
    fine = [(c, label.get(name, VOID)) for name, c in colors.items()]
    advice = f"restore the mask, or correct the colours of CamVid's 32 classes in {_COLOR_FILE}"
    reader = color_reader(CLASSES, fine, "32 RGB colours as 11", advice)
    return Scan(ordered(pairs), CLASSES, reader, problems)


def _read_colors(path: Path) -> dict[str, Color]:
    """label_colors.txt: a line is 'r g b name'."""
    colors: dict[str, Color] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or not all(re.fullmatch(r"\d{1,3}", w) and int(w) < 256 for w in words[:3]):
            raise DataError(f"{path}, line {number}: '{line}'; expected 'r g b name'")
        if words[3] not in COLORS:
            raise DataError(f"{path}, line {number}: '{words[3]}' is none of CamVid's 32 classes; correct its spelling")
        colors[words[3]] = (int(words[0]), int(words[1]), int(words[2]))
    missing = sorted(set(COLORS) - set(colors))
    if missing:
        raise DataError(f"{path}: no colour for {', '.join(missing[:3])}; expected all of CamVid's 32 classes")
    return colors
