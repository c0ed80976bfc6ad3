"""The whole path of a translation model from the shell: trained, scored, asked by file and by line, exported."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import foveate
from foveate.cli import main
from foveate.store import load_model

SMALL = shlex.split(
    "--config.embed 8 --config.hidden 6 --config.attend 5 --config.maxout 8 --config.dropout 0 --epochs 2 --ema 0 "
    "--batch_size 4 --validate_every 1 --text.source.size 300 --text.target.size 300 --optim.lr 0.02"
)
EN = ["a dog runs", "two dogs run", "a cat sleeps", "two cats sleep", "a dog sleeps", "two cats run", "a cat runs"]
DE = ["ein Hund rennt", "zwei Hunde rennen", "eine Katze schläft", "zwei Katzen schlafen", "ein Hund schläft",
      "zwei Katzen rennen", "eine Katze rennt"]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("text")
    for split, part in (("train", slice(0, 7)), ("val", slice(0, 4)), ("test", slice(4, 7))):
        for language, lines in (("en", EN), ("de", DE)):
            (root / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines[part]), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert main(["train", "rnnsearch_multi30k", "--data", str(data), "--out", str(folder), *SMALL]) == 0
    return folder


def texts(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{line}\r\n" for line in lines), encoding="utf-8")
    return path


def test_the_run_holds_two_tables_and_the_direction(run: Path) -> None:
    loaded = load_model(run / "model")
    assert set(loaded.tables) == {"source", "target"}
    assert loaded.tables["source"] == loaded.tables["target"]  # a joint table
    assert loaded.tables["source"].lower
    assert (loaded.preprocessing.source, loaded.preprocessing.target) == ("en", "de")
    assert loaded.preprocessing.longest == len("two cats sleep")
    assert loaded.config["source_vocabulary"] == loaded.config["target_vocabulary"] == len(loaded.tables["source"])
    assert loaded.options.beams == 5
    rows = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert {"bleu", "chrf", "val_loss"} <= set(rows[0].split(","))


def test_evaluation_of_its_own_and_of_other_data(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    assert main(["evaluate", str(run), "--split", "test", "--json", str(tmp_path / "own.json")]) == 0
    own = json.loads((tmp_path / "own.json").read_text(encoding="utf-8"))
    assert own["samples"] == 3
    assert 0 <= own["bleu"] <= 100 and 0 < own["chrf"] <= 100 and 0 < own["ter"] < 30
    assert "case:lc" in own["signatures"]["bleu"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Translation report" in page and "en to de" in page and "case:lc" in page and "Reference" in page
    # A folder with a test split alone, and one whose files name no split, are scored in the same direction.
    other, whole = tmp_path / "other", tmp_path / "whole"
    for folder, stem in ((other, "test"), (whole, "book")):
        folder.mkdir()
        for language in ("en", "de"):
            (folder / f"{stem}.{language}").write_bytes((data / f"test.{language}").read_bytes())
        target = str(tmp_path / "again.json")
        assert main(["evaluate", str(run), "--data", str(folder), "--split", "test", "--json", target]) == 0
        again = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
        assert {k: again[k] for k in ("bleu", "chrf", "ter")} == {k: own[k] for k in ("bleu", "chrf", "ter")}
    (other / "test.fr").write_bytes((data / "test.de").read_bytes())
    (other / "test.de").unlink()
    assert "unknown language 'de'" in complaint("evaluate", str(run), "--data", str(other), "--split", "test")
    capsys.readouterr()


def test_the_table_of_sentences_has_reference_and_translation(
    run: Path, rows: Callable[..., list[dict[str, str]]]
) -> None:
    from foveate import load

    found = rows(str(run), "--split", "test")
    assert list(found[0]) == ["name", "chrf", "sentence", "reference", "predicted"]
    assert [(row["sentence"], row["reference"]) for row in found] == list(zip(EN[4:], DE[4:], strict=True))
    assert [row["predicted"] for row in found] == [load(run).predict(text).text for text in EN[4:]]
    # What the report keeps holds the same.
    assert main(["evaluate", str(run), "--split", "test"]) == 0
    kept = json.loads((run / "samples.json").read_text(encoding="utf-8"))
    assert [{k: str(v) for k, v in row.items()} for row in kept] == found


def test_a_model_folder_refuses_the_other_direction(run: Path, data: Path, complaint: Callable[..., str]) -> None:
    """Without the run's recipe the languages are taken in alphabetical order: de to en."""
    said = complaint("evaluate", str(run / "model"), "--data", str(data))
    assert "translates from en to de, but the data is from de to en; give text in these languages" in said


