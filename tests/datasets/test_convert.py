"""Conversion between formats: what was written is what was read, or the difference is counted or refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate import cli
from foveate.cli.datasets import FORMATS
from foveate.datasets import recognise
from foveate.datasets.convert import ChangedObjects, convert
from foveate.datasets.pasture import Pasture
from foveate.errors import ConfigError, DataError, OutputError
from foveate.labels import WRITERS
from foveate.records import ClassTable
from foveate.records.instances import encode_mask

MAPS = ("folders", "colors", "masks_beside", "camvid")
OBJECTS = ("voc", "coco", "labelme", "cvat")
SIZE = (24, 32)
IGNORE = 255


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)


def cells() -> list[np.ndarray]:
    """Three objects: with a hole, of two parts, and small."""
    found = [np.zeros(SIZE, bool) for _ in range(3)]
    found[0][2:12, 3:14], found[0][5:8, 6:9] = True, False
    found[1][14:20, 2:8] = found[1][16:22, 12:16] = True
    found[2][1:4, 25:29] = True
    return found


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """COCO of two classes; objects do not overlap."""
    root = tmp_path / "coco_in"
    for split, count in (("train", 3), ("val", 2)):
        images, annotations = [], []
        for k in range(count):
            picture(root / "images" / split / f"{split}{k}.png", k)
            images.append({"id": k, "file_name": f"{split}{k}.png", "height": SIZE[0], "width": SIZE[1]})
            for n, mask in enumerate(cells()):
                runs = mask.T.ravel()
                edges = np.flatnonzero(np.diff(runs.astype(int))) + 1
                counts = np.diff([0, *edges.tolist(), runs.size]).tolist()
                shape = {"size": list(SIZE), "counts": counts if not runs[0] else [0, *counts]}
                annotations.append(
                    {"id": 10 * k + n, "image_id": k, "category_id": 1 + n % 2, "segmentation": shape, "iscrowd": 0}
                )
        categories = [{"id": 1, "name": "cell"}, {"id": 2, "name": "speck"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Index PNG of three classes without a background, with pixels that are not scored."""
    root = tmp_path / "maps_in"
    for split, count in (("train", 3), ("val", 2)):
        for k in range(count):
            picture(root / split / "images" / f"{split}{k}.png", k)
            mask = np.zeros(SIZE, np.uint8)
            mask[:, 16:], mask[4:9, 5:9], mask[20:, :4] = 1, 2, IGNORE
            (root / split / "labels").mkdir(exist_ok=True)
            Image.fromarray(mask).save(root / split / "labels" / f"{split}{k}.png")
    (root / "classes.txt").write_text("sky\nroad\ncow\nignore: 255\n")
    return root


def labels_of(folder: Path) -> dict[str, list[list[str]]]:
    """Image -> the name of the class of each pixel; '' where it is not scored."""
    source = recognise(folder, "semantic")
    found = {}
    for split in source.splits():
        data = source.open(split, "semantic")
        for k in range(len(data)):
            names = dict(enumerate(data.classes.names)) | {data.classes.ignore_index: ""}
            found[Path(data.name(k)).stem] = [[names[v] for v in row] for row in data[k]["mask"].tolist()]
    return found


def objects_of(folder: Path) -> dict[str, set[tuple[str, bytes]]]:
    """Image -> class and pixels of each object."""
    source = recognise(folder, "instances")
    found: dict[str, set[tuple[str, bytes]]] = {}
    for split in source.splits():
        data = source.open(split, "instances")
        for k in range(len(data)):
            sample = data[k]
            found[Path(data.name(k)).stem] = {
                (data.classes.names[label], (sample["layers"] == n).any(0).numpy().tobytes())
                for n, label in enumerate(sample["labels"].tolist(), 1)
            }
    return found


def test_every_format_has_a_writer() -> None:
    assert set(FORMATS) == set(WRITERS)


