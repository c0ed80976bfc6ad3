"""Notes on sets that are read as they stand, and refusals of what cannot be labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from mask_scenes import SIDE, scene
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.coco import COCO
from foveate.engine.inspection import inspect
from foveate.errors import DataError


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def picture(path: Path, seed: int = 0) -> None:
    save(path, np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3)))


def field_of_view() -> np.ndarray:
    view = np.zeros((SIDE, SIDE), np.uint8)
    view[4:-4, 4:-4] = 255
    return view


class TestFieldsOfView:
    def test_drive(self, tmp_path: Path) -> None:
        """DRIVE's mask/ is the field of view; its labels are in 1st_manual/, called otherwise than their images."""
        for part, called in (("training", "training"), ("test", "test")):
            for i in range(4):
                picture(tmp_path / part / "images" / f"{i:02}_{called}.tif", i)
                save(tmp_path / part / "1st_manual" / f"{i:02}_manual1.png", (scene(i) > 0) * 255)
                save(tmp_path / part / "mask" / f"{i:02}_{called}_mask.png", field_of_view())
        source = recognise(tmp_path)
        test = source.open("test")
        assert [test.name(i) for i in range(4)] == [f"{i:02}_test.tif" for i in range(4)]
        for i in range(4):
            assert (test[i]["mask"].numpy() == (scene(i) > 0)).all()
        assert "training/1st_manual/ is read, mask/ beside it is not (4 pictures)" in source.notes()

    def test_a_split_without_labels_does_not_take_other_masks(self, tmp_path: Path) -> None:
        for part in ("training", "test"):
            for i in range(4):
                picture(tmp_path / part / "images" / f"{i}.png", i)
                save(tmp_path / part / "mask" / f"{i}.png", field_of_view())
                if part == "training":
                    save(tmp_path / part / "manual" / f"{i}.png", scene(i))
        source = recognise(tmp_path)
        assert set(source.splits()) == {"train", "val"}
        assert "test is left out: it has no manual/, which train's labels are read from" in source.notes()

    def test_one_place(self, tmp_path: Path) -> None:
        """Masks of one place are noted, and a folder of as many pictures beside them; real labels are not."""
        for i in range(4):
            picture(tmp_path / "images" / f"{i}.png", i)
            save(tmp_path / "masks" / f"{i}.png", field_of_view())
            save(tmp_path / "vessels" / f"{i}.png", scene(i))
        notes = recognise(tmp_path).notes()
        assert any(note.startswith("all 4 masks mark nearly the same place") for note in notes)
        assert any("/masks/ is read, vessels/ beside it is not (4 pictures)" in note for note in notes)
        for i in range(4):
            save(tmp_path / "masks" / f"{i}.png", scene(i))
        assert not any("same place" in note for note in recognise(tmp_path).notes())


class TestOneValue:
    @pytest.mark.parametrize("listed", [True, False])
    def test_is_noted(self, tmp_path: Path, listed: bool) -> None:
        for i in range(4):
            picture(tmp_path / "images" / f"{i}.png", i)
            save(tmp_path / "masks" / f"{i}.png", np.zeros((SIDE, SIDE)))
        if listed:
            (tmp_path / "classes.txt").write_text("steel\nrust\n")
        notes = recognise(tmp_path).notes()
        assert any(note.startswith("every mask holds 0 in all of its pixels") for note in notes)

    def test_nothing_scored_is_a_problem(self, tmp_path: Path) -> None:
        for i in range(4):
            picture(tmp_path / "images" / f"{i}.png", i)
            save(tmp_path / "masks" / f"{i}.png", np.full((SIDE, SIDE), 7))
        (tmp_path / "classes.txt").write_text("steel\nrust\nignore: 7\n")
        found = inspect(recognise(tmp_path))
        assert [problem.what.partition(",")[0] for problem in found.problems] == ["no pixel of train is scored"]


def test_numbers_of_segments_are_no_classes(tmp_path: Path) -> None:
    """COCO's panoptic PNG hold a number of a segment in three channels: every colour is in one file."""
    for i in range(6):
        picture(tmp_path / "images" / f"{i}.png", i)
        ids = np.random.default_rng(i).integers(1, 255, (3, 3))
        save(tmp_path / "masks" / f"{i}.png", ids[scene(i)])
    with pytest.raises(DataError, match=r"18 of 18 colours are in one mask alone, so they are no classes"):
        recognise(tmp_path).describe()


def test_values_that_differ_between_splits(tmp_path: Path) -> None:
    """0 to 2 in train and 1 to 3 in val: two numberings of the same classes, if no list says otherwise."""
    for split in ("train", "val"):
        for i in range(3):
            picture(tmp_path / split / "images" / f"{split}{i}.png", i)
            save(tmp_path / split / "masks" / f"{split}{i}.png", scene(i) + (split == "val"))
    note = "train's masks hold 0, which val's lack, and val's hold 3, which train's lack"
    assert any(found.startswith(note) for found in recognise(tmp_path).notes())
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    assert not any(found.startswith(note) for found in recognise(tmp_path).notes())


