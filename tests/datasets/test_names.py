from __future__ import annotations

import itertools
import json
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.names import Files, NameIndex, distinct_names, shown_names, stem_of, unmarked
from foveate.datasets.spelling import near_names

FARM = [Path(f"/data/images/farm/{i:03d}.png") for i in range(3)]
TOWN = [Path(f"/data/images/town/{i:03d}.png") for i in range(2, 5)]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.png", "a"),
        ("dir/a.v2.JPG", "a.v2"),
        ("C:\\photos\\a.jfif", "a"),
        ("img.001", "img.001"),
        (".png", ".png"),
        ("Gro\u0308\u00dfe.png", "Gr\u00f6\u00dfe"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    assert stem_of(name) == stem


@pytest.mark.parametrize(
    ("mask", "image"),
    [
        ("cell_mask", "cell"),
        ("007_cp_masks", "007"),
        ("a-Label", "a"),
        ("x_segmentation", "x"),
        ("21_manual1", "21"),
        ("t [x=0,y=0]-labelled", "t [x=0,y=0]"),
        ("c_Simple Segmentation", "c"),
        ("0001TP_006690_L", "0001TP_006690"),
        ("stereo_l", ""),
        ("mask", ""),
        ("unmasked", ""),
        ("a_mask_1", ""),
    ],
)
def test_masks_called_after_their_images(mask: str, image: str) -> None:
    marks = ("", "_img", "_image", "_sat", "_training", "_test")
    assert unmarked(mask) == ([f"{image}{mark}" for mark in marks] if image else [])


def test_folders_tell_equal_names_apart() -> None:
    index = NameIndex([*FARM, *TOWN])
    assert index.find("000") == [FARM[0]]
    assert index.find("002") == [FARM[2], TOWN[0]]
    assert index.find("farm/002.jpg") == [FARM[2]]
    assert index.find("images\\town\\002") == [TOWN[0]]
    assert index.find("farm/004.png") == []  # farm is known, and has no such picture
    assert index.find("/home/me/elsewhere/004.png") == [TOWN[2]]  # a folder of another disk
    assert index.find("") == []


@pytest.mark.parametrize(
    ("line", "name", "found"),
    [
        ("my photo (1).png", "my photo (1).png", ["my photo (1).png"]),
        ("my photo (1)", "my photo (1)", ["my photo (1).png"]),
        ("'my photo (1).png' 3", "my photo (1).png", ["my photo (1).png"]),
        ("images/my photo (1).png labels/my photo (1).png", "images/my photo (1).png", ["my photo (1).png"]),
        ("my photo (1).png\tmask.png", "my photo (1).png", ["my photo (1).png"]),
        ("my photo (1).png,1", "my photo (1).png", ["my photo (1).png"]),
        ("my -1", "my", ["my.png"]),
        ("#7.png", "#7.png", ["#7.png"]),
        # What looks like one name is never cut to a shorter one that happens to exist.
        ("my photo (2).png", "my photo (2).png", []),
        ("my photo", "my photo", []),
    ],
)
def test_a_line_is_a_name_first(line: str, name: str, found: list[str]) -> None:
    index = NameIndex(Path("images") / n for n in ("my photo (1).png", "my.png", "#7.png"))
    assert index.find_line(line) == (name, [Path("images") / n for n in found])


def test_names_of_a_set() -> None:
    root = Path("/data")
    assert distinct_names([*FARM[:2], TOWN[2]], root) == ["000", "001", "004"]
    assert distinct_names([FARM[2], TOWN[0], TOWN[1]], root) == ["images/farm/002", "images/town/002", "003"]
    assert shown_names([FARM[2], TOWN[0], TOWN[1]]) == ["farm/002.png", "town/002.png", "003.png"]
    assert shown_names([]) == []


def test_files_in_any_unicode_form(tmp_path: Path) -> None:
    decomposed = tmp_path / unicodedata.normalize("NFD", "Größe.png")
    decomposed.touch()
    composed = tmp_path / unicodedata.normalize("NFC", "Größe.png")
    assert composed.name != decomposed.name
    files = Files()
    assert files.find(decomposed) == decomposed
    found = files.find(composed)
    assert found is not None and found.samefile(decomposed)
    assert files.find(tmp_path / "Größ.png") is None and files.find(tmp_path / "none" / "ü.png") is None


# Names of classes


def test_class_folders_in_two_unicode_forms_are_one_class(tmp_path: Path) -> None:
    for k, form in enumerate(("NFC", "NFD", "NFC")):
        split = ("train", "train", "val")[k]
        for name in ("Kühe", "Schafe"):
            folder = tmp_path / split / unicodedata.normalize(form, name)
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 3), (k, 0, 0)).save(folder / f"{k}.png")
    (tmp_path / "classes.txt").write_text(unicodedata.normalize("NFD", "Kühe\nSchafe\n"))
    source = recognise(tmp_path)
    assert source.problems() == []
    train = source.open("train")
    assert train.classes.names == ("Kühe", "Schafe") and [train[i]["label"] for i in range(len(train))].count(0) == 2


