"""Tables of questions and the files of the VQA challenge: what is read, how it is divided, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.questions.table import QuestionTable
from foveate.datasets.questions.vqa import VQA
from foveate.errors import ConfigError, DataError
from foveate.tasks.questions.tables import QuestionTables

ROWS = [(f"{i}.png", f"is it {i}", "yes" if i % 2 else "no") for i in range(10)]


def pictures(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(root / name)


def table(root: Path, text: str, name: str = "qa.tsv", folder: str = "images") -> Path:
    pictures(root / folder, [f"{i}.png" for i in range(10)])
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root


def told(data: Path) -> str:
    with pytest.raises(DataError) as caught:
        QuestionTable(str(data)).open("train")
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "separator", "head"),
    [
        ("qa.tsv", "\t", ""), ("qa.tsv", "\t", "image\tquestion\tanswer\n"),
        ("mine.csv", ",", "image,question,answer\n"), ("mine.csv", ";", "image;question;answer\n"),
        ("mine.csv", ",", ""),
    ],
)  # fmt: skip
def test_a_table_with_or_without_a_head(tmp_path: Path, name: str, separator: str, head: str) -> None:
    rows = "".join(separator.join(row) + "\n" for row in ROWS)
    source = recognise(table(tmp_path, head + rows, name))
    assert source == QuestionTable(str(tmp_path))
    whole = source.undivided().open("test")  # type: ignore[union-attr]
    found = sorted((whole.name(i), whole.question(i), *whole.answers(i)) for i in range(len(whole)))
    assert found == sorted(ROWS)
    assert source.splits() == ("train", "val")


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    text = "split,Answer,note,question,file_name,type\n"
    text += 'train,"a bowl, a spoon",x,What is it?,1.png,what\nval,2,x,How many?,2.png,count\n'
    source = QuestionTable(str(table(tmp_path, text, "mine.csv")))
    assert source.describe() == (
        "question table (mine.csv; column note not read): 1 train, 1 val questions about 2 pictures"
    )
    train = source.open("train")
    assert (train.question(0), train.answers(0), train.question_kind(0)) == (
        "What is it?", ("a bowl, a spoon",), "what",
    )  # fmt: skip
    sample = train[0]
    assert sample["image"].shape == (3, 6, 8) and sample["name"] == "1.png"
    assert source.undivided() is None
    with pytest.raises(ConfigError, match="unknown split 'test'"):
        source.open("test")


def test_no_picture_is_in_two_drawn_splits_and_the_draw_is_kept(tmp_path: Path) -> None:
    text = "".join(f"{i}.png\tquestion {k}\tyes\n" for k in range(3) for i in range(10))
    source = QuestionTable(str(table(tmp_path, text)))
    parts = {split: source.open(split) for split in source.splits()}
    names = {split: {part.name(i) for i in range(len(part))} for split, part in parts.items()}
    assert not names["train"] & names["val"] and len(names["train"] | names["val"]) == 10
    assert (len(parts["train"]), len(parts["val"])) == (24, 6)
    again = QuestionTable(str(tmp_path))
    assert "split as splits.json says" in again.describe() and again.undivided() is not None
    assert {again.open("val").name(i) for i in range(6)} == names["val"]
    assert list(parts["val"].training()) == [(parts["train"].question(i), parts["train"].answers(i)) for i in range(24)]


def test_tables_in_folders_called_after_splits(tmp_path: Path) -> None:
    for split, i in (("train", 1), ("val", 2), ("test", 3)):
        table(tmp_path / split, f"image\tquestion\tanswer\n{i}.png\twhat is {split}\tit\n")
    source = QuestionTable(str(tmp_path))
    assert source.splits() == ("train", "val", "test")
    for split in source.splits():
        part = source.open(split)
        assert part.question(0) == f"what is {split}"
        assert part.pairs[0].picture.parent == tmp_path / split / "images"  # its own, though others are called so


@pytest.mark.parametrize("name", ["dev", "Valid", "validation", "val", "eval"])
def test_every_name_of_val(tmp_path: Path, name: str) -> None:
    text = "image,question,answer,split\n" + "".join(f"{i}.png,is it,yes,{('train', name)[i % 2]}\n" for i in range(4))
    source = QuestionTable(str(table(tmp_path, text, "a.csv")))
    assert {split: [source.open(split).name(i) for i in range(2)] for split in source.splits()} == {
        "train": ["0.png", "2.png"], "val": ["1.png", "3.png"],
    }  # fmt: skip


def test_splits_of_other_names_are_said(tmp_path: Path) -> None:
    text = "image,question,answer,split\n0.png,is it,yes,train\n1.png,is it,yes,val\n2.png,is it,yes,extra\n"
    source = QuestionTable(str(table(tmp_path, text, "a.csv")))
    assert source.notes()[0] == (
        "1 question of split 'extra', which is none of train, val and test and read only where it is named"
    )
    assert "a.csv: 1 question of split 'vall'; the nearest is 'val': write that if it is meant" in told(
        table(tmp_path, text.replace("extra", "vall"), "a.csv")
    )


def test_seldom_and_unknown_answers_are_listed(tmp_path: Path) -> None:
    text = "image,question,answer,split\n" + "".join(f"{i}.png,is it,Yes,train\n" for i in range(4))
    text += "5.png,is it,no,train\n6.png,is it,perhaps,val\n7.png,is it,YES,val\n"
    notes = QuestionTable(str(table(tmp_path, text, "a.csv"))).notes()
    assert notes[:2] == [
        "1 of 2 answers of train are given fewer than 3 times, and will hardly be learned: 1 answer (no)",
        "1 of 2 questions of val have answers that train does not have, which cannot be given: 1 answer (perhaps)",
    ]


def test_a_question_with_two_answers_is_listed(tmp_path: Path) -> None:
    text = "0.png\tIs it?\tyes\n0.png\tis it\tno\n1.png\tis it\tyes\n2.png\twhy\tso\n2.png\twhy\tSo\n"
    notes = QuestionTable(str(table(tmp_path, text))).notes()
    assert notes[0] == (
        "asked several times about one picture, with different answers, of which one can be right: 1 question (is it)"
    )


@pytest.mark.parametrize(
    ("name", "separator", "cell"),
    [
        ("a.csv", ",", "\"['yes', 'yes', 'no']\""), ("a.csv", ",", '"[""yes"", ""yes"", ""no""]"'),
        ("a.tsv", "\t", '["yes", "yes", "no"]'), ("a.tsv", "\t", "('yes', 'yes', 'no')"),
    ],
)  # fmt: skip
def test_a_list_in_a_cell_is_several_answers(tmp_path: Path, name: str, separator: str, cell: str) -> None:
    rows = "".join(separator.join((f"{i}.png", "is it", cell)) + "\n" for i in range(4))
    source = QuestionTable(str(table(tmp_path, separator.join(("image", "question", "answers")) + "\n" + rows, name)))
    for split in source.splits():
        assert source.open(split).answers(0) == ("yes", "yes", "no")


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    text = "image\tquestion\tanswer\n0.png\tis it\t['yes' 'no']\n1.png\tis it\tyes\n2.png\tis it\tno\n"
    (problem,) = QuestionTable(str(table(tmp_path, text))).problems()
    assert problem.what == (
        "line 2: the answer \"['yes' 'no']\" is a list without commas between its texts, as NumPy prints it; write one "
        "answer, or a list of texts"
    )


def test_marks_that_may_separate_answers_are_said(tmp_path: Path) -> None:
    text = "image\tquestion\tanswer\n" + "".join(f"{i}.png\tis it\tyes|no|yes\n" for i in range(4))
    source = QuestionTable(str(table(tmp_path, text + "5.png\tis it\tno\n")))
    assert source.scan.notes[-1] == (
        "'|' is in 4 of 5 answers, such as 'yes|no|yes', and part of it; write a list, as [\"yes\", \"no\"], if it "
        "separates several"
    )
    assert {answer for pairs in source.scan.pairs.values() for pair in pairs for answer in pair.label.answers} == {
        "yes|no|yes", "no",
    }  # fmt: skip


def test_answers_in_two_spellings_are_said(tmp_path: Path) -> None:
    answers = ["yes", "Yes", "YES.", "yes", "t-shirt", "t shirt", "5", "-5", "35", "3.5"]
    text = "".join(f"{i}.png\tis it {i}\t{answer}\n" for i, answer in enumerate(answers))
    assert QuestionTable(str(table(tmp_path, text))).notes()[0] == (
        "answers that may be one, written in two ways: 'yes' (3 times) and 'yes.' (1 time), 't shirt' (1 time) and "
        "'t-shirt' (1 time); each is an answer of its own: correct the files, if they are one"
    )


def test_bad_rows_are_named_with_their_line(tmp_path: Path) -> None:
    text = "image\tquestion\tanswer\n0.png\tis it\tyes\n1.png\t?\tyes\n2.png\tis it\t\n\tis it\tyes\n"
    text += "3.png\tis it\n99.png\tis it\tno\n"
    problems = [p.what for p in QuestionTable(str(table(tmp_path, text))).problems()]
    assert sorted(problems) == [
        "line 3: an empty question about 'images/1.png'; write one, or remove the row",
        "line 4: no answer to 'is it' about 'images/2.png'; write one, or remove the row",
        "line 5: 'is it' has no picture; write its file name",
        "line 6: '3.png\tis it' has 2 cells; expected 3",
        "line 7: a question about '99.png', but there is no picture of that name; add it, or remove it",
    ]


def test_a_comma_without_quotes_is_no_column(tmp_path: Path) -> None:
    text = "image,question,answer\n0.png,what is it,a cup, a bowl\n1.png,what is it,a cup\n"
    assert "line 2: '0.png,what is it,a cup, a bowl' has 4 cells; expected 3; put quotes around cells" in told(
        table(tmp_path, text, "a.csv")
    )


def test_pictures_that_are_all_missing(tmp_path: Path) -> None:
    (tmp_path / "qa.tsv").write_text("a.png\tis it\tyes\nb.png\tis it\tno\n")
    assert told(tmp_path) == (
        f"{tmp_path}: none of the 2 pictures (a.png, ...) that qa.tsv asks about is in this folder or below it; put "
        "them there"
    )


def test_a_table_without_answers_is_nearly_one(tmp_path: Path) -> None:
    table(tmp_path, "image,question\n0.png,is it\n", "a.csv")
    with pytest.raises(
        DataError, match=r"has a table of questions without answers: a\.csv has the columns image, quest"
    ):
        recognise(tmp_path, "questions")


def test_one_picture_alone_can_be_tested_on(tmp_path: Path) -> None:
    source = QuestionTable(str(table(tmp_path, "0.png\tis it\tyes\n")))
    assert len(source.undivided().open("test")) == 1  # type: ignore[union-attr]


# VQA


def vqa(root: Path, version: str, split: str, first: int, pad: int = 12) -> None:
    questions, annotations = [], []
    for i in range(first, first + 2):
        pictures(root / f"{split}2014", [f"COCO_{split}2014_{i:0{pad}d}.jpg"])
        questions.append({"question_id": 10 * i, "image_id": i, "question": f"How many are {i}?"})
        answers = [{"answer": "2" if k else "two", "answer_id": k + 1} for k in range(10)]
        annotations.append({"question_id": 10 * i, "image_id": i, "answer_type": "number", "answers": answers})
    head = "v2_" if version == "v2" else ""
    (root / f"{head}OpenEnded_mscoco_{split}2014_questions.json").write_text(json.dumps({"questions": questions}))
    (root / f"{head}mscoco_{split}2014_annotations.json").write_text(json.dumps({"annotations": annotations}))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_vqa_files_are_a_split_each(tmp_path: Path, version: str) -> None:
    vqa(tmp_path, version, "train", 1)
    vqa(tmp_path, version, "val", 1)  # the same numbers, of other pictures
    source = recognise(tmp_path)
    assert source == VQA(str(tmp_path)) and source.splits() == ("train", "val")
    for split in source.splits():
        part = source.open(split)
        assert [part.question(i) for i in range(2)] == ["How many are 1?", "How many are 2?"]
        assert part.answers(0) == ("two", *("2",) * 9) and part.question_kind(0) == "number"
        assert part.name(0) == f"COCO_{split}2014_000000000001.jpg"


def test_vqa_questions_without_annotations_are_nearly_the_format(tmp_path: Path) -> None:
    vqa(tmp_path, "v2", "test", 1)
    (tmp_path / "v2_mscoco_test2014_annotations.json").unlink()
    with pytest.raises(DataError, match=r"has v2_OpenEnded_mscoco_test2014_questions\.json without its annotations"):
        recognise(tmp_path, "questions")


def test_vqa_entries_that_do_not_fit(tmp_path: Path) -> None:
    vqa(tmp_path, "v2", "train", 1)
    file = tmp_path / "v2_mscoco_train2014_annotations.json"
    data = json.loads(file.read_text())["annotations"]
    data[0]["question_id"] = 99
    data.append({"question_id": 3})
    file.write_text(json.dumps({"annotations": data}))
    text = "; ".join(p.what for p in VQA(str(tmp_path)).problems())
    assert (
        "question 99 is annotated, but not in v2_OpenEnded_mscoco_train2014_questions.json; restore the files" in text
    )
    assert "question 10, 'How many are 1?', has no annotation in v2_mscoco_train2014_annotations.json" in text
    assert "{'question_id': 3} among the annotations; expected an object with question_id, image_id and answers" in text
    file.write_text("[]")
    with pytest.raises(DataError, match="no list 'annotations'; expected a file of the VQA challenge"):
        VQA(str(tmp_path)).open("train")


def moved(root: Path, split: str, folder: str, prefix: str = "") -> None:
    """Rename COCO's pictures of a split to plain numbers in another folder."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for path in sorted((root / f"{split}2014").iterdir()):
        path.rename(root / folder / f"{prefix}{int(path.stem[-12:])}.jpg")


