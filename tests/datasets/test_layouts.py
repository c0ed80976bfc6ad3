"""Folders of images and masks in the layouts that other tools write."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.folders import Folders
from foveate.datasets.masks_beside import MasksBeside
from foveate.datasets.sample_folders import SampleFolders
from foveate.errors import DataError
from foveate.ops.boxes import tight_boxes
from foveate.ops.mask_layers import unpack

SIZE = (6, 5)


def image(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (shade, 100, 7)).save(path, format="PNG" if path.suffix == ".png" else None)
    return path


def mask(path: Path, label: int = 0) -> Path:
    """All `label`, but for one pixel of each other class of three."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full(SIZE[::-1], label, np.uint8)
    values[0, :3] = (0, 1, 2)
    Image.fromarray(values).save(path)
    return path


def pairs(source: Any) -> dict[str, dict[str, int]]:
    """Split -> name -> the label that fills its mask; the shade of its picture must be the same."""
    found: dict[str, dict[str, int]] = {}
    for split in source.splits():
        dataset = source.open(split, "semantic")
        for index in range(len(dataset)):
            sample = dataset[index]
            assert int(sample["image"][0, 2, 2]) == int(sample["mask"][2, 2])
            found.setdefault(split, {})[sample["name"]] = int(sample["mask"][2, 2])
    return found


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/{}", "annotations/{}"),
        ("img_dir/{}", "ann_dir/{}"),
        ("{}/images", "{}/labels"),
        ("{}/image", "{}/mask"),
        ("{}", "{}_masks"),
        ("{}_images", "{}_labels"),
        ("{}-images", "{}-gt"),
    ],
)
@pytest.mark.parametrize("names", [("train", "val"), ("training", "validation"), ("Train", "Eval")])
def test_where_splits_may_stand(tmp_path: Path, images: str, labels: str, names: tuple[str, str]) -> None:
    for k, name in enumerate(names):
        for i in range(3):
            image(tmp_path / images.format(name) / f"{name}{i}.png", (i + k) % 3)
            mask(tmp_path / labels.format(name) / f"{name}{i}.png", (i + k) % 3)
    source = recognise(tmp_path)
    assert isinstance(source, Folders)
    wanted = {
        split: {f"{name}{i}.png": (i + k) % 3 for i in range(3)}
        for k, (split, name) in enumerate(zip(("train", "val"), names, strict=True))
    }
    assert pairs(source) == wanted
    assert not (tmp_path / "splits.json").exists()


@pytest.mark.parametrize("validation", ["val", "valid", "validate", "validation", "eval", "Evaluation"])
def test_names_of_val(tmp_path: Path, validation: str) -> None:
    for name in ("train", validation):
        image(tmp_path / name / "images" / "a.png")
        mask(tmp_path / name / "masks" / "a.png")
    source = recognise(tmp_path)
    assert source.splits() == ("train", "val")
    assert not any("not read" in note for note in source.notes())


def test_text_of_yolo_beside_masks_is_passed_over_and_said(tmp_path: Path) -> None:
    for i in range(4):
        image(tmp_path / "images" / f"{i}.png", i % 3)
        mask(tmp_path / "masks" / f"{i}.png", i % 3)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    source = Folders(str(tmp_path))
    assert sum(map(len, pairs(source).values())) == 4
    assert any("masks/ is read, labels/ beside it is not (4 .txt files)" in note for note in source.notes())


def test_text_of_yolo_alone_is_named(tmp_path: Path) -> None:
    image(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match=r"labels: holds 1 \.txt file, but no masks; .*YOLO's, export masks or COCO"):
        Folders(str(tmp_path)).splits()


def test_folders_in_the_folders_and_lists_with_folders(tmp_path: Path) -> None:
    for place, count in (("farm", 5), ("town", 4)):
        for i in range(count):
            image(tmp_path / "images" / place / f"{i}.png", i % 3)
            mask(tmp_path / "labels" / place / f"{i}.png", i % 3)
    image(tmp_path / "images" / "sea" / "0.png")
    (tmp_path / "train.txt").write_text("farm/0.png\nfarm/1.png\nimages/farm/2.png\ntown/0\n")
    (tmp_path / "val.txt").write_text("town/1.png\nfarm/4\n")
    source = Folders(str(tmp_path))
    found = pairs(source)
    assert found["train"] == {"farm/0.png": 0, "1.png": 1, "2.png": 2, "town/0.png": 0}
    assert found["val"] == {"1.png": 1, "4.png": 1}
    assert [p.picture.parent.name for p in source.scan.pairs["val"]] == ["town", "farm"]
    assert any("images/sea/ has no folder labels/sea/ of labels" in note for note in source.notes())
    (tmp_path / "val.txt").write_text("1\ntown/4\n")
    problems = [p.what for p in Folders(str(tmp_path)).problems()]
    assert problems == [
        "names '1', which may be farm/1.png and town/1.png; write the folder too",
        "names '4', but there is no labelled picture of that name",
    ]