@pytest.mark.parametrize("form", (*MAPS, *OBJECTS))
def test_label_maps_survive_every_format_and_the_way_back(maps: Path, tmp_path: Path, form: str) -> None:
    found = convert(recognise(maps), tmp_path / "out", form)
    assert found.images == {"train": 3, "val": 2} and not found.changed_pixels
    assert labels_of(tmp_path / "out") == labels_of(maps)
    back = convert(recognise(tmp_path / "out", "semantic"), tmp_path / "back", "folders")
    assert not back.changed_pixels and labels_of(tmp_path / "back") == labels_of(maps)


@pytest.mark.parametrize("form", OBJECTS)
def test_objects_survive_every_format_that_holds_them(objects: Path, tmp_path: Path, form: str) -> None:
    found = convert(recognise(objects), tmp_path / "out", form)
    assert found.objects == 15 and not found.changed_objects.count and not found.changed_pixels
    assert list(found.lines())[1:] == ["read back: every label map and every object is the same"]
    assert objects_of(tmp_path / "out") == objects_of(objects)
    convert(recognise(tmp_path / "out", "instances"), tmp_path / "back", "coco")
    assert objects_of(tmp_path / "back") == objects_of(objects)


def test_images_are_copied_byte_for_byte(maps: Path, tmp_path: Path) -> None:
    convert(recognise(maps), tmp_path / "out", "voc")
    for k in range(3):
        old, new = maps / "train" / "images" / f"train{k}.png", tmp_path / "out" / "JPEGImages" / f"train{k}.png"
        assert old.read_bytes() == new.read_bytes()


def test_yolo_changes_holes_and_parts_and_counts_them(objects: Path, tmp_path: Path) -> None:
    found = convert(recognise(objects), tmp_path / "out", "yolo")
    assert set(found.changed_objects.count.values()) == {2}  # the one with a hole, and the one of two parts
    assert 10 <= found.changed_pixels["train0.png"] <= 15  # nine pixels of the hole, and the line between the parts
    lines = list(found.lines())
    assert lines[1].startswith("read back: ") and "have another class, in 5 pictures (" in lines[1]
    assert lines[2].startswith("read back: 10 of 15 objects have other pixels, in 5 pictures (")
    small = (tmp_path / "out" / "labels" / "train" / "train0.txt").read_text().splitlines()[2].split()
    assert small[0] == "0" and len(small) == 9  # a rectangle is exact with four corners
    corners = np.array(small[1:], float).reshape(4, 2) * (32, 24)
    assert sorted(np.round(corners, 4).tolist()) == [[25.5, 1.5], [25.5, 3.5], [28.5, 1.5], [28.5, 3.5]]


