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


def test_a_set_without_an_object_is_told_by_its_names(tmp_path: Path) -> None:
    yolo(tmp_path, "")
    with pytest.raises(DataError, match=r"holds 2 .txt files, but no masks"):
        recognise(tmp_path).describe()
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: {0: cow}\n")
    source = recognise(tmp_path)
    assert isinstance(source, YOLO) and source.open("train").classes.names == ("background", "cow")
    assert source.open("train")[0]["mask"].sum() == 0
    assert "2 pictures without a line of text, and so all background (a.png, a.png)" in source.notes()


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


@pytest.mark.parametrize(
    "yaml", ["kpt_shape: [4, 2]\nnames: [cow]\n", "names: [cow]\ntrain: images/train\nkpt_shape: [3, 3]"]
)
def test_poses_are_refused(tmp_path: Path, yaml: str) -> None:
    yolo(tmp_path, "0 .5 .5 .4 .4 .4 .4 .6 .4 .5 .6 .45 .5\n")
    (tmp_path / "data.yaml").write_text(yaml)
    with pytest.raises(DataError, match=r"data.yaml: kpt_shape \[.*\] says that the labels are poses .* no outlines"):
        recognise(tmp_path).splits()


def flat(root: Path, count: int = 6) -> Path:
    for k in range(count):
        picture(root / "images" / f"{k}.png", 10 * k)
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{k}.txt").write_text("0 .1 .1 .5 .1 .5 .5\n")
    return root


def names(source: YOLO | CVAT) -> dict[str, list[str]]:
    return {split: [pair.picture.stem for pair in pairs] for split, pairs in source.scan.pairs.items()}


@pytest.mark.parametrize("prefix", ["images/", "./images/", "/disk/set/images/"])
@pytest.mark.parametrize("yaml", [True, False])
def test_lists_divide_images_of_one_folder(tmp_path: Path, prefix: str, yaml: bool) -> None:
    first, second = ("first.txt", "second.txt") if yaml else ("train.txt", "Valid.txt")
    flat(tmp_path)
    (tmp_path / first).write_text("".join(f"{prefix}{k}.png\n" for k in (0, 2, 4)))
    (tmp_path / second).write_text("".join(f"{prefix}{k}.png\n" for k in (1, 3)))
    (tmp_path / "data.yaml").write_text("names: [cow]\n" + f"train: {first}\nval: ./{second}\n" * yaml)
    source = YOLO(str(tmp_path))
    assert names(source) == {"train": ["0", "2", "4"], "val": ["1", "3"]}
    assert source.describe().startswith("YOLO segments: 3 train, 2 val pictures, 2 classes")
    assert source.scan.notes == ["1 picture in no list and left out (5.png)"] and not source.problems()


def test_a_text_that_cannot_be_read_is_a_problem_of_lists_that_name_it(tmp_path: Path) -> None:
    flat(tmp_path)
    (tmp_path / "train.txt").write_text("0.png\n2.png\n")
    (tmp_path / "val.txt").write_text("1.png\n")
    for name in ("2", "5"):
        (tmp_path / "labels" / f"{name}.txt").write_text("0 x\n")
    (problem,) = YOLO(str(tmp_path)).problems()
    assert problem.file.name == "2.txt" and "line 1: '0 x'" in problem.what


def test_a_list_that_is_not_there_is_said(tmp_path: Path) -> None:
    (flat(tmp_path) / "data.yaml").write_text("names: [cow]\ntrain: lists/train.txt\n")
    assert "data.yaml names lists/train.txt as train, which is not there" in YOLO(str(tmp_path)).scan.notes


