"""Loggers: every number of metrics.csv reaches them, and a service that fails stops no training."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError

Tiny = Callable[..., Recipe]


def expected(run: Path) -> dict[tuple[str, int], float]:
    """(name, epoch) -> value, of metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(k, int(row["epoch"])): float(v) for row in rows for k, v in row.items() if k != "epoch" and v}


def module(patch: pytest.MonkeyPatch, name: str, **content: Any) -> ModuleType:
    """A stand-in of a package, imported in place of it."""
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(content)
    patch.setitem(sys.modules, name, made)
    return made


class WandbRun:
    """Stand-in of a run of Weights & Biases, which keeps what it gets."""

    def __init__(self, **begun: Any) -> None:
        self.begun, self.rows, self.settings, self.codes = begun, [], {}, []
        self.id, self.name = begun["id"] or "made-up", begun["name"]
        self.config = SimpleNamespace(update=lambda values, **_: self.settings.update(values))

    def log(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def finish(self, exit_code: int) -> None:
        self.codes.append(exit_code)


@pytest.fixture
def wandb_runs(monkeypatch: pytest.MonkeyPatch) -> list[WandbRun]:
    """Runs that the stand-in of the package wandb has begun."""
    runs: list[WandbRun] = []

    def init(**begun: Any) -> WandbRun:
        runs.append(WandbRun(**begun))
        return runs[-1]

    for name in ("WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", True)
    module(monkeypatch, "wandb", init=init, run=None)
    module(monkeypatch, "wandb.sdk")
    module(monkeypatch, "wandb.sdk.lib", RunDisabled=type("RunDisabled", (), {}))
    module(monkeypatch, "wandb.wandb_run", Run=WandbRun)
    monkeypatch.setattr(WandbRun, "define_metric", None, raising=False)
    return runs


def test_wandb_gets_the_numbers_and_the_recipe(tiny: Tiny, tmp_path: Path, wandb_runs: list[WandbRun]) -> None:
    run = train_recipe(tiny(epochs=3, validate_every=2, logger="wandb"), out=tmp_path / "first")
    (begun,) = wandb_runs
    assert (begun.begun["project"], begun.begun["name"], begun.begun["dir"]) == ("foveate", "first", str(run))
    logged = {(k, row["trainer/global_step"]): v for row in begun.rows for k, v in row.items() if "/" not in k}
    assert logged == pytest.approx(expected(run))
    assert ("mean_iou", 1) not in logged and ("mean_iou", 2) in logged
    recipe = json.loads((run / "recipe.json").read_text())
    assert begun.settings == recipe
    assert recipe["logger"] == "wandb"
    assert begun.codes == [0]
    assert not (run / "tensorboard").exists()


def test_a_resumed_run_goes_on_under_its_id(
    tiny: Tiny, tmp_path: Path, wandb_runs: list[WandbRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(epochs=2, logger="wandb")
    write = RunFolder.write_history

    def stopped(self: RunFolder, history: Any) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt
        write(self, history)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_history", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_recipe(recipe, out=tmp_path / "first")
    run = train_recipe(recipe, out=tmp_path / "first", resume=True)
    first, second = wandb_runs
    assert (first.begun["id"], second.begun["id"]) == (None, "made-up")
    assert second.settings == {}  # the first part has logged them
    assert [row["trainer/global_step"] for row in second.rows] == [2]
    assert (first.codes, second.codes) == ([1], [0])
    assert json.loads((run / "logger.json").read_text()) == {"logger": "wandb", "id": "made-up"}


def test_a_service_that_fails_stops_no_training(
    tiny: Tiny,
    tmp_path: Path,
    wandb_runs: list[WandbRun],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no route\nto host")

    monkeypatch.setattr(WandbRun, "log", unreachable)
    monkeypatch.setattr(WandbRun, "finish", unreachable)
    run = train_recipe(tiny(epochs=2, logger="wandb"), out=tmp_path / "first")
    assert len(RunFolder(run).history()) == 2
    note = "note: not logged (RuntimeError: no route to host); metrics.csv has it"
    assert capsys.readouterr().err.splitlines().count(note) == 3  # two epochs and the end


def test_a_service_that_refuses_is_one_line(
    tiny: Tiny, tmp_path: Path, wandb_runs: list[WandbRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**begun: Any) -> None:
        raise PermissionError("log in first")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(ConfigError) as refused:
        train_recipe(tiny(logger="wandb"), out=tmp_path / "first")
    assert str(refused.value) == (
        "Weights & Biases cannot begin a run (PermissionError: log in first); check its address and login, or train "
        "with --logger none"
    )


def test_no_logger_writes_metrics_csv_alone(tiny: Tiny, tmp_path: Path) -> None:
    run = train_recipe(tiny(epochs=1, logger="none"), out=tmp_path / "first")
    assert (run / "metrics.csv").is_file()
    assert not (run / "tensorboard").exists() and not (run / "logger.json").exists()


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_named_before_any_work(
    name: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *more: None if n == name else find_spec(n, *more))
    with pytest.raises(ConfigError) as missing:
        train_recipe(tiny(logger=name), out=tmp_path / "first")
    assert str(missing.value) == (f'--logger {name} needs its extra; install it with: pip install "foveate[{name}]"')
    assert not (tmp_path / "first").exists()


def test_an_unknown_logger_is_answered_with_the_known_ones(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"logger.*tensorboard, mlflow, wandb.*none"):
        tiny(logger="tensorbord")


def test_mlflow_itself_keeps_the_numbers(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_tracking_uri(None)
    run = train_recipe(tiny(epochs=3, validate_every=2, logger="mlflow"), out=tmp_path / "first")
    client = mlflow.MlflowClient()
    kept = client.get_run(json.loads((run / "logger.json").read_text())["id"])
    assert client.get_experiment(kept.info.experiment_id).name == "foveate"
    assert (kept.info.run_name, kept.info.status) == ("first", "FINISHED")
    logged = {
        (name, one.step): one.value
        for name in kept.data.metrics
        for one in client.get_metric_history(kept.info.run_id, name)
    }
    assert logged == pytest.approx(expected(run))
    assert (kept.data.params["model"], kept.data.params["optim/lr"]) == ("fcn8s", "0.001")


def test_wandb_itself_works_offline(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = train_recipe(tiny(epochs=2, logger="wandb"), out=tmp_path / "first")
    (folder,) = (run / "wandb").glob("offline-run-*")
    assert folder.name.endswith(json.loads((run / "logger.json").read_text())["id"])
    (file,) = folder.glob("*.wandb")
    data, block = file.read_bytes(), 2**15  # LevelDB's log: a header of 7 bytes begins every block
    content = data[:block] + b"".join(data[start + 7 : start + block] for start in range(block, len(data), block))
    for (name, _), value in expected(run).items():
        assert name.encode() in content
        assert json.dumps(value).removesuffix(".0").encode() in content, name
