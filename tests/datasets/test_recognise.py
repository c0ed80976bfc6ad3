from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets import LAST, ORDER, candidates, recognise
from foveate.datasets.camvid import CLASSES, CamVid
from foveate.datasets.cityscapes import Cityscapes
from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.folders import Folders
from foveate.errors import DataError
from foveate.registry import entries


def put(folder: Path, stem: str = "a") -> None:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3), 1).save(folder / name / f"{stem}.png")


def test_plain_folders(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    assert recognise(tmp_path) == Folders(str(tmp_path))


def test_the_more_telling_layout_wins(tmp_path: Path) -> None:
    put(tmp_path / "train")
    put(tmp_path / "val")
    assert isinstance(recognise(tmp_path), Folders)
    (tmp_path / "classes.txt").write_text("\n".join([*CLASSES.names, "ignore: 11"]))
    assert isinstance(recognise(tmp_path), CamVid)
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / name).mkdir()
    assert isinstance(recognise(tmp_path), Cityscapes)


def test_every_registered_format_is_asked_once_and_plain_folders_last() -> None:
    names = [entry.name for entry in candidates()]
    assert sorted(names) == sorted(entries("dataset"))
    assert names[-1] == LAST
    assert [n for n in names if n in ORDER] == [n for n in ORDER if n in names]


def test_missing_and_empty_folders_have_their_own_messages(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such folder; check the path"):
        recognise(tmp_path / "gone")
    with pytest.raises(DataError, match="the folder is empty; expected labelled data in it"):
        recognise(tmp_path)


def test_message_says_what_is_there_and_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(
        DataError, match=r"no known data format \(it holds notes\.md, sub/\); looked for Cityscapes: "
    ) as e:
        recognise(tmp_path)
    assert "DATA/{images,labels}" in str(e.value)
    assert "\n" not in str(e.value)


def test_pictures_alone_lack_labels(tmp_path: Path) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="1 picture without labels"):
        recognise(tmp_path)


def headless(folder: Path) -> None:
    (folder / "captions.txt").write_text("a.jpg,A cow.\n")
    (folder / "a.jpg").touch()


def lonely(folder: Path) -> None:
    for split in ("train", "val"):
        (folder / split / "square").mkdir(parents=True)
        (folder / split / "square" / "a.png").touch()


