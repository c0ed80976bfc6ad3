from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.captions import CaptionSource
from foveate.datasets.captions.album import Album
from foveate.datasets.captions.coco_captions import COCOCaptions
from foveate.datasets.captions.flickr import Flickr
from foveate.datasets.captions.karpathy import Karpathy
from foveate.datasets.captions.table import CaptionTable
from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.coco import COCO
from foveate.datasets.folders import Folders
from foveate.errors import ConfigError, DataError

Content = dict[str, list[tuple[str, tuple[str, ...]]]]


def put(folder: Path, *names: str, mode: str = "RGB") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new(mode, (5, 4), (i,) * 3 if mode == "RGB" else i).save(folder / name)


def numbered(count: int) -> list[str]:
    return [f"{i:03d}.jpg" for i in range(count)]


def held(source: CaptionSource) -> Content:
    """Split -> (name, captions) of each picture."""
    opened = {split: source.open(split) for split in source.splits()}
    return {
        split: [(d.name(i), tuple(c.text for c in d.captions(i))) for i in range(len(d))] for split, d in opened.items()
    }


def tokens(*names: str, each: int = 2) -> str:
    return "".join(f"{name}#{k}\tA dog , {k} times .\n" for name in names for k in range(each))


# ---- Flickr


@pytest.fixture
def flickr(tmp_path: Path) -> Path:
    """Flickr8k as it is unpacked: two folders, a line of capitals, a caption of stems, pictures in no list."""
    names = numbered(7)
    put(tmp_path / "Flicker8k_Dataset", *names)
    text = tmp_path / "Flickr8k_text"
    text.mkdir()
    (text / "Flickr8k.token.txt").write_text(tokens(*names[:6]), encoding="utf-8")
    (text / "Flickr8k.lemma.token.txt").write_text(tokens(*names[:6]))
    for part, listed in (("train", names[:3]), ("dev", names[3:4]), ("test", names[4:5])):
        (text / f"Flickr_8k.{part}Images.txt").write_text("\n".join(listed) + "\n")
    return tmp_path


def test_flickr_as_unpacked(flickr: Path) -> None:
    source = recognise(flickr)
    assert source == Flickr(str(flickr))
    assert source.tasks == ("captioning",)
    said = ("A dog , 0 times .", "A dog , 1 times .")
    assert held(source) == {
        "train": [(name, said) for name in ("000.jpg", "001.jpg", "002.jpg")],
        "val": [("003.jpg", said)],
        "test": [("004.jpg", said)],
    }
    assert source.describe() == (
        "Flickr captions (Flickr8k.token.txt): 3 train, 1 val, 1 test pictures, 10 captions (1 picture without "
        "captions left out; 1 picture in no list and left out)"
    )
    dataset = source.open("train")
    sample = dataset[1]
    assert sample["image"].shape == (3, 4, 5)
    assert sample["image"].dtype == torch.uint8
    assert sample["captions"] == dataset.captions(1)
    assert "masks" not in sample
    assert sample["name"] == "001.jpg"
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[1]["image"], sample["image"])
    assert Flickr(**json.loads(json.dumps(asdict(source)))) == source


def test_flickr30k_and_grey_pictures(tmp_path: Path) -> None:
    put(tmp_path / "flickr30k-images", "1.jpg", "2.jpg", mode="L")
    (tmp_path / "results_20130124.token").write_text(tokens("1.jpg", "2.jpg", each=1))
    (tmp_path / "val.txt").write_text("2.jpg\n")
    (tmp_path / "train.txt").write_text("1\n")  # without a suffix
    dataset = recognise(tmp_path).open("val")
    assert (dataset.channels, dataset[0]["image"].shape) == (3, (3, 4, 5))


def test_without_lists_a_split_is_drawn_and_kept(tmp_path: Path) -> None:
    names = numbered(10)
    put(tmp_path / "photos", *names)
    (tmp_path / "my.token.txt").write_text(tokens(*names))
    source = Flickr(str(tmp_path))
    assert "(split drawn from seed 0)" in source.describe()
    first = held(source)
    assert "split drawn from seed 0, written to splits.json" in source.describe()
    assert {split: len(pairs) for split, pairs in first.items()} == {"train": 8, "val": 2}
    again = Flickr(str(tmp_path), seed=5)
    assert "split as splits.json says" in again.describe()
    assert held(again) == first
    put(tmp_path / "photos", "new.jpg")
    (tmp_path / "my.token.txt").write_text(tokens(*names, "new.jpg"))
    later = held(Flickr(str(tmp_path)))
    assert all(set(first[split]) <= set(later[split]) for split in first)  # nobody moved


