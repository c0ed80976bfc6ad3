"""The whole path of a model that answers questions: trained, scored, asked, exported, and its data inspected."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import foveate
from foveate.cli import main
from foveate.errors import DataError
from foveate.predictor import Predictor

SMALL = shlex.split(
    "--config.pretrained false --config.backbone plain --config.strides 16 --config.image_size 32,32 --config.hidden 8 "
    "--config.max_words 6 --freeze= --features false --epochs 2 --batch_size 8 --ema 0"
)


def write(root: Path, head: bool = True) -> Path:
    """Six pictures of one colour each, and two questions about each."""
    (root / "images").mkdir(parents=True)
    rows = ["image\tquestion\tanswer\tkind"] if head else []
    for i in range(6):
        red = i % 2 == 0
        Image.new("RGB", (40, 30), (200, 20, 20) if red else (20, 20, 200)).save(root / "images" / f"{i}.png")
        rows.append(f"{i}.png\tIs it red?\t{'yes' if red else 'no'}" + "\texists" * head)
        rows.append(f"{i}.png\tWhat colour is it?\t{'red' if red else 'blue'}" + "\tcolour" * head)
    (root / "qa.tsv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("questions") / "data")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, said = tmp_path_factory.mktemp("runs") / "own", io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["train", "ask_attend_answer", "--data", str(data), "--out", str(folder), *SMALL]) == 0
    assert f"foveate predict {folder} PICTURE --question VALUE --out DIR" in said.getvalue()
    assert said.getvalue().count("fewer than 3 times") == 1 and "or fewer" not in said.getvalue()
    return folder


def test_evaluate_says_how_many_are_right_by_kind_and_without_the_picture(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    said = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert 0 <= scores["accuracy"] <= 1 and scores["questions"] == scores["samples"] == 2
    assert set(scores["per_kind"]) == set(scores["question_alone_per_kind"]) == {"exists", "colour"}
    assert scores["accuracy"] == pytest.approx(np.mean(list(scores["per_kind"].values())))
    assert scores["question_alone"] is not None and scores["attention_mass"] is None
    assert "2 questions in" in said and "exists" in said and "report:" in said
    page = (run / "report.html").read_text()
    assert "By kind of question" in page and "The question alone is worth" in page and "<img" in page


def test_the_table_of_questions_has_what_is_right_and_what_was_answered(
    run: Path, tmp_path: Path, rows: Callable[..., list[dict[str, str]]]
) -> None:
    other = tmp_path / "asked"
    (other / "images").mkdir(parents=True)
    Image.new("RGB", (40, 30), (200, 20, 20)).save(other / "images" / "0.png")
    several = json.dumps(["yes", "yes", "no"])
    with (other / "qa.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(
            [("image", "question", "answer"), ("0.png", "Is it red?", several), ("0.png", "What colour is it?", "red")]
        )
    first, second = rows(str(run), "--data", str(other), "--split", "test")
    assert list(first) == ["name", "signed_probability", "question", "reference", "predicted", "accuracy"]
    assert (first["question"], first["reference"]) == ("Is it red?", several)
    assert (second["question"], second["reference"]) == ("What colour is it?", "red")  # one needs no brackets
    # Of three people's answers two sets lack a yes: 1 of 2 needed, and one has both: (2 * 1/2 + 1) / 3.
    worth = {"yes": 2 / 3, "no": 1 / 3}
    assert float(first["accuracy"]) == pytest.approx(worth.get(first["predicted"], 0))
    assert float(second["accuracy"]) == (second["predicted"] == "red")
    unsure, _ = rows(str(run), "--data", str(other), "--split", "test", "--least", "0.99")
    assert unsure["predicted"] == "don't know" and float(unsure["accuracy"]) == 0


def test_a_folder_without_splits_is_taken_whole_as_test(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    other = write(tmp_path / "test", head=False)
    assert main(["evaluate", str(run), "--data", str(other), "--split", "test", "--json", str(tmp_path / "s")]) == 0
    assert "12 test questions about 6 pictures (all of it as test), split test: 12 questions" in capsys.readouterr().out
    scores = json.loads((tmp_path / "s").read_text())
    assert scores["samples"] == 12 and scores["per_kind"] == {} and scores["question_alone"] is None
    assert not (other / "splits.json").exists()
    words = complaint("evaluate", str(run), "--data", str(data), "--split", "test")  # it was trained on these
    assert words.startswith(f"no split test in {data}, only train, val; add one")


def test_predict_writes_the_answer_its_words_and_the_maps(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = data / "images" / "0.png", tmp_path / "out"
    words = ["predict", str(run), str(picture), "--question", "Is it a red zebra, in the meadow?", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "(not read: a, zebra, in, the, meadow)" in said.splitlines()[0]
    (entry,) = json.loads((out / "predictions.json").read_text())["questions"]
    assert entry["question"] == "Is it a red zebra, in the meadow?" and entry["answer"] == entry["top"][0]["answer"]
    assert entry["words"] == ["is", "it", "a", "red", "zebra", "in"]  # six are read
    assert entry["unread"] == ["a", "zebra", "in", "the", "meadow"]
    maps = np.array(entry["attention"])
    assert maps.shape == (2, 2, 2) and maps.sum((1, 2)) == pytest.approx(1, abs=1e-3)
    winners = {word for row in entry["winning_words"] for word in row}
    assert winners <= {*entry["words"], None} and sum(entry["word_weights"]) == pytest.approx(1, abs=1e-4)
    drawn = Image.open(out / entry["drawing"])
    assert drawn.width > 4 * 260 and (out / "answers.html").read_text().count("<img") == 1


def test_a_table_of_questions_is_answered_row_by_row(run: Path, data: Path, tmp_path: Path) -> None:
    table = data / "images" / "asked.csv"
    table.write_text("image,question\n0.png,is it red\n0.png,what colour is it\n1.png,is it red\n")
    assert main(["predict", str(run), str(table), "--out", str(tmp_path / "out")]) == 0
    entries = json.loads((tmp_path / "out" / "predictions.json").read_text())["questions"]
    assert [(Path(e["file"]).name, e["question"]) for e in entries] == [
        ("0.png", "is it red"), ("0.png", "what colour is it"), ("1.png", "is it red"),
    ]  # fmt: skip
    assert len({e["drawing"] for e in entries}) == 3
    table.unlink()
    # The table of a data set, whose pictures are in its folder images.
    assert main(["predict", str(run), str(data / "qa.tsv"), "--out", str(tmp_path / "all")]) == 0
    entries = json.loads((tmp_path / "all" / "predictions.json").read_text())["questions"]
    assert len(entries) == 12 and {Path(e["file"]).parent for e in entries} == {data / "images"}


def test_below_a_probability_it_does_not_know(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(data / "images" / "0.png")
    words = ["predict", str(run), picture, "--question", "is it red", "--least", "0.99", "--out", str(tmp_path / "o")]
    assert main(words) == 0
    assert "is it red don't know (0." in capsys.readouterr().out
    (entry,) = json.loads((tmp_path / "o" / "predictions.json").read_text())["questions"]
    assert entry["answer"] == "don't know" and entry["sure"] is False and entry["top"][0]["answer"] != "don't know"
    assert main(["evaluate", str(run), "--least", "0.99", "--json", str(tmp_path / "s")]) == 0
    scores = json.loads((tmp_path / "s").read_text())
    assert (scores["accuracy"], scores["answered"], scores["accuracy_of_answered"]) == (0.0, 0.0, None)


def test_bad_input_is_refused_in_words(
    run: Path, data: Path, tmp_path: Path, complaint: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(data / "images" / "0.png")
    assert complaint("predict", str(run), picture) == (
        "models for questions about pictures need a question with each picture; give --question VALUE, or a table "
        "(.csv, .tsv or .jsonl) with the columns image and question"
    )
    assert main(["predict", str(run), picture, "--question", " ?", "--out", str(tmp_path / "o")]) == 1
    assert "'?' is a question without a word; ask something" in capsys.readouterr().err
    table = tmp_path / "asked.csv"
    table.write_text("image,question\n,is it red\n")
    assert "line 2: no image; expected texts in the columns image and question" in complaint(
        "predict", str(run), str(table)
    )
    with pytest.raises(DataError, match="takes image and question; give a dict with these keys"):
        foveate.load(run).predict(picture)
    assert complaint("evaluate", str(run), "--least", "2") == "least is 2.0; give a probability of 0..1"


def test_the_exported_file_answers_alike(run: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "answers.onnx"
    assert main(["export", str(run), "--out", str(file)]) == 0
    ours, theirs = Predictor.open(run, "cpu"), Predictor.open(file, "cpu")
    for question in ("red", "is it red", "what colour is it then and there and why"):  # lengths it has not seen
        given = {"image": data / "images" / "3.png", "question": question}
        one, other = ours.predict(given), theirs.predict(given)
        np.testing.assert_allclose(other.probabilities, one.probabilities, atol=1e-5)
        np.testing.assert_allclose(other.attention, one.attention, atol=1e-5)
        assert (other.winner == one.winner).all() and other.words == one.words and other.unread == one.unread


def test_inspect_lists_what_is_seldom(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "inspect", str(data)]) == 0
    said = capsys.readouterr().out
    assert "questions: train 10, val 2" in said and "pictures: train 5, val 1" in said
    assert "words a question: 3..4" in said and "kinds: exists 6, colour 6" in said
    assert "answers: 4 different, 0 of them to fewer than 3 questions" in said
    assert "of train are given fewer than 3 times, and will hardly be learned: " in said
