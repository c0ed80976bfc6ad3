from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets.cityscapes import CLASSES, Cityscapes
from foveate.errors import DataError


def put(root: Path, split: str, stem: str, ids: np.ndarray, ending: str = "labelIds") -> Path:
    city = stem.partition("_")[0]
    picture = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
    label = root / "gtFine" / split / city / f"{stem}_gtFine_{ending}.png"
    for path in (picture, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", ids.shape[::-1]).save(picture)
    Image.fromarray(ids).save(label)
    return label


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, "train", "aachen_000000_000019", np.array([[*range(34), 255]], np.uint8))
    put(tmp_path, "train", "bochum_000000_000019", np.full((2, 3), 7, np.uint8))
    put(tmp_path, "val", "ulm_000000_000019", np.full((2, 3), 33, np.uint8))
    put(tmp_path, "test", "berlin_000000_000019", np.full((2, 3), 0, np.uint8))
    return tmp_path


def test_label_ids_become_train_ids(root: Path) -> None:
    source = Cityscapes(str(root))
    assert Cityscapes.recognise(root)
    assert source.splits() == ("train", "val")
    assert source.describe() == ("Cityscapes: 2 train, 1 val pictures, 19 classes (label ids as train ids), ignore 255")
    mask = source.open("train")[0]["mask"][0].tolist()
    void = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 34]  # 34 stands for the stored 255
    assert [i for i, value in enumerate(mask) if value == 255] == void
    assert [value for value in mask if value != 255] == list(range(19))
    assert CLASSES.names[mask[7]] == "road"
    assert CLASSES.names[mask[24]] == "person"
    assert CLASSES.colors[mask[26]] == (0, 0, 142)
    assert (source.open("val")[0]["mask"] == 18).all()


def test_own_labels_in_this_layout(tmp_path: Path) -> None:
    """A class list wins over Cityscapes' ids; without one, masks that hold none of its classes are refused."""
    for split, number in (("train", 1), ("train", 2), ("val", 3)):
        put(tmp_path, split, f"yard_00000{number}_000019", np.array([[0, 1, 2]], np.uint8))
    with pytest.raises(DataError, match=r"the masks hold 0, 1, 2, none of which is a scored class of Cityscapes"):
        Cityscapes(str(tmp_path)).describe()
    (tmp_path / "classes.txt").write_text("steel\nrust\nrivet\n")
    source = Cityscapes(str(tmp_path))
    assert "Folders in the layout of Cityscapes: 2 train, 1 val" in source.describe()
    assert source.open("train").classes.names == ("steel", "rust", "rivet")
    assert source.open("val")[0]["mask"].tolist() == [[0, 1, 2]]


def test_train_ids_are_read_where_they_stand_alone(root: Path) -> None:
    put(root, "val", "ulm_000001_000019", np.array([[0, 18, 255]], np.uint8), "labelTrainIds")
    put(root, "val", "ulm_000000_000019", np.full((2, 3), 5, np.uint8), "labelTrainIds")
    val = Cityscapes(str(root)).open("val")
    assert (val[0]["mask"] == 18).all()  # the label ids win
    assert val[1]["mask"].tolist() == [[0, 18, 255]]


def test_train_ids_under_the_name_of_label_ids(tmp_path: Path) -> None:
    """As label ids, 0 to 6 are unscored and 13 is a fence; label ids hold vegetation, people or cars, 20 to 33."""
    ids = np.repeat([0, 2, 13, 255], [60, 20, 15, 5]).astype(np.uint8).reshape(10, 10)
    put(tmp_path, "train", "aachen_000000_000019", ids)
    label = put(tmp_path, "val", "ulm_000000_000019", ids)
    with pytest.raises(DataError, match=r"seem to be train ids; call their files \*_gtFine_labelTrainIds\.png"):
        Cityscapes(str(tmp_path)).describe()
    for file in tmp_path.rglob("*_labelIds.png"):
        file.rename(file.with_name(file.name.replace("labelIds", "labelTrainIds")))
    assert (Cityscapes(str(tmp_path)).open("val")[0]["mask"].numpy() == ids).all()
    # mostly unscored, but with a car: label ids
    label.with_name("ulm_000000_000019_gtFine_labelTrainIds.png").unlink()
    put(tmp_path, "train", "aachen_000000_000019", np.where(ids == 13, 26, ids))
    put(tmp_path, "val", "ulm_000000_000019", ids)
    assert Cityscapes(str(tmp_path)).open("val")[0]["mask"].unique().tolist() == [4, 255]


def test_a_value_that_is_no_label_id(root: Path) -> None:
    put(root, "val", "ulm_000000_000019", np.full((2, 3), 40, np.uint8))
    with pytest.raises(DataError, match=r"ulm_000000_000019_gtFine_labelIds\.png: value 40 is not a Cityscapes label"):
        Cityscapes(str(root)).open("val")[0]


def test_colour_mask_in_place_of_ids(root: Path) -> None:
    path = root / "gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png"
    Image.new("RGB", (3, 2)).save(path)
    with pytest.raises(DataError, match="expected an 8-bit index PNG of label ids"):
        Cityscapes(str(root)).open("val")[0]


def test_partners_are_missed(root: Path) -> None:
    (root / "gtFine/train/bochum/bochum_000000_000019_gtFine_labelIds.png").unlink()
    (root / "leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png").unlink()
    put(root, "val", "ulm_000002_000019", np.full((2, 3), 7, np.uint8))
    with pytest.raises(DataError, match=r"bochum.*a picture without a label; .*ulm_000000.*a label without a picture"):
        Cityscapes(str(root)).open("train")


def test_empty(tmp_path: Path) -> None:
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="no labelled pictures; expected leftImg8bit/train/CITY/"):
        Cityscapes(str(tmp_path)).splits()
