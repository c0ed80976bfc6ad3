"""Several masks of one picture, as BUSI (breast ultrasound) has them: objects, classes, or one object drawn twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.masks_beside import MasksBeside
from foveate.errors import DataError

H, W = 40, 48


def block(top: int, left: int, side: int = 8) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


ONE, TWO, THREE = block(4, 4), block(20, 6), block(10, 30)
NONE = np.zeros((H, W), np.uint8)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def picture(path: Path, seed: int = 0) -> None:
    save(path, np.random.default_rng(seed).integers(0, 255, (H, W, 3)))


def busi(root: Path, masks: dict[str, dict[str, np.ndarray]], value: int = 255) -> Path:
    """A folder as BUSI's: name of a picture -> end of a mask's name -> mask."""
    for number, (name, ends) in enumerate(masks.items()):
        picture(root / f"{name}.png", number)
        for end, mask in ends.items():
            save(root / f"{name}{end}.png", value * mask)
    return root


USUAL = {
    "benign/benign (1)": {"_mask": ONE},
    "benign/benign (2)": {"_mask": ONE, "_mask_1": TWO, "_mask_2": THREE},
    "malignant/malignant (1)": {"_mask": THREE, "_mask_1": block(12, 36)},
    "normal/normal (1)": {"_mask": NONE},
}


def masks_of(source: object) -> dict[str, np.ndarray]:
    return {s["name"]: s["mask"].numpy() for split in source.splits() for s in source.open(split)}  # type: ignore[attr-defined]


def refused(root: Path) -> str:
    with pytest.raises(DataError) as error:
        recognise(root).open("train")
    return str(error.value).replace(f"{root}/", "")


def test_they_are_united_for_semantic_models(tmp_path: Path) -> None:
    source = recognise(busi(tmp_path, USUAL))
    assert isinstance(source, MasksBeside)
    assert source.problems() == []
    assert "the masks of a picture united, each one object" in source.describe()
    read = masks_of(source)
    np.testing.assert_array_equal(read["benign (1).png"], ONE)
    np.testing.assert_array_equal(read["benign (2).png"], ONE | TWO | THREE)
    np.testing.assert_array_equal(read["malignant (1).png"], THREE | block(12, 36))
    assert not read["normal (1).png"].any()


def test_they_are_objects_for_instance_models(tmp_path: Path) -> None:
    source = recognise(busi(tmp_path, USUAL), "instances")
    found = {s["name"]: s for split in source.splits() for s in source.open(split, "instances")}
    assert {name: s["labels"].tolist() for name, s in found.items()} == {
        "benign (1).png": [0], "benign (2).png": [0, 0, 0], "malignant (1).png": [0, 0], "normal (1).png": [],
    }  # fmt: skip
    # two that overlap lie in two layers
    layers = found["malignant (1).png"]["layers"].numpy()
    assert sorted((int((layers == n).sum())) for n in (1, 2)) == [64, 64]
    assert int((THREE & block(12, 36)).sum()) == 12


@pytest.mark.parametrize(
    "ends",
    [("_mask_0", "_mask_1"), ("_mask_1", "_mask_2"), ("_mask", "_mask_2"), ("_seg", "_seg (1)"), ("_mask1", "_mask2")],
)
def test_other_ways_to_number(tmp_path: Path, ends: tuple[str, str]) -> None:
    masks = {"a": {ends[0]: ONE, ends[1]: TWO}, "b": {ends[0]: THREE}, "c": {ends[0]: ONE}}
    read = masks_of(recognise(busi(tmp_path, masks)))
    np.testing.assert_array_equal(read["a.png"], ONE | TWO)
    np.testing.assert_array_equal(read["b.png"], THREE)


def test_in_a_folder_of_their_own(tmp_path: Path) -> None:
    for number, (name, masks) in enumerate({"a": (ONE, TWO), "b": (THREE,), "c_1": (ONE,)}.items()):
        picture(tmp_path / "images" / f"{name}.jpg", number)
        for place, mask in enumerate(masks):
            save(tmp_path / "masks" / f"{name}_mask{f'_{place}' if place else ''}.png", 255 * mask)
    read = masks_of(recognise(tmp_path))
    np.testing.assert_array_equal(read["a.jpg"], ONE | TWO)
    np.testing.assert_array_equal(read["c_1.jpg"], ONE)


def test_a_picture_may_be_called_as_a_numbered_mask(tmp_path: Path) -> None:
    masks = {"face": {"_mask": ONE}, "face_mask_1": {"_mask": TWO}, "face_mask_2": {"_mask": THREE}}
    read = masks_of(recognise(busi(tmp_path, masks)))
    np.testing.assert_array_equal(read["face_mask_1.png"], TWO)
    np.testing.assert_array_equal(read["face.png"], ONE)


class TestNoObjects:
    """Files that are named so, but may hold something else than an object each, are refused."""

    def test_two_people(self, tmp_path: Path) -> None:
        masks = {"a": {"_mask": ONE, "_mask_1": block(5, 5)}, "b": {"_mask": TWO}, "c": {"_mask": THREE}}
        assert refused(busi(tmp_path, masks)) == (
            "a.png: has 2 masks (a_mask.png, a_mask_1.png), which lie over each other by more than half, as if "
            "several people had drawn one object (so in 1 picture); keep one of them"
        )

    def test_one_such_picture_of_several_is_noted(self, tmp_path: Path) -> None:
        masks = {
            "a": {"_mask": ONE, "_mask_1": block(5, 5)}, "b": {"_mask": TWO, "_mask_1": ONE},
            "c": {"_mask": THREE, "_mask_1": ONE}, "d": {"_mask": ONE},
        }  # fmt: skip
        source = recognise(busi(tmp_path, masks))
        assert source.problems() == []
        assert (
            "the masks of 1 picture (a.png) lie over each other by more than half, as if several people had drawn one "
            "object; they are united, and count as objects each: keep one of them if they are of one object"
        ) in source.notes()

    def test_as_many_of_every_picture(self, tmp_path: Path) -> None:
        masks = {name: {"_mask_0": ONE, "_mask_1": TWO} for name in "abc"}
        assert refused(busi(tmp_path, masks)) == (
            "a.png: has 2 masks (a_mask_0.png, a_mask_1.png), and every picture has as many, so that they may be of a "
            "class each or drawn by several people; if each is the mask of one object, write classes.txt with the one "
            "name of the objects, else join the masks of a picture in one, a value a class"
        )
        (tmp_path / "classes.txt").write_text("background\nlesion\n")
        np.testing.assert_array_equal(masks_of(recognise(tmp_path))["b.png"], ONE | TWO)

    def test_numbers_with_gaps(self, tmp_path: Path) -> None:
        masks = {"a": {"_mask_1": ONE, "_mask_3": TWO}, "b": {"_mask_2": THREE}, "c": {"_mask_1": ONE}}
        assert refused(busi(tmp_path, masks)).startswith(
            "a.png: has the masks a_mask_1.png, a_mask_3.png, but none of number 2, so that the numbers may be those "
            "of classes; if each is"
        )

    def test_more_than_two_classes(self, tmp_path: Path) -> None:
        masks = {"a": {"_mask": ONE, "_mask_1": 2 * TWO}, "b": {"_mask": ONE + 2 * TWO + 3 * THREE}}
        (tmp_path / "classes.txt").write_text("background\na\nb\nc\n")
        assert refused(busi(tmp_path, masks, value=1)) == (
            "a.png: has 2 masks (a_mask.png, a_mask_1.png), and the masks hold 4 classes; masks of a picture are "
            "united where each holds one object and nothing else: join the masks of a picture in one"
        )

    def test_another_size(self, tmp_path: Path) -> None:
        masks = {"a": {"_mask": ONE, "_mask_1": TWO[:20]}, "b": {"_mask": THREE}}
        (tmp_path / "classes.txt").write_text("background\nlesion\n")
        source = recognise(busi(tmp_path, masks))
        with pytest.raises(DataError, match=r"a_mask_1.png: the mask is 48x20 but its picture a.png is 48x40"):
            masks_of(source)
