"""Folders that do not say how they are divided: all of them is the test set of another run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.folders import Folders


def write(path: Path, value: int, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (4, 6, channels) if channels > 1 else (4, 6)
    PIL.Image.fromarray(np.full(shape, value, np.uint8)).save(path)


def masks(root: Path, split: str = "") -> None:
    for k in range(6):
        write(root / split / "images" / f"{k}.png", 40 * k)
        write(root / split / "labels" / f"{k}.png", k % 2, channels=1)


def test_all_pairs_are_the_test_set_and_nothing_is_written(tmp_path: Path) -> None:
    masks(tmp_path)
    source = Folders(str(tmp_path))
    assert source.splits() == ("train", "val")
    whole = source.undivided()
    assert whole is not None and whole.splits() == ("test",)
    found = whole.open("test")
    assert sorted(found.name(k) for k in range(len(found))) == [f"{k}.png" for k in range(6)]
    assert whole.describe().startswith("Folders: 6 test pictures (all of it as test)")
    assert source.splits() == ("train", "val")  # the source itself is as it was
    assert not (tmp_path / "splits.json").exists()


def test_a_folder_that_names_its_splits_has_no_other_division(tmp_path: Path) -> None:
    for split in ("train", "val"):
        masks(tmp_path, split)
    assert Folders(str(tmp_path)).undivided() is None


def test_class_folders_too(tmp_path: Path) -> None:
    for kind in ("cow", "tree"):
        for k in range(3):
            write(tmp_path / kind / f"{k}.png", 40 * k)
    whole = ClassFolders(str(tmp_path)).undivided()
    assert whole is not None
    labels = [int(whole.open("test")[k]["label"]) for k in range(6)]
    assert sorted(labels) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("split", ["train", "val"])
def test_its_other_splits_are_gone(tmp_path: Path, split: str) -> None:
    masks(tmp_path)
    whole = Folders(str(tmp_path)).undivided()
    assert whole is not None and split not in whole.splits()
