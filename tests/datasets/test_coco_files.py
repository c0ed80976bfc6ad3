"""COCO's form as other tools write it: other file names, other places, other paths."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.captions.coco_captions import COCOCaptions
from foveate.datasets.coco import COCO
from foveate.errors import DataError

CATEGORIES = [{"id": 1, "name": "rust"}, {"id": 2, "name": "rivet"}]


def write(file: Path, names: list[str], folder: Path, categories: list[dict[str, Any]] = CATEGORIES) -> None:
    """Images of `names` in `folder`; the object of image i covers i + 1 columns and has the last category."""
    file.parent.mkdir(parents=True, exist_ok=True)
    images, entries = [], []
    for i, name in enumerate(names):
        picture = folder / name.replace("\\", "/").removeprefix("/home/me/")
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8, 3), len(file.as_posix()) + i, np.uint8)).save(picture, format="PNG")
        images.append({"id": i, "file_name": name, "height": 6, "width": 8})
        outline = [0, 0, i + 1, 0, i + 1, 6, 0, 6]
        label = categories[-1]["id"]
        entries.append({"id": i, "image_id": i, "category_id": label, "segmentation": [outline], "iscrowd": 0})
    file.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{i}.png" for i in range(count)]


def counts(source: Any) -> dict[str, int]:
    """Split -> its images; every mask must hold the columns that were written, of the last class."""
    for split in source.splits():
        dataset = source.open(split)
        for index in range(len(dataset)):
            found = dataset[index]
            columns = int(Path(found["name"]).stem[-1]) + 1
            assert found["mask"].tolist() == [[len(dataset.classes) - 1] * columns + [0] * (8 - columns)] * 6
    return {split: len(source.open(split)) for split in source.splits()}


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("{}/_annotations.coco.json", "{}"),
        ("{}/annotations.json", "{}/images"),
        ("{}/annotations/annotations.json", "{}/images"),
        ("annotations/{}.json", "{}"),
        ("annotations/{}.json", "images"),
        ("annotations/coco_{}2017.json", "images/{}"),
        ("{}_annotations.coco.json", "data"),
    ],
)
@pytest.mark.parametrize("validation", ["val", "valid"])
def test_a_file_a_split(tmp_path: Path, file: str, folder: str, validation: str) -> None:
    for name, count in (("train", 5), (validation, 3)):
        write(tmp_path / file.format(name), names(name, count), tmp_path / folder.format(name))
    source = recognise(tmp_path)
    assert isinstance(source, COCO)
    assert counts(source) == {"train": 5, "val": 3}
    assert not (tmp_path / "splits.json").exists()


@pytest.mark.parametrize(
    "file", ["annotations.json", "result.json", "labels.json", "instances.json", "my project.json"]
)
@pytest.mark.parametrize("folder", [".", "images", "data", "JPEGImages", "deep/er"])
def test_one_file_of_any_name(tmp_path: Path, file: str, folder: str) -> None:
    write(tmp_path / file, names("p", 5), tmp_path / folder)
    source = recognise(tmp_path)
    assert isinstance(source, COCO)
    assert counts(source) == {"train": 4, "val": 1}


@pytest.mark.parametrize("form", ["images/{}", "images\\{}", "/home/me/images/{}"])
def test_label_studio_names_images_with_their_folder(tmp_path: Path, form: str) -> None:
    """Its categories count from 0; on Windows it writes backslashes, and older versions whole paths."""
    categories = [{"id": 0, "name": "rust"}, {"id": 1, "name": "rivet"}]
    written = [form.format(f"0a1b-p{i}.png") for i in range(4)]
    write(tmp_path / "result.json", written, tmp_path, categories)
    source = recognise(tmp_path)
    assert counts(source) == {"train": 3, "val": 1}
    assert source.open("train").classes.names == ("background", "rust", "rivet")
    moved = [note for note in source.notes() if "but found by name" in note]
    assert len(moved) == form.startswith("/")


def test_a_path_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write(root / "annotations.json", names("p", 3), root)
    data = json.loads((root / "annotations.json").read_text())
    Image.new("RGB", (8, 6)).save(tmp_path / "secret.png")
    data["images"][0]["file_name"] = "../secret.png"
    (root / "annotations.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"file_name '\.\./secret\.png' climbs out of its folder, and no picture of th"):
        COCO(str(root)).open("train")


def test_names_that_several_folders_hold(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", ["a/p0.png", "b/p0.png", "b/p2.png"], tmp_path)
    source = COCO(str(tmp_path))
    opened = [source.open(split) for split in source.splits()]
    columns = {d.name(i): int((d[i]["mask"][0] == 2).sum()) for d in opened for i in range(len(d))}
    assert sorted(columns.values()) == [1, 2, 3] and columns["p2.png"] == 3
    data = json.loads((tmp_path / "annotations.json").read_text())
    data["images"][0]["file_name"] = "gone/p0.png"
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"'gone/p0\.png' may be a/p0\.png and b/p0\.png; write its folder"):
        COCO(str(tmp_path)).open("train")


def test_names_of_another_unicode_form(tmp_path: Path) -> None:
    written = [unicodedata.normalize("NFC", f"Größe{i}.png") for i in range(3)]
    write(tmp_path / "annotations.json", written, tmp_path / "images")
    for path in (tmp_path / "images").iterdir():
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    assert counts(COCO(str(tmp_path))) == {"train": 2, "val": 1}


def test_a_category_that_groups_others_is_no_class_unless_an_object_has_it(tmp_path: Path) -> None:
    group = {"id": 0, "name": "parts", "supercategory": "none"}
    categories = [group, *({**c, "supercategory": "parts"} for c in CATEGORIES)]
    write(tmp_path / "_annotations.coco.json", names("p", 4), tmp_path, categories)
    source = COCO(str(tmp_path))
    assert counts(source) == {"train": 3, "val": 1}
    assert source.open("train").classes.names == ("background", "rust", "rivet")
    assert "category 'parts' groups the others and has no object of its own, so it is no class" in source.notes()
    data = json.loads((tmp_path / "_annotations.coco.json").read_text())
    data["annotations"][0]["category_id"] = 0
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(data))
    assert COCO(str(tmp_path)).open("train").classes.names == ("background", "parts", "rust", "rivet")


def test_images_without_an_entry_are_left_out_and_those_without_an_object_are_said(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", names("p", 5), tmp_path)
    Image.new("RGB", (8, 6)).save(tmp_path / "new.png")
    data = json.loads((tmp_path / "annotations.json").read_text())
    del data["annotations"][2]
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    source = COCO(str(tmp_path))
    assert source.problems() == [] and sum(len(source.open(s)) for s in source.splits()) == 5
    assert "; 1 picture in no file and left out," in source.describe()
    assert "1 picture listed without an object, and so all background (p2.png)" in source.notes()


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("annotations.json", "annotations (1).json"):
        write(tmp_path / name, names("p", 2), tmp_path)
    with pytest.raises(DataError, match=r"annotations\.json: a second file of annotations, beside .*; keep one"):
        COCO(str(tmp_path)).splits()


def test_boxes_without_outlines_are_named(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", names("p", 2), tmp_path)
    data = json.loads((tmp_path / "annotations.json").read_text())
    for entry in data["annotations"]:
        entry["segmentation"] = []
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    with pytest.raises(
        DataError, match=r"as coco it holds boxes without outlines \(annotations\.json\); draw polygons"
    ):
        recognise(tmp_path)


def captions(root: Path, file: str, stems: range) -> None:
    images = [{"id": i, "file_name": f"p{i}.png"} for i in stems]
    entries = [{"id": i, "image_id": i, "caption": f"part number {i}"} for i in stems]
    (root / file).write_text(json.dumps({"images": images, "annotations": entries}))


@pytest.mark.parametrize("first", [COCO, COCOCaptions])
def test_objects_and_captions_of_one_folder_share_their_split(tmp_path: Path, first: Any) -> None:
    """Whichever is opened first: both divide alike, also where one has labels of images that the other lacks."""
    write(tmp_path / "instances_all.json", names("p", 9), tmp_path / "images")
    captions(tmp_path, "captions_all.json", range(3, 9))
    data = json.loads((tmp_path / "instances_all.json").read_text())
    data["images"] = [image for image in data["images"] if image["id"] != 8]
    data["annotations"] = [entry for entry in data["annotations"] if entry["image_id"] != 8]
    (tmp_path / "instances_all.json").write_text(json.dumps(data))
    second = COCOCaptions if first is COCO else COCO
    found = {}
    for kind in (first, second):
        source = kind(str(tmp_path))
        assert source.problems() == []
        opened = [(split, source.open(split)) for split in source.splits()]
        found[kind] = {dataset.name(i): split for split, dataset in opened for i in range(len(dataset))}
    assert set(found[COCO]) == set(names("p", 8)) and set(found[COCOCaptions]) == {f"p{i}.png" for i in range(3, 9)}
    assert all(found[COCO][name] == split for name, split in found[COCOCaptions].items() if name in found[COCO])
    again = {kind: kind(str(tmp_path), seed=9) for kind in (COCO, COCOCaptions)}
    for kind, source in again.items():
        opened = [(split, source.open(split)) for split in source.splits()]
        assert {d.name(i): split for split, d in opened for i in range(len(d))} == found[kind]


def test_a_name_of_splits_json_that_is_gone_is_a_problem_for_both(tmp_path: Path) -> None:
    write(tmp_path / "instances_all.json", names("p", 5), tmp_path / "images")
    captions(tmp_path, "captions_all.json", range(5))
    (tmp_path / "splits.json").write_text('{"splits": {"train": ["p0", "p1.png", "p2"], "val": ["p3", "p7"]}}')
    for kind in (COCO, COCOCaptions):
        with pytest.raises(DataError, match=r"splits\.json: names 'p7', but there is no"):
            kind(str(tmp_path)).open("train")


@pytest.mark.parametrize("file", ["person_keypoints_{}2017.json", "stuff_{}2017.json"])
def test_keypoints_and_stuff_have_outlines_and_are_read_where_nothing_else_is(tmp_path: Path, file: str) -> None:
    for split, count in (("train", 4), ("val", 2)):
        folder = tmp_path / f"{split}2017"
        write(tmp_path / "annotations" / file.format(split), names(split, count), folder)
    assert counts(recognise(tmp_path)) == {"train": 4, "val": 2}
    write(tmp_path / "annotations/instances_val2017.json", names("val", 2), tmp_path / "val2017", CATEGORIES[:1])
    source = recognise(tmp_path)
    assert source.splits() == ("val",) and source.open("val").classes.names == ("background", "rust")


def test_objects_that_say_ignore_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", names("a", 4), tmp_path / "images")
    content = json.loads((tmp_path / "annotations.json").read_text())
    for entry, value in zip(content["annotations"], (0, 1, True, 1), strict=True):
        entry["ignore"] = value
    content["annotations"][3]["iscrowd"] = 1
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (note,) = [note for note in COCO(str(tmp_path)).notes() if "ignore" in note]
    assert note == (
        "2 objects say 'ignore' (annotation 1 of annotations.json, annotation 2 of annotations.json), which is not "
        "read; set iscrowd to 1 where an object is not to be scored, or remove it"
    )
