from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets.voc import NAMES, VOC, voc_color
from foveate.errors import ConfigError, DataError
from foveate.ops.mask_layers import unpack
from foveate.registry import find

HEIGHT, WIDTH = 12, 16
PALETTE = [value for label in range(256) for value in voc_color(label)]


def class_mask() -> np.ndarray:
    """Two touching cats (8), a person (15) behind, void around."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1:11, 1:15] = 255
    mask[2:10, 2:5], mask[2:10, 5:9], mask[2:10, 10:14] = 8, 8, 15
    return mask


def object_mask() -> np.ndarray:
    """The same by number: 1 and 2 the cats, 3 the person; object 3 covers a void column too."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1:11, 1:15] = 255
    mask[2:10, 2:5], mask[2:10, 5:9], mask[2:10, 9:14] = 1, 2, 3
    return mask


def save(path: Path, values: np.ndarray, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette(PALETTE)  # turns it into mode P
    image.save(path)


def add(year: Path, name: str, masks: bool = True) -> None:
    save(year / "JPEGImages" / f"{name}.jpg", np.full((HEIGHT, WIDTH, 3), 70, np.uint8), palette=False)
    if masks:
        save(year / "SegmentationClass" / f"{name}.png", class_mask())
        save(year / "SegmentationObject" / f"{name}.png", object_mask())


def lists(year: Path, **splits: list[str]) -> None:
    folder = year / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in splits.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A VOCdevkit of one year: four labelled pictures, one that is only for detection, an unpublished test set."""
    year = tmp_path / "VOCdevkit" / "VOC2012"
    for number in range(4):
        add(year, f"2007_00000{number}")
    add(year, "2008_000001", masks=False)
    add(year, "2008_000002", masks=False)
    names = [f"2007_00000{number}" for number in range(4)]
    lists(year, train=names[2::-1], val=names[3:], trainval=names, test=["2008_000002"])
    return tmp_path / "VOCdevkit"


def test_the_official_colours() -> None:
    # As the development kit's documentation prints them.
    known = {0: (0, 0, 0), 1: (128, 0, 0), 3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {label: voc_color(label) for label in known} == known
    assert voc_color(255) == (224, 224, 192)
    assert len(NAMES) == 21 and (NAMES[0], NAMES[8], NAMES[15], NAMES[20]) == (
        "background",
        "cat",
        "person",
        "tvmonitor",
    )


def test_the_kit_and_its_year_folder(kit: Path) -> None:
    for path in (kit, kit / "VOC2012", kit.parent):
        assert VOC.recognise(path)
        source = VOC(str(path))
        assert source.splits() == ("train", "val", "trainval")
        assert source.describe() == (
            "Pascal VOC (VOC2012): 3 train, 1 val, 4 trainval pictures (test.txt has no masks and is left out), "
            "21 classes (palette PNG), ignore 255"
        )
    assert not VOC.recognise(kit / "VOC2012" / "JPEGImages")
    assert find("dataset", "voc").load() is VOC


def test_samples(kit: Path) -> None:
    dataset = VOC(str(kit)).open("train")
    assert [dataset.name(i) for i in range(3)] == ["2007_000002.jpg", "2007_000001.jpg", "2007_000000.jpg"]
    sample = dataset[0]
    assert sample["image"].shape == (3, HEIGHT, WIDTH) and sample["image"].dtype == torch.uint8
    assert sample["mask"].dtype == torch.uint8
    np.testing.assert_array_equal(sample["mask"].numpy(), class_mask())
    assert dataset.classes.names == NAMES and dataset.classes.colors[1] == (128, 0, 0)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0]["mask"], sample["mask"])


def test_instances(kit: Path) -> None:
    found = VOC(str(kit)).open("val").instances(0)
    assert found["labels"].tolist() == [8, 8, 15]
    assert found["boxes"].tolist() == [[2, 2, 5, 10], [5, 2, 9, 10], [9, 2, 14, 10]]
    for number, mask in enumerate(found["masks"], 1):
        np.testing.assert_array_equal(mask.numpy(), object_mask() == number)


def test_void_is_a_region_that_is_not_scored(kit: Path) -> None:
    sample = VOC(str(kit)).open("val", "instances")[0]
    assert sample["labels"].tolist() == [7, 7, 14, -1] and sample["crowd"].tolist() == [False, False, False, True]
    masks = unpack(sample["layers"].as_subclass(torch.Tensor), 4)
    np.testing.assert_array_equal(masks[3].numpy(), object_mask() == 255)
    assert int(masks.sum(0).max()) == 1


def test_the_majority_says_the_class(kit: Path) -> None:
    mask = class_mask()
    mask[2:5, 2:5] = 12  # 9 of the first cat's 24 pixels
    save(kit / "VOC2012" / "SegmentationClass" / "2007_000003.png", mask)
    dataset = VOC(str(kit)).open("val")
    assert dataset.instances(0)["labels"].tolist() == [8, 8, 15]
    mask[2:8, 2:5] = 12
    save(kit / "VOC2012" / "SegmentationClass" / "2007_000003.png", mask)
    assert dataset.instances(0)["labels"].tolist() == [12, 8, 15]


def test_several_years(kit: Path) -> None:
    for number in range(2):
        add(kit / "VOC2007", f"00000{number}")
    assert "(VOC2012)" in VOC(str(kit)).describe()
    assert "(VOC2007): 1 train, 1 val" in VOC(str(kit), year="2007").describe()
    with pytest.raises(ConfigError, match="unknown year '2001'; the nearest is '20"):
        VOC(str(kit), year="2001").splits()


def test_without_lists_a_split_is_drawn_and_written(tmp_path: Path) -> None:
    for number in range(10):
        add(tmp_path, f"p{number}")
    source = VOC(str(tmp_path))
    assert [len(source.open(s)) for s in source.splits()] == [8, 2]
    assert "split drawn from seed 0, written to splits.json" in source.describe()
    assert (tmp_path / "splits.json").exists()


def listed(source: VOC) -> dict[str, list[str]]:
    return {split: sorted(pair.picture.stem for pair in pairs) for split, pairs in source.scan.pairs.items()}


@pytest.mark.parametrize("names", [("Train", "Validation"), ("train", "valid"), ("training", "dev"), ("TRAIN", "Val")])
def test_lists_of_other_names_of_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    for number in range(5):
        add(tmp_path, f"p{number}")
    lists(tmp_path, **{names[0]: ["p0", "p3"], names[1]: ["p1", "p4"], "Test": ["p2"]})
    source = VOC(str(tmp_path))
    assert listed(source) == {"train": ["p0", "p3"], "val": ["p1", "p4"], "test": ["p2"]}
    assert source.scan.notes == [] and not source.problems() and not source.scan.drawn


def test_two_lists_of_one_split_are_a_problem(tmp_path: Path) -> None:
    for number in range(5):
        add(tmp_path, f"p{number}")
    lists(tmp_path, train=["p0", "p3"], val=["p1"], validation=["p4"])
    (problem,) = VOC(str(tmp_path)).problems()
    assert problem.file.name == "validation.txt" and "another name of the split 'val'" in problem.what


@pytest.mark.parametrize("folder", ["Segmentation", "Main", "."])
def test_lists_that_are_not_read_are_said(tmp_path: Path, folder: str) -> None:
    for number in range(5):
        add(tmp_path, f"p{number}")
    file = tmp_path / "ImageSets" / folder / ("default.txt" if folder == "Segmentation" else "train.txt")
    file.parent.mkdir(parents=True)
    file.write_text("p0 1\np3 -1\n")
    (tmp_path / "ImageSets" / "notes.txt").write_text("drawn in May\n")
    source = VOC(str(tmp_path))
    assert sum(map(len, listed(source).values())) == 5 and source.scan.drawn
    assert source.scan.notes == [
        f"1 list not read ({file.resolve().relative_to(tmp_path.resolve()).as_posix()}); if they divide the masks, put "
        "them into ImageSets/Segmentation and call them train.txt, val.txt and test.txt"
    ]
    lists(tmp_path, train=["p0", "p3", "p2"], val=["p1", "p4"])
    assert len(VOC(str(tmp_path)).scan.notes) == (folder == "Segmentation")


@pytest.mark.parametrize("kind", ["index", "rgb"])
def test_masks_without_a_palette(kit: Path, kind: str) -> None:
    for path in (kit / "VOC2012" / "SegmentationClass").iterdir():
        values = class_mask()
        save(path, np.array(PALETTE, np.uint8).reshape(-1, 3)[values] if kind == "rgb" else values, palette=False)
    source = VOC(str(kit))
    np.testing.assert_array_equal(source.open("val")[0]["mask"].numpy(), class_mask())
    assert source.open("val").instances(0)["labels"].tolist() == [8, 8, 15]
    assert {"index": "(index PNG)", "rgb": "(RGB colours)"}[kind] in source.describe()


def test_other_classes(kit: Path) -> None:
    (kit / "VOC2012" / "classes.txt").write_text("\n".join(f"thing {k}" for k in range(16)))
    dataset = VOC(str(kit)).open("val")
    assert len(dataset.classes) == 16 and dataset.classes.ignore_index == 255
    assert dataset[0]["mask"].max() == 255


def test_a_mask_of_void_alone_stays_void(kit: Path) -> None:
    save(kit / "VOC2012" / "SegmentationClass" / "2007_000002.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert (VOC(str(kit)).open("train")[0]["mask"] == 255).all()


# Bad input


def test_listed_names_without_picture_or_mask(kit: Path) -> None:
    year = kit / "VOC2012"
    lists(year, train=["2007_000000", "2007_999999"])
    with pytest.raises(DataError, match=r"train\.txt: names '2007_999999', but there is no "):
        VOC(str(kit)).open("train")
    lists(year, train=["2007_000000", "2008_000001"])
    with pytest.raises(DataError, match=r"JPEGImages.2008_000001\.jpg: a picture without a label"):
        VOC(str(kit)).open("train")
    lists(year, train=["2007_000000"])
    (year / "JPEGImages" / "2007_000003.jpg").unlink()
    with pytest.raises(DataError, match=r"SegmentationClass.2007_000003\.png: a label without a picture"):
        VOC(str(kit)).open("train")


def test_a_value_outside_the_table(kit: Path) -> None:
    save(kit / "VOC2012" / "SegmentationClass" / "2007_000003.png", np.full((HEIGHT, WIDTH), 21, np.uint8))
    message = (
        r"2007_000003\.png: label value 21 outside the class table of 21 classes .*; write a classes\.txt, in place of"
    )
    with pytest.raises(DataError, match=message):
        VOC(str(kit)).open("val")[0]


def test_void_and_background_do_not_vote(kit: Path) -> None:
    """An object whose pixels are mostly void, or mostly background, has the class of its few others."""
    mask = class_mask()
    mask[2:10, 2:5], mask[9, 4] = 255, 8
    mask[2:10, 5:9], mask[9, 8] = 0, 12
    save(kit / "VOC2012" / "SegmentationClass" / "2007_000003.png", mask)
    assert VOC(str(kit)).open("val").instances(0)["labels"].tolist() == [8, 12, 15]


def test_a_mask_of_another_size(kit: Path) -> None:
    save(kit / "VOC2012" / "SegmentationClass" / "2007_000003.png", np.zeros((WIDTH, HEIGHT), np.uint8))
    dataset = VOC(str(kit)).open("val")
    with pytest.raises(DataError, match=r"2007_000003\.png: the label is 12x16 but its picture .* is 16x12"):
        dataset[0]
    with pytest.raises(DataError, match=r"2007_000003\.png: the mask's shape is \(16, 12\), expected \(12, 16\)"):
        dataset.instances(0)


def test_objects_without_class_or_mask(kit: Path) -> None:
    path = kit / "VOC2012" / "SegmentationObject" / "2007_000003.png"
    numbers = object_mask()
    numbers[0, 0] = 4
    save(path, numbers)
    dataset = VOC(str(kit)).open("val")
    with pytest.raises(DataError, match=r"2007_000003\.png: object 4 lies on background and void only, so it has no c"):
        dataset.instances(0)
    path.unlink()
    with pytest.raises(DataError, match=r"SegmentationObject.2007_000003\.png: no such file"):
        dataset.instances(0)


def test_damaged_masks(kit: Path) -> None:
    path = kit / "VOC2012" / "SegmentationClass" / "2007_000003.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"2007_000003\.png: .*(damaged|truncated|decoded)"):
        VOC(str(kit)).open("val")[0]


def test_folders_that_are_no_voc(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        VOC(str(tmp_path / "nowhere")).splits()
    (tmp_path / "JPEGImages").mkdir()
    assert not VOC.recognise(tmp_path)
    with pytest.raises(DataError, match="no JPEGImages and SegmentationClass in it, nor in a folder VOC20xx of it"):
        VOC(str(tmp_path)).splits()
    (tmp_path / "SegmentationClass").mkdir()
    with pytest.raises(DataError, match="0 labelled pictures; expected at least two"):
        VOC(str(tmp_path)).splits()


def test_objects_in_colours_as_cvat_writes_them(tmp_path: Path) -> None:
    """The same objects as by number; black is no object, and the kit's colour of 255 is void."""
    for name in ("a", "b"):
        add(tmp_path, name)
        colors = np.array(PALETTE, np.uint8).reshape(-1, 3)
        save(tmp_path / "SegmentationClass" / f"{name}.png", colors[class_mask()], palette=False)
        save(tmp_path / "SegmentationObject" / f"{name}.png", colors[object_mask()], palette=False)
    names = dict(zip((0, 8, 15), ("background", "cat", "person"), strict=True))
    lines = "".join(f"{name} {' '.join(map(str, voc_color(label)))}\n" for label, name in names.items())
    (tmp_path / "classes.txt").write_text(lines + f"ignore: {' '.join(map(str, voc_color(255)))}\n")
    sample = VOC(str(tmp_path)).open("train", "instances").objects.instances(0)  # type: ignore[union-attr]
    found = {mask.numpy().tobytes(): label for mask, label in zip(sample["masks"], sample["labels"], strict=True)}
    expected = {(object_mask() == number).tobytes(): label for number, label in ((1, 1), (2, 1), (3, 2))}
    assert {mask: int(label) for mask, label in found.items()} == expected


def test_masks_beside_arrays_as_labelme2voc_wrote_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add(tmp_path, name)
        for kind in ("Class", "Object"):
            folder = tmp_path / f"Segmentation{kind}"
            save(
                tmp_path / f"Segmentation{kind}PNG" / f"{name}.png", class_mask() if kind == "Class" else object_mask()
            )
            np.save(folder / f"{name}.npy", class_mask())
            (folder / f"{name}.png").unlink()
    source = VOC(str(tmp_path))
    assert not source.problems()
    label = source.open("train", "semantic")[0]["mask"].numpy()
    np.testing.assert_array_equal(label, class_mask())
    assert len(source.open("train", "instances")[0]["labels"]) == 4  # three objects, and what is void
