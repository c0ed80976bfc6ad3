"""Parallel text: files of every form, and the message for each kind of bad one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from foveate.datasets import recognise
from foveate.datasets.parallel_text import ParallelText
from foveate.engine.prepare import validation_split
from foveate.errors import ConfigError, DataError

EN = ["a dog", "two cats", "a red ball", "the sea"]
DE = ["ein Hund", "zwei Katzen", "ein roter Ball", "das Meer"]


def write(folder: Path, **files: list[str] | str | bytes) -> Path:
    """Files by name, `train_en` for train.en; a list is one line each."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".").replace("_", ".", 1)
        text = "".join(f"{line}\n" for line in content) if isinstance(content, list) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def pairs(source: ParallelText, split: str) -> list[tuple[str, str]]:
    return [(sample["sentence"], sample["reference"]) for sample in source.open(split)]  # type: ignore[attr-defined]


def found(path: Path) -> ParallelText:
    source = recognise(path, "translation")
    assert isinstance(source, ParallelText)
    assert recognise(path) == source
    return source


def test_two_files_a_split(tmp_path: Path) -> None:
    source = found(
        write(tmp_path, train_en=EN, train_de=DE, val_en=EN[:2], val_de=DE[:2], test_en=EN[2:], test_de=DE[2:])
    )
    assert source.splits() == ("train", "val", "test")
    assert pairs(source, "train") == list(zip(DE, EN, strict=True))
    assert source.describe() == "parallel text, de to en: 4 train, 2 val, 2 test pairs"
    assert source.notes()[0] == "translating from de to en; --data.source en --data.target de reverses it"
    turned = ParallelText(str(tmp_path), "en", "de")
    assert pairs(turned, "test") == list(zip(EN[2:], DE[2:], strict=True))
    assert turned.open("val").name(1) == "val.en:2"
    assert not any("reverses" in note for note in turned.notes())


def test_names_of_splits_and_other_files(tmp_path: Path) -> None:
    folder = write(
        tmp_path, **{"corpus.train_en": EN, "corpus.train_de": DE, "dev_en": EN[:1], "dev_de": DE[:1]},
        README_md=["about"], splits_json="{}", train_py=["1"],
    )  # fmt: skip
    assert found(folder).splits() == ("train", "val")


@pytest.mark.parametrize("form", ["gz", "crlf", "utf-16", "bom", "no last line end"])
def test_files_as_other_tools_write_them(tmp_path: Path, form: str) -> None:
    write(tmp_path, val_en=EN, val_de=DE)
    for name, lines in (("train.en", EN), ("train.de", DE)):
        text = "\n".join(lines) + ("" if form == "no last line end" else "\n")
        text = text.replace("\n", "\r\n") if form == "crlf" else text
        content = text.encode({"utf-16": "utf-16", "bom": "utf-8-sig"}.get(form, "utf-8"))
        if form == "gz":
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / name).write_bytes(content)
    assert pairs(found(tmp_path), "train") == list(zip(DE, EN, strict=True))


def test_only_line_ends_divide_lines(tmp_path: Path) -> None:
    """Characters that Python's `splitlines` takes for line ends would put two files out of step."""
    odd = ["a\u2028b", "c\x0bd", "e\x85f", "g"]
    source = found(write(tmp_path, train_en=odd, train_de=DE, val_en=EN, val_de=DE))
    assert [english for _, english in pairs(source, "train")] == odd


def test_tables(tmp_path: Path) -> None:
    rows = [f"{e}\t{d}" for e, d in zip(EN, DE, strict=True)]
    plain = write(tmp_path / "a", train_tsv=rows, val_tsv=rows[:1])
    assert pairs(found(plain), "train") == list(zip(EN, DE, strict=True))
    named = write(tmp_path / "b", train_tsv=["en\tde", *rows], val_tsv=["en\tde", *rows[:2]])
    assert pairs(found(named), "val") == list(zip(EN[:2], DE[:2], strict=True))
    assert pairs(ParallelText(str(named), "de", "en"), "val") == list(zip(DE[:2], EN[:2], strict=True))
    headed = write(tmp_path / "c", pairs_tsv=["source\ttarget", *rows])
    assert len(pairs(found(headed / "pairs.tsv"), "train")) + len(pairs(found(headed), "val")) == 4
    with pytest.raises(ConfigError, match=r"source is 'de' and target 'en', but the table has no line of names; write"):
        ParallelText(str(plain), "de", "en").open("train")


