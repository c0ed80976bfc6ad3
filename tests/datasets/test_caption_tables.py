"""Tables of captions as people have them: each kind is read rightly, or refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.captions.cells import listed
from foveate.datasets.captions.flickr import Flickr
from foveate.datasets.captions.table import CaptionTable
from foveate.datasets.class_folders import ClassFolders
from foveate.datasets.folders import Folders
from foveate.datasets.text_files import read_text
from foveate.engine.inspection import inspect
from foveate.errors import DataError

NAMES = ("a.jpg", "b.jpg", "c.jpg")


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 3)).save(folder / name)


def captions(root: Path) -> dict[str, tuple[str, ...]]:
    """Name -> captions, of all splits."""
    source = recognise(root, "captioning")
    assert isinstance(source, CaptionTable)
    opened = [source.open(split) for split in source.splits()]
    return {d.name(i): tuple(c.text for c in d.captions(i)) for d in opened for i in range(len(d))}


def splits(root: Path) -> dict[str, list[str]]:
    source = CaptionTable(str(root))
    return {split: sorted(p.picture.relative_to(root).as_posix() for p in source.open(split).pairs)
            for split in source.splits()}  # fmt: skip


def problems(root: Path) -> list[str]:
    (root / "splits.json").unlink(missing_ok=True)
    return [f"{p.file.name}: {p.what}" for p in inspect(CaptionTable(str(root)), "captioning").problems]


# Quotes


@pytest.mark.parametrize("suffixes", [True, False])
@pytest.mark.parametrize("order", ["image,caption", "caption,image"])
def test_a_quote_that_is_not_closed_takes_no_other_row(tmp_path: Path, order: str, suffixes: bool) -> None:
    """A later quote closes it: without a look at the lines between, these would be one caption."""
    names = [f"p{i}" for i in range(8)]
    put(tmp_path, *(f"{name}.jpg" for name in names))
    texts = [f"A dog number {i}." for i in range(8)]
    texts[2], texts[6] = '"a circle of 5 inches', 'one that is 7"'
    listed_names = [f"{name}.jpg" if suffixes else name for name in names]
    cells = [(name, text) if order == "image,caption" else (text, name)
             for name, text in zip(listed_names, texts, strict=True)]  # fmt: skip
    (tmp_path / "c.csv").write_text("\n".join([order, *map(",".join, cells)]) + "\n")
    (problem,) = [p for p in problems(tmp_path) if "quote" in p]
    assert problem.startswith("c.csv: line 4: a quote is opened and not closed before the next row ('")
    assert problem.endswith("close it, or double it")
    scan = CaptionTable(str(tmp_path)).scan
    kept = {p.picture.stem: p.label for pairs in scan.pairs.values() for p in pairs}
    assert kept == {n: (t,) for i, (n, t) in enumerate(zip(names, texts, strict=True)) if i != 2}
    with pytest.raises(DataError, match="line 4: a quote is opened and not closed"):
        CaptionTable(str(tmp_path)).open("train")


def test_an_unclosed_quote_to_the_end_of_the_file_and_one_in_the_middle_of_a_cell(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    put(tmp_path, "d.jpg")
    rows = ['a.jpg,"A dog', 'b.jpg,A "red" cat', 'c.jpg,"A "red" cat"', 'd.jpg,"A dog']
    (tmp_path / "c.csv").write_text("\n".join(["image,caption", *rows]) + "\n")
    assert [p.split(";")[0] for p in problems(tmp_path)] == [
        "c.csv: line 2: a quote is opened and not closed before the next row ('b.jpg,A \"red\" cat')",
        "c.csv: line 4: ',' expected after '\"'",
        "c.csv: line 5: unexpected end of data",
    ]


def test_captions_of_several_lines_and_single_quotes_are_read(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    rows = ["image,caption", 'a.jpg,"A dog,\nwhich sleeps,\nalone"', "b.jpg,A man's dog, isn't it", "c.jpg,'A cat'"]
    (tmp_path / "c.csv").write_text("\n".join(rows))
    assert captions(tmp_path) == {
        "a.jpg": ("A dog, which sleeps, alone",), "b.jpg": ("A man's dog, isn't it",), "c.jpg": ("'A cat'",),
    }  # fmt: skip


def test_single_quotes_around_every_cell(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("'image','caption'\n'a.jpg','A dog, alone'\n'b.jpg','A man''s cat'\n")
    assert captions(tmp_path) == {"a.jpg": ("A dog, alone",), "b.jpg": ("A man's cat",)}


# Line ends, encodings, separators


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"], ids=lambda e: str(e)
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_line_end_encoding_and_separator(tmp_path: Path, end: str, encoding: str, separator: str) -> None:
    put(tmp_path, *NAMES)
    rows = ["image,caption", "a.jpg,Ein schöner Hund", "b.jpg,一只猫", "c.jpg,🐕 dog"]
    text = end.join(row.replace(",", separator) for row in rows) + end
    (tmp_path / "captions.csv").write_bytes(text.encode(encoding))
    assert captions(tmp_path) == {"a.jpg": ("Ein schöner Hund",), "b.jpg": ("一只猫",), "c.jpg": ("🐕 dog",)}


def test_excels_line_above_the_head(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("sep=;\n\nimage;caption\na.jpg;A dog; alone\nb.jpg;\n")
    assert problems(tmp_path)[0] == "c.csv: line 5: an empty caption of 'b.jpg'; write one, or remove it"
    (tmp_path / "c.csv").write_text("sep=;\n\nimage;caption\na.jpg;A dog; alone\nb.jpg;A cat\n")
    assert captions(tmp_path) == {"a.jpg": ("A dog; alone",), "b.jpg": ("A cat",)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,caption\na.jpg,Ein schöner Hund\n".encode("latin-1"), r"not UTF-8 text \(byte 27\); save it as UTF-8"),
        (b"\xff\xfe" + "image,caption\na.jpg,A".encode("utf-16-le")[:-1], r"not UTF-16-LE text .*; save it as UTF-8"),
        (b"image,caption\na.jpg,A\0dog\n", r"line 2: a zero byte; repair the line, or save the file as"),
    ],
)
def test_text_that_cannot_be_decoded_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "captions.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"captions\.csv: {message}"):
        recognise(tmp_path).open("train")


def test_every_small_text_file_may_be_in_utf_16(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        (tmp_path / "classes.txt").write_bytes("sky\r\nroad\rtree\n".encode(encoding))
        assert read_text(tmp_path / "classes.txt") == "sky\nroad\ntree\n"


# Columns


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("file_name,text", ("A dog",)),
        ("Image Name,Captions", ("A dog",)),
        ("image_path,prompt", ("A dog",)),
        ("filename,blip_caption", ("A dog",)),
        ("file_name,caption,text", ("A dog",)),
        ("image,caption_1,caption_2", ("A dog", "A cat")),
        ("image,caption1,caption2", ("A dog", "A cat")),
        ("image,caption,caption", ("A dog", "A cat")),
        ("image,caption_en_1,caption_en_2", ("A dog", "A cat")),
        ("image,caption_short,caption_long", ("A dog", "A cat")),
    ],
)
def test_names_of_columns(tmp_path: Path, head: str, expected: tuple[str, ...]) -> None:
    put(tmp_path, *NAMES)
    extra = ",A cat" if head.count(",") == 2 else ""
    (tmp_path / "c.csv").write_text(f"{head}\na.jpg,A dog{extra}\nb.jpg,A bird{extra}\n")
    assert captions(tmp_path)["a.jpg"] == expected


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("image,caption_id,caption_text", "{name},17,A dog"), ("image,caption_id,caption_text", "{name},c17,A dog"),
        ("image,caption_number,caption_text", "{name},0,A dog"),
        ("image,blip_caption,caption_score", "{name},A dog,0.13"),
        ("image,caption_text,caption_words", "{name},A dog,2"), ("image,caption1,caption2", "{name},A dog,2"),
        ("image,caption,text", "{name},3,A dog"),
    ],
)  # fmt: skip
def test_columns_about_captions_are_none(tmp_path: Path, head: str, row: str) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("\n".join([head, *(row.format(name=name) for name in NAMES)]) + "\n")
    assert captions(tmp_path) == dict.fromkeys(NAMES, ("A dog",))
    (other,) = [h for h, cell in zip(head.split(","), row.split(","), strict=True) if cell not in ("{name}", "A dog")]
    assert f"(c.csv; column {other} not read)" in CaptionTable(str(tmp_path)).describe()


def test_columns_about_captions_in_json_lines(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    rows = [{"image": name, "caption_no": i, "caption_text": f"Dog {i}"} for i, name in enumerate(NAMES)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert captions(tmp_path) == {name: (f"Dog {i}",) for i, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    "columns", ["caption_en,caption_de", "english_caption,german_caption", "caption_en_1,caption-fr_1"]
)
def test_captions_in_two_languages_are_refused(tmp_path: Path, columns: str) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text(f"image,{columns}\n" + "".join(f"{name},A dog,Ein Hund\n" for name in NAMES))
    first = columns.split(",")[0]
    assert problems(tmp_path) == [
        f"c.csv: the columns {columns.replace(',', ', ')} hold captions in several languages; keep one, or call it "
        f"caption instead of {first}"
    ]
    (tmp_path / "c.csv").write_text((tmp_path / "c.csv").read_text().replace(first, "caption"))
    assert captions(tmp_path) == dict.fromkeys(NAMES, ("A dog",))


def test_columns_that_are_not_read_are_said(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("image,caption,text\na.jpg,A dog,x\nb.jpg,A cat,y\n")
    source = CaptionTable(str(tmp_path))
    assert source.describe().startswith("caption table (c.csv; column text not read): 1 train, 1 val pictures")
    assert inspect(source).to_json()["columns_not_read"] == ["text"]


def test_a_caption_less_in_one_row_of_several_columns(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("image,caption_1,caption_2\na.jpg,A dog,\nb.jpg,A cat,The cat\nc.jpg,,\n")
    assert [p.partition("; ")[0] for p in problems(tmp_path)] == ["c.csv: line 4: an empty caption of 'c.jpg'"]
    kept = {p.picture.name: p.label for pairs in CaptionTable(str(tmp_path)).scan.pairs.values() for p in pairs}
    assert kept == {"a.jpg": ("A dog",), "b.jpg": ("A cat", "The cat")}


@pytest.mark.parametrize("name", ["captions.csv", "metadata.csv", "list.tsv", "metadata.jsonl"])
def test_columns_without_a_known_name_are_named(tmp_path: Path, name: str) -> None:
    put(tmp_path, *NAMES)
    line = '{"file_name": "a.jpg", "additional_feature": "A dog"}' if name.endswith("l") else "file_name,extra"
    (tmp_path / name).write_text(f"{line}\na.jpg,A dog\n")
    with pytest.raises(DataError, match=rf"{name} begins with '.*(rename its keys|rename the columns to image)"):
        recognise(tmp_path, "captioning")


# Lists


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['A dog.', 'A cat.']", ["A dog.", "A cat."]),
        ('["A dog.", "A man\'s cat."]', ["A dog.", "A man's cat."]),
        ("""['A dog.', "A man's cat."]""", ["A dog.", "A man's cat."]),
        ("('A dog.', 'A cat.')", ["A dog.", "A cat."]),
        ("[u'A dog.']", ["A dog."]),
        ('["一只猫", "🐕"]', ["一只猫", "🐕"]),
        ("A dog [a brown one]", None),
        ("[brown] dog", None),
        ("(a dog)", None),
        ('("a dog")', None),
        ("a dog's list: ['x']", None),
        ("", None),
    ],
)
def test_a_list_in_a_text(cell: str, expected: list[str] | None) -> None:
    assert listed(cell) == expected


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("['A dog.' 'A cat.']", "is a list without commas between its texts, as NumPy prints it"),
        ("['A dog's toy', 'A cat']", "looks like a list, but is not one as Python or JSON writes it"),
        ("['A dog', 'A cat'", "looks like a list, but is not one as Python or JSON writes it"),
        ("[“A dog”, “A cat”]", "looks like a list, but is not one as Python or JSON writes it"),
        ("array(['A dog'], dtype=object)", "looks like a list, but is not one as Python or JSON writes it"),
        ("[['A dog'], ['A cat']]", "is a list that holds more than texts"),
        ("['A dog', 3]", "is a list that holds more than texts"),
        ("{'raw': 'A dog'}", "is a dict in one cell"),
        ("[]", "is an empty list"),
    ],
)
def test_what_looks_like_a_list_and_is_none_is_refused_by_its_line(tmp_path: Path, cell: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        listed(cell)
    put(tmp_path, *NAMES)
    quoted = cell.replace('"', '""')
    (tmp_path / "c.csv").write_text(f'image,caption\na.jpg,A bird\nb.jpg,"{quoted}"\nc.jpg,A fish\n')
    (problem,) = problems(tmp_path)
    assert problem.startswith("c.csv: line 3: ")
    assert f"{reason}; write a caption a row, or a list of texts" in problem


def test_lists_in_cells_are_the_captions_in_every_reader(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,\"['A dog.', 'A cat.']\"\nb.jpg,['A', 'B']\n")
    assert captions(tmp_path) == {"a.jpg": ("A dog.", "A cat."), "b.jpg": ("A", "B")}
    (tmp_path / "c.csv").unlink()
    file = tmp_path / "x.token.txt"
    file.write_text("a.jpg#0\t['A dog.', 'A cat.']\nb.jpg#0\t['A'\nb.jpg#1\tA\n")
    assert "line 2: \"['A'\" looks like a list" in Flickr(str(tmp_path)).scan.problems[0].what
    file.write_text("a.jpg#0\t['A dog.', 'A cat.']\nb.jpg#0\tA\n")
    kept = {p.picture.name: p.label for pairs in Flickr(str(tmp_path)).scan.pairs.values() for p in pairs}
    assert kept == {"a.jpg": ("A dog.", "A cat."), "b.jpg": ("A",)}


# JSON lines


def test_json_lines_with_lists_and_a_broken_line(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    lines = [
        json.dumps({"file_name": "a.jpg", "text": ["A dog", "The dog"]}),
        json.dumps({"file_name": "b.jpg", "text": "A cat"}),
        "",
        json.dumps({"file_name": "c.jpg", "text": "A bird"}),
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    assert captions(tmp_path) == {"a.jpg": ("A dog", "The dog"), "b.jpg": ("A cat",), "c.jpg": ("A bird",)}
    broken = [
        '{"file_name": "c.jpg", "text": "A bird"', "[1]", '{"text": "A"}', '{"file_name": "c.jpg", "text": [["A"]]}',
        '{"file_name": "c.jpg"}', '{"file_name": 3, "text": "A"}',
    ]  # fmt: skip
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines[:2], *broken]) + "\n")
    assert [p.removeprefix("metadata.jsonl: ") for p in problems(tmp_path)] == [
        'line 3: \'{"file_name": "c.jpg", "text": "A bird"\'; expected a JSON object with \'file_name\' and \'text\' '
        "on one line",
        "line 4: '[1]'; expected a JSON object with 'file_name' and 'text' on one line",
        "line 5: '{\"text\": \"A\"}'; expected a JSON object with 'file_name' and 'text' on one line",
        "line 6: ['A'] among the captions of 'c.jpg'; expected a text, or a list of texts",
        "line 7: an empty caption of 'c.jpg'; write one, or remove it",
        "line 8: no name of an image in 'file_name'; write one",
    ]


# Hugging Face


@pytest.mark.parametrize("deep", ["", "data"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata_in_each_split(tmp_path: Path, kind: str, deep: str) -> None:
    """The same file names in each split: a name is relative to its table."""
    for split, names in (("train", NAMES), ("validation", NAMES[:1]), ("test", NAMES[:2])):
        folder = tmp_path / deep / split
        put(folder, *names)
        rows = [{"file_name": name, "text": f"{split} {name[0]}"} for name in names]
        text = "\n".join(map(json.dumps, rows)) if kind == "jsonl" else "\n".join(
            ["file_name,text", *(",".join(row.values()) for row in rows)]
        )  # fmt: skip
        (folder / f"metadata.{kind}").write_text(text + "\n")
    at = f"{deep}/" if deep else ""
    assert splits(tmp_path) == {
        "train": [f"{at}train/{n}" for n in NAMES], "val": [f"{at}validation/a.jpg"],
        "test": [f"{at}test/a.jpg", f"{at}test/b.jpg"],
    }  # fmt: skip
    source = CaptionTable(str(tmp_path))
    (text,) = source.open("val").captions(0)
    assert (text.text, source.open("val").name(0)) == ("validation a", "validation/a.jpg")
    assert source.scan.problems == []
    assert not (tmp_path / "splits.json").exists()


def test_one_table_over_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        put(tmp_path / split, "a.jpg", "b.jpg")
    rows = [f"{split}/{name},A {split} {name[0]}" for split in ("train", "val") for name in ("a.jpg", "b.jpg")]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text", *rows]) + "\n")
    assert splits(tmp_path) == {"train": ["train/a.jpg", "train/b.jpg"], "val": ["val/a.jpg", "val/b.jpg"]}
    assert "drawn" not in CaptionTable(str(tmp_path)).describe()


def split_table(root: Path, *names: str) -> CaptionTable:
    """A table of a picture for each name of a split."""
    put(root, *(f"{i}.jpg" for i in range(len(names))))
    rows = (f"{i}.jpg,a dog,{name}" for i, name in enumerate(names))
    (root / "captions.csv").write_text("\n".join(["image,caption,split", *rows]) + "\n")
    return CaptionTable(str(root))


@pytest.mark.parametrize("name", ["val", "Valid", "validate", "evaluate", "evaluation", "eval", "dev"])
def test_names_of_val_in_a_column(tmp_path: Path, name: str) -> None:
    source = split_table(tmp_path, "train", "train", name)
    assert source.splits() == ("train", "val") and source.problems() == []


@pytest.mark.parametrize(("name", "near"), [("traim", "train"), ("vall", "val"), ("tests", "test"), ("validat", "val")])
def test_a_misspelt_split_in_a_column_is_a_problem(tmp_path: Path, name: str, near: str) -> None:
    source = split_table(tmp_path, "train", "val", name, name)
    assert [str(p).rpartition(": ")[0].split(": ")[1:] for p in source.problems()] == [
        [f"2 pictures of split '{name}'; the nearest is '{near}'"]
    ]
    with pytest.raises(DataError, match=f"2 pictures of split '{name}'; the nearest is '{near}': write that if"):
        source.open("train")


def test_a_split_of_another_name_is_said(tmp_path: Path) -> None:
    source = split_table(tmp_path, "train", "train", "val", "holdout")
    assert source.problems() == [] and len(source.open("holdout")) == 1
    assert (
        "1 picture of split 'holdout', which is none of train, val and test and read only where it is named"
    ) in source.notes()


def test_a_table_a_split(tmp_path: Path) -> None:
    put(tmp_path / "images", *NAMES)
    (tmp_path / "captions_train.csv").write_text("image,caption\na.jpg,A dog\nb.jpg,A cat\n")
    (tmp_path / "captions_val.csv").write_text("image,caption\nc.jpg,A bird\n")
    assert splits(tmp_path) == {"train": ["images/a.jpg", "images/b.jpg"], "val": ["images/c.jpg"]}


def test_two_forms_of_one_table_are_not_read_twice(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,A dog\nb.jpg,A cat\n")
    (tmp_path / "captions.tsv").write_text("image\tcaption\na.jpg\tA dog\n")
    assert problems(tmp_path) == ["captions.tsv: a second table of the name of captions.csv; keep one of them"]


# Tables of other things


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Images beside masks."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            Image.new("L", (4, 3)).save(tmp_path / folder / name)
    return tmp_path


@pytest.mark.parametrize("place", ["notes.csv", "extra/notes.csv", "images/notes.csv", "images/captions.csv"])
@pytest.mark.parametrize("form", ["remarks", "old line ends", "binary", "utf-16"])
def test_a_foreign_table_beside_masks_stops_nothing(labelled: Path, place: str, form: str) -> None:
    text = "filename,comment\na.png,checked by Ann\nb.png,blurred\n"
    file = labelled / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes({
        "remarks": text.encode(), "old line ends": text.replace("\n", "\r").encode(),
        "binary": bytes(range(256)) * 40, "utf-16": text.encode("utf-16"),
    }[form])  # fmt: skip
    assert recognise(labelled) == Folders(str(labelled))
    assert recognise(labelled, "semantic") == Folders(str(labelled))


def test_a_foreign_table_beside_classes_stops_nothing(tmp_path: Path) -> None:
    for name in ("cow", "hen"):
        put(tmp_path / name, *NAMES)
        (tmp_path / name / "notes.csv").write_text("file,comment\na.jpg,blurred\n")
    (tmp_path / "notes.csv").write_text("file,comment\ncow/a.jpg,blurred\n")
    assert recognise(tmp_path) == ClassFolders(str(tmp_path))


@pytest.mark.parametrize("place", ["notes.csv", "cow/notes.csv", "both"])
@pytest.mark.parametrize("column", ["comment", "description", "text"])
def test_remarks_on_every_picture_of_class_folders_are_no_captions(tmp_path: Path, place: str, column: str) -> None:
    for name in ("cow", "hen"):
        put(tmp_path / name, *NAMES)
    rows = "".join(f"{name}/{file},blurred\n" for name in ("cow", "hen") for file in NAMES)
    for file in ("notes.csv", "cow/notes.csv") if place == "both" else (place,):
        (tmp_path / file).write_text(f"file,{column}\n{rows}")
    source = recognise(tmp_path)
    assert source == ClassFolders(str(tmp_path)) and source.problems() == []
    notes = "\n".join(source.notes())
    assert "notes.csv names the pictures, but does not say that its texts are captions" in notes
    assert ("1 file (cow/notes.csv) in class folders: no pictures, and not read" in notes) == (place != "notes.csv")
    with pytest.raises(
        DataError, match=r"class folders, which is not for captioning; it has notes\.csv, .* call the col"
    ):
        recognise(tmp_path, "captioning")
    (tmp_path / "notes.csv").write_text(f"file,caption\n{rows}")
    assert recognise(tmp_path) == CaptionTable(str(tmp_path))


def test_a_foreign_table_below_adds_no_captions(tmp_path: Path) -> None:
    put(tmp_path / "photos", *NAMES)
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,A dog\nb.jpg,A cat\nc.jpg,A bird\n")
    (tmp_path / "notes.csv").write_text("image,comment\na.jpg,blurred\nb.jpg,x\nc.jpg,y\n")
    for folder in ("old", "photos"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "captions.csv").write_text("image,caption\na.jpg,An older caption\n")
        (tmp_path / folder / "notes.csv").write_text("filename,comment\na.jpg,blurred\n")
    assert captions(tmp_path) == {"a.jpg": ("A dog",), "b.jpg": ("A cat",), "c.jpg": ("A bird",)}


def test_a_table_that_does_not_say_that_it_has_captions(tmp_path: Path) -> None:
    """It is one if it names at least half of the pictures; else an error says what is missing."""
    put(tmp_path, *NAMES)
    (tmp_path / "x.csv").write_text("file,comment\na.jpg,A dog\nb.jpg,A cat\n")
    assert captions(tmp_path) == {"a.jpg": ("A dog",), "b.jpg": ("A cat",)}
    (tmp_path / "x.csv").write_text("file,comment\na.jpg,blurred\n")
    with pytest.raises(DataError, match=r"has x\.csv, which does not say that its texts are captions, and names few"):
        recognise(tmp_path, "captioning")


# One name in two folders


@pytest.fixture
def twofold(tmp_path: Path) -> Path:
    for folder, numbers in (("farm", range(10)), ("town", range(5, 15))):
        put(tmp_path / folder, *(f"{n:03d}.jpg" for n in numbers))
    named = [
        f"{folder}/{n:03d}.jpg" for folder, numbers in (("farm", range(10)), ("town", range(5, 15))) for n in numbers
    ]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *(f"{n},{n[:4]} dog" for n in named)]) + "\n")
    (tmp_path / "val.txt").write_text("".join(f"town/{n:03d}.jpg\n" for n in range(10, 15)))
    return tmp_path


@pytest.mark.parametrize("form", ["{}/{}.jpg", "{}/{}", "data/{}/{}.jpg", "/home/me/data/{}/{}.jpg", "{}\\{}.jpg"])
def test_lists_name_a_picture_with_its_folder(twofold: Path, form: str) -> None:
    (twofold / "train.txt").write_text("".join(form.format("farm", f"{n:03d}") + "\n" for n in range(8)))
    assert splits(twofold) == {
        "train": [f"farm/{n:03d}.jpg" for n in range(8)], "val": [f"town/{n:03d}.jpg" for n in range(10, 15)],
    }  # fmt: skip
    source = CaptionTable(str(twofold))
    assert "7 pictures in no list and left out" in source.describe()
    assert [source.open("train").name(i) for i in (0, 7)] == ["000.jpg", "007.jpg"]


def test_a_list_that_does_not_say_which_of_two_is_refused(twofold: Path) -> None:
    (twofold / "train.txt").write_text("farm/000.jpg\n005.jpg\ntown/000.jpg\n")
    assert [p.removeprefix("train.txt: ") for p in problems(twofold)] == [
        "names '005', which may be farm/005.jpg and town/005.jpg; name the folder",
        "names 'town/000', but there is no captioned picture of that name",
    ]


def test_a_renamed_folder_and_a_suffix_in_a_list(tmp_path: Path) -> None:
    put(tmp_path / "Images", "a.jpg", "b.jpg", "b.png")
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,A dog\nb.jpg,A cat\nb.png,A bird\n")
    (tmp_path / "train.txt").write_text("Flicker8k_Dataset/a.jpg\nb.png\n")
    (tmp_path / "val.txt").write_text("b.jpg\n")
    assert splits(tmp_path) == {"train": ["Images/a.jpg", "Images/b.png"], "val": ["Images/b.jpg"]}


def test_accents_composed_or_not_are_one_name(tmp_path: Path) -> None:
    put(tmp_path / "caf\u00e9", "a\u0308.jpg", "b.jpg")
    put(tmp_path / "bar", "a\u0308.jpg")
    (tmp_path / "c.csv").write_text("image,caption\ncafe\u0301/\u00e4.jpg,A\nb.jpg,B\nbar/\u00e4,C\n", encoding="utf-8")
    (tmp_path / "train.txt").write_text("cafe\u0301/\u00e4.jpg\nb.jpg\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("bar/\u00e4.jpg\n", encoding="utf-8")
    assert splits(tmp_path) == {"train": ["caf\u00e9/a\u0308.jpg", "caf\u00e9/b.jpg"], "val": ["bar/a\u0308.jpg"]}


def test_pictures_of_a_test_folder_alone_are_divided(tmp_path: Path) -> None:
    put(tmp_path / "test", *NAMES)
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,A\nb.jpg,B\nc.jpg,C\n")
    assert set(splits(tmp_path)) == {"train", "val"}


# Scripts without blanks, and captions without words


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("一只狗在草地上", 7),
        ("犬が草の上で眠る。", 8),
        ("สุนัขนอน", 6),  # with their vowel signs, 6 of 8 code points
        ("3只猫cat", 4),
    ],
)
def test_characters_are_counted_and_said(tmp_path: Path, text: str, counts: int) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text(f"image,caption\na.jpg,{text}\nb.jpg,{text}\n", encoding="utf-8")
    found = inspect(CaptionTable(str(tmp_path)))
    assert set(found.lengths) == {counts}
    if text != "3只猫cat":
        line = f"characters a caption: {counts} (a text without blanks between words: characters are counted)"
        assert line in found.text().splitlines()
        assert found.to_json()["words_are"] == "characters"


def test_captions_with_blanks_are_counted_by_words(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,A dog runs\nb.jpg,개가 달린다 빨리\n", encoding="utf-8")
    found = inspect(CaptionTable(str(tmp_path)))
    assert "words a caption: 3" in found.text().splitlines()
    assert found.to_json()["words_are"] == "words"


def test_an_emoji_alone_is_no_caption(tmp_path: Path) -> None:
    put(tmp_path, *NAMES)
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,🐕🐕\nb.jpg,🐕 dog\nc.jpg,A cat\n", encoding="utf-8")
    assert problems(tmp_path) == [
        "c.csv: line 2: a caption without a word, '🐕🐕', of 'a.jpg'; write one, or remove it"
    ]


def test_a_picture_is_meant_where_its_mask_is_called_alike(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(4):
            Image.new("RGB", (8, 6), (i, 0, 0)).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(f"{i}.png,a cow {i}\n" for i in range(4)))
    source = CaptionTable(str(tmp_path))
    assert not source.problems()
    assert {pair.picture.parent.name for own in source.scan.pairs.values() for pair in own} == {"images"}