def test_what_would_change_its_meaning_is_refused(maps: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train0.png: 16 pixels are not scored, and yolo has no place for them"):
        convert(recognise(maps), tmp_path / "out", "yolo")
    assert not list(tmp_path.glob("*out*")) and not list(tmp_path.glob(".*"))  # nothing is left behind
    found = convert(recognise(maps), tmp_path / "out", "yolo", lossy=True)
    assert "80 pixels that are not scored became background (--lossy)" in found.notes
    assert sum(found.changed_pixels.values()) >= 80


def test_classes_without_objects_are_refused_by_formats_of_objects(tmp_path: Path) -> None:
    scenes = Pasture(height=32, width=32, train=1, val=1, test=0)
    with pytest.raises(DataError, match=r"pixels of sky, grass.* are no object's, and coco holds objects alone"):
        convert(scenes, tmp_path / "out", "coco")
    found = convert(scenes, tmp_path / "out", "voc")
    assert not found.changed_pixels and not found.changed_objects.count


def test_formats_without_classes_of_objects(objects: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"objects of 2 classes \(cell, speck\), but this format has no place for"):
        convert(recognise(objects), tmp_path / "out", "numbers")
    for file in objects.glob("annotations/*.json"):
        content = json.loads(file.read_text())
        content["annotations"] = [a | {"category_id": 1} for a in content["annotations"]]
        file.write_text(json.dumps(content | {"categories": [{"id": 1, "name": "cell"}]}))
    found = convert(recognise(objects), tmp_path / "sample_folders", "sample_folders")
    assert found.objects == 15 and not found.changed_objects.count
    assert objects_of(tmp_path / "sample_folders") == objects_of(objects)
    # An object of two parts may be two classes as well, which the reader of numbers refuses; nothing is left behind.
    with pytest.raises(DataError, match=r"the new folder cannot be read back as numbers: .*/numbers/train/masks/"):
        convert(recognise(objects), tmp_path / "numbers", "numbers")
    assert not (tmp_path / "numbers").exists()


def test_overlaps_are_counted_where_a_format_hides_them(objects: Path, tmp_path: Path) -> None:
    file = objects / "annotations" / "instances_val.json"
    content = json.loads(file.read_text())
    over = [[4.0, 3.0, 10.0, 3.0, 10.0, 9.0, 4.0, 9.0]]  # on the first cell
    content["annotations"].append({"id": 99, "image_id": 0, "category_id": 2, "segmentation": over, "iscrowd": 0})
    file.write_text(json.dumps(content))
    hidden = convert(recognise(objects), tmp_path / "a", "labelme")
    assert hidden.changed_objects.count == {"val0.png": 1} and not hidden.changed_pixels
    # The first cell has 10 x 11 pixels and a hole of 9, so 101; of the 36 above it 9 are over the hole.
    # All objects: 5 images of 101 + 60 + 12 pixels, and the new one of 36.
    assert (hidden.changed_objects.pixels, hidden.object_pixels) == (27, 901)
    assert list(hidden.lines())[-1] == (
        "read back: 1 of 16 objects have other pixels, in 1 picture (val0.png: 1): 27 pixels lost or gained, 3.00% of "
        "all objects' pixels, and at most 26.7% of one object's (val0.png)"
    )
    kept = convert(recognise(objects), tmp_path / "b", "cvat")
    assert not kept.changed_objects.count and not kept.changed_pixels


def test_changed_objects_are_compared_with_their_nearest() -> None:
    def of(name: str, rows: slice) -> tuple[str, bytes]:
        mask = np.zeros((8, 4), bool)
        mask[rows] = True
        return name, encode_mask(mask, (8, 4))["counts"]

    found = ChangedObjects()
    found.add("same.png", (8, 4), Counter([of("a", slice(0, 3))]), Counter([of("a", slice(0, 3))]))
    assert not found.count and not found.pixels
    # Of the two that are left of class a the one with 3 rows in common is the nearest: 1 of its 4 rows is lost. The
    # object of class b is gone, though its pixels are now one of class a; the other of class a came in addition.
    before = Counter([of("a", slice(0, 4)), of("b", slice(6, 8))])
    after = Counter([of("a", slice(1, 4)), of("a", slice(6, 8))])
    found.add("moved.png", (8, 4), before, after)
    assert (found.count, found.pixels, found.largest, found.worst) == ({"moved.png": 2}, 4 + 8 + 8, 1.0, "moved.png")


def test_crowds_stay_crowds_or_become_unscored(objects: Path, tmp_path: Path) -> None:
    file = objects / "annotations" / "instances_val.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["iscrowd"] = 1
    file.write_text(json.dumps(content))
    for form, notes in (("coco", 0), ("labelme", 1), ("voc", 1)):
        found = convert(recognise(objects), tmp_path / form, form)
        assert not found.changed_pixels and not found.changed_objects.count
        assert sum("1 crowd region " in note for note in found.notes) == notes


def test_equal_names_are_told_apart_and_said(tmp_path: Path, objects: Path) -> None:
    for split in ("train", "val"):
        file = objects / "annotations" / f"instances_{split}.json"
        file.write_text(file.read_text().replace(f"{split}0.png", "same.png"))
        (objects / "images" / split / f"{split}0.png").rename(objects / "images" / split / "same.png")
    found = convert(recognise(objects), tmp_path / "out", "voc")
    assert found.notes == ["1 picture renamed, since names must differ without suffix (same.png is same_2)"]
    assert not found.changed_objects.count


@pytest.mark.parametrize("form", FORMATS)
def test_awkward_names_stay_as_they_are(tmp_path: Path, form: str) -> None:
    names = ("img 1", "a, b", "gr\u00fcn", "u\u0308ber", "a.b", "#1", "x;y", 'it\'s "x"', "0001 0", "[1]", "b & c <d>")
    for split in ("train", "val"):
        for k, name in enumerate(names):
            picture(tmp_path / "in" / split / "images" / f"{name} {split[0]}.png", k + 100 * (split == "val"))
            mask = np.zeros(SIZE, np.uint8)
            mask[2:6, 2 : 5 + k] = mask[10:14, 4:9] = 1
            (tmp_path / "in" / split / "labels").mkdir(exist_ok=True)
            Image.fromarray(mask).save(tmp_path / "in" / split / "labels" / f"{name} {split[0]}.png")
    (tmp_path / "in" / "classes.txt").write_text("background\ncell\n")
    found = convert(recognise(tmp_path / "in"), tmp_path / "out", form)
    assert not found.changed_pixels and not any("renamed" in note for note in found.notes)
    copied = {file.read_bytes(): file.stem for file in (tmp_path / "out").rglob("*.png")}
    for file in (tmp_path / "in").rglob("images/*.png"):
        assert copied[file.read_bytes()] == file.stem


def test_names_that_some_disks_do_not_tell_apart_are_renamed(tmp_path: Path) -> None:
    writer = WRITERS["folders"](tmp_path, ClassTable(("background", "cell")))
    given = ("gr\u00fcn.png", "gru\u0308n.png", "Photo.jpg", "photo.jpg", "b/photo.jpg")
    assert [writer.stem(name) for name in given] == ["gr\u00fcn", "gru\u0308n_2", "Photo", "photo_2", "b_photo"]


def test_into_the_empty_folder_that_a_shell_is_in(
    objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = recognise(objects.resolve())
    convert(source, tmp_path / "named", "voc")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found = convert(source, ".", "voc")
    names = [sorted(p.relative_to(top).as_posix() for p in top.rglob("*")) for top in (Path(), tmp_path / "named")]
    assert names[0] == names[1] and names[0] and "unfinished" not in found.read_as
    (tmp_path / "here" / "more").mkdir()
    with pytest.raises(OutputError, match=r"^\. exists already and is not empty"):
        convert(source, ".", "voc")


def test_a_full_folder_and_other_families(objects: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="full exists already and is not empty; choose another folder"):
        convert(recognise(objects), tmp_path / "full", "voc")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    for name in ("a", "b"):
        for k in range(2):
            picture(tmp_path / "animals" / name / f"{k}.png", k)
    with pytest.raises(ConfigError, match=r"animals: data for classification.*; label maps and objects alone can be"):
        convert(recognise(tmp_path / "animals"), tmp_path / "out", "voc")


def test_the_command(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["datasets", "convert", str(maps), "out", "--to", "labelme"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Folders: 3 train, 2 val pictures, 3 classes")
    assert printed[1].startswith("out: LabelMe JSON: 3 train, 2 val pictures, 3 classes")
    assert printed[-1] == "read back: every label map is the same"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["convert", "a"], "convert needs a new folder and --to, one of folders, colors"),
        (["convert", "a", "b", "--to", "labelmee"], "unknown format 'labelmee'; the nearest is 'labelme'"),
        (["inspect", "a", "--to", "voc"], "--to is for foveate datasets convert; leave it out"),
        (
            ["convert", "a", "b", "--to", "voc", "--sheet", "s.jpg"],
            "--sheet is for foveate datasets inspect; leave it out",
        ),
    ],
)
def test_bad_lines(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    complaint: Callable[[], str] = lambda: capsys.readouterr().err  # noqa: E731
    assert cli.main(["datasets", *words]) == 1
    assert message in complaint()
