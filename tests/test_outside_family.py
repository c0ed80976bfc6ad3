"""Families of other packages, whose inputs are no images: everything works through entry points alone."""

import csv
import dataclasses
import importlib
import inspect
import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import foveate
from foveate import cli
from foveate.cli import flags
from foveate.cli.inputs import plan
from foveate.errors import ConfigError, DataError, ModelError
from foveate.registry import entries
from foveate.tasks.base import Task
from foveate.tasks.inputs import IMAGE, Input
from foveate.tasks.options import RESERVED, Options, option

FOLDER = Path(__file__).parent / "data/outside"


def named(name):
    """An input of this name."""

    class AnyInput(Input):
        noun, nouns, suffixes = name, f"{name}s", frozenset()

        def open(self, given, preprocessing, model, name="", max_pixels=None):
            return given

    AnyInput.name = name
    return AnyInput()


def options(name, default=0):
    """Options with one field."""
    fields = [(name, type(default), option(default, "a field"))]
    return dataclasses.make_dataclass("AnyOptions", fields, bases=(Options,), frozen=True)


class undecorated(Options):  # noqa: N801
    """Options that are not marked as a dataclass."""

    clip: float = 0.0


ENTRY_POINTS = """\
[foveate.tasks]
series = series_family:Series
dice = dice_family:Dice
colours = colour_family:Colours

[foveate.models]
series_mlp = series_family:SeriesModel
die = dice_family:Die
colour_gain = colour_family:ColourModel

[foveate.datasets]
series_folder = series_family:SeriesFolder
loaded_die = dice_family:LoadedDie
swatches = colour_family:Swatches

[foveate.recipes]
series = series_family:series_recipe
dice = dice_family:dice_recipe
colours = colour_family:colours_recipe
"""


def forget_names():
    entries.cache_clear()
    flags._known_options.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Both modules as an installed package would be found."""
    site = tmp_path_factory.mktemp("site")
    about = site / "outside-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(FOLDER))
    patch.syspath_prepend(str(site))
    forget_names()
    yield
    patch.undo()
    forget_names()
    for name in ("series_family", "dice_family", "colour_family"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Sine waves: 24 to train with, 8 to choose by."""
    root = tmp_path_factory.mktemp("series")
    generator = torch.Generator().manual_seed(0)
    for i in range(32):
        folder = root / ("train" if i < 24 else "val")
        folder.mkdir(exist_ok=True)
        phase = 6.28 * float(torch.rand(1, generator=generator))
        values = [math.sin(phase + 0.7 * step) for step in range(5 + i % 3)]
        (folder / f"{i:02d}.csv").write_text(",".join(f"{value:.4f}" for value in values) + "\n")
    return root


@pytest.fixture(scope="module")
def run(series, tmp_path_factory):
    """A trained run; at this learning rate the error rises and falls, so that the best epoch is neither end."""
    out = tmp_path_factory.mktemp("runs") / "series"
    words = ["train", "series", "--data", str(series), "--out", str(out), "--epochs", "4", "--optim.lr", "0.15"]
    assert cli.main([*words, "--optim.schedule", "constant"]) == 0
    return out


