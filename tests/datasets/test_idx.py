from __future__ import annotations

import gzip
import json
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import idx_bytes, put

from foveate.datasets import idx, recognise
from foveate.datasets.idx import Idx, read_idx
from foveate.errors import ConfigError, DataError

IMAGES = np.arange(20 * 3 * 2, dtype=np.uint8).reshape(20, 3, 2)
LABELS = np.arange(20, dtype=np.uint8) % 10


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, "train", IMAGES, LABELS)
    put(tmp_path, "t10k", IMAGES[:4], LABELS[:4], ".gz")
    return tmp_path


def test_bytes_written_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255]))
    np.testing.assert_array_equal(read_idx(file), [[1, 2, 3], [4, 5, 255]])


def test_samples(root: Path) -> None:
    source = recognise(root)
    assert source == Idx(str(root))
    assert source.tasks == ("classification", "drawing")
    assert source.splits() == ("train", "val", "test")
    test = source.open("test")
    assert (len(test), test.channels, test.classes.names) == (4, 1, tuple("0123456789"))
    sample = test[2]
    assert sample["label"] == 2
    assert sample["name"] == test.name(2) == "t10k/00002"
    assert torch.equal(sample["image"], torch.tensor([[[12, 13], [14, 15], [16, 17]]], dtype=torch.uint8))
    copy = pickle.loads(pickle.dumps(source.open("train")))
    assert torch.equal(copy[5]["image"], source.open("train")[5]["image"])
    assert Idx(**json.loads(json.dumps(asdict(source)))) == source


def test_colours_come_first_in_the_tensor(tmp_path: Path) -> None:
    images = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    put(tmp_path, "train", images, LABELS[:2])
    (tmp_path / "splits.json").write_text('{"splits": {"train": ["00000"], "val": ["00001"]}}')
    dataset = Idx(str(tmp_path)).open("val")
    assert dataset.channels == 3
    assert dataset[0]["image"][:, 0, 1].tolist() == [15, 16, 17]


def test_changing_a_sample_leaves_the_set_alone(root: Path) -> None:
    dataset = Idx(str(root)).open("test")
    dataset[0]["image"].fill_(9)
    assert dataset[0]["image"].flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_val_is_a_fifth_drawn_and_written_down(root: Path) -> None:
    source = Idx(str(root))
    assert source.describe() == ("IDX files: 16 train, 4 val, 4 test pictures (split drawn from seed 0), 10 classes")
    assert not (root / "splits.json").exists()
    names = {s: {source.open(s).name(i) for i in range(len(source.open(s)))} for s in ("train", "val")}
    assert names["train"] | names["val"] == {f"train/{i:05d}" for i in range(20)}
    assert not names["train"] & names["val"]
    again = Idx(str(root), seed=9)  # what is written down wins
    assert {again.open("val").name(i) for i in range(4)} == names["val"]
    assert [source.open("val")[i]["label"] for i in range(4)] == [int(n[-1]) for n in sorted(names["val"])]


def test_a_folder_that_is_read_only_is_left_alone(root: Path) -> None:
    before = {p.name for p in root.iterdir()}
    root.chmod(0o555)
    try:
        assert "is not writable, so it is drawn again each time" in Idx(str(root)).describe()
        assert {p.name for p in root.iterdir()} == before
        drawn = [Idx(str(root)).open("val").members.tolist() for _ in range(2)]
        assert drawn[0] == drawn[1]
    finally:
        root.chmod(0o755)


def test_of_60000_the_last_10000_are_val_and_memory_is_shared(tmp_path: Path) -> None:
    put(tmp_path, "train", np.zeros((60_000, 1, 1), np.uint8), np.arange(60_000) % 10)
    source = Idx(str(tmp_path))
    train, val = source.open("train"), source.open("val")
    assert (train.name(49_999), val.name(0), val.name(9_999)) == ("train/49999", "train/50000", "train/59999")
    assert (len(train), len(val)) == (50_000, 10_000)
    assert "val is the last 10,000 of the 60,000 training pictures" in source.describe()
    assert not (tmp_path / "splits.json").exists()
    assert np.shares_memory(train.images, val.images)


