from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets import drawn
from foveate.datasets.files import FileDataset
from foveate.datasets.folders import Folders
from foveate.errors import ConfigError, DataError, OutputError
from foveate.records import SemanticDataset


def put(folder: Path, stem: str, value: int = 0, size: tuple[int, int] = (6, 4), labels: str = "labels") -> None:
    """A picture of shade `value` and a mask full of it; size is (width, height)."""
    for name in ("images", labels):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(folder / "images" / f"{stem}.png")
    Image.new("L", size, value).save(folder / labels / f"{stem}.png")


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("val", 2)):
        for i in range(count):
            put(tmp_path / split, f"{split}{i}", i)
    (tmp_path / "classes.txt").write_text("a\nb\nc\nignore: 9\n")
    return tmp_path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    for i in range(10):
        put(tmp_path, f"p{i}", i % 3)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    return tmp_path


def names(source: Folders, split: str) -> list[str]:
    dataset = source.open(split)
    return [dataset.name(i) for i in range(len(dataset))]


class TestSplitFolders:
    def test_samples(self, divided: Path) -> None:
        source = Folders(str(divided))
        assert Folders.recognise(divided)
        assert source.splits() == ("train", "val")
        assert source.describe() == "Folders: 3 train, 2 val pictures, 3 classes (index PNG), ignore 9"
        dataset = source.open("train")
        assert isinstance(dataset, SemanticDataset)
        assert (len(dataset), dataset.channels, dataset.classes.names) == (3, 3, ("a", "b", "c"))
        sample = dataset[2]
        assert sample["name"] == dataset.name(2) == "train2.png"
        assert torch.equal(sample["image"], torch.full((3, 4, 6), 2, dtype=torch.uint8))
        assert torch.equal(sample["mask"], torch.full((4, 6), 2, dtype=torch.uint8))

    @pytest.mark.parametrize("label_folder", ["masks", "annotations"])
    def test_other_names_of_the_label_folder(self, tmp_path: Path, label_folder: str) -> None:
        for split in ("train", "valid"):
            put(tmp_path / split, "a", 1, labels=label_folder)
        assert Folders(str(tmp_path)).splits() == ("train", "val")

    def test_unknown_split_offers_the_nearest(self, divided: Path) -> None:
        with pytest.raises(ConfigError, match="unknown split 'vall'; the nearest is 'val'"):
            Folders(str(divided)).open("vall")

    def test_options_are_plain_values_and_datasets_reach_workers(self, divided: Path) -> None:
        source = Folders(str(divided), seed=3)
        assert Folders(**json.loads(json.dumps(asdict(source)))) == source
        copy: FileDataset = pickle.loads(pickle.dumps(source.open("val")))
        assert torch.equal(copy[1]["mask"], source.open("val")[1]["mask"])

    def test_train_without_val_lends_a_fifth(self, tmp_path: Path) -> None:
        for i in range(10):
            put(tmp_path / "train", f"p{i}", 1)
        put(tmp_path / "test", "t", 1)
        source = Folders(str(tmp_path))
        assert {s: len(source.open(s)) for s in source.splits()} == {"train": 8, "val": 2, "test": 1}
        assert "split drawn from seed 0" in source.describe()