def test_a_translation_draws_its_alignment_and_saves_its_values(run: Path, tmp_path: Path) -> None:
    predictor = foveate.load(run)
    plain = predictor.predict("a dog runs / and/or sleeps")
    asked = predictor.predict("a dog runs / and/or sleeps", alignments=True)
    drawn = np.asarray(plain.overlay())
    assert np.array_equal(drawn, np.asarray(asked.overlay()))
    written = plain.save(tmp_path / "plain")
    assert written == {"values": tmp_path / "plain" / "prediction.json"}  # a sentence is no name of a file
    assert json.loads(written["values"].read_text(encoding="utf-8")) == plain.to_dict()
    asked.save(tmp_path / "asked")
    assert [one.name for one in (tmp_path / "asked").iterdir()] == ["prediction_alignment.png"]
    assert "data:image/jpeg" in plain._repr_html_()


def test_lines_of_a_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a dog runs", "", "Two CATS sleep", "собака бежит", "a dog runs and runs and runs"]
    out = tmp_path / "out"
    words = ["predict", str(run), str(texts(tmp_path, *lines)), "--out", str(out), "--n-best", "2", "--alignments"]
    assert main(words) == 0
    captured = capsys.readouterr()
    records = json.loads((out / "predictions.json").read_text(encoding="utf-8"))["sentences"]
    assert [record["sentence"] for record in records] == lines
    assert records[1]["translation"] == "" and "an empty sentence" in records[1]["note"]
    assert "give a sentence in the source language, en" in records[3]["note"]
    assert "28 characters, longer than any sentence of the training (14)" in records[4]["note"]
    assert "note" not in records[0] and "note" not in records[2]
    assert "an empty sentence" in captured.err
    for record in records[:1] + records[2:]:
        assert len(record["alternatives"]) == 1 and record["alternatives"][0]["score"] <= record["score"]
        assert record["source_words"] == [*record["sentence"].split(), "<end>"]
        for word in record["words"]:
            assert len(word["attention"]) == len(record["source_words"])
            assert sum(word["attention"]) == pytest.approx(1, abs=0.01)
        assert " ".join(word["word"] for word in record["words"]) == record["translation"]
        drawn = np.asarray(Image.open(out / record["alignment"]))
        assert drawn.shape[1] > 26 * len(record["source_words"])
    assert "alignment" not in records[1]
    page = (out / "translations.html").read_text(encoding="utf-8")
    assert page.count('class="aligned"') == 5 and page.count('role="img"') == 4
    predictor = foveate.load(run)
    assert [p.text for p in predictor.predict_many(lines)] == [record["translation"] for record in records]
    assert predictor.predict("a dog runs").text == records[0]["translation"]


def test_standard_input_line_by_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def feed(content: bytes, *more: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="latin-1"))
        code = main(["predict", str(run), "-", *more])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    predictor = foveate.load(run)
    expected = [predictor.predict(text).text for text in ("a dog runs", "two cats sleep")]
    monkeypatch.chdir(tmp_path)
    code, out, err = feed(b"a dog runs\r\n\ntwo cats sleep")
    assert (code, out.splitlines()) == (0, [expected[0], "", expected[1]])
    assert "note: line 2: an empty sentence" in err
    assert not list(tmp_path.iterdir())  # nothing but the lines is written
    code, out, err = feed(b"a dog runs\nnow a zero\0byte\ntwo cats sleep\n")
    assert (code, out.splitlines()) == (1, [expected[0], "", expected[1]])
    assert "standard input, line 2: holds a zero byte; give text" in err
    code, out, err = feed(b"a dog runs\n\xff\xff\n")
    assert code != 0 and out.splitlines() == [expected[0]] and "standard input, line 2: not UTF-8" in err
    code, out, _ = feed(b"a dog runs\ntwo cats sleep\n", "--out", "kept")
    assert code == 0 and (tmp_path / "kept" / "translations.html").is_file()