@pytest.mark.parametrize(
    ("write", "task", "name", "reason"),
    [
        (
            headless,
            "captioning",
            "caption table",
            "needs column names: captions.txt begins with 'a.jpg,A cow.', not with the names of its columns; write the "
            "line image,caption above the captions",
        ),
        (
            lonely,
            "classification",
            "class folders",
            "holds one class, 'square'; a classifier needs two or more, a folder each",
        ),
    ],
)
def test_a_near_miss_says_what_is_missing(
    tmp_path: Path, write: Callable[[Path], None], task: str, name: str, reason: str
) -> None:
    """For its own family it is the reason, without a family a hint, and for another family nothing."""
    write(tmp_path)
    with pytest.raises(DataError) as own:
        recognise(tmp_path, task)
    assert str(own.value) == f"{tmp_path}: {reason}"
    with pytest.raises(DataError, match="no known data format") as any_family:
        recognise(tmp_path)
    assert str(any_family.value).partition("; looked for Cityscapes, ")[0].endswith(f"; as {name} it {reason}")
    with pytest.raises(DataError, match="no known data format") as other:
        recognise(tmp_path, "semantic")
    assert reason not in str(other.value)


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (4, 3), 1).save(folder / name)


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ({"data.zip": ""}, "data.zip is packed; unpack it and give the folder that it makes"),
        (
            {"a.jpg.json": '{"_via_img_metadata": {}}'},
            "a.jpg.json is a project of VGG's annotator (VIA); export it there as COCO",
        ),
        (
            {"project.json": '[{"annotations": [{"result": [{"from_name": "label"}]}]}]'},
            "project.json is Label Studio's own JSON without outlines, or in its short form (JSON-MIN); export JSON or",
        ),
        (
            {"Annotations/a.xml": "<annotation><object><bndbox></bndbox></object></annotation>"},
            "Annotations/a.xml is Pascal VOC's XML of boxes, which hold no outlines; export masks",
        ),
        (
            {"annotations.xml": '<annotations><version>1.1</version><track id="0"></track></annotations>'},
            "annotations.xml is CVAT's XML of tracks; export it there as 'CVAT for images 1.1' or COCO",
        ),
        (
            {"words/a.txt": "0 0.5 0.5 0.25 0.25\n", "words/b.txt": "1 0.1 0.2 0.3 0.4 0.5 0.6\n"},
            "2 text files in the form of YOLO (words/a.txt, ...), which is read where polygons lie in labels/ beside",
        ),
        (
            {"project.json": '[{"annotations": [{"result": [{"value": {"format": "rle", "brushlabels": ["a"]}}]}]}]'},
            "project.json is Label Studio's own JSON of brush strokes in its short form (JSON-MIN), without "
            "annotations, or in a folder below; export JSON there",
        ),
        ({"maps/a.npy": "x"}, "1 array (a.npy, ...), which are not read; save masks as PNG or TIFF"),
    ],
)
def test_labels_of_other_tools_are_named(tmp_path: Path, files: dict[str, str], answer: str) -> None:
    if "maps/a.npy" in files:
        pictures(tmp_path / "images", "a.png")
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        recognise(tmp_path)
    assert "no known data format (it holds " in str(caught.value)
    assert answer in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_whose_pictures_share_names_are_named(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", "a.png", "b.png", "c.png")
    pictures(tmp_path / "truth", "a_mask.png", "b_mask.png", "c_mask.png")
    with pytest.raises(DataError) as caught:
        recognise(tmp_path, "semantic")
    assert str(caught.value) == (
        f"{tmp_path}: looks like class folders, which is not for semantic; the nearest is 'folders': photos/ and "
        "truth/ hold pictures of the same names; call the folder of images images, that of masks labels"
    )
    pictures(tmp_path / "images", "d.png")  # no class is called so
    with pytest.raises(DataError) as caught:
        recognise(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}: no known data format (it holds images/ (1 picture), photos/ (3 pictures), truth/ (3 pictures)); "
        "the nearest is 'folders': photos/ and truth/"
    )


def test_data_one_folder_further_down_or_up(tmp_path: Path) -> None:
    put(tmp_path / "set" / "data" / "train")
    put(tmp_path / "set" / "data" / "val")
    with pytest.raises(
        DataError, match=r"it holds data/ \(4 pictures\)\); data/ inside would be read: give .*set/data"
    ):
        recognise(tmp_path / "set")
    with pytest.raises(DataError, match=r"1 picture without labels\); it is a part of the data in .*train: give that"):
        recognise(tmp_path / "set" / "data" / "train" / "images")


# Folders of masks are no classes


def picture(file: Path, seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)


def mask(file: Path, value: int = 255) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((16, 16), np.uint8)
    values[4:8, 4:8] = value
    Image.fromarray(values).save(file)


@pytest.mark.parametrize(
    ("images", "masks"), [("Original", "Ground Truth"), ("photos", "segmentations"), ("train/input", "train/target")]
)
def test_folders_of_pictures_and_masks_are_known_by_more_names(images: str, masks: str, tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / images / f"{i}.png", i)
        mask(tmp_path / masks / f"{i}.png")
    source = recognise(tmp_path)
    assert isinstance(source, Folders)
    assert source.open("train", "semantic")[0]["mask"].sum() == 16  # 4 x 4 pixels of class 1


def test_a_folder_a_sample_with_its_mask_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"a{i}_json" / "img.png", i)
        mask(tmp_path / f"a{i}_json" / "label.png", 1)
    told = (
        r"has the same files in each folder \(img\.png, label\.png\), a sample with its mask; put the pictures into one"
    )
    for task in ("", "semantic"):
        with pytest.raises(DataError, match=told):
            recognise(tmp_path, task)


