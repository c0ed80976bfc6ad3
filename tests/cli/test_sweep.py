"""`foveate sweep` and `foveate train --folds`."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foveate import cli
from foveate.datasets.folds import Folds
from foveate.engine import folds as folds_module
from foveate.engine import several, sweep
from foveate.engine.fields import to_json
from foveate.engine.folds import FoldScores
from foveate.engine.seeds import train_seeds
from foveate.engine.sweep import Range, draw, folder_name, grid, read_values, train_sweep
from foveate.errors import ConfigError, DataError, TrainingError
from foveate.recipes import resolve

Complaint = Callable[..., str]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """In place of trainings, runs whose score is -|lr - 0.01|, none of lr 0.25; the recipes that were trained."""
    trained: list[Any] = []

    def train(recipe: Any, out: Path, resume: bool, **others: Any) -> Path:
        if (out / "progress.json").exists():
            return out
        if recipe.optim.lr > 0.5:
            raise TrainingError("the loss is not a number; lower --optim.lr")
        trained.append(recipe)
        out.mkdir(parents=True)
        score = {"epoch": 1, "value": None if recipe.optim.lr == 0.25 else -abs(recipe.optim.lr - 0.01)}
        (out / "progress.json").write_text(json.dumps({"best": score}))
        (out / "environment.json").write_text(json.dumps({"commit": "c0ffee"}))
        return out

    monkeypatch.setattr(several, "train_recipe", train)
    monkeypatch.setattr(several, "environment", lambda: {"commit": "c0ffee"})
    return trained


def test_values_of_fields() -> None:
    recipe = resolve("fcn8s_pasture")
    text = {"optim.lr": "1e-4..1e-2", "epochs": "2..9", "window": "auto;0,4095", "freeze": "backbone;", "ema": "0,0.99"}
    found = read_values(recipe, text)
    assert found["optim.lr"] == Range(1e-4, 1e-2, whole=False) and found["epochs"] == Range(2, 9, whole=True)
    assert found["window"] == ["auto", "0,4095"] and found["freeze"] == ["backbone", ""]  # commas are of the value
    assert found["ema"] == ["0", "0.99"]
    for bad, message in (
        ({"optim.lr": "1e-4,x"}, "--optim.lr is 'x'; expected a number"),
        ({"optim.lr": "1..0"}, "--optim.lr is '1..0'; the first number must be below the second"),
        ({"ema": "0,0"}, "--ema names '0' twice; name it once"),
        ({"optim.lrr": "1,2"}, "unknown field 'optim.lrr'; the nearest is 'optim.lr'"),
        ({"batch_size": "0,4"}, "batch_size is 0; expected 1 or more"),
    ):
        with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
            read_values(recipe, bad)


def test_a_grid_is_every_combination_and_a_range_is_drawn() -> None:
    values = {"a": ["1", "2"], "b": ["x", "y", "z"]}
    assert grid(values) == [{"a": a, "b": b} for a in "12" for b in "xyz"]
    with pytest.raises(ConfigError, match="--c is a range, from which values are drawn; add --random N"):
        grid({"c": Range(0, 1, whole=False)})
    ranges = {"lr": Range(1e-4, 1e-1, whole=False), "n": Range(3, 5, whole=True), "b": ["x", "y"]}
    drawn = draw(ranges, 400, seed=1)
    assert draw(ranges, 50, seed=1) == drawn[:50] != draw(ranges, 50, seed=2)
    logs = [math.log10(float(one["lr"])) for one in drawn]
    assert min(logs) >= -4 and max(logs) <= -1
    assert sum(logs) / 400 == pytest.approx(-2.5, abs=0.15)  # evenly by decade: an even draw has a mean of -1.4
    assert {one["n"] for one in drawn} == {"3", "4", "5"} and {one["b"] for one in drawn} == {"x", "y"}


def test_folders_are_called_after_their_values() -> None:
    assert folder_name({"optim.lr": "1e-3", "epochs": "5"}) == "lr=1e-3,epochs=5"
    assert folder_name({"augment.crop": "1,2", "data.crop": "a/b"}) == "augment.crop=1,2,data.crop=a_b"


def test_a_sweep_ranks_its_runs_keeps_them_and_notes_those_that_fail(
    stand_in: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "fcn8s_pasture", "--out", str(tmp_path / "s"), "--epochs", "3", "--seed", "4"]
    assert cli.main([*words, "--optim.lr", "0.02,0.005"]) == 0
    assert [(r.optim.lr, r.epochs, r.seed) for r in stand_in] == [(0.02, 3, 4), (0.005, 3, 4)]
    printed = capsys.readouterr().out
    assert f"best: {tmp_path / 's' / 'lr=0.005'}\n" in printed
    assert (tmp_path / "s" / "sweep.md").read_text() in printed
    assert cli.main([*words, "--optim.lr", "0.02,0.005,0.9,0.01"]) == 1
    assert [r.optim.lr for r in stand_in] == [0.02, 0.005, 0.01]  # what was there is not trained again
    rows = list(csv.DictReader((tmp_path / "s" / "sweep.csv").open()))
    assert [row["optim.lr"] for row in rows] == ["0.01", "0.005", "0.02", "0.9"]
    assert [row["mean_iou"] for row in rows][-1] == "" and rows[-1]["error"].startswith("the loss is not a number")
    assert {(row["seed"], row["commit"]) for row in rows[:3]} == {("4", "c0ffee")}
    content = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert content["runs"][0] == {
        "fields": {"optim.lr": "0.01"}, "run": str(tmp_path / "s" / "lr=0.01"), "seed": 4, "commit": "c0ffee",
        "score": 0.0,
    }  # fmt: skip


def test_a_sweep_starts_from_a_file_as_a_training_does(
    stand_in: list[Any], tmp_path: Path, complaint: Complaint
) -> None:
    fields = tmp_path / "fields.yaml"
    fields.write_text("recipe: fcn8s_pasture\nepochs: 3\noptim: {warmup: 0}\n")
    words = ["--out", str(tmp_path / "s"), "--seed", "4", "--optim.lr", "0.02,0.005"]
    assert cli.main(["sweep", "--config", str(fields), *words]) == 0
    changes = {"epochs": 3, "optim.warmup": 0, "seed": 4}
    assert stand_in == [resolve("fcn8s_pasture", overrides=changes | {"optim.lr": lr}) for lr in (0.02, 0.005)]
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(to_json(stand_in[0])))
    assert cli.main(["sweep", "--config", str(file), "--out", str(tmp_path / "t"), "--epochs", "5,6"]) == 0
    assert stand_in[2:] == [dataclasses.replace(stand_in[0], epochs=epochs) for epochs in (5, 6)]
    for verb in ("sweep", "train"):
        named = complaint(verb, "fcn16s", "--config", str(fields), "--optim.lr", "1,2")
        assert named == f"{fields} is for recipe 'fcn8s_pasture', and the command names 'fcn16s'; leave one of them out"
        missing = complaint(verb, "--optim.lr", "1,2")
        assert missing == f"the following arguments are required: RECIPE; see foveate {verb} --help"


def test_a_score_that_is_not_defined_is_null(
    stand_in: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = resolve("fcn8s_pasture")
    swept = train_sweep(recipe, [{"optim.lr": "0.25"}, {"optim.lr": "0.02"}], tmp_path / "sweep")
    without = dataclasses.replace(recipe, optim=dataclasses.replace(recipe.optim, lr=0.25))
    seeds = train_seeds(without, 2, tmp_path / "seeds")
    assert [one.name for _, one in swept.ranked()] == ["lr=0.02", "lr=0.25"]
    assert list(seeds.lines()) == [
        "  seed 0     mean_iou not defined",
        "  seed 1     mean_iou not defined",
        "mean_iou over 2 seeds: not defined in 2 of them, so that they have no mean",
    ]
    found = [
        json.loads((tmp_path / name / f"{name}.json").read_text(), parse_constant=lambda nan: pytest.fail(nan))
        for name in ("sweep", "seeds")
    ]
    assert [one["score"] for one in found[0]["runs"]] == [-0.01, None]
    nothing = {"mean": None, "standard_deviation": None, "lowest": None, "highest": None}
    assert found[1] == {"monitor": "mean_iou", "scores": {"0": None, "1": None}, **nothing}
    one = several.Trained("fold1", tmp_path / "sweep" / "lr=0.25", math.nan)
    folds = FoldScores(tmp_path / "sweep", recipe, "mean_iou", [one, dataclasses.replace(one, score=0.5)], [3, 4])
    assert folds.to_json()["mean"] is None and folds.to_json()["folds"][0]["score"] is None
    assert next(iter(folds.lines())) == "  fold 1   mean_iou not defined  on 3"
    page = folds_module._page(folds)
    assert "Mean IoU is not defined in every fold, so that there is no mean. Each sample" in page
    assert "<td>not defined</td>" in page and "<td>0.500</td>" in page


def test_mean_and_deviation_are_those_of_the_scores() -> None:
    assert several.spread([0.1, 0.2, 0.6]) == {
        "mean": pytest.approx(0.3), "standard_deviation": pytest.approx(0.07**0.5), "lowest": 0.1, "highest": 0.6,
    }  # fmt: skip
    assert several.spread([0.5])["standard_deviation"] is None


def test_values_that_would_share_a_folder_are_refused(stand_in: list[Any], tmp_path: Path) -> None:
    changes = [{"freeze": "backbone.net"}, {"freeze": "backbone/net"}, {"freeze": "backbone_net"}]
    with pytest.raises(ConfigError, match="two runs of this sweep, with other values, would have the folder freeze=ba"):
        train_sweep(resolve("fcn8s_pasture"), changes, tmp_path / "s")
    assert not stand_in and not (tmp_path / "s").exists()
    twice = train_sweep(resolve("fcn8s_pasture"), [*changes[:2], *changes[:2]], tmp_path / "s")
    assert [one.name for one in twice.trained] == ["freeze=backbone.net", "freeze=backbone_net"]


def test_a_report_that_cannot_be_made_does_not_stop_the_other_trainings(
    stand_in: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def report_run(folder: Path) -> Path:
        raise DataError(f"{folder.name}: no report today; come again")

    monkeypatch.setattr("foveate.engine.report.report_run", report_run)
    assert cli.main(["train", "fcn8s_pasture", "--seeds", "2", "--out", str(tmp_path / "seeds")]) == 0
    swept = ["sweep", "fcn8s_pasture", "--optim.lr", "0.02,0.03", "--report", "--out", str(tmp_path / "sweep")]
    assert cli.main(swept) == 0
    assert len(stand_in) == 4
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: no report")]
    assert notes[0] == f"note: no report of {tmp_path / 'seeds' / 'seed0'}: seed0: no report today; come again"
    assert len(notes) == 4


def test_a_training_of_several_processes_that_fails_ends_the_sweep(
    stand_in: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other processes have left: those that follow would wait for them."""
    monkeypatch.setattr(several, "is_connected", lambda: True)
    with pytest.raises(TrainingError, match="the loss is not a number"):
        train_sweep(resolve("fcn8s_pasture"), [{"optim.lr": "0.9"}, {"optim.lr": "0.02"}], tmp_path / "s")
    assert not stand_in


