"""Ids in quotes, names that are spelt in two ways, pictures that EXIF turns below outlines, and ADE20K's classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mask_scenes import SIDE, scene
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.captions.coco_captions import COCOCaptions
from foveate.datasets.coco import COCO
from foveate.datasets.coco_files import plain_id
from foveate.datasets.headers import OUTLINES_TURNED
from foveate.engine.inspection import inspect
from foveate.errors import DataError

BOX = [4.0, 4.0, 20.0, 4.0, 20.0, 20.0, 4.0, 20.0]


def picture(path: Path, orientation: int = 1, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x112] = orientation
    values = np.random.default_rng(len(path.name)).integers(0, 255, (size[1], size[0], 3))
    Image.fromarray(values.astype(np.uint8)).save(path, exif=exif)


def coco(root: Path, change: Any = None, names: tuple[str, str] = ("rust", "rivet"), orientation: int = 1) -> COCO:
    images, annotations = [], []
    for i in range(4):
        picture(root / "images" / f"{i}.jpg", orientation)
        images.append({"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE})
        annotations.append({"id": i, "image_id": i, "category_id": 10 if i % 2 else 9, "segmentation": [BOX]})
    categories = [{"id": 10, "name": names[0]}, {"id": 9, "name": names[1]}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    for kind in data if change else ():
        for entry in data[kind]:
            change(entry)
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "instances_default.json").write_text(json.dumps(data))
    return COCO(str(root))


def in_quotes(entry: dict[str, Any]) -> None:
    entry.update({key: str(entry[key]) for key in ("image_id", "category_id") if key in entry})


def all_in_quotes(entry: dict[str, Any]) -> None:
    entry.update({key: str(entry[key]) for key in ("id", "image_id", "category_id") if key in entry})


def floats(entry: dict[str, Any]) -> None:
    entry.update({key: float(entry[key]) for key in ("image_id", "category_id") if key in entry})


class TestIds:
    @pytest.mark.parametrize("change", [None, in_quotes, all_in_quotes, floats])
    def test_equal_ids_meet(self, tmp_path: Path, change: Any) -> None:
        """In the order of numbers: 9 comes before 10."""
        source = coco(tmp_path, change)
        assert source.problems() == []
        read = {sample["name"]: sample["mask"] for split in source.splits() for sample in source.open(split)}
        assert source.open("train").classes.names == ("background", "rivet", "rust")
        assert [int(read[f"{i}.jpg"][10, 10]) for i in range(4)] == [1, 2, 1, 2]

    def test_texts_stay_texts(self) -> None:
        assert [plain_id(value) for value in ("12", " 3", "0", "012", "a1", "1.0", 2.0, 2.5, None)] == [
            12, 3, 0, "012", "a1", "1.0", 2, 2.5, None,
        ]  # fmt: skip

    def test_captions(self, tmp_path: Path) -> None:
        for i in range(3):
            picture(tmp_path / f"{i}.jpg")
        images = [{"id": str(i), "file_name": f"{i}.jpg"} for i in range(3)]
        texts = [{"id": i, "image_id": i, "caption": f"a cow {i}"} for i in range(3)]
        (tmp_path / "captions_train.json").write_text(json.dumps({"images": images, "annotations": texts}))
        assert COCOCaptions(str(tmp_path)).problems() == []


def by_rows(entry: dict[str, Any]) -> None:
    """A box at x 4..20, y 10..14, as run lengths along the rows."""
    if "segmentation" in entry:
        mask = np.zeros((SIDE, SIDE), bool)
        mask[10:14, 4:20] = True
        places = np.flatnonzero(np.diff(mask.ravel().astype(int))) + 1
        counts = np.diff(np.concatenate([[0], places, [mask.size]])).tolist()
        entry |= {"segmentation": {"size": [SIDE, SIDE], "counts": counts}, "bbox": [4, 10, 16, 4]}


def by_columns(entry: dict[str, Any]) -> None:
    by_rows(entry)
    if "bbox" in entry:
        entry["bbox"] = [10, 4, 4, 16]


def test_run_lengths_along_rows(tmp_path: Path) -> None:
    """Their object lies elsewhere, which its box shows; without a box of its own, or with the right one, it is read."""
    problems = coco(tmp_path, by_rows).problems()
    assert len(problems) == 4
    assert "annotation 0: the run lengths go along rows, by their box; COCO's go down columns" in str(problems[0])
    source = coco(tmp_path / "columns", by_columns)
    assert source.problems() == []
    assert int((source.open("train")[0]["mask"][4:20, 10:14] > 0).sum()) == 64


@pytest.mark.parametrize("names", [("Rust", "rust"), ("rust spot", "rust_spot")])
def test_names_spelt_in_two_ways(tmp_path: Path, names: tuple[str, str]) -> None:
    (note,) = [note for note in coco(tmp_path, names=names).notes() if "spelt" in note]
    assert note.startswith("classes that may be one, spelt in two ways: ") and names[1] in note
    assert not any("spelt" in note for note in coco(tmp_path).notes())


class TestTurned:
    @pytest.mark.parametrize("orientation", [3, 6])
    def test_outlines(self, tmp_path: Path, orientation: int) -> None:
        assert OUTLINES_TURNED in inspect(coco(tmp_path, orientation=orientation)).notes
        assert inspect(coco(tmp_path)).notes == {}

    def test_sizes_that_tell(self, tmp_path: Path) -> None:
        coco(tmp_path)
        picture(tmp_path / "images" / "0.jpg", 6, (SIDE, 2 * SIDE))  # upright: wide, as no size says
        data = json.loads((tmp_path / "annotations" / "instances_default.json").read_text())
        data["images"][0] |= {"width": SIDE, "height": 2 * SIDE}
        (tmp_path / "annotations" / "instances_default.json").write_text(json.dumps(data))
        found = inspect(COCO(str(tmp_path)))
        assert "(is it turned by EXIF? save it upright, and export again)" in str(found.problems[0])
        data["images"][0] |= {"width": 2 * SIDE, "height": SIDE}
        (tmp_path / "annotations" / "instances_default.json").write_text(json.dumps(data))
        found = inspect(COCO(str(tmp_path)))
        assert (found.problems, found.notes) == ([], {})  # the size says that they were drawn upright

    def test_yolo(self, tmp_path: Path) -> None:
        for i in range(4):
            picture(tmp_path / "images" / f"{i}.jpg", 6, (SIDE, 2 * SIDE))
            (tmp_path / "labels").mkdir(exist_ok=True)
            (tmp_path / "labels" / f"{i}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
        (tmp_path / "data.yaml").write_text("nc: 3\nnames: [rust, rivet]\n")
        found = inspect(recognise(tmp_path))
        assert len(found.notes[OUTLINES_TURNED]) == 4
        assert "data.yaml says nc: 3, but names 2 classes, which are read; correct one" in found.source_notes


def test_labelme_without_shapes(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.jpg")
        content = {"flags": {"cat": True}, "shapes": [], "imagePath": f"{i}.jpg", "imageData": None}
        (tmp_path / f"{i}.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"none of 3 LabelMe files has a shape; draw some \(flags, which are of whole"):
        recognise(tmp_path).describe()


def test_classes_of_ade20k(tmp_path: Path) -> None:
    """Its numbers begin with 1, and 0 is what nobody labelled."""
    for split, numbers in (("training", range(4)), ("validation", range(4, 6))):
        for i in numbers:
            picture(tmp_path / "images" / split / f"{i}.jpg")
            path = tmp_path / "annotations" / split / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(scene(i).astype(np.uint8)).save(path)
    rows = ["Idx\tRatio\tTrain\tVal\tStuff\tName", "1\t0.1\t9\t2\t1\twall", "2\t0.1\t9\t2\t1\tbuilding, edifice"]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(rows))
    source = recognise(tmp_path)
    assert source.open("train").classes.names == ("wall", "building")
    np.testing.assert_array_equal(source.open("val")[1]["mask"], np.array([255, 0, 1])[scene(5)])
    (tmp_path / "objectInfo150.txt").write_text("wall\nbuilding\n")  # of another form
    assert recognise(tmp_path).open("train").classes.names == ("class_0", "class_1", "class_2")