def test_a_missing_val_is_drawn_from_train(flickr: Path) -> None:
    (flickr / "Flickr8k_text/Flickr_8k.devImages.txt").unlink()
    found = held(Flickr(str(flickr)))
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 2, "val": 1, "test": 1}
    assert {n for split in ("train", "val") for n, _ in found[split]} == {"000.jpg", "001.jpg", "002.jpg"}


def test_a_few_missing_pictures_do_not_stop_a_large_set(tmp_path: Path) -> None:
    names = numbered(100)
    put(tmp_path / "images", *names[1:])
    file = tmp_path / "Flickr8k.token.txt"
    file.write_text(tokens(*names))
    source = Flickr(str(tmp_path))
    assert sum(len(pairs) for pairs in held(source).values()) == 99
    assert source.describe().endswith("; captions of 1 picture left out that are not there)")
    assert source.scan.left_out == ["000.jpg"]
    (tmp_path / "images" / "001.jpg").unlink()
    with pytest.raises(
        DataError, match=r"captions of '000\.jpg', but there is no picture of that name; add it, or remove them"
    ):
        Flickr(str(tmp_path)).open("train")
    # Where lists say who is in the set, it is no matter what else the captions speak of.
    (tmp_path / "train.txt").write_text("\n".join(names[2:90]))
    (tmp_path / "val.txt").write_text("\n".join(names[90:]))
    assert {s: len(pairs) for s, pairs in held(Flickr(str(tmp_path))).items()} == {"train": 88, "val": 10}


def test_the_oddity_of_flickr8k(tmp_path: Path) -> None:
    put(tmp_path, "2258277193_586949ec62.jpg", "b.jpg")
    (tmp_path / "Flickr8k.token.txt").write_text(tokens("2258277193_586949ec62.jpg.1", "b.jpg", each=1))
    found = held(Flickr(str(tmp_path)))
    assert {n for pairs in found.values() for n, _ in pairs} == {"2258277193_586949ec62.jpg", "b.jpg"}


# ---- tables


def test_kaggles_captions_txt_and_quotes(tmp_path: Path) -> None:
    put(tmp_path / "Images", "a.jpg", "b.jpg")
    rows = ["image,caption", 'a.jpg,"A dog, and a ""cat"" ."', "a.jpg,A dog .", "b.jpg,Red , green and blue ."]
    (tmp_path / "captions.txt").write_text("\r\n".join(rows) + "\r\n")
    source = recognise(tmp_path)
    assert isinstance(source, CaptionTable)
    assert dict(p for pairs in held(source).values() for p in pairs) == {
        "a.jpg": ('A dog, and a "cat" .', "A dog ."),
        "b.jpg": ("Red , green and blue .",),  # commas that nobody quoted
    }


def test_a_table_with_splits(tmp_path: Path) -> None:
    put(tmp_path / "x", "a.png", "b.png", "c.png")
    rows = "split;Image;caption\ntrain;a.png;One .\nvalidation;x/b.png;Two .\ntest;C.PNG;Three .\nTrain;a.png;Four .\n"
    (tmp_path / "mine.csv").write_bytes(b"\xef\xbb\xbf" + rows.encode())  # as Excel writes it
    source = recognise(tmp_path)
    assert held(source) == {
        "train": [("a.png", ("One .", "Four ."))], "val": [("b.png", ("Two .",))], "test": [("c.png", ("Three .",))],
    }  # fmt: skip
    assert source.describe() == "caption table (mine.csv): 1 train, 1 val, 1 test pictures, 4 captions"
    assert not (tmp_path / "splits.json").exists()


def test_flickr30k_as_kaggle_has_it(tmp_path: Path) -> None:
    put(tmp_path / "flickr30k_images", "1.jpg", "2.jpg")
    (tmp_path / "results.csv").write_text("image_name| comment_number| comment\n1.jpg| 0| A , b .\n2.jpg| 0| C .\n")
    assert sorted(p for pairs in held(recognise(tmp_path)).values() for p in pairs) == [
        ("1.jpg", ("A , b .",)), ("2.jpg", ("C .",)),
    ]  # fmt: skip


def test_tables_of_other_things_are_not_read(tmp_path: Path) -> None:
    put(tmp_path / "images", "a.png", mode="L")
    put(tmp_path / "labels", "a.png", mode="L")
    (tmp_path / "log.csv").write_text("epoch,loss\n1,2\n")
    (tmp_path / "captions.txt").write_text("notes\n")
    assert recognise(tmp_path) == Folders(str(tmp_path))
    with pytest.raises(DataError, match=r"no table of captions; expected a \*\.csv, \*\.tsv or \*\.jsonl"):
        CaptionTable(str(tmp_path)).open("train")