def test_labels_of_labelme_in_two_unicode_forms_are_one_class(tmp_path: Path) -> None:
    for k in range(6):
        Image.new("RGB", (9, 8), (k, 0, 0)).save(tmp_path / f"{k}.png")
        label = unicodedata.normalize("NFC" if k % 2 else "NFD", "Kühe")
        shape = {"label": label, "points": [[1, 1], [5, 1], [5, 5]], "shape_type": "polygon", "group_id": None}
        size = {"imagePath": f"{k}.png", "imageData": None, "imageHeight": 8, "imageWidth": 9}
        (tmp_path / f"{k}.json").write_text(json.dumps({"version": "5", "flags": {}, "shapes": [shape]} | size))
    (tmp_path / "labels.txt").write_text("Kühe\n")
    source = recognise(tmp_path)
    assert source.problems() == [] and source.open("train").classes.names == ("background", "Kühe")


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"person": 10, "persn": 2}, [("persn", "person")]),  # one letter too few
        ({"person": 10, "persoon": 1, "perosn": 1}, [("perosn", "person"), ("persoon", "person")]),
        ({"person": 10, "pwrson": 1}, [("pwrson", "person")]),
        ({"person": 9, "persn": 2}, []),  # more than a fifth as many
        ({"Cow": 3, "cow": 4}, [("Cow", "cow")]),  # capitals count for nothing, however many there are
        ({"dining table": 3, "dining_table": 3}, [("dining_table", "dining table")]),
        ({"cow": 50, "cows": 2}, [("cows", "cow")]),
        ({"car": 50, "cat": 2, "cart": 1, "ca": 1}, []),  # short words are near by chance
        ({"lane1": 50, "lane2": 2, "lane": 1}, []),  # numbers tell classes apart
        ({"grade a": 50, "grade b": 2, "lung_l": 50, "lung_r": 2}, []),  # and so do single letters
        ({"type_I": 50, "type_II": 2}, []),
        ({"wall": 50, "ball": 2, "mountain": 50, "fountain": 2}, []),  # and first letters
        ({"grade": 50, "grad e": 2, "gradea": 1}, [("grad e", "grade"), ("gradea", "grade")]),
        ({"table": 50, "chair": 1, "bottle": 1}, []),
        ({}, []),
    ],
)  # fmt: skip
def test_names_spelt_in_two_ways(counts: dict[str, int], found: list[tuple[str, str]]) -> None:
    assert near_names(counts) == found


def test_of_thousands_of_names_the_near_ones_are_found() -> None:
    syllables = ["bra", "cho", "dum", "fek", "gli", "hox", "jup", "kwe", "lin", "mat"]
    counts = {"".join(name): 100 for name in itertools.product(syllables, repeat=4)} | {"brabrabrabraa": 1}
    assert near_names(counts) == [("brabrabrabraa", "brabrabrabra")]
