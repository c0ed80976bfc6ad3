from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.folders import Folders
from foveate.errors import ConfigError, DataError


def put(folder: Path, *names: str, shade: int = 0, size: tuple[int, int] = (4, 3)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (shade, shade, shade)).save(folder / name)


def numbered(count: int) -> list[str]:
    return [f"{i:03d}.png" for i in range(count)]


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("valid", 1)):
        for shade, name in enumerate(("hen", "cow")):
            put(tmp_path / split / name, *numbered(count), shade=shade)
    return tmp_path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    for name, count in (("cow", 10), ("hen", 5), ("owl", 2), ("yak", 1)):
        put(tmp_path / name, *numbered(count))
    return tmp_path


def names(source: ClassFolders, split: str) -> list[str]:
    dataset = source.open(split)
    return [dataset.name(i) for i in range(len(dataset))]


def test_split_folders(divided: Path) -> None:
    source = recognise(divided)
    assert source == ClassFolders(str(divided))
    assert source.tasks == ("classification", "drawing")
    assert source.splits() == ("train", "val")
    assert source.describe() == "class folders: 6 train, 2 val pictures, 2 classes"
    dataset = source.open("train")
    assert (len(dataset), dataset.channels, dataset.classes.names) == (6, 3, ("cow", "hen"))
    sample = dataset[0]
    assert (sample["label"], sample["name"]) == (0, "cow/000.png")
    assert torch.equal(sample["image"], torch.full((3, 3, 4), 1, dtype=torch.uint8))
    assert [dataset[i]["label"] for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert not (divided / "splits.json").exists()
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3]["image"], dataset[3]["image"])
    assert ClassFolders(**json.loads(json.dumps(asdict(source)))) == source


def test_classes_txt_orders_and_every_folder_must_be_in_it(divided: Path) -> None:
    (divided / "classes.txt").write_text("hen\ncow\nowl\n")
    dataset = ClassFolders(str(divided)).open("train")
    assert dataset.classes.names == ("hen", "cow", "owl")
    assert {dataset.name(i): dataset[i]["label"] for i in (0, 3)} == {"cow/000.png": 1, "hen/000.png": 0}
    (divided / "classes.txt").write_text("hen\n")
    with pytest.raises(DataError, match=r"train/cow: a class folder that classes\.txt does not name; add 'cow' there"):
        ClassFolders(str(divided)).open("train")


def test_a_fifth_of_each_class_is_drawn_written_down_and_kept(plain: Path) -> None:
    source = ClassFolders(str(plain))
    val = names(source, "val")
    assert [n.split("/")[0] for n in val] == ["cow", "cow", "hen", "owl"]
    assert len(names(source, "train")) == 14
    assert "14 train, 4 val pictures (split drawn from seed 0, written to splits.json), 4 classes" in source.describe()
    assert json.loads((plain / "splits.json").read_text())["splits"]["val"] == val
    again = ClassFolders(str(plain), seed=4)
    assert names(again, "val") == val
    assert "split as splits.json says" in again.describe()
    put(plain / "yak", *numbered(40))
    after = {s: set(names(ClassFolders(str(plain)), s)) for s in ("train", "val")}
    assert set(val) <= after["val"]
    assert sum(map(len, after.values())) == 57
    assert 2 <= len(after["val"] - set(val)) <= 16
    (plain / "cow" / "003.png").unlink()
    with pytest.raises(DataError, match=r"splits\.json: names 'cow/003\.png', but there is no picture of that name"):
        ClassFolders(str(plain)).open("train")


def test_the_draw_depends_on_the_seed(plain: Path) -> None:
    drawn = set()
    for seed in range(6):
        drawn.add(tuple(names(ClassFolders(str(plain), seed=seed), "val")))
        (plain / "splits.json").unlink()
    assert len(drawn) > 1


def test_a_folder_that_is_read_only_is_left_alone(plain: Path) -> None:
    plain.chmod(0o555)
    try:
        source = ClassFolders(str(plain))
        assert "is not writable, so it is drawn again each time" in source.describe()
        assert names(source, "val") == names(ClassFolders(str(plain)), "val")
        assert not (plain / "splits.json").exists()
    finally:
        plain.chmod(0o755)


def test_train_alone_lends_to_val(tmp_path: Path) -> None:
    for name in ("cow", "hen"):
        put(tmp_path / "train" / name, *numbered(10))
        put(tmp_path / "test" / name, "t.png")
    source = ClassFolders(str(tmp_path))
    assert {s: len(source.open(s)) for s in source.splits()} == {"train": 16, "val": 4, "test": 2}


def test_everything_that_fits_nowhere_is_named(divided: Path) -> None:
    (divided / "train" / "owl").mkdir()
    put(divided / "train", "astray.png")
    put(divided, "outside.png")
    put(divided / "train" / "cow" / "more", "deep.png")
    put(divided / "valid" / "yak", "a.png")
    (divided / "valid" / "emu").mkdir()
    for name in ("cow.heic", ".hidden", "Thumbs.db"):
        (divided / "train" / "cow" / name).touch()
    problems = ClassFolders(str(divided)).scan.problems
    found = {str(p.file.relative_to(divided)): p.what for p in problems}
    assert len(found) == len(problems)  # each once
    assert found == {
        "train/owl": "a class folder without pictures; add some, or remove it",
        "train/astray.png": "a picture outside of the class folders; move it into one, or remove it",
        "outside.png": "a picture outside of the class folders; move it into one, or remove it",
        "train/cow/more": f"a folder inside a class's folder; its files belong into {divided / 'train' / 'cow'}",
        "train/cow/cow.heic": "not a picture file by its name; convert it, or remove it",
        "valid/emu": "a class folder without pictures; add some, or remove it",
        "valid/yak": "a class that train has no folder of; add one, or remove it",
    }
    with pytest.raises(DataError, match=r"; and 4 more; add what is missing or remove these"):
        ClassFolders(str(divided)).open("train")
    assert len(ClassFolders(str(divided)).readable("train")) == 6