def test_a_split_is_drawn_and_keeps_equal_sentences_together(tmp_path: Path) -> None:
    english = [f"sentence {i // 2}" for i in range(60)]  # each twice
    german = [f"Satz {i}" for i in range(60)]
    source = found(write(tmp_path, train_de=english, train_en=german))
    assert source.splits() == ("train", "val")
    train, val = ({sentence for sentence, _ in pairs(source, split)} for split in ("train", "val"))
    assert len(val) == 3 and not train & val and len(train | val) == 30
    assert "val drawn with seed 0" in source.describe()
    assert pairs(found(tmp_path), "val") == pairs(source, "val")
    assert pairs(ParallelText(str(tmp_path), seed=1), "val") != pairs(source, "val")


def test_files_that_name_no_split_are_a_whole_test_set(tmp_path: Path) -> None:
    source = found(write(tmp_path, book_en=EN, book_de=DE))
    whole = source.undivided()
    assert whole is not None
    assert whole.splits() == ("test",)
    assert pairs(whole, "test") == list(zip(DE, EN, strict=True))
    assert found(write(tmp_path / "x", train_en=EN, train_de=DE)).undivided() is None


def test_empty_lines_are_left_out_and_said(tmp_path: Path) -> None:
    source = found(
        write(tmp_path, train_en=["a", "", "b", "", "c"], train_de=["x", "y", "  ", "", "z"], val_en=EN, val_de=DE)
    )
    assert pairs(source, "train") == [("x", "a"), ("z", "c")]
    assert source.open("train").name(1) == "train.de:5"
    assert "train.de: 3 pairs left out, where a side is empty: line 2, 3, 4" in source.notes()
    assert source.describe().endswith("(3 with an empty side left out)")


def test_a_tab_is_a_blank_of_files_with_one_side(tmp_path: Path) -> None:
    source = found(write(tmp_path, train_en=["a", " \t ", "b\tc "], train_de=["x", "y", "z"], val_en=EN, val_de=DE))
    assert pairs(source, "train") == [("x", "a"), ("z", "b\tc")]
    assert "train.de: 1 pair left out, where a side is empty: line 2" in source.notes()


def test_a_split_without_a_pair_is_a_problem_and_named_where_it_is_missing(tmp_path: Path) -> None:
    source = found(write(tmp_path, train_en=EN, train_de=DE, val_en=["", ""], val_de=["a", ""]))
    message = r"val\.de: no pair of sentences in val\.de and val\.en; fill both sides of a line, or remove"
    for opened in (lambda: source.open("train"), lambda: validation_split(source)):
        with pytest.raises(DataError, match=message):
            opened()
    for split in ("train", "val"):
        (tmp_path / f"{split}.en").write_text("a\n")
    with pytest.raises(DataError, match=r"train\.de: has 4 lines, but train\.en has 1.*2 problems"):
        validation_split(found(tmp_path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train_en": EN, "train_de": DE[:3]},
            r"train\.de: has 3 lines, but train\.en has 4: from line 4 on there is train\.en alone; line n of one must",
        ),
        (
            {"train_en": [*EN, "more"], "train_de": ["", *DE[1:]]},
            r"from line 5 on there is train\.en alone \(line 1 is empty in train\.de alone\)",
        ),
        ({"train_en": b"a\nb\0c\n", "train_de": ["x", "y"]}, r"train\.en: line 2: a zero byte; repair the line"),
        (
            {"train_en": "a\nb\nc\0d\n".encode("utf-16"), "train_de": ["x", "y", "z"]},
            r"train\.en: line 3: a zero byte; repair the line",
        ),
        (
            {"train_en": b"a\n\xff\xfe\xfa\n", "train_de": ["x", "y"]},
            r"train\.en: line 2: bytes that are not UTF-8; repair the line",
        ),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used(tmp_path: Path, files: dict[str, list[str]], message: str) -> None:
    source = found(write(tmp_path, **files, val_en=EN, val_de=DE))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        source.open("val")
    assert len(source.problems()) == 1


def test_a_table_whose_line_has_one_column(tmp_path: Path) -> None:
    source = found(write(tmp_path, train_tsv=["a\tx"] * 2000 + ["b"], val_tsv=["a\tx"]))
    with pytest.raises(DataError, match=r"train\.tsv: line 2001: 1 column; give two, with a tab between"):
        source.open("train")


def test_languages(tmp_path: Path) -> None:
    three = write(tmp_path / "three", train_en=EN, train_de=DE, train_fr=EN, val_en=EN, val_de=DE, val_fr=EN)
    with pytest.raises(
        ConfigError, match=r"holds de, en, fr; say which one is translated into which, such as --data\.source"
    ):
        found(three).open("train")
    assert pairs(ParallelText(str(three), "fr", "de"), "val") == list(zip(EN, DE, strict=True))
    with pytest.raises(ConfigError, match="three: unknown language 'es'; the nearest is 'en'"):
        ParallelText(str(three), "es", "de").open("train")
    with pytest.raises(ConfigError, match="source and target are both 'de'; give two languages"):
        ParallelText(str(three), "de", "de").open("train")
    write(tmp_path / "one", train_en=EN)
    with pytest.raises(DataError, match=r"holds train\.en without its translation; add train\.xx in another language"):
        recognise(tmp_path / "one", "translation")
    texts = write(tmp_path / "texts", english_txt=EN, german_txt=DE)
    with pytest.raises(DataError, match=r"rename english\.txt and german\.txt to train\.xx and train\.yy"):
        recognise(texts, "translation")
    with pytest.raises(ConfigError, match="this recipe is for parallel text: say where it is with --data PATH"):
        ParallelText(source="en", target="de").open("train")


def test_pairs_in_two_splits_are_said(tmp_path: Path) -> None:
    source = found(write(tmp_path, train_en=EN, train_de=DE, val_en=EN[:2], val_de=DE[:2]))
    assert "of 2 pairs of val, 2 are in train, too, and test nothing" in source.notes()


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ("{id}\t{en}\t{other}\t{de}", "train.tsv: of 4 columns, 2 and 4 are read as source and target"),
        ("{id}\t{en}\t{de}", "train.tsv: of 3 columns, 2 and 3 are read as source and target"),
        ("{id}\t{en}\t{de}\t", "train.tsv: of 3 columns, 2 and 3 are read as source and target"),
        ("tat_{id}\t{en}\t{de}", "train.tsv: of 3 columns, 2 and 3 are read as source and target"),
        ("{en}\t{de}\tCC-BY", "train.tsv: of 3 columns, 1 and 2 are read as source and target"),
    ],
)
def test_columns_of_numbers_are_passed_over_and_said(tmp_path: Path, row: str, note: str) -> None:
    rows = [row.format(id=1276 + i, other=5350 + i, en=EN[i], de=DE[i]) for i in range(4)]
    source = found(write(tmp_path, train_tsv=rows, val_tsv=[f"{EN[0]}\t{DE[0]}"]))
    assert pairs(source, "train") == list(zip(EN, DE, strict=True))
    assert source.notes()[0] == note