class TestDrawnSplit:
    def test_is_a_fifth_written_down_and_kept(self, plain: Path) -> None:
        source = Folders(str(plain))
        assert "8 train, 2 val pictures (split drawn from seed 0)" in source.describe()
        assert not (plain / "splits.json").exists()  # reading writes nothing, opening does
        source.open("val")
        assert "8 train, 2 val pictures (split drawn from seed 0, written to splits.json)" in source.describe()
        written = json.loads((plain / "splits.json").read_text())
        assert written["seed"] == 0
        assert [f"{n}.png" for n in written["splits"]["val"]] == names(source, "val")
        again = Folders(str(plain), seed=5)  # what is written down wins
        assert names(again, "val") == names(source, "val")
        assert "split as splits.json says" in again.describe()

    def test_depends_on_the_seed(self, plain: Path) -> None:
        drawn = set()
        for seed in range(5):
            drawn.add(tuple(names(Folders(str(plain), seed=seed), "val")))
            (plain / "splits.json").unlink()
        assert len(drawn) > 1

    def test_new_pictures_join_without_moving_the_others(self, plain: Path) -> None:
        before = {s: set(names(Folders(str(plain)), s)) for s in ("train", "val")}
        for i in range(10, 60):
            put(plain, f"p{i}", 1)
        after = {s: set(names(Folders(str(plain)), s)) for s in ("train", "val")}
        assert before["train"] <= after["train"]
        assert before["val"] <= after["val"]
        assert 4 <= len(after["val"] - before["val"]) <= 18
        assert sum(map(len, json.loads((plain / "splits.json").read_text())["splits"].values())) == 60

    def test_unwritable_folder_gets_the_same_split_each_time(
        self, plain: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = names(Folders(str(plain)), "val")
        (plain / "splits.json").unlink()

        def refuse(path: Path) -> None:
            raise OutputError(f"cannot write {path}")

        monkeypatch.setattr(drawn, "atomic_write", refuse)
        source = Folders(str(plain))
        assert names(source, "val") == written
        assert "is not writable, so it is drawn again each time" in source.describe()
        assert not (plain / "splits.json").exists()

    def test_folder_marked_read_only_is_left_alone_even_by_root(self, plain: Path) -> None:
        plain.chmod(0o555)
        try:
            assert "is not writable, so it is drawn again each time" in Folders(str(plain)).describe()
            assert not (plain / "splits.json").exists()
        finally:
            plain.chmod(0o755)

    def test_lost_picture(self, plain: Path) -> None:
        Folders(str(plain)).open("train")
        for folder in ("images", "labels"):
            (plain / folder / "p3.png").unlink()
        with pytest.raises(DataError, match=r"splits\.json: names 'p3', but there is no labelled picture of that name"):
            Folders(str(plain)).open("train")

    def test_lost_label_is_named_once(self, plain: Path) -> None:
        Folders(str(plain)).open("train")
        (plain / "labels/p3.png").unlink()
        source = Folders(str(plain))
        assert [(p.file.name, p.what) for p in source.scan.problems] == [("p3.png", "a picture without a label")]
        assert sum(map(len, source.scan.pairs.values())) == 9

    def test_damaged_file(self, plain: Path) -> None:
        (plain / "splits.json").write_text('{"splits": {"train": ["p1"')
        with pytest.raises(DataError, match=r"splits\.json: malformed JSON at line 1, column \d+ .*repair or remove"):
            Folders(str(plain)).describe()

    def test_two_pictures_are_one_each_and_one_is_too_few(self, tmp_path: Path) -> None:
        put(tmp_path, "a", 1)
        with pytest.raises(DataError, match="1 labelled picture; expected at least two"):
            Folders(str(tmp_path)).describe()
        put(tmp_path, "b", 1)
        assert len(Folders(str(tmp_path)).open("train")) == len(Folders(str(tmp_path)).open("val")) == 1


class TestListFiles:
    def test_lists_divide_and_keep_their_order(self, plain: Path) -> None:
        (plain / "train.txt").write_text("p5\np1.png\nimages/p7.png labels/p7.png\n")
        (plain / "val.txt").write_text("p2\n\n")
        source = Folders(str(plain))
        assert names(source, "train") == ["p5.png", "p1.png", "p7.png"]
        assert names(source, "val") == ["p2.png"]
        assert not (plain / "splits.json").exists()

    def test_name_without_picture(self, plain: Path) -> None:
        (plain / "train.txt").write_text("p1\np77\n")
        (plain / "val.txt").write_text("p2\n")
        with pytest.raises(DataError, match=r"train\.txt: names 'p77', but there is no labelled picture of that name"):
            Folders(str(plain)).open("train")

    def test_unlisted_pictures_need_no_label(self, plain: Path) -> None:
        (plain / "labels" / "p9.png").unlink()
        (plain / "train.txt").write_text("p1\n")
        (plain / "val.txt").write_text("p2\n")
        assert names(Folders(str(plain)), "train") == ["p1.png"]
        (plain / "val.txt").write_text("p9\n")
        with pytest.raises(DataError, match=r"p9\.png: a picture without a label"):
            Folders(str(plain)).open("train")

    def test_empty_list(self, plain: Path) -> None:
        (plain / "train.txt").write_text("\n")
        with pytest.raises(DataError, match=r"train\.txt: the list is empty"):
            Folders(str(plain)).open("train")


class TestBadInput:
    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="gone: no such folder; check the path"):
            Folders(str(tmp_path / "gone")).splits()

    def test_empty_set(self, tmp_path: Path) -> None:
        for name in ("images", "labels"):
            (tmp_path / "train" / name).mkdir(parents=True)
        with pytest.raises(DataError, match="no labelled pictures; expected pictures and masks of the same names"):
            Folders(str(tmp_path)).open("train")

    def test_picture_without_label_and_label_without_picture(self, divided: Path) -> None:
        (divided / "train/labels/train0.png").unlink()
        with pytest.raises(DataError, match=r"train0\.png: a picture without a label; add what is missing or remove"):
            Folders(str(divided)).open("train")
        (divided / "train/images/train0.png").unlink()
        (divided / "val/images/val1.png").unlink()
        with pytest.raises(DataError, match=r"labels/val1\.png: a label without a picture"):
            Folders(str(divided)).open("train")

    def test_many_are_counted(self, plain: Path) -> None:
        for i in range(5):
            (plain / "labels" / f"p{i}.png").unlink()
        message = r"p0\.png: a pic.*; .*p1\.png: .*; .*p2\.png: .*; and 2 more; add what is missing"
        with pytest.raises(DataError, match=message):
            Folders(str(plain)).open("train")

    def test_files_without_partner_are_named_before_a_missing_split(self, divided: Path) -> None:
        for path in (divided / "val/labels").iterdir():
            path.unlink()
        with pytest.raises(DataError, match=r"val0\.png: a picture without a label"):
            Folders(str(divided)).open("val")

    def test_two_pictures_of_one_name(self, divided: Path) -> None:
        Image.new("RGB", (6, 4)).save(divided / "train/images/train0.jpg")
        with pytest.raises(DataError, match=r"train0\.png: has the same name as train0\.jpg, up to the suffix"):
            Folders(str(divided)).open("train")

    def test_size_mismatch(self, divided: Path) -> None:
        Image.new("L", (7, 4)).save(divided / "train/labels/train1.png")
        message = r"labels/train1\.png: the label is 7x4 but its picture train1\.png is 6x4; they must be of one size"
        with pytest.raises(DataError, match=message):
            Folders(str(divided)).open("train")[1]
        Image.new("L", (4, 6)).save(divided / "train/labels/train1.png")
        with pytest.raises(DataError, match="one of them is turned"):
            Folders(str(divided)).open("train")[1]

    def test_value_outside_the_table(self, divided: Path) -> None:
        Image.fromarray(np.array([[3, 0, 0, 0, 0, 77]] * 4, np.uint8)).save(divided / "train/labels/train1.png")
        message = (
            r"labels/train1\.png: label values 3, 77 outside the class table of 3 classes \(0\.\.2, ignore 9\); "
            r"add the class to classes\.txt, or name an unscored value there with a line 'ignore: 77'"
        )
        with pytest.raises(DataError, match=message):
            Folders(str(divided)).open("train")[1]

    @pytest.mark.parametrize("folder", ["images", "labels"])
    def test_damaged_file_is_named(self, divided: Path, folder: str) -> None:
        path = divided / "train" / folder / "train1.png"
        path.write_bytes(path.read_bytes()[:50])
        with pytest.raises(DataError, match=rf"{folder}/train1\.png: .*; replace or remove the file"):
            Folders(str(divided)).open("train")[1]

    def test_pictures_of_other_channels(self, divided: Path) -> None:
        import tifffile

        (divided / "train/images/train1.png").unlink()
        options = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(divided / "train/images/train1.tif", np.zeros((4, 6, 5), np.uint8), **options)
        with pytest.raises(DataError, match=r"train1\.tif: 5 channels, expected 3"):
            Folders(str(divided)).open("train")[1]