def test_vqa_pictures_with_the_same_numbers_are_those_of_the_split(tmp_path: Path) -> None:
    for split in ("train", "val"):
        vqa(tmp_path, "v2", split, 1)
        moved(tmp_path, split, f"images/{split}")
    source = VQA(str(tmp_path))
    for split in ("train", "val"):
        found = [pair.picture.relative_to(tmp_path).as_posix() for pair in source.open(split).pairs]
        assert found == [f"images/{split}/1.jpg", f"images/{split}/2.jpg"]
    (tmp_path / "images/val/2.jpg").unlink()  # the picture 2 of train is another
    assert [p.what for p in VQA(str(tmp_path)).problems()] == [
        "question 20: a question about 'image 2', but there is no picture of that name; add it, or remove it"
    ]


def test_vqa_pictures_with_a_prefix_are_others(tmp_path: Path) -> None:
    vqa(tmp_path, "v2", "train", 1)
    moved(tmp_path, "train", "images")
    pictures(tmp_path / "blurred", ["b_1.jpg", "b_2.jpg", "b2.jpg"])
    whole = VQA(str(tmp_path)).undivided().open("test")  # type: ignore[union-attr]
    assert sorted(pair.picture.relative_to(tmp_path).as_posix() for pair in whole.pairs) == [
        "images/1.jpg", "images/2.jpg",
    ]  # fmt: skip


