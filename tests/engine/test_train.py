"""What a training leaves behind, says, and does when something is wrong."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from foveate import disk
from foveate.datasets.pasture import Pasture
from foveate.engine.loading import EpochBatches
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, DataError, ModelError, OutputError, TrainingError
from foveate.models.semantic.fcn import FCN
from foveate.store import load_model, read_checkpoint
from foveate.tasks import create_task

Tiny = Callable[..., Recipe]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_folder_holds_all_that_later_verbs_need(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["foveate", "train", "--data", "my photos"])
    recipe = tiny(ema=0.9, epochs=3)
    run = RunFolder(train_recipe(recipe, out=tmp_path / "run"))
    assert run.recipe() == dataclasses.replace(recipe, precision="float32")  # what auto means on a CPU
    assert run.read_json("tables.json") == {"classes": recipe.data.open("train").classes.to_json()}
    environment = run.read_json("environment.json")
    assert shlex.split(environment["command"]) == ["foveate", *sys.argv[1:]]
    assert environment["packages"]["torch"] == version("torch")
    assert {"python", "commit", "platform", "cpu_count", "threads", "devices", "command"} <= environment.keys()
    about = run.read_json("data.json")
    assert about["train"] == [f"pasture/train/{i:06d}" for i in range(8)]
    assert about["val"] == [f"pasture/val/{i:06d}" for i in range(3)]
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]
    for folder in (run.best, run.last):
        loaded = load_model(folder)
        assert (loaded.name, loaded.task, loaded.tables["classes"].names[:2]) == ("fcn8s", "semantic", ("sky", "grass"))


def test_logged_scores_are_those_of_the_kept_models(tiny: Tiny, tmp_path: Path) -> None:
    run = RunFolder(train_recipe(tiny(ema=0.5, epochs=3, optim__lr=0.02), out=tmp_path / "run"))
    val = Pasture(height=32, width=32, val=3).open("val")

    def mean_iou(folder: Path) -> float:
        loaded = load_model(folder)
        task = create_task("semantic", loaded.tables, loaded.preprocessing)
        with torch.inference_mode():
            metrics = task.metrics(val, whole=False)
            assert len(list(task.score(loaded.model.eval(), val, range(3), metrics))) == 3
        return float(metrics.compute().mean_iou)

    history = [row["mean_iou"] for row in run.history()]
    assert mean_iou(run.last) == pytest.approx(history[-1], abs=1e-9)
    assert mean_iou(run.best) == pytest.approx(max(history), abs=1e-9)


def test_csv_and_tensorboard_agree(tiny: Tiny, tmp_path: Path) -> None:
    run = train_recipe(tiny(epochs=3, validate_every=2), out=tmp_path / "run")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    table = rows(run)
    names = set(table[0]) - {"epoch"}
    assert {"train_loss", "lr", "mean_iou", "pixel_accuracy", "mean_accuracy", "seconds"} <= names
    for name in names:
        logged = {event.step: event.value for event in events.Scalars(name)}
        expected = {int(row["epoch"]): float(row[name]) for row in table if row[name] != ""}
        assert logged == pytest.approx(expected, rel=1e-6), name
    assert [row["mean_iou"] != "" for row in table] == [False, True, True]  # the last epoch is always validated


def test_the_logged_loss_is_the_mean_over_the_epoch(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    original = FCN.loss

    def spy(self: FCN, batch: Any) -> dict[str, torch.Tensor]:
        found = original(self, batch)
        if self.training:  # not in a validation
            losses.append(float(found["loss"].detach()))
        return found

    monkeypatch.setattr(FCN, "loss", spy)
    run = train_recipe(tiny(batch_size=2, accumulate=3), out=tmp_path / "run")
    means = [sum(losses[i : i + 4]) / 4 for i in (0, 4)]
    assert [float(row["train_loss"]) for row in rows(run)] == pytest.approx(means, rel=1e-6)


def test_dropout_draws_other_noise_each_epoch_and_the_same_in_each_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator's state at the first batch of an epoch: a function of the seed and the epoch."""
    states: list[bytes] = []
    original = FCN.loss

    def spy(self: FCN, batch: Any) -> dict[str, torch.Tensor]:
        if self.training:
            states.append(torch.get_rng_state().numpy().tobytes())
        return original(self, batch)

    monkeypatch.setattr(FCN, "loss", spy)
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        states.clear()
        train_recipe(tiny(batch_size=4, epochs=3, seed=seed, config__dropout=0.5), out=tmp_path / name)
        runs.append(tuple(states[:: len(states) // 3]))
    assert runs[0] == runs[1]
    assert len({*runs[0], *runs[2]}) == 6


def test_a_loss_that_is_not_finite_stops_with_the_names_and_keeps_the_epoch_before(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(batch_size=2, epochs=3)
    whole = train_recipe(recipe, out=tmp_path / "whole")
    original, calls = FCN.loss, 0

    def spoilt(self: FCN, batch: Any) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += self.training  # not in a validation
        found = original(self, batch)
        return {name: value * float("nan") for name, value in found.items()} if calls == 6 and self.training else found

    with monkeypatch.context() as patch:
        patch.setattr(FCN, "loss", spoilt)
        with pytest.raises(TrainingError) as caught:
            train_recipe(recipe, out=tmp_path / "run")
    order = EpochBatches(8, 2, recipe.seed)
    order.set_epoch(1)
    names = [f"pasture/train/{index:06d}" for _, index in list(order)[1]]
    assert f"the loss is not finite in epoch 2 on {', '.join(names)}; look at these samples" in str(caught.value)
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 4
    train_recipe(recipe, out=tmp_path / "run", resume=True)
    weights = [(tmp_path / r / "last" / "model.safetensors").read_bytes() for r in ("run", "whole")]
    assert weights[0] == weights[1]
    assert whole.is_dir()


def test_half_precision_trains_where_the_device_has_it(tiny: Tiny, tmp_path: Path) -> None:
    run = train_recipe(tiny(precision="bf16", epochs=1), out=tmp_path / "run")
    assert 0 < float(rows(run)[0]["train_loss"]) < 10
    saved = load_model(run / "last").model.state_dict()
    assert {t.dtype for t in saved.values() if t.is_floating_point()} == {torch.float32}


# What is wrong before the first step


def test_a_recipe_for_your_own_pictures_asks_for_them(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is for your own data: say where it is with --data PATH"):
        train_recipe(dataclasses.replace(tiny(), data=None), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_set_without_training_or_validation_pictures_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown split .*'train'"):
        train_recipe(tiny(data__train=0), out=tmp_path / "run")
    with pytest.raises(DataError, match="no split to validate on, only train; add a val split"):
        train_recipe(tiny(data__val=0, data__test=0), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_test_split_stands_in_for_a_missing_val(tiny: Tiny, tmp_path: Path) -> None:
    run = RunFolder(train_recipe(tiny(data__val=0, epochs=1), out=tmp_path / "run"))
    assert run.read_json("data.json")["val"] == ["pasture/test/000000", "pasture/test/000001"]


def test_an_unwritable_output_is_named_before_the_first_step(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError, match=rf"cannot create {out}: .*; choose another folder with --out"):
            train_recipe(tiny(), out=out)
    assert (tmp_path / "file").read_text() == "mine"


def test_more_loading_processes_than_cores_bear_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"workers is 9999, on a machine of \d+ cores; give \d+ or fewer, or -1"):
        train_recipe(tiny(workers=9999), out=tmp_path / "run")


def test_more_processes_than_fit_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batches of 3 from 8 samples cannot be divided evenly among 2 processes"):
        train_recipe(tiny(batch_size=3, devices=2), out=tmp_path / "run")


# A full disk


def test_a_full_disk_while_weights_are_written_keeps_the_epoch_before(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(epochs=2)
    whole = train_recipe(recipe, out=tmp_path / "whole")
    original, writes = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal writes
        writes += "last" in Path(f"/proc/self/fd/{handle}").readlink().parent.name
        if writes == 3:  # last/ in the second epoch
            raise OSError(28, "No space left on device")
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "fsync", full)
        with pytest.raises(OutputError) as caught:
            train_recipe(recipe, out=tmp_path / "run")
    expected = f"cannot write {tmp_path}/run/last/model.safetensors: No space left on device; free some space"
    assert str(caught.value).startswith(expected)
    assert "go on from the last whole epoch with --resume" in str(caught.value)
    assert not list((tmp_path / "run").rglob("*.unfinished*"))
    assert len(load_model(tmp_path / "run" / "last").config) > 3
    train_recipe(recipe, out=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "last" / "model.safetensors").read_bytes() == (
        whole / "last" / "model.safetensors"
    ).read_bytes()


def test_a_disk_without_room_for_logs_is_one_clear_error(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(self: Any, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    tracebacks: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", tracebacks.append)
    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(OutputError, match=r"cannot write into .*run: No space left on device"):
        train_recipe(tiny(epochs=2), out=tmp_path / "run")
    assert not tracebacks
    assert threading.excepthook == tracebacks.append


# The folder itself


def test_a_folder_that_is_no_run_names_its_neighbours(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "recipe.json").write_text("{}")
    with pytest.raises(ModelError, match=r"frist does not exist; runs beside it: first"):
        RunFolder.existing(tmp_path / "frist")


def test_damaged_files_of_a_run_are_named(tiny: Tiny, tmp_path: Path) -> None:
    run = RunFolder(train_recipe(tiny(epochs=1), out=tmp_path / "run"))
    good = run.recipe_file.read_text()
    for broken in ("{", "[]", '{"name": "no_such_recipe"}', good.replace('"epochs": 1', '"epochs": 0')):
        run.recipe_file.write_text(broken)
        with pytest.raises(ModelError, match=r"recipe\.json"):
            run.recipe()
    run.recipe_file.write_text(json.dumps(json.loads(good) | {"a field of tomorrow": 1}))
    assert run.recipe().epochs == 1
    (run.path / "data.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match=r"data\.json cannot be read"):
        run.read_json("data.json")