def test_drawn_splits_tell_equal_names_apart_by_folder(tmp_path: Path) -> None:
    for place in ("farm", "town"):
        for i in range(5):
            image(tmp_path / "images" / place / f"{i}.png", i % 3)
            mask(tmp_path / "labels" / place / f"{i}.png", i % 3)
    source = Folders(str(tmp_path))
    found = {split: [p.picture for p in chosen] for split, chosen in source.scan.pairs.items()}
    assert {split: len(set(files)) for split, files in found.items()} == {"train": 8, "val": 2}
    source.open("train")
    again = Folders(str(tmp_path), seed=7).scan.pairs
    assert {split: [p.picture for p in chosen] for split, chosen in again.items()} == found


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_another_unicode_form(tmp_path: Path, form: str) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    for k, name in enumerate(("Größe", "café", "naïve")):
        image(tmp_path / "images" / f"{unicodedata.normalize(form, name)}.png", k)
        mask(tmp_path / "labels" / f"{unicodedata.normalize(other, name)}.png", k)
    (tmp_path / "train.txt").write_text(unicodedata.normalize("NFD", "Größe.png\ncafé\n"))
    (tmp_path / "val.txt").write_text(unicodedata.normalize("NFC", "naïve\n"))
    found = pairs(Folders(str(tmp_path)))
    assert {s: list(group.values()) for s, group in found.items()} == {"train": [0, 1], "val": [2]}


def test_masks_called_after_their_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    for i in range(3):
        image(tmp_path / "images" / f"cell {i}.png", i)
        mask(tmp_path / "masks" / f"cell {i}_mask.png", i)
    assert sorted(n for group in pairs(Folders(str(tmp_path))).values() for n in group) == [
        "cell 0.png", "cell 1.png", "cell 2.png"
    ]  # fmt: skip


# Masks beside images


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("{}.png", "{}_mask.png"),
        ("{}.jfif", "{}_masks.tif"),
        ("{}_img.png", "{}_masks.png"),
        ("{}.png", "{}_cp_masks.png"),
        ("{}.png", "{}-label.png"),
    ],
)
def test_masks_beside_images(tmp_path: Path, picture: str, label: str) -> None:
    for split, count in (("train", 4), ("valid", 2)):
        for i in range(count):
            path = tmp_path / split / picture.format(f"{split}{i}")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE, (200, 100, i)).save(path, format="PNG")
            mask(tmp_path / split / label.format(f"{split}{i}"), i % 3)
    source = recognise(tmp_path)
    assert isinstance(source, MasksBeside)
    opened = {split: source.open(split) for split in source.splits()}
    assert {split: len(dataset) for split, dataset in opened.items()} == {"train": 4, "val": 2}
    for dataset in opened.values():
        for i in range(len(dataset)):
            assert int(dataset[i]["image"][2, 0, 0]) == i and int(dataset[i]["mask"][2, 2]) == i % 3
    assert source.describe().startswith("masks beside pictures: 4 train, 2 val pictures, 3 classes (")