@pytest.mark.parametrize(
    ("given", "split"), [("dev", "val"), ("Validation", "val"), ("valid", "val"), ("testing", "test")]
)
@pytest.mark.parametrize("layout", ["{part}/{split}", "{split}/{part}"])
def test_other_names_of_splits(tmp_path: Path, given: str, split: str, layout: str) -> None:
    yolo(tmp_path, "0 .1 .1 .5 .1 .5 .5\n", layout)
    for part in ("images", "labels"):
        (tmp_path / layout.format(part=part, split="val")).rename(tmp_path / "moved")
        (tmp_path / layout.format(part=part, split=given)).parent.mkdir(exist_ok=True)
        (tmp_path / "moved").rename(tmp_path / layout.format(part=part, split=given))
    picture(tmp_path / layout.format(part="images", split="train") / "b.png")
    found = names(YOLO(str(tmp_path)))
    assert (found[split] == ["a"]) and sorted(found["train"] + found["val"] * (split == "test")) == ["a", "b"]


def test_splits_without_labels_or_of_no_known_name_are_said(tmp_path: Path) -> None:
    yolo(tmp_path, "0 .1 .1 .5 .1 .5 .5\n")
    for name in ("b", "c"):
        picture(tmp_path / "images" / "train" / f"{name}.png")
    (tmp_path / "labels" / "val").rename(tmp_path / "labels" / "test")
    picture(tmp_path / "images" / "holdout" / "a.png")
    source = YOLO(str(tmp_path))
    assert sorted(stem for stems in names(source).values() for stem in stems) == ["a", "b", "c"]
    assert source.scan.notes[:3] == [
        "images/val/ has no folder labels/val/ and is left out",
        "labels/test/ has no folder of pictures images/test/ and is left out",
        "holdout/ lies beside the known splits and is not read; name it train, val or test if it is one",
    ]


def test_folders_that_data_yaml_names(tmp_path: Path) -> None:
    yolo(tmp_path, "0 .1 .1 .5 .1 .5 .5\n")
    for part in ("images", "labels"):
        (tmp_path / part / "val").rename(tmp_path / part / "herd7")
    settings = tmp_path / "data.yaml"
    settings.write_text("path: /disk/set\ntrain: ../images/train\nval: /disk/set/images/herd7\nnames: [cow]\n")
    source = YOLO(str(tmp_path))
    assert names(source) == {"train": ["a"], "val": ["a"]} and source.scan.notes == []
    picture(tmp_path / "images" / "train" / "b.png")
    settings.write_text("train: images/train\nval: images/train\nnames: [cow]\n")
    assert "data.yaml names images/train/ as val, too, but it is read as train alone" in YOLO(str(tmp_path)).scan.notes


def test_folders_inside_a_split_are_read(tmp_path: Path) -> None:
    yolo(tmp_path, "0 .1 .1 .5 .1 .5 .5\n")
    picture(tmp_path / "images" / "train" / "day2" / "b.png")
    (tmp_path / "labels" / "train" / "day2").mkdir()
    (tmp_path / "labels" / "train" / "day2" / "b.txt").write_text("0 .1 .1 .5 .1 .5 .5\n")
    source = YOLO(str(tmp_path))
    assert names(source) == {"train": ["a", "b"], "val": ["a"]} and source.scan.notes == []
    assert source.open("train")[1]["mask"].sum() == source.open("train")[0]["mask"].sum() > 0


def test_a_list_beside_folders_of_splits_that_differs_from_them_is_said(tmp_path: Path) -> None:
    yolo(tmp_path, "0 .1 .1 .5 .1 .5 .5\n")
    picture(tmp_path / "images" / "train" / "b.png")
    (tmp_path / "train.txt").write_text("images/train/a.png\n")
    said = "train.txt is not read, since folders divide the pictures; name it in data.yaml"
    assert said in YOLO(str(tmp_path)).scan.notes
    (tmp_path / "train.txt").write_text("images/train/a.png\nimages/train/b.png\n")
    assert said not in YOLO(str(tmp_path)).scan.notes