@pytest.mark.parametrize("head", ["id\ten\tde", "id\tEnglish\tGerman", "nr\tsource\ttarget", "id\tEN\tDE"])
def test_a_line_of_names_beside_numbers(tmp_path: Path, head: str) -> None:
    rows = [f"{i}\t{EN[i]}\t{DE[i]}" for i in range(4)]
    source = found(write(tmp_path, train_tsv=[head, *rows], val_tsv=[head, *rows]))
    assert pairs(source, "train") == list(zip(EN, DE, strict=True))
    assert source.open("train").name(0) == "train.tsv:2"


def test_names_of_languages_are_a_line_of_names(tmp_path: Path) -> None:
    rows = [f"{e}\t{d}" for e, d in zip(EN, DE, strict=True)]
    folder = write(tmp_path, train_tsv=["English\tGerman", *rows], val_tsv=rows)
    assert pairs(found(folder), "train") == list(zip(EN, DE, strict=True))
    assert "parallel text, English to German" in found(folder).describe()


@pytest.mark.parametrize("first", ["hi\thei", "English\tenglanti"])
def test_a_first_pair_that_is_no_line_of_names(tmp_path: Path, first: str) -> None:
    words = [first, "cow\tlehmä", "dog\tkoira"]
    source = found(write(tmp_path, train_tsv=words, val_tsv=words))
    assert pairs(source, "train") == [tuple(line.split("\t")) for line in words]


def test_codes_that_are_not_known_above_sentences(tmp_path: Path) -> None:
    rows = [f"een lütt {e}\t{d} op de Straat" for e, d in zip(EN, DE, strict=True)]
    source = found(write(tmp_path, train_tsv=["nds\tfrr", *rows], val_tsv=["nds\tfrr", *rows]))
    assert len(source.open("train")) == 4 and "nds to frr" in source.describe()


def test_quotes_around_cells(tmp_path: Path) -> None:
    rows = ['"say ""hello"""\tsag hallo', 'two cats\t"zwei ""Katzen"""']
    assert pairs(found(write(tmp_path / "a", train_tsv=rows, val_tsv=rows)), "train") == [
        ('say "hello"', "sag hallo"), ("two cats", 'zwei "Katzen"'),
    ]  # fmt: skip
    rows = ['"Hello."\t"Hallo."', "two cats\tzwei Katzen", '"One. Two.\t"Eins. Zwei.']  # the text's own
    assert pairs(found(write(tmp_path / "b", train_tsv=rows, val_tsv=rows)), "train") == [
        tuple(row.split("\t")) for row in rows
    ]


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (
            {"europarl__train_en": EN, "europarl__train_de": DE, "news__train_en": EN, "news__train_de": DE},
            "news.train.de: is of the split 'train', too, as europarl.train.de; join the two, or keep one of them here",
        ),
        (
            {"train1_tsv": ["a b\tc d"], "train2_tsv": ["e f\tg h"]},
            "train2.tsv: is of the split 'train', too, as train1.tsv; join the two, or keep one of them here",
        ),
    ],
)
def test_two_files_of_one_split_are_a_problem(tmp_path: Path, files: dict[str, list[str]], what: str) -> None:
    for name, lines in files.items():
        (tmp_path / name.replace("__", ".").replace("_", ".")).write_text("".join(f"{line}\n" for line in lines))
    assert [f"{p.file.name}: {p.what}" for p in found(tmp_path).problems()] == [what]