def test_val_files_are_taken_as_they_are(root: Path) -> None:
    put(root, "val", IMAGES[:3], LABELS[:3])
    source = Idx(str(root))
    assert {s: len(source.open(s)) for s in source.splits()} == {"train": 20, "val": 3, "test": 4}
    assert not (root / "splits.json").exists()


def test_class_names(root: Path) -> None:
    (root / "classes.txt").write_text("\n".join("abcdefghij") + "\n")
    assert Idx(str(root)).open("train").classes.names == tuple("abcdefghij")
    (root / "classes.txt").write_text("a\nb\nc\n")
    with pytest.raises(
        DataError, match=r"idx1-ubyte.*: label 3 of picture 3 is outside the 3 of classes\.txt \(0\.\.2\)"
    ):
        Idx(str(root)).open("train")
    (root / "classes.txt").unlink()
    put(root, "train", IMAGES, LABELS + 30)
    assert Idx(str(root)).open("train").classes.names[-1] == "39"


WHOLE = idx_bytes(IMAGES)
BAD = {
    "empty": (b"", "the file is empty"),
    "short magic": (b"\0\0", "begins with 00 00; expected 00 00 08"),
    "wrong magic": (
        b"\x89PNG" + WHOLE,
        "begins with 89 50 4e 47; expected 00 00 08 .., the magic number of an IDX file",
    ),
    "floats": (
        b"\0\0\x0d\3" + WHOLE[4:],
        "its magic number 00 00 0d 03 says values of type 0d; expected unsigned bytes",
    ),
    "header": (WHOLE[:9], "truncated: ends within its header"),
    "truncated": (WHOLE[:-1], "truncated: 119 bytes of values, where its header says 20 x 3 x 2"),
    "too long": (WHOLE + b"x", "too long: more than 120 bytes of values, where its header says 20 x 3 x 2"),
    "boastful": (
        b"\0\0\x08\x04" + b"\xff" * 16 + b"x",
        "truncated: 1 bytes of values, where its header says 4294967295 x",
    ),
    "flat": (idx_bytes(IMAGES[0]), "2 dimensions; expected 3"),
    "none": (idx_bytes(IMAGES[:0]), r"holds no pictures \(0 x 3 x 2\)"),
    "zipped": (gzip.compress(WHOLE), "compressed with gzip; add .gz to its name"),
    "counts": (idx_bytes(IMAGES[:7]), "20 labels for 7 pictures of train-images-idx3-ubyte"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line_that_names_it(root: Path, case: str) -> None:
    data, message = BAD[case]
    (root / "train-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(DataError, match=rf"train-(images-idx3|labels-idx1)-ubyte: {message}") as raised:
        Idx(str(root)).open("train")
    assert "\n" not in str(raised.value)
    assert len(Idx(str(root)).readable("test")) == 4  # the other files can be looked at all the same


PACKED = gzip.compress(WHOLE, mtime=0)
BAD_GZIP = {
    "plain": (WHOLE, "not gzip, though its name says so"),
    "truncated": (PACKED[:-20], "truncated: the compressed data end too early"),
    "damaged": (PACKED[:10] + b"\xff" * 40, r"damaged gzip data \(Error -3"),
    "check sum": (PACKED[:-8] + b"\0" * 4 + PACKED[-4:], r"cannot be read \(CRC check failed"),
}


@pytest.mark.parametrize("case", BAD_GZIP)
def test_bad_gzip(root: Path, case: str) -> None:
    data, message = BAD_GZIP[case]
    (root / "train-images-idx3-ubyte").unlink()
    (root / "train-images-idx3-ubyte.gz").write_bytes(data)
    with pytest.raises(DataError, match=rf"idx3-ubyte\.gz: {message}"):
        Idx(str(root)).open("train")


def test_partners_and_likeness(root: Path) -> None:
    put(root, "t10k", IMAGES[:4, :, :, None].repeat(3, 3), LABELS[:4])
    (root / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(
        DataError, match="train-images-idx3-ubyte: 1 channel, but other parts have 3; save all parts alike"
    ):
        Idx(str(root)).open("train")
    (root / "t10k-images-idx4-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: labels without a file of pictures; add it, or remove"):
        Idx(str(root)).open("train")
    (root / "t10k-labels-idx1-ubyte").unlink()
    (root / "t10k-labels-idx1-ubyte.gz").unlink()
    (root / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-images-idx3-ubyte: pictures without a file of labels; add it"):
        Idx(str(root)).open("train")


def test_two_test_sets_are_not_chosen_between(root: Path) -> None:
    put(root, "test", IMAGES[:3], LABELS[:3])
    with pytest.raises(DataError, match=r"test-images-idx3-ubyte: a test set beside t10k-images-idx3-ubyte\.gz; "):
        Idx(str(root)).open("train")


def test_unknown_split_and_other_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown split 'tets'; the nearest is 'test'"):
        Idx(str(root)).open("tets")
    with pytest.raises(DataError, match="no IDX files; expected train-images-idx3-ubyte"):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "notes").touch()
        Idx(str(tmp_path / "other")).splits()
    assert not Idx.recognise(tmp_path / "other")


def test_one_picture_cannot_be_divided(tmp_path: Path) -> None:
    put(tmp_path, "train", IMAGES[:1], LABELS[:1])
    with pytest.raises(DataError, match="1 labelled picture; expected at least two"):
        Idx(str(tmp_path)).splits()


def test_the_customary_numbers() -> None:
    assert (idx.CUSTOMARY, idx.HELD_OUT, idx.DIGITS) == (60_000, 10_000, 10)


def digits(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """(N, 12, 12) with an upright bar for the digit 1 and a square for others, and (N,) labels."""
    labels = np.arange(count, dtype=np.uint8) % 10
    images = np.zeros((count, 12, 12), np.uint8)
    images[labels == 1, 1:11, 5:7] = 200
    images[labels != 1, 3:8, 2:7] = 200
    return images, labels


class TestEmnist:
    def test_is_turned_upright(self, tmp_path: Path) -> None:
        images, labels = digits()
        images[:, 0, 5] = 90  # a mark at the top
        put(tmp_path, "emnist-digits-train", images.swapaxes(1, 2), labels, ".gz")
        put(tmp_path, "emnist-digits-test", images.swapaxes(1, 2)[:10], labels[:10])
        source = recognise(tmp_path)
        assert isinstance(source, Idx) and source.splits() == ("train", "val", "test")
        np.testing.assert_array_equal(source.open("test")[1]["image"][0], images[1])
        assert "EMNIST's pictures, stored with rows and columns exchanged, are turned upright" in source.describe()
        assert source.notes() == []

    def test_letters_have_the_names_of_their_mapping(self, tmp_path: Path) -> None:
        images, labels = digits()
        put(tmp_path, "emnist-letters-train", images, labels % 3 + 1)
        (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n3 67 99\n")
        source = Idx(str(tmp_path))
        assert source.scan.classes.names == ("Aa", "Bb", "Cc")
        train = source.open("train")
        assert [train.labels[i] for i in range(5)] == [0, 1, 2, 0, 1]
        (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n")
        with pytest.raises(DataError, match="labels 1 to 3, but 1 to 2 in the mapping"):
            Idx(str(tmp_path)).open("train")
        (tmp_path / "emnist-letters-mapping.txt").write_text("1 A\n")
        with pytest.raises(DataError, match="'1 A'; expected a label and the codes of its characters"):
            Idx(str(tmp_path)).open("train")

    def test_two_sets_in_a_folder(self, tmp_path: Path) -> None:
        for name in ("digits", "letters"):
            put(tmp_path, f"emnist-{name}-train", *digits())
        with pytest.raises(DataError, match="put each set into a folder of its own"):
            recognise(tmp_path)

    @pytest.mark.parametrize("light", [False, True])
    def test_under_other_names_it_is_told_by_the_digit_1(self, tmp_path: Path, light: bool) -> None:
        images, labels = digits()
        drawn = 255 - images if light else images
        put(tmp_path / "upright", "train", drawn, labels)
        put(tmp_path / "turned", "train", drawn.swapaxes(1, 2), labels)
        assert Idx(str(tmp_path / "upright")).notes() == []
        (note,) = Idx(str(tmp_path / "turned")).notes()
        assert note.startswith("the pictures of 1 are wider than high, as if rows and columns were exchanged")
        (tmp_path / "turned" / "classes.txt").write_text("".join(f"letter {i}\n" for i in range(10)))
        assert Idx(str(tmp_path / "turned")).notes() == []
