"""YOLO's segments and CVAT's XML, as their own tools write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.cvat import CVAT
from foveate.datasets.yolo import YOLO
from foveate.errors import DataError

HEIGHT, WIDTH = 10, 20


def picture(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), shade, np.uint8)).save(path)


# YOLO


def yolo(root: Path, lines: str, layout: str = "{part}/{split}") -> Path:
    for split in ("train", "val"):
        picture(root / layout.format(part="images", split=split) / "a.png", 90)
        file = root / layout.format(part="labels", split=split) / "a.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(lines)
    return root


@pytest.mark.parametrize("layout", ["{part}/{split}", "{split}/{part}"])
def test_polygons_become_pixels(tmp_path: Path, layout: str) -> None:
    # A square over columns 4 to 11 and rows 2 to 6, and a smaller one on it: corners in the middles of pixels.
    lines = "1 0.225 0.25 0.575 0.25 0.575 0.65 0.225 0.65\n0 0.325 0.35 0.425 0.35 0.425 0.45 0.325 0.45\n"
    yolo(tmp_path, lines, layout)
    (tmp_path / "data.yaml").write_text("names: [cow, tree]\ntrain: images/train\n")
    source = recognise(tmp_path, "instances")
    assert isinstance(source, YOLO) and source.splits() == ("train", "val")
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[2:7, 4:12], expected[3:5, 6:9] = 2, 1
    data = source.open("train", "semantic")
    assert data.classes.names == ("background", "cow", "tree")
    assert (data[0]["mask"].numpy() == expected).all()
    single = source.open("train", "instances")[0]
    assert [int((single["layers"] == k).sum()) for k in (1, 2)] == [40, 6]  # also where the smaller one covers it
    assert single["labels"].tolist() == [1, 0]
    assert source.notes()[0].startswith("val holds 1 picture")


def test_images_without_lines_are_background_and_said(tmp_path: Path) -> None:
    yolo(tmp_path, "0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    picture(tmp_path / "images" / "train" / "b.png")
    source = recognise(tmp_path)
    assert source.open("train")[1]["mask"].sum() == 0
    assert source.open("train").classes.names == ("background", "class_0")
    assert "1 picture without a line of text, and so all background (b.png)" in source.notes()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "0 0.1 0.1 0.5 0.1 0.5 0.5\n0 0.5 0.5 0.2 0.2\n",
            r"a.txt: line 2: a box \(five numbers\), which has no",
        ),
        ("0 0.1 0.1 0.5 0.1 0.5 1.5\n", "line 1: coordinates 0.1 to 1.5; expected shares from 0 to 1"),
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.4\n", "line 1: 8 numbers; expected a class and three or more x and y"),
        ("0 0.1 0.1 0.5 0.1 0.5 x\n", "line 1: '0 0.1 0.1 0.5 0.1 0.5 x'; expected a class and shares"),
    ],
)
def test_lines_that_cannot_be_read(tmp_path: Path, lines: str, message: str) -> None:
    source = YOLO(str(yolo(tmp_path, lines)))
    with pytest.raises(DataError, match=message):
        source.open("train")


def test_boxes_alone_and_masks_beside_are_no_segments(tmp_path: Path) -> None:
    root = yolo(tmp_path / "boxes", "0 0.5 0.5 0.2 0.2\n")
    assert not YOLO.recognise(root)
    assert YOLO.near_miss(root).startswith("holds YOLO's boxes (five numbers a line), which have no outlines")
    both = yolo(tmp_path / "both", "0 0.1 0.1 0.5 0.1 0.5 0.5\n", "{split}/{part}")
    for split in ("train", "val"):
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(both / split / "labels" / "a.png")
    assert not YOLO.recognise(both)


def test_a_class_without_a_name(tmp_path: Path) -> None:
    yolo(tmp_path, "3 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: {0: cow, 1: tree}\n")
    with pytest.raises(DataError, match="class 3 in the text files, but 2 names; name it, too"):
        YOLO(str(tmp_path)).open("train")


# CVAT

META = (
    "<meta><job><labels><label><name>cow</name><color>#ff0000</color></label>"
    "<label><name>tree</name><color>#00ff00</color></label></labels></job></meta>"
)


def cvat(root: Path, shapes: str, meta: str = META) -> Path:
    images = ""
    for k, split in enumerate(("Train", "Validation")):
        picture(root / "images" / f"{k}.png", 90 + k)
        images += f'<image id="{k}" name="{k}.png" subset="{split}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
    (root / "annotations.xml").write_text(f"<?xml version='1.0'?><annotations>{meta}{images}</annotations>")
    return root


def test_shapes_become_pixels(tmp_path: Path) -> None:
    source = recognise(
        cvat(
            tmp_path,
            '<box label="cow" xtl="2" ytl="1" xbr="6" ybr="4" z_order="1"/>'
            '<polygon label="tree" points="0,0;10,0;10,10;0,10" z_order="0"/>'
            '<mask label="cow" rle="1, 2, 1" left="12" top="5" width="2" height="2" z_order="0"/>'
            '<ellipse label="tree" cx="16" cy="2" rx="2" ry="2" z_order="0"/>',
        ),
        "instances",
    )
    assert isinstance(source, CVAT) and source.splits() == ("train", "val")
    data = source.open("train", "semantic")
    assert data.classes.names == ("background", "cow", "tree") and data.classes.colors[1] == (255, 0, 0)
    mask = data[0]["mask"].numpy()
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[:, :10], expected[1:4, 2:6] = 2, 1  # z_order, and not the order of the file
    expected[5, 13] = expected[6, 12] = 1
    assert (mask[:, :14] == expected[:, :14]).all()
    assert 8 <= (mask[:, 14:] == 2).sum() <= 16 and mask[2, 16] == 2
    sizes = sorted(int((source.open("train", "instances")[0]["layers"] == k).sum()) for k in range(1, 5))
    assert sizes[0] == 2 and sizes[-2:] == [12, 100]  # the polygon whole, though the box lies on it


def test_groups_turned_boxes_and_unscored(tmp_path: Path) -> None:
    source = CVAT(
        str(
            cvat(
                tmp_path,
                '<polygon label="cow" group_id="3" points="0,0;2,0;2,2;0,2"/>'
                '<polygon label="cow" group_id="3" points="5,0;7,0;7,2;5,2"/>'
                '<box label="tree" xtl="10" ytl="4" xbr="16" ybr="6" rotation="90"/>'
                '<polygon label="__ignore__" points="0,8;20,8;20,10;0,10"/>',
            )
        )
    )
    sample = source.open("train", "instances")[0]
    assert [int((sample["layers"] == k).sum()) for k in (1, 2, 3)] == [8, 12, 40]
    mask = source.open("train", "semantic")[0]["mask"].numpy()
    assert (mask[2:8, 12:14] == 2).all() and (mask[4:6, 10:12] == 0).all()
    assert (mask[8:] == 255).all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            '<polyline label="cow" points="0,0;5,5"/>',
            r"shape 1 \('cow'\) is a polyline, which has no area",
        ),
        ('<polygon label="cow" points="0,0;5,5"/>', "has 2 points; expected three or more"),
        ('<polygon label="dog" points="0,0;5,5;0,5"/>', "label 'dog' is not among the file's labels; export it again"),
        ('<mask label="cow" rle="1, 2" left="0" top="0" width="2" height="2"/>', "a mask of 3 pixels in a box of 2x2"),
        ('<polygon label="cow" points="0,0;0.5,0;0,0.5"/>', "all coordinates lie in 0..1 and look like shares of"),
        ('<polygon label="cow" points="0,0;5,x;0,5"/>', "image '0.png': could not convert string to float"),
    ],
)
def test_shapes_that_cannot_be_read(tmp_path: Path, shape: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CVAT(str(cvat(tmp_path, shape))).open("train")[0]


def test_tracks_are_another_format(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "0.png")
    (tmp_path / "annotations.xml").write_text('<annotations><meta/><track id="0" label="cow"></track></annotations>')
    assert not CVAT.recognise(tmp_path)
    with pytest.raises(DataError, match=r"CVAT's XML of tracks; export it there as 'CVAT for images 1\.1'"):
        recognise(tmp_path)