def test_masks_beside_images_undivided_with_lists_and_in_folders(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        for i in range(3):
            image(tmp_path / patient / f"{i}.png", i)
            mask(tmp_path / patient / f"{i}_mask.png", i)
    (tmp_path / "train.txt").write_text("p1/0.png\np1/1.png\np1/2.png\np2/0.png\n")
    (tmp_path / "val.txt").write_text("p2/1.png\np2/2.png\n")
    source = recognise(tmp_path)
    assert pairs(source) == {
        "train": {"p1/0.png": 0, "1.png": 1, "2.png": 2, "p2/0.png": 0},
        "val": {"1.png": 1, "2.png": 2},
    }
    (tmp_path / "p2" / "1_mask.png").unlink()
    (tmp_path / "p2" / "9_mask.png").write_bytes((tmp_path / "p2" / "2_mask.png").read_bytes())
    (tmp_path / "train.txt").unlink()
    (tmp_path / "val.txt").unlink()
    problems = {(p.file.name, p.what) for p in MasksBeside(str(tmp_path)).problems()}
    assert problems == {("1.png", "a picture without a label"), ("9_mask.png", "a label without a picture")}


def test_pictures_alone_and_pictures_called_after_masks_are_not_taken(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png")
    image(tmp_path / "mask" / "b_mask.png")
    assert not MasksBeside.recognise(tmp_path)


# A folder a sample


def sample(folder: Path, objects: int, shade: int = 0, alpha: bool = False) -> Path:
    """An image of one sample with a column of pixels for each object."""
    image(folder / "images" / f"{folder.name}.png", shade)
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    for k in range(objects):
        values = np.zeros(SIZE[::-1], np.uint8)
        values[:, k] = 255
        layers = np.dstack([values] * 3 + [np.full_like(values, 255)]) if alpha else values
        Image.fromarray(layers).save(folder / "masks" / f"object{k}.png")
    return folder


@pytest.mark.parametrize("prefix", ["", "stage1_"])
def test_samples_of_the_data_science_bowl(tmp_path: Path, prefix: str) -> None:
    for i in range(3):
        sample(tmp_path / f"{prefix}train" / f"a{i}", objects=i + 1, alpha=i == 1)
    sample(tmp_path / f"{prefix}val" / "b", objects=2)
    image(tmp_path / f"{prefix}test" / "c" / "images" / "c.png")
    source = recognise(tmp_path)
    assert isinstance(source, SampleFolders)
    assert source.describe() == (
        "a folder a sample: 3 train, 1 val pictures, 2 classes (one mask an object), ignore 255"
    )
    train = source.open("train")
    assert train.classes.names == ("background", "object")
    for i in range(3):
        assert train[i]["mask"].tolist() == [[1] * (i + 1) + [0] * (SIZE[0] - i - 1)] * SIZE[1]
    instances = source.open("train", "instances")[2]
    assert instances["labels"].tolist() == [0, 0, 0]  # background is no class of objects
    masks = unpack(instances["layers"].as_subclass(torch.Tensor), 3)
    assert tight_boxes(masks).tolist() == [[k, 0, k + 1, 5] for k in range(3)]


def test_samples_undivided_and_named(tmp_path: Path) -> None:
    for i in range(5):
        sample(tmp_path / f"s{i}", objects=1 + i % 2, shade=i)
    image(tmp_path / "unlabelled" / "images" / "x.png")
    (tmp_path / "classes.txt").write_text("nucleus\n")
    source = recognise(tmp_path)
    assert source.describe().startswith(
        "a folder a sample: 4 train, 1 val pictures (split drawn from seed 0; 1 without a label left out: x.png), "
        "2 classes"
    )
    assert source.open("val").classes.names == ("background", "nucleus")


def test_masks_of_one_object_hold_two_values(tmp_path: Path) -> None:
    for i in range(2):
        sample(tmp_path / f"s{i}", objects=1)
    values = np.zeros(SIZE[::-1], np.uint8)
    values[2, :4] = (0, 60, 130, 255)
    Image.fromarray(values).save(tmp_path / "s0" / "masks" / "soft.png")
    Image.fromarray(values[:2]).save(tmp_path / "s1" / "masks" / "small.png")
    source = SampleFolders(str(tmp_path))
    messages = []
    for split in source.splits():
        with pytest.raises(DataError) as caught:
            source.open(split)[0]
        messages.append(str(caught.value))
    assert any("soft.png: holds the values 0, 60, 130, 255; expected 0 and one other" in m for m in messages)
    assert any("small.png: the mask is 6x2 but its picture s1.png is 6x5" in m for m in messages)


def test_masks_one_folder_deeper(tmp_path: Path) -> None:
    """As in Oxford-IIIT Pet, where lists and boxes lie beside them."""
    for i in range(6):
        image(tmp_path / "images" / f"{i}.png", i % 3)
        mask(tmp_path / "annotations/trimaps" / f"{i}.png", i % 3)
    (tmp_path / "annotations/xmls").mkdir()
    (tmp_path / "annotations/list.txt").write_text("0 1 1 1\n")
    found = pairs(recognise(tmp_path))
    assert {name: label for own in found.values() for name, label in own.items()} == {
        f"{i}.png": i % 3 for i in range(6)
    }
    mask(tmp_path / "annotations/other" / "0.png")
    with pytest.raises(DataError, match="6 files without a partner"):
        recognise(tmp_path).splits()


def test_folders_of_masks_without_pictures_are_noted(tmp_path: Path) -> None:
    for i in range(6):
        image(tmp_path / "images" / f"{i}.png")
        mask(tmp_path / "labels" / f"{i}.png")
    mask(tmp_path / "labels/second" / "0.png")
    assert "labels/second/ has no folder images/second/ of pictures and is left out" in recognise(tmp_path).notes()