def test_pairs_are_files_of_one_name(tmp_path: Path) -> None:
    for name, lines in (("a.train.de", DE), ("a.train.en", EN), ("b.train.en", EN[::-1]), ("b.train.fr", DE[::-1])):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    source = ParallelText(str(tmp_path), "en", "fr")
    read = [pair for split in source.splits() for pair in pairs(source, split)]
    assert sorted(read) == sorted(zip(EN, DE, strict=True)) and source.scan.files["train"][0].name == "b.train.en"
    assert [p.file.name for p in ParallelText(str(tmp_path)).problems()] == ["b.train.en"]


def test_files_that_name_no_split_beside_those_that_do_are_said(tmp_path: Path) -> None:
    source = found(write(tmp_path, train_en=EN, train_de=DE, val_en=EN, val_de=DE, more_en=EN, more_de=DE))
    assert source.notes()[0] == (
        "2 files (more.de, more.en) without train, val or test in the name not read; rename, or join"
    )


def test_a_column_of_kinds_is_no_side(tmp_path: Path) -> None:
    rows = [
        f"{'news' if i % 2 else 'talk'}\t{en} {i}\t{de} {i}" for i in range(3) for en, de in zip(EN, DE, strict=True)
    ]
    source = found(write(tmp_path / "kinds", train_tsv=rows))
    assert {pair for split in source.splits() for pair in pairs(source, split)} == {
        (f"{en} {i}", f"{de} {i}") for i in range(3) for en, de in zip(EN, DE, strict=True)
    }
    assert "train.tsv: of 3 columns, 2 and 3 are read as source and target" in source.notes()


@pytest.mark.parametrize(("mark", "shown"), [("{i} ", "'1', '2'"), ("{i}. ", "'1.', '2.'"), ("s{i}\t", "'s1', 's2'")])
def test_numbers_in_front_of_sentences_are_noted(tmp_path: Path, mark: str, shown: str) -> None:
    numbered = [mark.format(i=i) + text for i, text in enumerate(EN, 1)]
    source = ParallelText(str(write(tmp_path / "numbered", train_en=numbered, train_de=DE, val_en=EN, val_de=DE)))
    notes = [note for note in source.notes() if "begin with numbers or ids" in note]
    assert len(notes) == 1 and notes[0].startswith(f"train.en: the sentences begin with numbers or ids ({shown}, ")


@pytest.mark.parametrize("texts", [["2 dogs", "2 cats", "3 balls"], ["1 dog", "2 cats", "a ball"]])
def test_numbers_of_things_are_not(tmp_path: Path, texts: list[str]) -> None:
    source = ParallelText(str(write(tmp_path / "things", train_en=texts, train_de=DE[:3], val_en=EN, val_de=DE)))
    assert not [note for note in source.notes() if "begin with numbers or ids" in note]


@pytest.mark.parametrize(("copies", "noted"), [(4, True), (3, True), (2, False)])
def test_a_side_that_is_a_copy_of_the_other_is_noted(tmp_path: Path, copies: int, noted: bool) -> None:
    sides = {"train_en": EN, "train_de": EN[:copies] + DE[copies:], "val_en": EN[:1], "val_de": DE[:1]}
    notes = ParallelText(str(write(tmp_path / "copy", **sides))).notes()
    expected = (
        f"train.de and train.en: {copies} of 4 pairs are the same on both sides, as if one were a copy of the other"
    )
    assert (expected in notes) == noted


def test_pairs_of_files_that_name_no_split(tmp_path: Path) -> None:
    folder = write(tmp_path / "two", europarl__en=EN, europarl__de=DE, news__en=EN, news__de=DE)
    with pytest.raises(
        DataError, match=r"holds europarl and news, which name no split; name one train.xx and train.yy"
    ):
        recognise(folder, "translation")


def test_ids_of_opus_are_no_language(tmp_path: Path) -> None:
    files = {"Tatoeba.de-en.en": EN, "Tatoeba.de-en.de": DE, "Tatoeba.de-en.ids": ["1\t2"] * 4}
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    assert found(tmp_path).scan.languages == ("de", "en")