def test_unreadable_pictures_are_named_when_they_are_read(divided: Path) -> None:
    (divided / "train" / "cow" / "000.png").write_text("no picture")
    dataset = ClassFolders(str(divided)).open("train")
    assert dataset.channels == 3
    with pytest.raises(DataError, match=r"cow/000\.png: not a picture in a known format"):
        dataset[0]
    assert dataset[1]["label"] == 0


def test_too_little_to_divide(tmp_path: Path) -> None:
    for name in ("cow", "hen"):
        put(tmp_path / name, "a.png")
    with pytest.raises(DataError, match="one picture a class; expected at least two, one to train on"):
        ClassFolders(str(tmp_path)).splits()
    with pytest.raises(ConfigError, match="unknown split 'vla'; the nearest is 'val'"):
        put(tmp_path / "cow", "b.png")
        ClassFolders(str(tmp_path)).open("vla")


def test_no_pictures_at_all(tmp_path: Path) -> None:
    (tmp_path / "cow").mkdir()
    with pytest.raises(DataError, match="cow: a class folder without pictures; add some, or remove it"):
        ClassFolders(str(tmp_path)).splits()
    (tmp_path / "cow").rmdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"no pictures in class folders; expected CLASS/\*\.jpg, or train/CLASS"):
        ClassFolders(str(tmp_path)).splits()


@pytest.mark.parametrize(
    "layout",
    [
        ("images", "labels"),
        ("images", "other"),
        ("train/images", "train/masks", "val/images"),
        ("train/images", "train/cow"),
        ("train", "val"),
        ("train2017", "val2017"),
        ("train", "trainannot"),
        ("JPEGImages", "SegmentationClass"),
        ("leftImg8bit", "gtFine"),
        ("Images", "Annotations"),
        ("cow",),
        ("train/cow", "val/cow"),
        (".",),
    ],
)
def test_what_may_be_pictures_and_masks_is_not_taken_for_classes(tmp_path: Path, layout: tuple[str, ...]) -> None:
    for folder in layout:
        put(tmp_path / folder, "a.png", "b.png")
    assert not ClassFolders.recognise(tmp_path)


def test_pictures_beside_masks_stay_what_they_were(tmp_path: Path) -> None:
    for name in ("images", "labels", "cow", "hen"):
        put(tmp_path / name, "a.png", "b.png")
    assert recognise(tmp_path) == Folders(str(tmp_path))


def test_two_folders_of_one_split_are_not_chosen_between(divided: Path) -> None:
    put(divided / "Val" / "cow", "a.png")
    with pytest.raises(DataError, match="valid: is another name of the split 'val', beside Val; merge the two"):
        ClassFolders(str(divided)).open("train")


def test_what_was_written_beside_the_pictures_is_no_class(plain: Path) -> None:
    for file in (
        "runs/first/recipe.json",
        "mine/recipe.json",
        "mine/model/config.json",
        "predictions/predictions.json",
    ):
        (plain / file).parent.mkdir(parents=True, exist_ok=True)
        (plain / file).touch()
    put(plain, "contact_sheet.jpg")
    assert ClassFolders.recognise(plain)
    assert ClassFolders(str(plain)).open("train").classes.names == ("cow", "hen", "owl", "yak")


@pytest.mark.parametrize(
    "folders", [("train_images", "test_images"), ("train_v2", "dev_v2"), ("train-jpg", "test-jpg")]
)
def test_folders_called_after_splits_are_no_classes(tmp_path: Path, folders: tuple[str, str]) -> None:
    for folder in folders:
        put(tmp_path / folder, *numbered(4))
    assert not ClassFolders.recognise(tmp_path)
    with pytest.raises(DataError, match=r"/ and .*/, called after splits; a class is a folder in train/"):
        recognise(tmp_path, "classification")


@pytest.mark.parametrize("folders", [("train station", "test tube", "cow"), ("train_station", "train_track")])
def test_classes_with_such_words_are(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for folder in folders:
        put(tmp_path / folder, *numbered(4))
    assert ClassFolders.recognise(tmp_path)


@pytest.mark.parametrize("name", ["train_test_split.txt", "split.csv", "fold1.json"])
def test_files_that_may_divide_are_noted(plain: Path, name: str) -> None:
    (plain / name).write_text("1 0\n2 1\n")
    assert [note for note in ClassFolders(str(plain)).notes() if name in note] == [
        f"1 file ({name}) not read; if meant to divide the pictures, write train.txt and val.txt, one file name a line"
    ]
    (plain / "train.txt").write_text("cow/000.png\n")
    (plain / "val.txt").write_text("hen/000.png\n")
    assert not [note for note in ClassFolders(str(plain)).notes() if name in note]