def test_vqa_pictures_that_all_have_a_prefix(tmp_path: Path) -> None:
    vqa(tmp_path, "v2", "train", 1)
    moved(tmp_path, "train", "images", "room")
    assert sorted(pair.picture.name for pairs in VQA(str(tmp_path)).scan.pairs.values() for pair in pairs) == [
        "room1.jpg", "room2.jpg",
    ]  # fmt: skip


def test_vqa_numbers_of_several_pictures_are_refused(tmp_path: Path) -> None:
    vqa(tmp_path, "v2", "train", 1)
    moved(tmp_path, "train", "images")
    pictures(tmp_path / "small", ["1.jpg", "02.jpg"])
    with pytest.raises(DataError, match=r"2 image numbers \(1, 2\) with several pictures each, images/1\.jpg and"):
        VQA(str(tmp_path)).open("train")


@pytest.mark.parametrize(("answers", "unused"), [(200, 255), (255, 255), (300, 65535)])
def test_any_number_of_answers_has_a_value_for_none(answers: int, unused: int) -> None:
    table = QuestionTables().learn_answers([(f"answer {i}",) for i in range(answers)])
    assert (len(table), table.ignore_index) == (answers, unused)


def test_questions_in_the_column_of_answers_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png\tyes\tis there a dog {i}?\n" for i in range(10))
    assert (
        "no line of names, and questions in the third column ('is there a dog 0?'); expected image, question, answer: "
        "write the names of the columns above them"
    ) in told(table(tmp_path, rows))


def test_annotations_of_another_image_are_refused_and_questions_alone_noted(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{i}.png" for i in range(4)])
    asked = [{"question_id": i, "image_id": i, "question": f"what {i}"} for i in range(4)]
    given = [{"question_id": i, "image_id": i, "answers": [{"answer": "dog"}]} for i in range(4)]
    (tmp_path / "OpenEnded_x_train_questions.json").write_text(json.dumps({"questions": asked}))
    (tmp_path / "OpenEnded_x_val_questions.json").write_text(json.dumps({"questions": asked}))
    (tmp_path / "x_train_annotations.json").write_text(json.dumps({"annotations": given}))
    source = VQA(str(tmp_path))
    assert not source.problems()
    assert source.notes()[0] == (
        "1 file (OpenEnded_x_val_questions.json) without annotations not read; put the file "
        "*x_val_annotations.json beside it"
    )
    given[2]["image_id"] = 3
    (tmp_path / "x_train_annotations.json").write_text(json.dumps({"annotations": given}))
    with pytest.raises(
        DataError, match=r"question 2 is annotated for image 3, and in .*json asked about image 2; give"
    ):
        VQA(str(tmp_path)).open("train")