@pytest.fixture
def complaint(capsys):
    """Run a command that must fail; returns its one line on stderr."""

    def complain(*words):
        capsys.readouterr()
        assert cli.main([str(word) for word in words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("foveate: ")

    return complain


def errors_of(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row["mean_error"]) for row in csv.DictReader(file)]


def test_the_epoch_of_the_smallest_error_is_kept(run):
    errors = errors_of(run)
    assert min(errors) not in (errors[0], errors[-1]), "the test needs a run whose best epoch is neither end"
    scores = foveate.engine.evaluate_run(run).to_json()
    assert scores["mean_error"] == pytest.approx(min(errors), rel=1e-5)


def test_a_run_says_which_epoch_was_kept(series, tmp_path, capsys):
    assert cli.main(["train", "series", "--data", str(series), "--out", str(tmp_path / "run"), "--epochs", "2"]) == 0
    out = capsys.readouterr().out
    errors = errors_of(tmp_path / "run")
    best = errors.index(min(errors)) + 1
    assert f"kept: epoch {best} of 2, by mean_error: {min(errors):.4f}" in out
    assert "number series: 24 train, 8 val" in out


def test_the_run_holds_no_tables_and_no_preprocessing(run):
    about = json.loads((run / "model/config.json").read_text())
    assert about["task"] == "series" and about["tables"] == {} and about["preprocessing"] is None
    assert json.loads((run / "recipe.json").read_text())["data"]["dataset"] == "series_folder"


def test_it_is_resumed(series, tmp_path):
    words = ["train", "series", "--data", str(series), "--out", str(tmp_path / "run"), "--epochs", "3"]
    assert cli.main(words) == 0
    whole = errors_of(tmp_path / "run")
    assert cli.main([*words, "--resume"]) == 0
    assert errors_of(tmp_path / "run") == whole


def test_another_run_starts_from_it(run, series, tmp_path, capsys):
    words = ["train", "series", "--data", str(series), "--out", str(tmp_path / "run"), "--epochs", "1"]
    assert cli.main([*words, "--init", str(run)]) == 0
    assert "4 of 4 tensors of series_mlp" in capsys.readouterr().out


def test_it_is_evaluated_and_reported(run, tmp_path, capsys):
    assert cli.main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    printed = capsys.readouterr().out
    assert "split val: 8 series in" in printed and "mean_error" in printed
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["samples"] == 8 and scores["mean_error"] == pytest.approx(min(errors_of(run)), rel=1e-5)
    page = (run / "report.html").read_text()
    assert "Report on number series" in page and "mean error" in page
    assert f"{scores['mean_error']:.3f}" in page
    assert "picture" not in page.partition("<body")[2].partition("<script")[0].lower()
    worst = page[page.index('id="each"') :].partition("<tbody>")[2]
    listed = [float(value) for value in re.findall(r"<td>([\d.]+)</td>", worst.partition("</tbody>")[0])]
    assert listed == sorted(listed, reverse=True) and len(listed) == 8


def test_examples_are_best_first(run):
    scores = [own for _, _, own in foveate.engine.evaluate_run(run).examples()]
    assert scores == sorted(scores) and len(scores) == 8


def test_the_option_bounds_the_answers(run, tmp_path):
    assert cli.main(["evaluate", str(run), "--clip", "0.001", "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["inference"] == "clip 0.001"
    assert abs(foveate.load(run).predict([9.0, 9.0, 9.0, 9.0], clip=0.25)) <= 0.25


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_an_option_of_another_family_is_one_line_that_names_its_own(verb, run, series, complaint):
    inputs = [series / "val"] if verb == "predict" else []
    line = complaint(verb, run, *inputs, "--crf")
    assert line == "models for number series have no option --crf; theirs are --clip"


def predict(model, series, out):
    assert cli.main(["predict", str(model), str(series / "val"), "--out", str(out)]) == 0
    return json.loads((out / "predictions.json").read_text())


def test_it_predicts_a_folder_of_files(run, series, tmp_path, capsys):
    (series / "val/notes.md").write_text("not an input")
    summary = predict(run, series, tmp_path / "out")
    assert "predicted: 8 of 8 series" in capsys.readouterr().out
    assert summary["model"]["task"] == "series" and summary["settings"] == {"clip": 0.0}
    assert [Path(entry["file"]).name for entry in summary["series"]] == [f"{i}.csv" for i in range(24, 32)]
    for entry in summary["series"]:
        assert float((tmp_path / "out" / entry["text"]).read_text()) == entry["next"]


def test_a_bad_file_is_named_and_the_others_are_predicted(run, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("1,2,x,4")
    (tmp_path / "in/b.csv").write_text("1,2")
    (tmp_path / "in/c.csv").write_text("1,2,3,4")
    assert cli.main(["predict", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "a.csv: not a series of numbers" in told and "b.csv: 2 numbers; series_mlp needs 4 or more" in told
    summary = json.loads((tmp_path / "out/predictions.json").read_text())
    assert len(summary["series"]) == 1 and len(summary["failed"]) == 2


def test_a_folder_without_series_says_what_was_expected(run, tmp_path, complaint):
    (tmp_path / "photo.jpg").touch()
    assert complaint("predict", run, tmp_path) == f"no series in {tmp_path}; expected files ending in .csv"


def test_the_exported_file_gives_the_same_answers(run, series, tmp_path, capsys):
    file = tmp_path / "series.onnx"
    assert cli.main(["export", str(run), "--out", str(file)]) == 0
    assert "SERIES --out DIR" in capsys.readouterr().out
    expected, exported = (predict(model, series, tmp_path / name) for model, name in ((run, "a"), (file, "b")))
    assert exported["model"]["runtime"] == "onnxruntime"
    for one, other in zip(expected["series"], exported["series"], strict=True):
        assert other["next"] == pytest.approx(one["next"], abs=1e-5)
    with pytest.raises(ModelError, match="has these tables: none"):
        foveate.load(file).classes  # noqa: B018


def test_predict_many_is_predict(run):
    predictor = foveate.load(run)
    given = [[0.1 * i, 0.2, 0.3, 0.4] for i in range(5)]
    assert list(predictor.predict_many(given, batch_size=2)) == pytest.approx([predictor.predict(x) for x in given])
    with pytest.raises(DataError, match="2 numbers"):
        predictor.predict([1.0, 2.0])


def test_it_is_inspected(series, tmp_path, capsys):
    assert cli.main(["datasets", "inspect", str(series), "--json", str(tmp_path / "found.json")]) == 0
    assert capsys.readouterr().out == "number series: 24 train, 8 val\nsamples: train 24, val 8\nproblems: none\n"
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["task"] == "series" and found["samples"] == {"train": 24, "val": 8}


def test_an_inspection_names_bad_files_and_goes_on(series, tmp_path, capsys):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/a.csv").write_text("1,2,3,4,5")
    (tmp_path / "train/b.csv").write_text("1,2,3,4")
    assert cli.main(["datasets", "inspect", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "samples: train 1" in out and "b.csv: 4 numbers; expected 5 or more" in out


def test_class_weights_are_refused(series, tmp_path, complaint):
    line = complaint("train", "series", "--data", series, "--out", tmp_path / "run", "--class_weights", "log")
    assert "number series has no class labels to weigh" in line


def test_kept_features_are_refused(series, tmp_path, complaint):
    words = ("--features", "true", "--freeze", "backbone")
    line = complaint("train", "series", "--data", series, "--out", tmp_path / "run", *words)
    assert "SeriesModel has no features that can be kept" in line


def test_the_lists_name_what_was_added(capsys):
    for verb, name in (("models", "series_mlp"), ("recipes", "series"), ("datasets", "loaded_die")):
        assert cli.main([verb]) == 0
        assert name in capsys.readouterr().out.split()


# A family without an input


@pytest.fixture(scope="module")
def dice(tmp_path_factory):
    return foveate.train("dice", out=tmp_path_factory.mktemp("dice") / "dice")


def test_a_family_without_input_trains_and_is_evaluated(dice, tmp_path, capsys):
    with (dice / "metrics.csv").open(newline="") as file:
        losses = [float(row["log_loss"]) for row in csv.DictReader(file)]
    assert min(losses) < math.log(6)  # better than a fair die
    assert cli.main(["evaluate", str(dice), "--json", str(tmp_path / "scores.json")]) == 0
    assert "32 samples in" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores.json").read_text())["log_loss"] == pytest.approx(min(losses))
    assert "Report on throws of dice" in (dice / "report.html").read_text()


def test_it_generates_as_many_samples_as_were_asked_for(dice, tmp_path, capsys):
    assert cli.main(["predict", str(dice), "--count", "3", "--out", str(tmp_path)]) == 0
    assert "predicted: 3 of 3 samples" in capsys.readouterr().out
    summary = json.loads((tmp_path / "predictions.json").read_text())
    assert [entry["file"] for entry in summary["samples"]] == ["sample_0000", "sample_0001", "sample_0002"]
    assert all(1 <= entry["side"] <= 6 for entry in summary["samples"])
    assert 0 <= foveate.load(dice).predict()["side"] < 6


def test_an_input_for_a_family_without_is_refused(dice, tmp_path, complaint):
    (tmp_path / "a.csv").write_text("1")
    expected = f"models for throws of dice take no input, but {tmp_path / 'a.csv'} was given; leave it out"
    assert complaint("predict", dice, tmp_path / "a.csv", "--out", tmp_path / "out") == expected
    with pytest.raises(DataError, match="die takes no input; leave it out"):
        foveate.load(dice).predict("a.csv")


def test_a_count_for_a_family_with_an_input_is_refused(run, series, complaint):
    assert "--count is for models without an input" in complaint("predict", run, series / "val", "--count", "2")


@pytest.mark.parametrize("count", ["0", "-1"])
def test_a_count_below_one_is_refused(dice, count, tmp_path, complaint):
    assert f"--count is {count}; give 1 or more" in complaint("predict", dice, f"--count={count}", "--out", tmp_path)


def test_a_family_without_export_says_so(dice, tmp_path, complaint):
    assert "models for throws of dice have no ONNX export" in complaint("export", dice, "--out", tmp_path / "a.onnx")


def test_generated_data_is_inspected_by_name(capsys):
    assert cli.main(["datasets", "inspect", "loaded_die", "--train", "5"]) == 0
    assert "samples: train 5, val 32" in capsys.readouterr().out


def test_the_next_line_fits_the_family(tmp_path, capsys):
    assert cli.main(["train", "dice", "--out", str(tmp_path / "run"), "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert f"foveate predict {tmp_path / 'run'} --count 1 --out DIR" in out


def test_a_name_that_differs_from_the_entry_point_is_refused(monkeypatch):
    from foveate.tasks import find_task

    monkeypatch.setattr(importlib.import_module("dice_family").Dice, "name", "cubes")
    with pytest.raises(ConfigError, match="the family 'dice' is registered with Dice, which is named 'cubes'"):
        find_task("dice")


# A family with two inputs


ASK = "how red is it"


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    return foveate.train("colours", out=tmp_path_factory.mktemp("colours") / "colours")


@pytest.fixture
def pictures(tmp_path):
    """Two plain pictures: of red 51 and green 102, and of red 255 and green 0."""
    (tmp_path / "in").mkdir()
    for name, colour in (("a.png", (51, 102, 0)), ("b.png", (255, 0, 0))):
        Image.new("RGB", (5, 4), colour).save(tmp_path / "in" / name)
    return tmp_path / "in"


def answers(model, out, *words):
    assert cli.main(["predict", str(model), *map(str, words), "--out", str(out)]) == 0
    return json.loads((out / "predictions.json").read_text())["pictures"]


def shares(entries):
    return [round(entry["share"], 2) for entry in entries]


def test_a_second_input_is_a_flag_that_goes_with_every_file(colours, pictures, tmp_path, capsys):
    found = answers(colours, tmp_path / "out", pictures, "--question", ASK)
    assert shares(found) == [0.2, 1.0]
    assert [(Path(entry["file"]).name, entry["question"]) for entry in found] == [("a.png", ASK), ("b.png", ASK)]
    assert (tmp_path / "out/a_answer.txt").read_text() == f"{ASK}: 0.200\n"
    assert "predicted: 2 of 2 pictures" in capsys.readouterr().out
    assert shares(answers(colours, tmp_path / "other", pictures / "a.png", "--question=how green")) == [0.4]


ROWS = [("a.png", ASK), ("a.png", "how green, or not green"), ("b.png", "how blue")]
TABLES = {
    "rows.csv": "image,question,remark\n" + "".join(f'{image},"{asked}",x\n' for image, asked in ROWS),
    "rows.TSV": "question\timage\n" + "".join(f"{asked}\t{image}\n" for image, asked in ROWS),
    "rows.jsonl": "".join(json.dumps({"image": image, "question": asked}) + "\n\n" for image, asked in ROWS),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_a_row_for_each_answer(colours, pictures, tmp_path, name):
    (pictures / name).write_text(TABLES[name])
    found = answers(colours, tmp_path / "out", pictures / name)
    assert shares(found) == [0.2, 0.4, 0.0]
    assert [entry["question"] for entry in found] == [asked for _, asked in ROWS]
    files = [entry["text"] for entry in found]
    assert files[0] == "a_answer.txt" and len(set(files)) == 3
    assert (tmp_path / "out" / files[1]).read_text() == "how green, or not green: 0.400\n"


def test_a_table_and_files_with_a_flag_go_together(colours, pictures, tmp_path):
    (pictures / "rows.csv").write_text(TABLES["rows.csv"])
    found = answers(colours, tmp_path, pictures / "rows.csv", pictures / "a.png", "--question", "how red")
    assert shares(found) == [0.2, 0.4, 0.0, 0.2]


def test_a_question_that_does_not_fit_is_noted_and_the_others_are_answered(colours, pictures, tmp_path, capsys):
    (pictures / "rows.csv").write_text("image,question\na.png,how tall\nb.png,how red\n")
    assert cli.main(["predict", str(colours), str(pictures / "rows.csv"), "--out", str(tmp_path / "out")]) == 1
    assert "'how tall' does not name one of red, green, blue" in capsys.readouterr().err
    summary = json.loads((tmp_path / "out/predictions.json").read_text())
    assert shares(summary["pictures"]) == [1.0]
    assert [(Path(e["file"]).name, e["question"]) for e in summary["failed"]] == [("a.png", "how tall")]


def test_a_second_input_that_is_missing_is_named(colours, pictures, complaint):
    assert complaint("predict", colours, pictures / "a.png") == (
        "models for questions on colours need a question with each picture; give --question VALUE, or a table (.csv, "
        ".tsv or .jsonl) with the columns image and question"
    )


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("image\na.png\n", ", line 2: no question; expected texts in the columns image and question, found image"),
        ("image,question\na.png\n", ", line 2: no question; expected texts"),
        ("image,question\na.png,how red\n,how red\n", ", line 3: no image; expected texts"),
        ("image,question\nz.png,how red\n", ", line 2: {folder}/z.png does not exist; give a picture"),
        ("image,question\n", ": no rows; expected the columns image and question"),
        ('image,question\na.png,"how\n', ": not a table of inputs ("),
    ],
)
def test_a_table_that_does_not_fit_is_named_before_any_work(colours, pictures, tmp_path, table, expected, complaint):
    (pictures / "rows.csv").write_text(table)
    line = complaint("predict", colours, pictures / "rows.csv", "--out", tmp_path / "out")
    assert f"{pictures / 'rows.csv'}{expected.format(folder=pictures)}" in line
    assert not (tmp_path / "out").exists()


def test_a_flag_beside_nothing_but_tables_is_refused(colours, pictures, complaint):
    (pictures / "rows.csv").write_text(TABLES["rows.csv"])
    line = complaint("predict", colours, pictures / "rows.csv", "--question", ASK)
    assert line == f"--question is given, and {pictures / 'rows.csv'} has a column of that name; leave one out"


def test_inputs_of_other_families_and_verbs_are_refused(run, colours, series, complaint):
    line = complaint("predict", run, series / "val", "--question", ASK)
    assert line == "models for number series have no option --question; theirs are --clip"
    line = complaint("evaluate", colours, "--question", ASK)
    assert line == "models for questions on colours have no option --question; they have none: leave it out"


def test_the_further_inputs_are_in_the_help_and_on_the_next_line(colours, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", str(colours), "--help"])
    assert "--question VALUE" in capsys.readouterr().out
    assert cli.main(["train", "colours", "--out", str(tmp_path / "run")]) == 0
    assert f"foveate predict {tmp_path / 'run'} PICTURE --question VALUE --out DIR" in capsys.readouterr().out


def test_several_inputs_are_a_dict_in_python(colours, pictures):
    predictor = foveate.load(colours)
    assert predictor.predict({"image": pictures / "a.png", "question": ASK}) == pytest.approx(0.2, abs=0.005)
    with pytest.raises(DataError, match="takes image and question; give a dict with these keys"):
        predictor.predict(pictures / "a.png")


class TextFamily:
    """A family whose only input is a text."""

    title = "texts"
    inputs = (type("TextInput", (), {"name": "text", "noun": "text", "nouns": "texts", "suffixes": frozenset()})(),)
    endings = ("_out.txt",)


def test_texts_stand_on_the_line_or_in_a_table(tmp_path):
    (tmp_path / "rows.csv").write_text("text\nfrom a table\n")
    jobs = plan(["a cow", "a cow", str(tmp_path / "rows.csv")], {}, tmp_path / "out", TextFamily)
    assert [job.given for job in jobs] == [{"text": "a cow"}, {"text": "a cow"}, {"text": "from a table"}]
    assert [job.record for job in jobs] == [job.given for job in jobs]
    assert [job.result("_out.txt").name for job in jobs] == [f"text_000{i}_out.txt" for i in range(3)]
    with pytest.raises(DataError, match=r"rows\.tsv does not exist; give a table of inputs, or a text"):
        plan(["rows.tsv"], {}, tmp_path / "out", TextFamily)


# Families that break the contract


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"monitor": "mean_error", "headline": ("images",)}, r"monitor 'mean_error' is not in its headline \(images\)"),
        (
            {"monitor": "accuracy", "headline": ("accuracy",)},
            "headline has 'accuracy', which its scores lack; they have ",
        ),
        ({"monitor": None}, "monitor is None; give a text"),
        ({"title": " "}, "title is ' '; give a text"),
        ({"headline": "mean_error"}, "headline is 'mean_error'; give the names of one score or more as a tuple"),
        ({"headline": ()}, r"headline is \(\); give the names"),
        ({"headline": ("mean_error", "lr")}, "headline has 'lr', the name of another value of an epoch"),
        ({"headline": ("mean_error", "train_loss")}, "headline has 'train_loss', the name of another value"),
        ({"greater_is_better": "no"}, "greater_is_better is 'no'; give True or False"),
        ({"inputs": IMAGE}, "inputs are .*; give a tuple of"),
        ({"inputs": (IMAGE, IMAGE)}, "inputs are named image, image; give each its own name"),
        ({"inputs": (IMAGE, named("device"))}, "an input named 'device', whose flag --device has another meaning"),
        ({"inputs": (named("name"),)}, "an input named 'name', which cannot be a key of its own in a sample"),
        ({"Options": int}, "Options are <class 'int'>; derive a dataclass"),
        ({"Options": options("device")}, "AnyOptions.device has the flag --device, which has another meaning"),
        ({"Options": options("max_pixels")}, "AnyOptions.max_pixels has the flag --max-pixels, which has another"),
        ({"Options": options("run")}, "AnyOptions.run has the flag --run, which has another meaning"),
        ({"Options": options("progress")}, "AnyOptions.progress has the flag --progress, which has another meaning"),
        ({"inputs": (IMAGE, named("clip")), "Options": options("clip")}, "AnyOptions.clip has the flag --clip, which"),
        ({"Options": options("crop", True)}, "AnyOptions.crop is True by default, so that no flag turns it off"),
        ({"Options": undecorated}, "undecorated is no dataclass; mark it with"),
        ({"sizes": {"num_classes": 3}}, "sizes are {'num_classes': 3}; map fields"),
        ({"endings": "_out.txt"}, "endings are '_out.txt'; give a tuple"),
    ],
)
def test_a_family_that_breaks_the_contract_is_refused_where_it_is_found(monkeypatch, changes, expected):
    from foveate.tasks import find_task

    cls = importlib.import_module("series_family").Series
    for name, value in changes.items():
        monkeypatch.setattr(cls, name, value)
    with pytest.raises(ConfigError, match=f"the family 'series' is registered with Series, w.*{expected}"):
        find_task("series")


@pytest.mark.parametrize("name", ["title", "monitor", "headline", "collate", "record"])
def test_a_part_that_is_missing_is_named(monkeypatch, name):
    from foveate.tasks import find_task

    module = importlib.import_module("series_family")
    body = {key: value for key, value in vars(module.Series).items() if key not in (name, "__dict__", "__weakref__")}
    monkeypatch.setattr(module, "Series", type(Task)("Series", (Task,), body))
    with pytest.raises(ConfigError, match=f"is registered with Series, which (has no|does not define) {name}"):
        find_task("series")


def test_training_stops_before_it_starts(series, tmp_path, monkeypatch, complaint):
    cls = importlib.import_module("series_family").Series
    monkeypatch.setattr(cls, "headline", ("images",))
    line = complaint("train", "series", "--data", series, "--out", tmp_path / "run")
    assert "monitor 'mean_error' is not in its headline (images); add it there" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({}, "has 'mean_error', which the computed SimpleNamespace lack"),
        ({"mean_error": None}, "is None; give a number"),
    ],
)
def test_scores_of_unknown_type_are_checked_when_they_are_computed(
    series, tmp_path, monkeypatch, complaint, scores, expected
):
    module = importlib.import_module("series_family")

    def compute(self):
        return SimpleNamespace(**scores)

    monkeypatch.setattr(module.Errors, "compute", compute)
    line = complaint("train", "series", "--data", series, "--out", tmp_path / "run", "--epochs", "2")
    assert "number series" in line and expected in line


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_the_reserved_names_are_those_of_the_verbs_and_of_the_predictor(verb, monkeypatch):
    parsers = []
    monkeypatch.setattr(flags, "parse_with_options", lambda parser, argv: parsers.append(parser) or sys.exit())
    module = importlib.import_module(f"foveate.cli.{verb}")
    monkeypatch.setattr(module, "parse_with_options", flags.parse_with_options)
    with pytest.raises(SystemExit):
        module.run([])
    assert {action.dest for action in parsers[0]._actions} <= RESERVED
    for method in (foveate.predictor.Predictor.predict, foveate.predictor.Predictor.predict_many):
        parameters = inspect.signature(method).parameters.values()
        assert {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} <= RESERVED