# ---- JSON


def coco(images: list[tuple[Any, str]], said: list[tuple[Any, str]]) -> str:
    return json.dumps(
        {
            "images": [{"id": i, "file_name": name} for i, name in images],
            "annotations": [{"id": 100 + k, "image_id": i, "caption": text} for k, (i, text) in enumerate(said)],
        }
    )


@pytest.fixture
def coco_root(tmp_path: Path) -> Path:
    notes = tmp_path / "annotations"
    notes.mkdir()
    for year in ("2014", "2017"):
        put(tmp_path / f"train{year}", "1.jpg", "2.jpg")
        put(tmp_path / f"val{year}", "1.jpg" if year == "2014" else "9.jpg")
    (notes / "captions_train2017.json").write_text(
        coco([(7, "1.jpg"), (8, "2.jpg"), (6, "1.jpg")][:2], [(8, "B"), (7, " A\n"), (8, "C")])
    )
    (notes / "captions_val2017.json").write_text(coco([(1, "9.jpg")], [(1, "D")]))
    (notes / "captions_train2014.json").write_text(coco([(7, "2.jpg")], [(7, "old")]))
    (notes / "captions_val2014.json").write_text(coco([(1, "1.jpg")], [(1, "older")]))
    return tmp_path


def test_coco_captions(coco_root: Path) -> None:
    source = recognise(coco_root)
    assert source == COCOCaptions(str(coco_root))
    assert held(source) == {"train": [("2.jpg", ("B", "C")), ("1.jpg", ("A",))], "val": [("9.jpg", ("D",))]}
    folders = [pair.picture.parent.name for pair in source.open("train").pairs]
    assert folders == ["train2017", "train2017"]  # 1.jpg lies in three folders
    assert source.describe().startswith(
        "COCO captions (captions_train2017.json, captions_val2017.json): 2 train, 1 val"
    )
    old = COCOCaptions(str(coco_root), year="2014")
    assert [pair.picture.parent.name for pair in old.open("val").pairs] == ["val2014"]
    with pytest.raises(ConfigError, match="unknown year '2015'"):
        COCOCaptions(str(coco_root), year="2015").open("train")


def test_objects_and_captions_in_one_folder(coco_root: Path) -> None:
    (coco_root / "annotations/instances_train2017.json").write_text("{}")
    assert isinstance(recognise(coco_root), COCO)
    assert isinstance(recognise(coco_root, task="captioning"), COCOCaptions)
    assert isinstance(recognise(coco_root, task="classification"), ClassFolders | COCO)


def test_coco_captions_in_one_file(tmp_path: Path) -> None:
    put(tmp_path / "images", *(f"{i}.jpg" for i in range(6)))
    content = coco([(i, f"{i}.jpg") for i in range(6)], [(i, f"number {i}") for i in range(6)])
    (tmp_path / "captions.json").write_text(content)
    (tmp_path / "instances.json").write_text(content.replace("caption", "segmentation"))
    source = recognise(tmp_path, task="captioning")
    assert isinstance(source, COCOCaptions) and source.problems() == []
    assert sorted(name for pairs in held(source).values() for name, _ in pairs) == [f"{i}.jpg" for i in range(6)]
    assert source.describe().startswith("COCO captions (captions.json): 5 train, 1 val")
    (tmp_path / "captions_val2017.json").write_text(coco([(3, "3.jpg")], [(3, "this one")]))
    assert COCOCaptions(str(tmp_path)).describe().startswith("COCO captions (captions_val2017.json)")


def test_another_captions_json_is_not_cocos(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "captions.json").write_text('[{"image": "1.jpg", "caption": "A"}, {"image": "2.jpg", "caption": "B"}]')
    assert not COCOCaptions.recognise(tmp_path)


def test_karpathys_split(tmp_path: Path) -> None:
    put(tmp_path / "images/val2014", "1.jpg", "2.jpg")
    put(tmp_path / "images/train2014", "1.jpg", "3.jpg")
    images = [
        {"filepath": folder, "filename": name, "split": split, "sentences": [{"raw": text}], "sentids": [0]}
        for folder, name, split, text in (
            ("val2014", "1.jpg", "val", "A"), ("val2014", "2.jpg", "restval", "B"),
            ("train2014", "1.jpg", "train", "C"), ("train2014", "3.jpg", "test", "D"),
        )
    ]  # fmt: skip
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    source = recognise(tmp_path)
    assert source == Karpathy(str(tmp_path))
    found = {split: source.open(split).pairs for split in source.splits()}
    assert {s: [(p.picture.parent.name, p.picture.name, *p.label) for p in pairs] for s, pairs in found.items()} == {
        "train": [("val2014", "2.jpg", "B"), ("train2014", "1.jpg", "C")],
        "val": [("val2014", "1.jpg", "A")],
        "test": [("train2014", "3.jpg", "D")],
    }
    assert source.describe() == "Karpathy's split (dataset_coco.json): 2 train, 1 val, 1 test pictures, 4 captions"


