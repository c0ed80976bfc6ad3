"""Images and label files whose names differ, in capitals or by what they end in; and splits without a val."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mask_scenes import SIDE, disc, scene
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.folders import Folders
from foveate.datasets.masks_beside import MasksBeside
from foveate.datasets.pairing import pair_by_stem


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def picture(path: Path, seed: int = 0) -> None:
    save(path, np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3)))


def names(pictures: list[str], labels: list[str], notes: list[str] | None = None) -> tuple[dict[str, str], list[str]]:
    pairs, problems = pair_by_stem(map(Path, pictures), map(Path, labels), notes)
    return {pair.picture.name: pair.label.name for pair in pairs}, [str(problem) for problem in problems]


class TestNames:
    @pytest.mark.parametrize(
        ("picture", "label"),
        [
            ("IMG_1.JPG", "img_1.png"),
            ("a.jpg", "a.jpg.png"),
            ("A.JPG", "a.jpg_mask.png"),
            ("Image_01L.jpg", "Image_01L_1stHO.png"),
            ("a.jpg", "A_MASK.png"),
        ],
    )
    def test_one_of_each(self, picture: str, label: str) -> None:
        assert names([picture, "other.jpg"], [label, "other.png"]) == ({picture: label, "other.jpg": "other.png"}, [])

    def test_capitals_tell_files_apart(self) -> None:
        assert names(["a.jpg", "A.jpg"], ["a.png", "A.png"]) == ({"a.jpg": "a.png", "A.jpg": "A.png"}, [])
        # which of two is meant is not told
        assert names(["a.jpg", "A.jpg"], ["a.png", "other.png"])[1] == [
            "A.jpg: a picture without a label", "other.png: a label without a picture",
        ]  # fmt: skip
        assert names(["aB.jpg", "AB.jpg"], ["ab.png"])[0] == {}
        assert names(["ab.jpg"], ["aB.png", "AB.png"])[0] == {}

    def test_two_annotators(self) -> None:
        notes: list[str] = []
        labels = ["Image_01L_1stHO.png", "Image_01L_2ndHO.png"]
        assert names(["Image_01L.jpg"], labels, notes) == ({"Image_01L.jpg": labels[0]}, [])
        assert notes == ["1 mask (Image_01L_2ndHO.png) by a second annotator not read; the first is"]

    def test_a_second_label(self) -> None:
        assert names(["a.jpg"], ["a.png", "a_mask.png"], [])[1] == [
            "a_mask.png: a second label of a.jpg, beside a.png; join the labels of a picture in one"
        ]


class TestBeside:
    def test_chase_db1(self, tmp_path: Path) -> None:
        for number in range(1, 3):
            for eye in "LR":
                stem, seed = f"Image_{number:02}{eye}", 2 * number + (eye == "R")
                picture(tmp_path / f"{stem}.jpg", seed)
                save(tmp_path / f"{stem}_1stHO.png", 255 * disc(seed))
                save(tmp_path / f"{stem}_2ndHO.png", 255 * disc(seed + 50))
        source = recognise(tmp_path)
        assert isinstance(source, MasksBeside)
        read = {sample["name"]: sample["mask"].numpy() for s in source.splits() for sample in source.open(s)}
        np.testing.assert_array_equal(read["Image_02R.jpg"], disc(5))
        assert len(read) == 4
        assert any("4 masks (Image_01L_2ndHO.png, " in note for note in source.notes())

    def test_pictures_called_after_masks(self, tmp_path: Path) -> None:
        """A face with a mask is a picture, as long as it has a mask of its own or no other file is called so."""
        for i in range(4):
            picture(tmp_path / f"face {i} mask.jpg", i)
            save(tmp_path / f"face {i} mask_mask.png", disc(i))
        source = recognise(tmp_path)
        assert source.problems() == []
        read = {sample["name"]: sample["mask"].numpy() for s in source.splits() for sample in source.open(s)}
        np.testing.assert_array_equal(read["face 2 mask.jpg"], disc(2))

    def test_masks_alone_are_problems(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            picture(tmp_path / f"{name}.jpg")
            save(tmp_path / f"{name}_mask.png", disc(1))
        save(tmp_path / "c_mask.png", disc(1))
        save(tmp_path / "c_mask_1.png", disc(1))
        assert sorted(f"{p.file.name}: {p.what}" for p in recognise(tmp_path).problems()) == [
            "c_mask.png: a label without a picture",
            "c_mask_1.png: a label without a picture",
        ]


def test_what_has_no_partner_is_named_on_both_sides(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "images" / f"image_{i}.jpg")
        save(tmp_path / "labels" / f"mask_{i}.png", disc(i))
    with pytest.raises(
        Exception,
        match=r"\(6 files without a partner: .*image_0.jpg: a picture without a label; .*mask_0.png: a label without a",
    ):
        Folders(str(tmp_path)).describe()


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("train/{}.png", "trainannot/{}.png"),
        ("leftImg8bit/train/ulm/{}_leftImg8bit.png", "gtFine/train/ulm/{}_gtFine_labelIds.png"),
        ("train/images/{}.png", "train/labels/{}.png"),
    ],
)
def test_a_missing_val_is_drawn(tmp_path: Path, image: str, label: str) -> None:
    (tmp_path / "classes.txt").write_text("steel\nrust\nrivet\n")
    for i in range(10):
        picture(tmp_path / image.format(i), i)
        save(tmp_path / label.format(i), scene(i))
    source = recognise(tmp_path)
    assert {split: len(source.open(split)) for split in source.splits()} == {"train": 8, "val": 2}
    assert "split drawn from seed 0" in source.describe()
    again = recognise(tmp_path)
    assert [again.open("val").name(i) for i in range(2)] == [source.open("val").name(i) for i in range(2)]