@pytest.mark.parametrize("ending", ["", "_segmentation"])
def test_folders_that_may_be_of_masks_are_classes_with_a_note(ending: str, tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / "ISIC_Input" / f"{i}.png", i)
        mask(tmp_path / "ISIC_Truth" / f"{i}{ending}.png")
    source = recognise(tmp_path)
    assert isinstance(source, ClassFolders)
    assert source.scan.notes == [
        "ISIC_Input/ and ISIC_Truth/ hold pictures of the same names, and those of ISIC_Truth/ have few values, as "
        "masks do; if they are masks, call the folders images and labels"
    ]


@pytest.mark.parametrize("names", [("mask", "no_mask"), ("original", "forged"), ("target", "background")])
def test_classes_may_be_called_as_folders_of_masks_are(names: tuple[str, str], tmp_path: Path) -> None:
    for name in names:
        for i in range(10):
            picture(tmp_path / name / f"{i}.png", i + 10 * (name == names[0]))
    source = recognise(tmp_path)
    assert isinstance(source, ClassFolders)
    assert source.scan.classes.names == tuple(sorted(names)) and source.scan.notes == []


@pytest.mark.parametrize("form", ["colours", "jpeg"])
def test_masks_in_colours_and_with_smoothed_edges_are_no_class(form: str, tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / "frames" / f"{i}.png", i)
        values = np.zeros((64, 64, 3), np.uint8)
        values[16:40, 16:40] = (128, 0, 0) if form == "colours" else 255
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "masks" / (f"{i}.png" if form == "colours" else f"{i}.jpg"), quality=80)
    with pytest.raises(DataError, match="call the folder of images images, that of masks labels"):
        recognise(tmp_path, "semantic")
    with pytest.raises(DataError, match="no known data format"):
        recognise(tmp_path)


def test_a_folder_of_images_counts_beside_masks_that_are_called_after_each_other(tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / "images" / f"{i}.jpg", i)
        mask(tmp_path / "masks" / f"{i}.png")
        mask(tmp_path / "masks" / f"{i}_mask.png")
    source = recognise(tmp_path)
    assert isinstance(source, Folders)
    assert "0_mask.png: a second label of 0.jpg, beside 0.png" in str(source.problems()[0])


def test_a_class_that_is_called_as_a_split_is_named(tmp_path: Path) -> None:
    for name in ("test", "control"):
        picture(tmp_path / name / "a.png")
    told = r"holds pictures in test/, a split by its name, beside control/; a class needs another name, and a split a"
    with pytest.raises(DataError, match=told):
        recognise(tmp_path, "classification")
    with pytest.raises(DataError, match=told):
        recognise(tmp_path)


def test_masks_of_label_studio(tmp_path: Path) -> None:
    pictures(tmp_path / "alone", "0.png", "task-1-annotation-3-by-1-tag-Big cell-0.png")
    with pytest.raises(
        DataError,
        match=r"1 mask by Label Studio \(task-1-annotation-3-by-1-tag-Big cell-0.png, ...\), one a stroke, which are "
        "called after their task and not after its picture; export JSON there",
    ):
        recognise(tmp_path / "alone")
    pictures(tmp_path / "images", "a.png", "b.png")
    for ending in ("png", "npy"):
        for name in ("task-1-annotation-3-by-1-tag-Cell-0", "task-2-annotation-4-by-1-tag-Cell-0"):
            (tmp_path / "masks").mkdir(exist_ok=True)
            (tmp_path / "masks" / f"{name}.{ending}").touch()
        with pytest.raises(
            DataError,
            match=rf"masks: holds 2 masks by Label Studio \(task-1-annotation-3-by-1-tag-Cell-0.{ending}, ...\), one a",
        ):
            recognise(tmp_path).splits()
        shutil.rmtree(tmp_path / "masks")
