"""Handwriting from the command line: generated letters -> a run -> scores, a report, written texts, an ONNX file."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
import torch

import foveate
from foveate import cli
from foveate.datasets.handwriting.stroke_letters import StrokeLetters
from foveate.errors import ConfigError
from foveate.tasks.handwriting.task import HandwritingOptions, HandwritingTask
from foveate.text.characters import Characters

SMALL = shlex.split(
    "--config.units 12 --config.layers 2 --config.components 2 --config.gaussians 2 --epochs 1 --batch_size 8"
)
LETTERS = shlex.split("--data.train 24 --data.val 6 --data.test 0 --data.words 2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "letters"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert cli.main(["train", "handwriting_letters", "--out", str(out), *SMALL, *LETTERS]) == 0
    torch.set_num_threads(threads)
    return out


def test_a_run_holds_the_characters_and_what_the_strokes_decided(run):
    about = json.loads((run / "model/config.json").read_text())
    data = StrokeLetters(train=24, val=6, test=0, words=2).open("train")
    assert set(about["tables"]["characters"]["names"][4:]) == set("".join(data.texts))
    assert about["preprocessing"]["longest"] == max(map(len, data.texts))
    assert about["config"]["sequences"] == 24
    assert (run / "metrics.csv").read_text().startswith("epoch,train_loss,train_nats_per_point")


def test_it_is_evaluated_and_reported(run, tmp_path):
    assert cli.main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["pieces"] == 6 and 0 <= scores["stop_percent"] <= 100
    page = (run / "report.html").read_text()
    for heading in ("Written texts", "The window&#x27;s slide over the text", "Likely and unlikely pieces"):
        assert heading in page or heading.replace("&#x27;", "'") in page or heading.replace("&#x27;", "’") in page


def test_it_writes_a_text(run, tmp_path, capsys):
    names = json.loads((run / "model/config.json").read_text())["tables"]["characters"]["names"]
    word = "".join(name for name in names[4:] if name.isalpha())[:3]
    out = tmp_path / "written"
    words = ["generate", str(run), "--text", f"{word} {word}", "--bias", "1", "--count", "2", "--seed", "3"]
    assert cli.main([*words, "--out", str(out)]) == 0
    assert "generated: 2 samples" in capsys.readouterr().out
    summary = json.loads((out / "predictions.json").read_text())
    assert summary["settings"]["bias"] == 1 and [one["text"] for one in summary["samples"]] == [f"{word} {word}"] * 2
    for ending in ("svg", "png", "json", "gif"):
        assert (out / f"sample_0001.{ending}").stat().st_size > 100
    # What it wrote can be read as data, and as a style.
    assert cli.main(["datasets", "inspect", str(out / "sample_0000.json"), "--task", "handwriting"]) == 1
    assert "1 piece of handwriting; expected two or more" in capsys.readouterr().out
    ink = StrokeLetters(train=24, val=6, test=0, words=2).open("train").inks[0]
    (tmp_path / "style.json").write_text(json.dumps({"text": ink.text, "points": ink.points.tolist()}))
    style = ["--style", str(tmp_path / "style.json"), "--out", str(tmp_path / "styled")]
    assert cli.main(["generate", str(run), "--text", word, *style]) == 0


def next_command(printed, verb):
    """The words of a command that was printed as the next one."""
    return shlex.split(re.search(rf"^next: .*(foveate {verb} .*)$", printed, re.MULTILINE)[1])[1:]


def test_options_are_given_by_name_as_a_dict_or_as_an_instance(run):
    predictor = foveate.load(run)
    text = next(name for name in predictor.classes.names[4:] if name.isalpha()) * 2
    options = HandwritingOptions(text=text, bias=1.0)
    made = [predictor.generate(2, 3, options), predictor.generate(2, 3, {"text": text, "bias": 1.0})]
    made.append(predictor.generate(2, 3, text=text, bias=1.0))
    for one in made[1:]:
        for found, expected in zip(one.predictions, made[0].predictions, strict=True):
            np.testing.assert_array_equal(found.strokes, expected.strokes)
    with pytest.raises(ConfigError, match="options are given as one argument, and text by name; give all in one way"):
        predictor.generate(1, 0, options, text=text)
    with pytest.raises(ConfigError, match="have no option --txt"):
        predictor.generate(txt=text)


def test_the_exported_file_writes_the_same(run, tmp_path, capsys, monkeypatch):
    file = tmp_path / "a hand.onnx"
    assert cli.main(["export", str(run), "--out", str(file)]) == 0
    command = next_command(capsys.readouterr().out, "generate")
    assert command[:2] == ["generate", str(file)] and command[2] == "--text"
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 0
    (written,) = json.loads((tmp_path / "DIR/predictions.json").read_text())["samples"]
    assert written["text"] == command[3]
    names = json.loads((run / "model/config.json").read_text())["tables"]["characters"]["names"]
    text = "".join(name for name in names[4:] if name.isalpha())[:4]
    one, other = (foveate.load(path).generate(2, 1, {"text": text}).predictions for path in (run, file))
    for expected, found in zip(one, other, strict=True):
        assert found.finished == expected.finished and found.strokes.shape == expected.strokes.shape
        np.testing.assert_allclose(found.strokes, expected.strokes, atol=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], 'there is no text to write; give one, as in --text "some words"'),
        (["--text", "AB"], "the characters 'A', 'B' are in none of the training texts"),
        (["--text", "a", "--bias=-1"], "--bias is -1; give 0 or more"),
        (["--text", "a", "--bias", "much"], "--bias is 'much'; expected"),
        (["--text", "a" * 6000], "the text has 6,000 characters; give 5,000 or fewer"),
        (["--text", "a", "--style", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--text", "a", "--count", "0"], "--count is 0; give a whole number from 1 to 10000"),
        (
            ["--text", "a", "--points", "400"],
            "this model writes a given text, whose length decides the number of points; leave --points out",
        ),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(run, words, message, complaint, tmp_path):
    assert message in complaint("generate", str(run), *words, "--out", str(tmp_path / "x"))
    assert not list(tmp_path.glob("x/*"))


def test_the_printed_text_is_one_that_the_model_knows():
    tables = {"characters": Characters(least=1).learn(["any words"])}
    assert HandwritingTask.example_options({"text": True}, tables) == {"text": "any words"}
    tables = {"characters": Characters(least=1).learn(["31 '42"])}
    assert set(HandwritingTask.example_options({}, tables)["text"]) == set("31'42")
    assert HandwritingTask.example_options({"text": False}, tables) == {}


def test_pieces_without_text_train_the_prediction_network_alone(tmp_path, complaint, capsys, monkeypatch):
    points = [[0, 0, 0], [3, 1, 0], [5, -2, 0], [9, 4, 1]] * 5
    (tmp_path / "a.json").write_text(
        json.dumps([{"points": [[x + i, y * i, up] for x, y, up in points]} for i in range(1, 30)])
    )
    words = ["train", "handwriting", "--data", str(tmp_path / "a.json"), "--out", str(tmp_path / "run"), *SMALL]
    assert "no text, which is what the model learns to write; add it, or train the prediction" in complaint(*words)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    assert cli.main([*words, "--config.text", "false"]) == 0
    command = next_command(capsys.readouterr().out, "generate")
    assert command == ["generate", str(tmp_path / "run"), "--out", "DIR"]
    (tmp_path / "style.json").write_text("[]")
    for flag, value in (("--text", "a"), ("--style", str(tmp_path / "style.json")), ("--width", "40")):
        told = complaint("generate", str(tmp_path / "run"), flag, value, "--out", str(tmp_path / "x"))
        assert f"this model writes strokes without a text; leave {flag} out" in told
    assert not list(tmp_path.glob("x/*"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 0
    assert json.loads((tmp_path / "DIR/predictions.json").read_text())["samples"][0]["points"] == 401
    assert cli.main(["generate", str(tmp_path / "run"), "--points", "40", "--out", str(tmp_path / "free")]) == 0
    assert json.loads((tmp_path / "free/predictions.json").read_text())["samples"][0]["points"] == 41
