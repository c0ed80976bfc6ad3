from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets.camvid import CLASSES, COLORS, MERGED, CamVid, official_split
from foveate.errors import DataError


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def frames() -> list[str]:
    """The 701 frames of the full release, by their numbers."""
    stems = [f"0001TP_{n:06d}" for n in range(6690, 10381, 30)]
    stems += [f"0006R0_f{n:05d}" for n in range(930, 3931, 30)]
    stems += [f"0016E5_{n:05d}" for n in range(390, 8641, 30)][:204]
    stems += [f"0016E5_{n:05d}" for n in range(7959, 8160, 2)]
    return stems + [f"Seq05VD_f{n:05d}" for n in range(0, 5101, 30)]


def test_official_division() -> None:
    assert Counter(map(official_split, frames())) == {"train": 367, "val": 101, "test": 233}


def test_each_of_the_32_classes_is_gathered_once_and_void_never() -> None:
    gathered = [fine for fines in MERGED.values() for fine in fines]
    assert len(COLORS) == 32
    assert sorted([*gathered, "Void"]) == sorted(COLORS)
    assert len(set(COLORS.values())) == 32


class TestFullRelease:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        self.fine = list(COLORS)
        rows = np.array([[COLORS[name] for name in self.fine]] * 2, np.uint8)  # a pixel of each class
        for stem in ("0001TP_006690", "0016E5_07959", "Seq05VD_f00000"):
            save(tmp_path / "701_StillsRaw_full" / f"{stem}.png", rows)
            save(tmp_path / "LabeledApproved_full" / f"{stem}_L.png", rows)
        return tmp_path

    def test_32_colours_become_11_classes(self, root: Path) -> None:
        source = CamVid(str(root))
        assert CamVid.recognise(root)
        assert source.splits() == ("train", "val", "test")
        assert source.describe() == (
            "CamVid, full release: 1 train, 1 val, 1 test pictures, 11 classes (32 RGB colours as 11), ignore 11"
        )
        mask = source.open("val")[0]["mask"][0].tolist()
        found = dict(zip(self.fine, mask, strict=True))
        assert found["Sky"] == 0
        assert found["Wall"] == found["Building"] == found["Archway"] == 1
        assert found["LaneMkgsDriv"] == found["Road"] == 3
        assert found["Truck_Bus"] == found["Car"] == 8
        assert found["MotorcycleScooter"] == 10
        assert found["Void"] == 11
        assert set(mask) == set(range(12))

    def test_its_own_colour_file_wins(self, root: Path) -> None:
        swapped = {**COLORS, "Sky": COLORS["Void"], "Void": COLORS["Sky"]}
        lines = [f"{r} {g} {b}\t{name}" for name, (r, g, b) in swapped.items()]
        (root / "label_colors.txt").write_text("\n".join(lines))
        mask = CamVid(str(root)).open("train")[0]["mask"][0]
        assert mask[self.fine.index("Void")] == 0
        assert mask[self.fine.index("Sky")] == 11

    def test_a_colour_of_no_class(self, root: Path) -> None:
        save(root / "LabeledApproved_full" / "0001TP_006690_L.png", np.full((2, 32, 3), 9, np.uint8))
        with pytest.raises(
            DataError, match=r"#090909 is no class's; .*; restore the mask, or correct the colours of Cam"
        ):
            CamVid(str(root)).open("train")[0]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1 2 Sky\n", r"label_colors\.txt, line 1: '1 2 Sky'; expected 'r g b name'"),
            ("1 2 3 Skyy\n", r"line 1: 'Skyy' is none of CamVid's 32 classes"),
            ("1 2 3 Sky\n", r"label_colors\.txt: no colour for Animal, Archway, Bicyclist"),
        ],
    )
    def test_damaged_colour_file(self, root: Path, text: str, message: str) -> None:
        (root / "label_colors.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            CamVid(str(root)).splits()

    def test_frame_without_label(self, root: Path) -> None:
        (root / "LabeledApproved_full/0016E5_07959_L.png").unlink()
        with pytest.raises(DataError, match=r"0016E5_07959\.png: a picture without a label"):
            CamVid(str(root)).open("train")


class TestSegNetLayout:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for split, frames in (("train", (30, 60)), ("val", (90,)), ("test", (120,))):
            for frame in frames:
                name = f"Seq05VD_f{frame:05d}.png"
                save(tmp_path / split / name, np.zeros((3, 4, 3), np.uint8))
                save(tmp_path / f"{split}annot" / name, np.full((3, 4), 11 if frame == 60 else 2, np.uint8))
        return tmp_path

    def test_samples(self, root: Path) -> None:
        source = CamVid(str(root))
        assert CamVid.recognise(root)
        assert source.describe().startswith("CamVid, SegNet layout: 2 train, 1 val, 1 test pictures, 11 classes")
        train = source.open("train")
        assert train.classes == CLASSES
        assert (train[0]["mask"] == 2).all()
        assert (train[1]["mask"] == train.classes.ignore_index).all()

    def test_list_of_pairs(self, root: Path) -> None:
        (root / "train.txt").write_text(
            "/SegNet/CamVid/train/Seq05VD_f00060.png /SegNet/CamVid/trainannot/Seq05VD_f00060.png\n"
        )
        train = CamVid(str(root)).open("train")
        assert [train.name(i) for i in range(len(train))] == ["Seq05VD_f00060.png"]
        (root / "train.txt").write_text("/SegNet/CamVid/train/z.png /SegNet/CamVid/trainannot/z.png\n")
        with pytest.raises(DataError, match=r"train\.txt: names 'z\.png', but there is no labelled picture"):
            CamVid(str(root)).open("val")


class TestFolderForm:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for split in ("train", "val"):
            save(tmp_path / split / "images/a.jpg", np.zeros((3, 4, 3), np.uint8))
            save(tmp_path / split / "labels/a.png", np.full((3, 4), 11, np.uint8))
        (tmp_path / "classes.txt").write_text("\n".join([*CLASSES.names, "ignore: 11"]))
        return tmp_path

    def test_is_camvid_by_its_class_names(self, root: Path) -> None:
        assert CamVid.recognise(root)
        assert CamVid(str(root)).describe() == (
            "CamVid-style folders: 1 train, 1 val pictures, 11 classes (index PNG), ignore 11"
        )
        (root / "classes.txt").write_text("sky\nroad\nignore: 11")
        assert not CamVid.recognise(root)

    def test_none_of_the_three(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        with pytest.raises(DataError, match=r"not a known layout of CamVid; expected train/ and trainannot/"):
            CamVid(str(tmp_path)).splits()