class TestOtherPictures:
    def test_five_channels_and_16_bits(self, tmp_path: Path) -> None:
        import tifffile

        array = np.random.default_rng(0).integers(0, 65536, (4, 6, 5), dtype=np.uint16)
        for i in range(2):
            put(tmp_path, f"p{i}", 1)
            (tmp_path / "images" / f"p{i}.png").unlink()
            options = {"photometric": "minisblack", "planarconfig": "contig"}
            tifffile.imwrite(tmp_path / "images" / f"p{i}.tif", array, **options)
        dataset = Folders(str(tmp_path)).open("train")
        assert dataset.channels == 5
        image = dataset[0]["image"]
        assert image.dtype == torch.uint16
        np.testing.assert_array_equal(image.numpy(), array.transpose(2, 0, 1))


def test_split_folders_are_found_by_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("Training", "VALID", "Test"):
        put(tmp_path / name, name)
    (tmp_path / "Test" / "images").rename(tmp_path / "Test" / "Images")
    assert names(Folders(str(tmp_path)), "val") == ["VALID.png"]
    assert Folders(str(tmp_path)).splits() == ("train", "val", "test")


def test_two_folders_of_one_split_are_not_chosen_between(divided: Path) -> None:
    put(divided / "validation", "more")
    (divided / "testing").mkdir()  # holds nothing, so that it is none
    assert Folders.recognise(divided)
    with pytest.raises(DataError, match="validation: is another name of the split 'val', beside val; merge the two"):
        Folders(str(divided)).open("train")


def test_another_name_for_the_same_folder_is_no_second_one(divided: Path) -> None:
    (divided / "validation").symlink_to(divided / "val")
    assert names(Folders(str(divided)), "val") == ["val0.png", "val1.png"]


def test_lists_are_found_by_whatever_they_are_called(plain: Path) -> None:
    (plain / "Train.txt").write_text("p0\np1\n")
    (plain / "valid.txt").write_text("p2\n")
    source = Folders(str(plain))
    assert (names(source, "train"), names(source, "val")) == (["p0.png", "p1.png"], ["p2.png"])
    (plain / "val.txt").write_text("p3\n")
    with pytest.raises(DataError, match=r"valid\.txt: is another name of the split 'val', beside val\.txt"):
        Folders(str(plain)).open("val")