def test_the_first_process_alone_writes_the_tables(
    stand_in: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    train_sweep(resolve("fcn8s_pasture"), [{"optim.lr": "0.03"}, {"optim.lr": "0.02"}], tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["lr=0.02", "lr=0.03"]


def test_smaller_is_better_where_it_is(stand_in: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "monitor_of", lambda recipe: ("error", False))
    found = train_sweep(resolve("fcn8s_pasture"), [{"optim.lr": "0.01"}, {"optim.lr": "0.1"}], tmp_path)
    assert [one.name for _, one in found.ranked()] == ["lr=0.1", "lr=0.01"]


def test_runs_of_another_commit_are_noted(
    stand_in: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [{"optim.lr": "0.01"}, {"optim.lr": "0.1"}]
    train_sweep(resolve("fcn8s_pasture"), changes, tmp_path)
    assert "another commit than" not in capsys.readouterr().out
    monkeypatch.setattr(several, "environment", lambda: {"commit": "decade"})
    train_sweep(resolve("fcn8s_pasture"), changes, tmp_path)
    assert "note: lr=0.01, lr=0.1 of another commit than this one (decade); remove" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optim.lr", "0.01"], "nothing is swept; give a field several values, as in --optim.lr 1e-3,3e-3"),
        (["--optim.lr", "1e-3..1e-2"], "--optim.lr is a range, from which values are drawn; add --random N"),
        (["--seed", "1,2", "--random", "2"], "--seed draws the values of --random, and has one value then"),
        (["--optim.lr", "1,2", "--random", "1"], "--random is 1; give 2 runs or more"),
        (["--learning_rate", "1,2"], "unknown flag '--learning_rate'; the nearest is '--optim.lr'"),
    ],
)
def test_lines_that_cannot_be_swept(complaint: Complaint, words: list[str], message: str) -> None:
    assert complaint("sweep", "fcn8s_pasture", *words).startswith(message)


def test_every_sample_is_in_one_fold(photos: Path) -> None:
    folds = [Folds(str(photos), 4, k) for k in range(4)]
    val = [{p.picture.name for p in one.source.scan.pairs["val"]} for one in folds]
    assert [len(part) for part in val] == [2] * 4 and len(set().union(*val)) == 8
    for one, part in zip(folds, val, strict=True):
        assert {p.picture.name for p in one.source.scan.pairs["train"]} == set().union(*val) - part
        assert "fold" in one.describe("semantic")
        small = [note for note in one.source.notes("semantic") if note.startswith("val holds 2 pictures")]
        assert small and one.notes("semantic") == [n for n in one.source.notes("semantic") if n not in small]
    moved = photos.rename(photos.with_name("elsewhere"))
    assert {p.picture.name for p in Folds(str(moved), 4, 1).source.scan.pairs["val"]} == val[1]
    other = {p.picture.name for p in Folds(str(moved), 4, 1, seed=7).source.scan.pairs["val"]}
    assert any(other != part for part in val)
    for bad in ({"folds": 1}, {"folds": 3, "fold": 3}):
        with pytest.raises(ConfigError, match="expected 2 folds or more, and one of 0 to folds - 1"):
            dataclasses.replace(folds[0], **bad)


def test_folds_of_class_folders_hold_every_class(tmp_path: Path) -> None:
    from PIL import Image

    for name, count in (("cow", 6), ("hen", 3)):
        (tmp_path / name).mkdir()
        for k in range(count):
            Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(tmp_path / name / f"{k}.png")
    for k in range(3):
        labels = [pair.label for pair in Folds(str(tmp_path), 3, k).source.scan.pairs["val"]]
        assert sorted(labels) == [0, 0, 1]


def test_folds_are_trained_and_can_be_used_later(
    photos: Path, smallest: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Complaint
) -> None:
    out = tmp_path / "cv"
    words = ["train", "fcn8s", "--data", str(photos), *smallest, "--out", str(out), "--no-report"]
    assert cli.main([*words, "--folds", "2"]) == 0
    found = json.loads((out / "folds.json").read_text())
    scores = [one["score"] for one in found["folds"]]
    assert found["mean"] == pytest.approx(sum(scores) / 2) and [one["samples"] for one in found["folds"]] == [4, 4]
    page = (out / "folds.html").read_text()
    assert (
        f"Mean IoU is {found['mean']:.3f} on average" in page and 'class="compared"' in page and "<script" not in page
    )
    last = capsys.readouterr().out.splitlines()
    assert last[-1] == f"page: {out / 'folds.html'}"
    assert last[-2].startswith(f"mean_iou over 2 folds: mean {found['mean']:.4f}")
    kept = [json.loads((out / f"fold{k}" / "data.json").read_text()) for k in (1, 2)]
    assert set(kept[0]["val"]) == set(kept[1]["train"]) and len(kept[0]["val"]) == 4
    assert cli.main(["evaluate", str(out / "fold2"), "--json", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text())["mean_iou"] == pytest.approx(scores[1], abs=1e-6)
    assert complaint(*words, "--folds", "2", "--seeds", "2").startswith("--seeds and --folds cannot be combined")
    assert complaint("train", "fcn8s_pasture", "--folds", "3").startswith("--folds divides a labelled folder; give one")