# ---- what is wrong


@pytest.mark.parametrize(
    ("reader", "name", "content", "message"),
    [
        (Flickr, "a.token.txt", "a.jpg#0\tA\nb.jpg A\nb.jpg#0\tB", r"line 2: 'b\.jpg A'; expected NAME\.jpg#0, a tab"),
        (Flickr, "a.token.txt", "a.jpg#0\tA\nb.jpg#0\t . \nb.jpg#1\tB", r"line 2: an empty caption of 'b\.jpg'; write"),
        (Flickr, "a.token.txt", "a.jpg#0\tA\nb.jpg#0\nb.jpg#1\tB", r"line 2: an empty caption of 'b\.jpg'"),
        (Flickr, "a.token.txt", "\n", r"a\.token\.txt holds no caption; expected at least one"),
        (Flickr, "a.token.txt", "x.jpg#0\tA\ny.jpg#0\tB", r"none of 2 pictures \(x\.jpg, \.\.\.\) that a\.token"),
        (Flickr, "a.token.txt", "a.jpg#0\tA\nc.jpg#0\tB", r"token\.txt: captions of 'c\.jpg', but there is no"),
        (CaptionTable, "a.csv", "image,caption\na.jpg,A\n,B\nb.jpg,C", "line 3: ',B'; expected 2 cells, with captions"),
        (CaptionTable, "a.csv", "caption,image\nA,a.jpg\nB,c,b.jpg", "line 3: 'B,c,b.jpg'; expected 2 cells"),
        (CaptionTable, "a.csv", 'image,caption\na.jpg,"A\nb.jpg,B', r"line 2: unexpected end of data; put quotes"),
        (CaptionTable, "a.csv", "image,caption\na.jpg,A\nb.jpg\nb.jpg,B", r"line 3: 'b\.jpg'; expected 2 cells"),
        (CaptionTable, "a.csv", "image,caption\na.jpg,A\nb.jpg,\nb.jpg,B", r"line 3: an empty caption of 'b\.jpg'"),
        (CaptionTable, "a.csv", "image,caption\n", r"a\.csv holds no caption; expected at least one"),
        (CaptionTable, "a.csv", "image,caption,split\na.jpg,A,train\na.jpg,B,val\nb.jpg,C,val",
         r"line 3: 'a\.jpg' is in split 'val' here, and in 'train' before; expected one"),
        (CaptionTable, "a.csv", "image,caption,split\na.jpg,A,train\nb.jpg,C,", r"'b\.jpg' has no split, though"),
        (COCOCaptions, "captions_x.json", "{", "malformed JSON at line 1"),
        (COCOCaptions, "captions_x.json", "[]", "no list 'images'; expected COCO's images and annotations"),
        (COCOCaptions, "captions_x.json", coco([(1, "a.jpg"), (1, "b.jpg")], [(1, "A")]), "two images have the id 1"),
        (COCOCaptions, "captions_x.json", coco([(1, "a.jpg")], [(1, "A"), (2, "B")]), "annotation 101: image_id 2 is"),
        (COCOCaptions, "captions_x.json", coco([(1, "a.jpg")], [(1, "A"), (1, "  ")]), "annotation 101: an empty"),
        (COCOCaptions, "captions_x.json", '{"images": [3], "annotations": []}', "3 among the images; expected an"),
        (COCOCaptions, "captions_x.json", '{"images": [], "annotations": [{}]}', "{} among the annotations; expected"),
        (Karpathy, "dataset_x.json", '{"sentences": 1}', "no list 'images'; expected images with filename, split and"),
        (Karpathy, "dataset_x.json", '{"images": [{"filename": "a.jpg", "sentences": [{"raw": 3}]}]}', "with 'raw'"),
        (Karpathy, "dataset_x.json", '{"images": [{"sentences": []}]}', "image 0: .*; expected an object with"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, reader: Any, name: str, content: str, message: str) -> None:
    put(tmp_path / "images", "a.jpg", "b.jpg")
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        reader(str(tmp_path)).open("train")
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_lists_are_checked(flickr: Path) -> None:
    text = flickr / "Flickr8k_text"
    (text / "Flickr_8k.testImages.txt").write_text("004.jpg\n000.jpg\nnobody.jpg\n006.jpg\n")
    with pytest.raises(DataError) as raised:
        Flickr(str(flickr)).open("train")
    assert "testImages.txt: names '000', and so does Flickr_8k.trainImages.txt; expected one of them" in str(
        raised.value
    )
    assert "testImages.txt: names 'nobody', but there is no captioned picture of that name" in str(raised.value)
    assert "names '006', but there is no captioned picture of that name" in str(raised.value)  # it has no caption
    (text / "Flickr_8k.testImages.txt").write_text("\n")
    with pytest.raises(DataError, match="the list is empty; expected one picture name a line"):
        Flickr(str(flickr)).open("train")


def test_one_name_in_two_folders(tmp_path: Path) -> None:
    put(tmp_path / "x", "a.jpg", "b.jpg")
    put(tmp_path / "y", "a.jpg")
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,A\nb.jpg,B\n")
    with pytest.raises(DataError, match=r"'a\.jpg' may be x/a\.jpg and y/a\.jpg; keep one, or name the folder"):
        CaptionTable(str(tmp_path)).open("train")
    (tmp_path / "c.csv").write_text("image,caption\ny/a.jpg,A\nb.jpg,B\nx/a.jpg,C\n")
    pairs = [p for pairs in CaptionTable(str(tmp_path)).scan.pairs.values() for p in pairs]
    assert sorted((p.picture.parent.name, *p.label) for p in pairs) == [("x", "B"), ("x", "C"), ("y", "A")]


def test_names_that_leave_the_folder_lead_nowhere(tmp_path: Path) -> None:
    put(tmp_path, "secret.jpg")
    put(tmp_path / "data", "a.jpg", "b.jpg")
    (tmp_path / "data/c.csv").write_text("image,caption\n../secret.jpg,A\n/home/me/a.jpg,B\nC:\\x\\b.jpg,C\n")
    with pytest.raises(
        DataError, match=r"captions of '\.\./secret\.jpg', but there is no picture of that name"
    ) as raised:
        CaptionTable(str(tmp_path / "data")).open("train")
    assert "a.jpg'" not in str(raised.value)  # another machine's folders do not count


def test_unreadable_pictures_are_named_when_they_are_read(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "b.jpg").write_text("no picture")
    (tmp_path / "c.csv").write_text("image,caption,split\na.jpg,A,train\nb.jpg,B,val\n")
    with pytest.raises(DataError, match=r"b\.jpg: not a picture in a known format"):
        CaptionTable(str(tmp_path)).open("val")[0]


def test_unknown_splits_and_names_in_splits_json(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,A\nb.jpg,B\n")
    with pytest.raises(ConfigError, match="unknown split 'trian'; the nearest is 'train'"):
        CaptionTable(str(tmp_path)).open("trian")
    (tmp_path / "splits.json").write_text('{"splits": {"train": ["a.jpg"], "val": ["b.jpg", "z.jpg"]}}')
    with pytest.raises(DataError, match=r"splits\.json: names 'z\.jpg', but there is no captioned picture"):
        CaptionTable(str(tmp_path)).open("train")


def test_album(tmp_path: Path) -> None:
    put(tmp_path / "x", "a.jpg", "B.JPG")
    put(tmp_path / "__MACOSX", "a.jpg")
    put(tmp_path / ".hidden", "a.jpg")
    (tmp_path / "x" / "again").symlink_to(tmp_path / "x")  # a loop
    (tmp_path / "x" / "a.txt").touch()
    album = Album(tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in album] == ["x/B.JPG", "x/a.jpg"]
    for name in ("a.jpg", "a", "A.jpg", "q/a.jpg", "a.jpg.1"):
        assert album.find(name) == [tmp_path / "x/a.jpg"], name
    for name in ("a.txt", "a.jpg.x", "", "c.jpg"):
        assert album.find(name) == [], name


def test_many_pictures_take_as_many_calls_each(tmp_path: Path, calls: Callable[[Callable[[], object]], int]) -> None:
    """No picture is decoded: those here could not be. Four times as many take four times the calls of functions."""

    def written(count: int) -> Path:
        root = tmp_path / str(count)
        (root / "images").mkdir(parents=True)
        for name in numbered(count):
            (root / "images" / name).touch()
        (root / "a.token.txt").write_text(tokens(*numbered(count), each=5))
        return root

    small, large = written(250), written(1000)
    few, many = (calls(lambda r=root: recognise(r).open("train")) for root in (small, large))  # type: ignore[misc]
    assert few > 250 and many < 4.5 * few
    assert len(recognise(tmp_path / "1000").open("train")) == 800
