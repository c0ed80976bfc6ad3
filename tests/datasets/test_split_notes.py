"""What `DataSource.notes` says of splits, for every kind of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.checks import equal_files, label_digest, split_notes
from foveate.datasets.files import Pair
from foveate.datasets.folders import Folders
from foveate.errors import DataError


def noise(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 8, 3), dtype=np.uint8)).save(path)
    return path


def pair(folder: Path, stem: str, seed: int) -> None:
    noise(folder / "images" / f"{stem}.png", seed)
    (folder / "labels").mkdir(exist_ok=True)
    Image.fromarray((np.arange(56, dtype=np.uint8) + seed).reshape(7, 8) % 3).save(folder / "labels" / f"{stem}.png")


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    for split, seeds in (("train", range(12)), ("val", range(20, 30)), ("test", range(40, 43))):
        for seed in seeds:
            pair(tmp_path / split, f"{seed:03d}", seed)
    return tmp_path


def test_nothing_is_said_of_good_splits(divided: Path) -> None:
    assert recognise(divided).notes() == []


def test_few_validation_images(divided: Path) -> None:
    (divided / "val" / "images" / "020.png").unlink()
    (divided / "val" / "labels" / "020.png").unlink()
    (note,) = recognise(divided).notes()
    assert note.startswith("val holds 9 pictures, and scores of fewer than 10 say little")


def test_a_split_that_holds_two_others_is_no_second_place(tmp_path: Path) -> None:
    """Pascal VOC's trainval holds the files of train and of val."""
    train, val = ([Pair(noise(tmp_path / f"{i}.png", i), None) for i in part] for part in (range(12), range(12, 24)))
    assert split_notes({"train": train, "val": val, "trainval": [*train, *val]}) == []
    (note,) = split_notes({"train": train, "val": [*val, train[0]], "trainval": [*train, *val]})
    assert note.startswith("1 picture is in train and in val alike")


def test_images_alike_in_two_splits(divided: Path) -> None:
    for seed, name in ((3, "a"), (4, "004")):
        pair(divided / "val", name, seed)
    pair(divided / "test", "b", 3)
    notes = recognise(divided).notes()
    assert [note.partition(", so that")[0] for note in notes] == [
        "2 pictures are in train and in val alike, byte for byte (003.png = a.png, 004.png)",
        "1 picture is in train and in test alike, byte for byte (003.png = b.png)",
        "1 picture is in val and in test alike, byte for byte (a.png = b.png)",
    ]


def test_equal_sizes_are_not_equal_files(tmp_path: Path) -> None:
    """Files of one size that differ in a byte at the start, in the middle, at the end, or between these."""
    content = bytes(1000) * 40
    for name, place in (("start", 0), ("middle", 20_000), ("end", 39_999), ("between", 10_000)):
        changed = bytearray(content)
        changed[place] = 1
        (tmp_path / name).write_bytes(changed)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "copy").write_bytes(content)
    files = {name: tmp_path / name for name in ("start", "middle", "end", "between", "plain", "copy")}
    assert equal_files({"train": list(files.values())[:5], "val": [files["copy"]]}) == [
        ("train", "val", [(files["plain"], files["copy"])])
    ]
    assert equal_files({"train": [files["plain"], files["copy"]], "val": [files["end"]]}) == []


def test_a_set_that_is_ranked_on_test(divided: Path) -> None:
    pairs = Folders(str(divided)).scan.pairs
    (note,) = split_notes({split: pairs[split] for split in ("train", "test")})
    assert note.startswith("there is no val split, so epochs are ranked on test")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("holdout", "holdout/ lies beside the known splits and is not read; name it train, val or test if it is one"),
        ("vaild", "vaild/ lies beside the known splits and is not read; rename it to val if it is one"),
    ],
)
def test_unknown_split_folders(divided: Path, name: str, said: str) -> None:
    pair(divided / name, "a", 99)
    assert recognise(divided).notes() == [said]


def test_a_split_folder_of_another_kind(divided: Path) -> None:
    for path in (divided / "test" / "labels").iterdir():
        path.unlink()
    (divided / "test" / "labels").rmdir()
    assert recognise(divided).notes() == [
        "test/ is not read, since it holds 3 pictures, but not what the other splits hold"
    ]


def test_unknown_splits_of_class_folders(tmp_path: Path) -> None:
    for split in ("train", "eval", "holdout"):
        for label in ("cat", "dog"):
            for i in range(6):
                noise(tmp_path / split / label / f"{i}.png", len(list(tmp_path.rglob("*.png"))))
    source = recognise(tmp_path)
    assert source.splits() == ("train", "val")
    assert source.notes() == [
        "holdout/ lies beside the known splits and is not read; name it train, val or test if it is one"
    ]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for seed in range(30):
        pair(tmp_path, f"{seed:03d}", seed)
    return tmp_path


def write(root: Path, name: str, *groups: range) -> None:
    (root / f"{name}.txt").write_text("".join(f"{seed:03d}.png\n" for group in groups for seed in group))


def test_a_name_in_the_lists_of_train_and_val(lists: Path) -> None:
    write(lists, "train", range(15))
    write(lists, "val", range(14, 25))
    with pytest.raises(DataError, match=r"val\.txt: names '014\.png', and so does train\.txt; expected one of them"):
        Folders(str(lists)).open("train")


def test_a_name_in_the_lists_of_val_and_test_is_said(lists: Path) -> None:
    write(lists, "train", range(12))
    write(lists, "val", range(12, 23))
    write(lists, "test", range(12, 23))
    source = Folders(str(lists))
    assert source.problems() == []
    (note,) = source.notes()
    assert note.startswith("11 pictures are in val and in test alike")


def test_lists_that_are_called_after_no_split(lists: Path) -> None:
    write(lists, "train", range(12))
    write(lists, "valid", range(12, 23))
    write(lists, "holdout", range(23, 30))
    (lists / "notes.txt").write_text("my own words\n")
    source = Folders(str(lists))
    assert source.splits() == ("train", "val")
    assert source.notes() == [
        "holdout.txt lies beside the known splits and is not read; name it train, val or test if it is one"
    ]


# Digests


@pytest.mark.parametrize(
    ("label", "other"),
    [
        (3, 4),
        (("a cow", "a red cow"), ("a cow", "a red hen")),
        (("ab", "c"), ("a", "bc")),
        ((np.zeros(2), "x"), (np.ones(2), "x")),
        ({"size": [2, 3], "counts": "ab"}, {"size": [2, 3], "counts": "ac"}),
        (1, "1"),
    ],
)
def test_digests_tell_labels_apart(label: object, other: object) -> None:
    assert label_digest(label) == label_digest(label) != label_digest(other)
    assert len(label_digest(label)) == 16


def test_digests_of_masks_are_of_their_content(tmp_path: Path) -> None:
    files: list[Path] = [tmp_path / name for name in "abc"]
    for file, content in zip(files, (b"one", b"one", b"two"), strict=True):
        file.write_bytes(content)
    first, second, third = map(label_digest, files)
    assert first == second != third != label_digest(tmp_path / "missing")


def test_every_dataset_of_files_has_digests(divided: Path) -> None:
    dataset = Folders(str(divided)).open("train")
    before = [dataset.digest(i) for i in range(len(dataset))]
    labels: Callable[[], Image.Image] = lambda: Image.fromarray(np.zeros((7, 8), np.uint8))  # noqa: E731
    labels().save(divided / "train" / "labels" / "003.png")
    after = [Folders(str(divided)).open("train").digest(i) for i in range(len(dataset))]
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [3]