def test_masks_turned_alone(tmp_path: Path) -> None:
    """A tag in the mask alone turns it, as one in the picture alone would."""
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.png", i)
        path = tmp_path / "masks" / f"{i}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, scene(i).astype(np.uint8), extratags=[(274, "H", 1, 3 if i == 1 else 1, True)])
    found = inspect(recognise(tmp_path))
    turned = [(what.partition(",")[0], names) for what, names in found.notes.items()]
    assert turned == [("the mask is turned by EXIF", ["1.png"])]


class TestCoco:
    def write(self, root: Path, entries: list[dict[str, object]]) -> COCO:
        images, annotations = [], []
        for i in range(3):
            picture(root / "images" / f"{i}.png", i)
            images.append({"id": i, "file_name": f"{i}.png", "height": SIDE, "width": SIDE})
            annotations += [{"id": 10 * i + k, "image_id": i, "iscrowd": 0, **e} for k, e in enumerate(entries)]
        categories = [{"id": 1, "name": "rust"}, {"id": 2, "name": "rivet"}]
        data = {"images": images, "annotations": annotations, "categories": categories}
        (root / "instances_all.json").write_text(json.dumps(data))
        return COCO(str(root))

    def test_crowds_alone(self, tmp_path: Path) -> None:
        """Some tools mark every object with run lengths as a crowd, which is not scored."""
        square = [[2, 2, 12, 2, 12, 12, 2, 12]]
        runs = {"size": [SIDE, SIDE], "counts": [0, SIDE, SIDE * SIDE - SIDE]}
        crowd = {"category_id": 2, "segmentation": runs, "iscrowd": 1}
        source = self.write(tmp_path, [{"category_id": 1, "segmentation": square}, crowd])
        assert any("every object of 1 class is marked as a crowd (3 of 'rivet')" in note for note in source.notes())
        source = self.write(tmp_path, [{"category_id": 2, "segmentation": square}, crowd])
        assert not any("crowd" in note for note in source.notes())

    def test_outlines_in_outlines(self, tmp_path: Path) -> None:
        """COCO joins the outlines of an object, so that a hole is filled."""
        outer, hole, beside = [0, 0, 20, 0, 20, 20, 0, 20], [5, 5, 10, 5, 10, 10, 5, 10], [30, 30, 40, 30, 40, 40]
        source = self.write(tmp_path, [{"category_id": 1, "segmentation": [outer, hole]}])
        assert any(note.startswith("3 objects have an outline within another") for note in source.notes())
        assert int((source.open("train")[0]["mask"] == 1).sum()) == 400
        source = self.write(tmp_path, [{"category_id": 1, "segmentation": [outer, beside]}])
        assert not any("within another" in note for note in source.notes())


def test_objects_stored_as_zero(tmp_path: Path) -> None:
    """Of several masks of one object each, none covers more than half of the picture."""
    for i in range(3):
        picture(tmp_path / f"{i}" / "images" / f"{i}.png", i)
        for k in (1, 2):
            save(tmp_path / f"{i}" / "masks" / f"{k}.png", (scene(i) != k) * 255 if i == 1 else (scene(i) == k) * 255)
    found = inspect(recognise(tmp_path, "instances"), "instances")
    assert [p.what.partition(",")[0] for p in found.problems] == [
        "each of the 2 masks of 1.png covers more than half of it"
    ]