def test_names_that_yaml_takes_for_other_values_and_lists_that_differ(tmp_path: Path) -> None:
    line = "0 0.225 0.25 0.575 0.25 0.575 0.65\n"
    head = "train: images/train\nval: images/val\n"
    yolo(tmp_path, line)
    (tmp_path / "data.yaml").write_text(head + "names: [no, yes]\n")
    with pytest.raises(DataError, match="a name is False, as YAML reads yes, no, on, off, null and the like without"):
        YOLO(str(tmp_path)).open("train")
    (tmp_path / "data.yaml").write_text(head + "names: ['no', 'yes', 3]\n")
    assert YOLO(str(tmp_path)).open("train").classes.names == ("background", "no", "yes", "3")
    for same in ("no\nyes\n3\n", "background\nno\nyes\n3\n"):
        (tmp_path / "classes.txt").write_text(same)
        assert YOLO(str(tmp_path)).open("train").classes.names == ("background", "no", "yes", "3")
    (tmp_path / "classes.txt").write_text("yes\nno\n3\n")
    with pytest.raises(DataError, match=r"names yes, no, 3, but data.yaml no, yes, 3; keep the one that is right"):
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


def job(root: Path, file: str, stems: str, shape: str = '<box label="cow" xtl="2" ytl="1" xbr="6" ybr="4"/>') -> None:
    """A file of CVAT's that lists the images of some stems, of a letter each."""
    images = ""
    for stem in stems:
        picture(root / "images" / f"{stem}.png", ord(stem))
        images += f'<image id="0" name="{stem}.png" width="{WIDTH}" height="{HEIGHT}">{shape}</image>'
    (root / file).write_text(f"<?xml version='1.0'?><annotations>{META}{images}</annotations>")


def test_all_files_of_a_folder_are_read(tmp_path: Path) -> None:
    job(tmp_path, "annotations_1.xml", "abc")
    job(tmp_path, "annotations_2.xml", "de", '<box label="tree" xtl="0" ytl="0" xbr="5" ybr="2"/>')
    (tmp_path / "clip.xml").write_text('<annotations><meta/><track id="0" label="cow"></track></annotations>')
    source = recognise(tmp_path)
    assert isinstance(source, CVAT) and not source.problems()
    found = {
        Path(data.name(i)).stem: np.bincount(data[i]["mask"].numpy().ravel(), minlength=3).tolist()
        for data in map(source.open, source.splits())
        for i in range(len(data))
    }
    assert found == {stem: [188, 12, 0] for stem in "abc"} | {stem: [190, 0, 10] for stem in "de"}
    assert source.scan.notes == ["clip.xml holds tracks (CVAT for video) and is not read"]


def test_files_called_after_splits(tmp_path: Path) -> None:
    job(tmp_path, "annotations_train.xml", "abc")
    job(tmp_path, "Validation.xml", "de")
    assert names(CVAT(str(tmp_path))) == {"train": ["a", "b", "c"], "val": ["d", "e"]}


def test_an_image_of_two_files_is_a_problem(tmp_path: Path) -> None:
    job(tmp_path, "annotations.xml", "abc")
    job(tmp_path, "annotations_old.xml", "c")
    (problem,) = CVAT(str(tmp_path)).problems()
    assert problem == (tmp_path / "annotations_old.xml", "image 'c.png': annotations.xml lists it, too; keep one")


def test_images_without_shapes_and_unlisted_ones_are_said(tmp_path: Path) -> None:
    job(tmp_path, "annotations_1.xml", "abc")
    job(tmp_path, "annotations_2.xml", "def", "")
    job(tmp_path, "annotations_3.xml", "gh", '<polygon label="cow" points="1,1;5,5;9,9"/>')
    picture(tmp_path / "images" / "z.png")
    source = CVAT(str(tmp_path))
    assert source.scan.notes == [
        "3 pictures without a shape, and so all background (d.png, e.png, f.png)",
        "2 shapes lie on a line or point and so have no pixel (g.png, h.png); draw again, or remove",
    ]
    assert "(split drawn from seed 0; 1 without a label left out: z.png), 3 classes" in source.describe()
    assert sum(map(len, names(source).values())) == 8