def test_what_cannot_be_translated(run: Path, tmp_path: Path, complaint: Callable[..., str]) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "zero.txt").write_bytes(b"a\0b\n")
    assert "an empty file; give sentences, one on each line" in complaint(
        "predict", str(run), str(tmp_path / "empty.txt")
    )
    assert "zero.txt: line 1: a zero byte; repair the line" in complaint(
        "predict", str(run), str(tmp_path / "zero.txt")
    )
    assert "is a folder; give a text file with sentences" in complaint("predict", str(run), str(tmp_path))
    assert "gone.txt does not exist; give a text file" in complaint("predict", str(run), str(tmp_path / "gone.txt"))
    assert "n_best is 9, but only 5 beams are kept" in complaint("predict", str(run), "a dog", "--n-best", "9")


def test_one_that_fails_among_others_that_are_answered_together(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["a dog runs", "zero\0byte", "two cats sleep", "again\0zero"]
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps({"sentence": text}) + "\n" for text in rows), encoding="utf-8")
    assert main(["predict", str(run), str(table), "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert "holds a zero byte" in err and "2 of 4 sentences failed" in err
    summary = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert [record["sentence"] for record in summary["sentences"]] == [rows[0], rows[2]]
    assert [record["sentence"] for record in summary["failed"]] == [rows[1], rows[3]]
    assert (tmp_path / "out" / "translations.html").read_text(encoding="utf-8").count("<figure") == 2


def test_export_answers_as_the_run_does(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    assert main(["export", str(run), "--out", str(tmp_path / "translate.onnx")]) == 0
    assert (tmp_path / "translate.step.onnx").is_file()
    lines = ["a dog runs", "two", "", "a cat sleeps and a dog runs and two cats run and a dog sleeps"]  # unseen lengths
    ours, theirs = (foveate.load(p) for p in (run, tmp_path / "translate.onnx"))
    for mine, other in zip(ours.predict_many(lines, n_best=3), theirs.predict_many(lines, n_best=3), strict=True):
        assert [t.text for t in mine.translations] == [t.text for t in other.translations]
        for one, two in zip(mine.translations, other.translations, strict=True):
            assert one.score == pytest.approx(two.score, abs=1e-4)
            np.testing.assert_allclose(one.attention, two.attention, atol=1e-4)  # type: ignore[arg-type]
    capsys.readouterr()


def test_inspection(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "inspect", str(data)]) == 0
    out = capsys.readouterr().out
    assert "parallel text, de to en: 7 train, 4 val, 3 test pairs" in out
    assert "source: 3 (median 3) words a sentence" in out or "3..3" in out or "words a sentence" in out
    assert "pairs that occur before: 7" in out  # those of val and test


def test_another_run_starts_from_this_one_in_the_other_direction(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    """Weights are taken over, the languages are not."""
    more = ["--data.source", "de", "--data.target", "en", "--init", str(run), "--epochs", "1"]
    words = ["train", "rnnsearch_multi30k", "--data", str(data), *SMALL]
    assert main([*words, *more, "--out", str(tmp_path / "turned")]) == 0
    preprocessing = load_model(tmp_path / "turned" / "model").preprocessing
    assert (preprocessing.source, preprocessing.target) == ("de", "en")
    assert preprocessing.longest == len("zwei Katzen schlafen")
    assert f"from {run}: " in capsys.readouterr().out
    said = complaint(*words, "--preview", str(tmp_path / "sheet.png"))
    assert "nothing can be drawn of these training samples for translation; foveate datasets inspect says" in said


def test_training_needs_sacrebleu_from_the_start(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]
) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    said = complaint("train", "rnnsearch", "--data", str(data), "--out", str(tmp_path / "run"))
    assert "needs sacrebleu, which is not installed: pip install 'foveate[text]'" in said
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_paper_sizes_make_a_recipe() -> None:
    from foveate.recipes import resolve

    recipe: Any = resolve("rnnsearch_paper")
    assert (recipe.config.hidden, recipe.config.embed, recipe.config.maxout, recipe.batch_size) == (1000, 620, 500, 80)
    assert (recipe.optim.name, recipe.options.beams, recipe.options.max_length) == ("adadelta", 10, 51)
