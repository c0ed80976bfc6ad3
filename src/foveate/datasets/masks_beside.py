"""Images with their masks beside them, told apart by what the name of a mask ends in: NAME.jpg and NAME_mask.png."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foveate.datasets.files import Pair, Scan, require_folder
from foveate.datasets.folders import describe_masks, find_parts, scan_masks, split_lists, stray_lists
from foveate.datasets.names import images_of_numbered, stem_of, unmarked
from foveate.datasets.objects import MaskSource
from foveate.datasets.pairing import pair_masks
from foveate.datasets.splits import split_by_lists, split_parts, stray_folders
from foveate.pictures import list_pictures
from foveate.records import Problem
from foveate.registry import dataset

_MOST_FOLDERS = 64  # folders that are looked into to recognise the format


@dataset("masks_beside")
@dataclass(frozen=True)
class MasksBeside(MaskSource):
    """Masks beside their images: DATA/NAME.jpg with DATA/NAME_mask.png, or both in DATA/train, DATA/val, DATA/test.

    So write Roboflow (NAME_mask.png), Cellpose (NAME_masks.tif, NAME_cp_masks.png, of NAME_img.png, too) and others
    (_label, _seg, _segmentation, _gt). Further masks of an image are numbered, as BUSI's NAME_mask_1.png, and hold one
    object each. The files may lie in folders of DATA, as one of each patient. Lists and drawn
    splits are as those of `foveate.datasets.folders`.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if a picture lies beside another that is called after it and after masks, and no folder is of masks."""
        return (
            path.is_dir()
            and not find_parts(path)
            and any(holds_both(folder) for folder in _folders(path)[:_MOST_FOLDERS])
        )

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        return describe_masks(self, "masks beside pictures")

    def read(self) -> Scan:
        """Find pairs, splits and the kind of mask. Raises DataError."""
        root = require_folder(self.path)
        problems: list[Problem] = []
        splits = split_parts(root, _holds_both_below, problems)
        notes = stray_folders(root, splits.values(), _holds_both_below)
        pairs = {
            split: [pair for part in _folders(folder) for pair in _pairs(part, problems, notes)]
            for split, folder in (splits or {"": root}).items()
        }
        if not splits:
            lists = split_lists(root, problems)
            if lists:
                notes += stray_lists(root, lists, pairs[""])
                pairs = split_by_lists(pairs[""], lists, problems)
        scan = scan_masks(root, pairs, problems, self.seed)
        scan.notes += notes
        return scan


def holds_both(folder: Path) -> bool:
    """True if there are images and their masks in a folder."""
    stems = {stem_of(path.name) for path in list_pictures(folder)}
    return any(image in stems for stem in stems for image in (*unmarked(stem), *images_of_numbered(stem)))


def _holds_both_below(folder: Path) -> bool:
    return folder.is_dir() and any(map(holds_both, _folders(folder)))


def _folders(root: Path) -> list[Path]:
    """A folder and the folders in it that are not hidden."""
    return [root, *sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._")]


def _pairs(folder: Path, problems: list[Problem], notes: list[str]) -> list[Pair]:
    """The images of a folder with their masks; [] for a folder without masks.

    A file is a mask if it is called after another that is there and after masks; and if only its own name says so, or
    it is numbered behind such a name, unless it has a mask itself, as 'face mask.jpg' beside 'face mask_mask.png'.
    """
    if not holds_both(folder):
        return []
    files = list_pictures(folder)
    images_of = {path: unmarked(stem_of(path.name)) for path in files}
    stems = {stem_of(path.name) for path in files}
    named = {image for images in images_of.values() for image in images}
    masks = set()
    for path, images in images_of.items():
        stem = stem_of(path.name)
        numbered = (stems | named) & set(images_of_numbered(stem))
        if stems & set(images) or ((images or numbered) and stem not in named):
            masks.add(path)
    pairs, alone = pair_masks([path for path in files if path not in masks], masks, notes)
    problems += alone
    return pairs