def test_empty_labels(tmp_path: Path) -> None:
    shape = {"label": " ", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    for i in range(2):
        picture(tmp_path / f"{i}.png", i)
        data = {"shapes": [shape], "imagePath": f"{i}.png", "imageData": None}
        (tmp_path / f"{i}.json").write_text(json.dumps(data))
    found = inspect(recognise(tmp_path))
    assert {problem.what for problem in found.problems} == {
        "shape 1 (' '): an empty label; expected the name of a class"
    }


class TestIntensities:
    """What pictures hold that one range of intensities for all of them does not suit."""

    def notes(self, root: Path, values: Callable[[int], np.ndarray]) -> dict[str, list[str]]:
        for i in range(6):
            (root / "images").mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(root / "images" / f"{i}.tif", values(i), photometric="minisblack")
            save(root / "masks" / f"{i}.png", scene(i))
        return inspect(recognise(root)).notes

    def noise(self, seed: int, top: float) -> np.ndarray:
        found = np.random.default_rng(seed).random((SIDE, SIDE)) * top
        found[0, 0] = top
        return found

    @pytest.mark.parametrize(("odd", "one"), [(255.0, np.float32), (16.0, np.uint16)])
    def test_another_scale(self, tmp_path: Path, odd: float, one: type) -> None:
        """Shares beside 0..255, and 12 bits beside the same values times 16."""
        unit = 1 if one is np.float32 else 4000
        found = self.notes(tmp_path, lambda i: self.noise(i, unit * (odd if i == 3 else 1)).astype(one))
        ((note, names),) = found.items()
        assert note.startswith(f"no value above {unit:g}, where others reach {unit * odd:g} and more")
        assert sorted(names) == [f"{i}.tif" for i in (0, 1, 2, 4, 5)]
        assert self.notes(tmp_path / "even", lambda i: self.noise(i, unit * (1 + i)).astype(one)) == {}

    def test_no_numbers(self, tmp_path: Path) -> None:
        def values(i: int) -> np.ndarray:
            found = self.noise(i, 1).astype(np.float32)
            found[: {2: 5, 4: SIDE}.get(i, 0)] = np.nan
            return found

        assert self.notes(tmp_path, values) == {"pixels that are no number, which are black": ["2.tif"]}
        (problem,) = inspect(recognise(tmp_path)).problems
        assert problem.file.name == "4.tif" and problem.what == "no pixel is a number; restore or remove it"

    def test_shares_saved_as_8_bits(self, tmp_path: Path) -> None:
        found = self.notes(tmp_path, lambda i: np.rint(self.noise(i, 1 if i == 5 else 255)).astype(np.uint8))
        ((note, names),) = found.items()
        assert note.startswith("no value above 4 of 255, so nearly black") and names == ["5.tif"]

    def test_one_value_with_labels(self, tmp_path: Path) -> None:
        found = self.notes(tmp_path, lambda i: np.full((SIDE, SIDE), 90 * (i == 1), np.uint8) if i < 2 else
                           np.rint(self.noise(i, 255)).astype(np.uint8))  # fmt: skip
        assert found == {
            "one value in all pixels, but labels of several classes; was it saved rightly?": ["0.tif", "1.tif"]
        }


class TestHints:
    """The answer to a folder that is not read names what was found and what to do."""

    def told(self, root: Path, task: str) -> str:
        with pytest.raises(DataError) as caught:
            recognise(root, task)
        return str(caught.value)

    def test_texts_beside_pictures(self, tmp_path: Path) -> None:
        for i in range(3):
            picture(tmp_path / f"{i}.png", i)
            (tmp_path / f"{i}.txt").write_text("a cat")
        assert "a text beside each picture (0.txt, ...) is not read; write captions.csv" in self.told(
            tmp_path, "captioning"
        )

    def test_classes_too_deep(self, tmp_path: Path) -> None:
        for name in ("animal/cat", "animal/dog"):
            for i in range(3):
                picture(tmp_path / "train" / name / f"{i}.png", i)
        told = self.told(tmp_path, "classification")
        assert "pictures lie in train/animal/cat/ and the like; a class is a folder in" in told
        assert "labels" not in told

    def test_folders_of_one_name_are_no_partners(self, tmp_path: Path) -> None:
        """KITTI's testing/image_2 and training/image_2 are both pictures; training/semantic holds the masks."""
        for i in range(3):
            picture(tmp_path / "testing" / "image_2" / f"{i}.png", i)
            picture(tmp_path / "training" / "image_2" / f"{i}.png", 9 + i)
        assert "hold pictures of the same names" not in self.told(tmp_path, "semantic")
        for i in range(3):
            save(tmp_path / "training" / "semantic" / f"{i}.png", scene(i))
        told = self.told(tmp_path, "semantic")
        assert "training/image_2/ and training/semantic/ hold pictures of the same names" in told

    def test_pictures_of_no_known_kind(self, tmp_path: Path) -> None:
        for i in range(3):
            (tmp_path / "images").mkdir(exist_ok=True)
            (tmp_path / "images" / f"{i}.heic").write_bytes(b"ftypheic")
            save(tmp_path / "masks" / f"{i}.png", scene(i))
        with pytest.raises(DataError, match=r"images: holds 3 \.heic files, but no pictures that are read; convert"):
            recognise(tmp_path).describe()

    @pytest.mark.parametrize(
        ("name", "content", "tool"),
        [
            ("a.geojson", '{"type": "FeatureCollection", "features": []}', "GeoJSON, as of QuPath"),
            ("export.ndjson", '{"data_row": {"id": "c"}}', "Labelbox's JSON"),
            ("a.json", '{"info": {"description": "ISAT"}, "objects": []}', "ISAT's JSON"),
        ],
    )
    def test_tools(self, tmp_path: Path, name: str, content: str, tool: str) -> None:
        picture(tmp_path / "a.png")
        (tmp_path / name).write_text(content)
        assert f"{name} is {tool}; export" in self.told(tmp_path, "semantic")

    def test_nnunet(self, tmp_path: Path) -> None:
        for i in range(3):
            picture(tmp_path / "imagesTr" / f"case{i}_0000.png", i)
            save(tmp_path / "labelsTr" / f"case{i}.png", scene(i))
        assert "imagesTr/ and labelsTr/ are nnU-Net's, which are not read" in self.told(tmp_path, "semantic")
        assert "no known data format" in self.told(tmp_path, "")  # and no classifier of two classes
