"""What a training says of itself: its plan, its progress, the time that it takes, and trials before it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foveate import cli
from foveate.engine import progress, train, trial
from foveate.engine.callbacks import EpochEnd
from foveate.engine.prepare import open_sets, prepare
from foveate.engine.progress import count_text
from foveate.engine.recipe import Recipe, enough_epochs
from foveate.engine.resume import newest_unfinished
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, TrainingError

Tiny = Callable[..., Recipe]


def test_numbers_in_words() -> None:
    assert [count_text(n) for n in (812, 86_300, 4_700_000, 1_200_000_000)] == [
        "812", "86.3 thousand", "4.7 million", "1.2 billion",
    ]  # fmt: skip


def test_the_plan_the_progress_and_the_outcome(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "REWRITE", 0.0)
    monkeypatch.setattr(progress, "MEASURED", 0.0)
    seen: list[dict[str, Any]] = []
    write = progress.Progress._write

    def spy(self: Any, state: str) -> None:
        write(self, state)
        seen.append(json.loads(self.file.read_text()))

    monkeypatch.setattr(progress.Progress, "_write", spy)
    run = RunFolder(train_recipe(tiny(epochs=2, batch_size=2, config__dropout=0.0), out=tmp_path / "run"))
    _, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"device: cpu \(1 thread\); fcn8s: [\d.]+ thousand parameters, all trained", lines[0])
    assert lines[1] == (
        "8 pictures to train on, 3 to rank epochs by; 2 epochs of 4 steps with 2 pictures each, 8 steps in all"
    )
    assert lines[2].startswith("about ")
    assert lines[-1].startswith("kept: epoch ")
    assert [one["state"] for one in (seen[0], seen[-1])] == ["training", "done"]
    assert [(one["step"], one["steps"]) for one in seen] == sorted((one["step"], 8) for one in seen)
    last = seen[-1]
    assert (last["epoch"], last["epochs"], last["step"], last["seconds_left"]) == (2, 2, 8, 0.0)
    kept = int(lines[-1].split()[2])
    assert last["best"] == {
        "epoch": kept, "score": "mean_iou", "value": round(run.history()[kept - 1]["mean_iou"], 6),
    }  # fmt: skip
    # The losses of an epoch's steps average to that of its row.
    steps = [one["loss"] for one in seen if one["step"] > 4 and one["state"] == "training"]
    assert np.mean(list(dict.fromkeys(steps))) == pytest.approx(run.history()[1]["train_loss"], abs=1e-5)


def test_the_plan_counts_what_is_trained_where_some_is_frozen(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_recipe(tiny(epochs=1, freeze=("backbone",)), out=tmp_path / "run")
    line = capsys.readouterr().out.splitlines()[1]
    assert re.search(r" parameters, [\d.]+( thousand)? of them trained$", line)


def test_progress_is_written_once_a_second(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def monotonic() -> float:
        clock[0] += 0.2  # of a second, whatever asks
        return clock[0]

    monkeypatch.setattr(progress.time, "monotonic", monotonic)
    written: list[float] = []
    write = progress.Progress._write
    monkeypatch.setattr(progress.Progress, "_write", lambda self, s: (write(self, s), written.append(self.written)))
    train_recipe(tiny(epochs=3, batch_size=2), out=tmp_path / "run")
    gaps = np.diff(written[:-1])  # the last one says that it is done
    assert len(gaps) >= 2
    assert gaps.min() >= 1.0


def test_the_speed_counts_the_samples_that_there_are(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of a few samples is no larger than they are many."""
    speeds: list[float] = []

    def write(self: Any, state: str) -> None:
        if self.counted:
            speeds.append(self._speed() * self.seconds_per_step)

    monkeypatch.setattr(progress.Progress, "_write", write)
    train_recipe(tiny(epochs=2, batch_size=32, validate_every=2), out=tmp_path / "run")
    assert speeds and speeds == pytest.approx([8.0] * len(speeds))


def test_a_full_disk_under_the_progress_ends_no_training(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "progress.json").mkdir(parents=True)
    run = train_recipe(tiny(epochs=1), out=tmp_path / "run")
    assert len(RunFolder(run).history()) == 1


def test_time_that_is_left_counts_steps_and_validations(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny(epochs=10, validate_every=4)
    shown = progress.Progress(RunFolder(tmp_path), recipe, _epoch_end(recipe), 5)
    assert shown.seconds_left() is None
    shown.measured, shown.counted, shown.epoch, shown.done = 6.0, 3, 5, 22
    # 28 steps of 2 s, and validations after epochs 8 and 10 of 7 s each; that after epoch 4 is over.
    assert shown.seconds_left() == 28 * 2 + 2 * 7


def test_the_estimate_is_corrected_once_where_validations_take_long(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer: Any = SimpleNamespace(is_global_zero=True)
    for steps, said in ((3, ["a validation takes 7 s: about 1 min 10 s to go"]), (5, [])):
        recipe = tiny(epochs=10, validate_every=4)
        shown = progress.Progress(RunFolder(tmp_path), recipe, _epoch_end(recipe), steps)
        shown.measured, shown.counted, shown.epoch, shown.done = 6.0, 3, 4, 10 * steps - 28
        shown.written = np.inf  # nothing is written
        shown.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
        assert capsys.readouterr().out == "", "nothing was estimated yet"
        shown.announced = True
        for _ in range(2):
            shown.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
        assert capsys.readouterr().out.splitlines() == said  # a quarter of 4 epochs of 3 steps of 2 s is 6 s


def _epoch_end(recipe: Recipe) -> Any:
    class Task:
        monitor = "mean_iou"

    class End:
        task = Task()
        history = [  # noqa: RUF012
            {"epoch": 3, "seconds": 10.0, "train_seconds": 10.0},
            {"epoch": 4, "mean_iou": 0.5, "seconds": 17.0, "train_seconds": 10.0},
        ]

    return End()


def test_overfitting_takes_the_first_samples_without_augmentation(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny(overfit=3, epochs=1)
    train, val, _ = open_sets(recipe)
    assert [train.name(i) for i in range(len(train))] == [f"pasture/train/{i:06d}" for i in range(3)]
    assert val is train
    batches = prepare(recipe).batches()
    assert batches.transform is None
    assert prepare(tiny()).batches().transform is not None
    run = RunFolder(train_recipe(recipe, out=tmp_path / "run"))
    assert "3 pictures to train on, the same pictures rank the epochs" in capsys.readouterr().out
    data = run.read_json("data.json")
    assert data["train"] == data["val"] == [f"pasture/train/{i:06d}" for i in range(3)]
    with pytest.raises(ConfigError, match="overfit is -1; expected 0 or more"):
        tiny(overfit=-1)


def test_a_short_training_is_told_how_many_epochs_would_be_enough(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [enough_epochs(30, samples, 8) for samples in (3, 20, 53, 54, 80)] == [200, 100, 34, 34, 30]
    train_recipe(tiny(epochs=2, batch_size=4), out=tmp_path / "short")
    assert (
        "note: 4 steps in all may be too few to learn much; --epochs 100 makes 200 or more\n" in capsys.readouterr().out
    )
    monkeypatch.setattr(train, "FEWEST_STEPS", 4)
    train_recipe(tiny(epochs=2, batch_size=4), out=tmp_path / "enough")
    assert "may be too few" not in capsys.readouterr().out


def test_time_becomes_epochs(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(trial, "_step_seconds", lambda *_: 2.0)
    monkeypatch.setattr(trial, "_validation_seconds", lambda *_: 6.0)
    now = time.monotonic()
    monkeypatch.setattr(trial.time, "monotonic", lambda: now)
    prepared = prepare(tiny(validate_every=3, batch_size=2))  # 8 s an epoch, and 6 s after every third and the last
    assert trial.fit_epochs(prepared, 100.0).epochs == 9  # nine tenths of the time are planned with
    assert trial.fit_epochs(prepared, 99.0).epochs == 8
    assert trial.fit_epochs(prepared, 25.0).epochs == 2  # 2 * 8 + 6 of 22.5 s: the last one is validated, too
    capsys.readouterr()
    assert trial.fit_epochs(prepared, 15.6).epochs == 1
    assert capsys.readouterr().out == "time for 1 epoch of about 14 s\n"
    monkeypatch.setattr(trial, "_step_seconds", lambda *_: 0.1)
    monkeypatch.setattr(trial, "_validation_seconds", lambda *_: 0.05)
    assert trial.fit_epochs(prepare(tiny(batch_size=2)), 5.1).epochs == 10
    assert capsys.readouterr().out == "time for 10 epochs of about 0.45 s\n"
    monkeypatch.setattr(trial, "_step_seconds", lambda *_: 2.0)
    monkeypatch.setattr(trial, "_validation_seconds", lambda *_: 6.0)
    with pytest.raises(ConfigError) as caught:
        trial.fit_epochs(prepared, 10.0)
    assert str(caught.value) == (
        "one epoch with its validation takes about 14 s here, and 9 s of the time are left after the preparation; "
        "give about 5.6 s more, or leave out --time and set --epochs"
    )
    with pytest.raises(ConfigError, match="0 s of the time are left"):
        trial.fit_epochs(prepared, -5.0)
    with pytest.raises(ConfigError, match="--time measures one device"):
        trial.fit_epochs(prepare(tiny(devices=2)), 100.0)


def test_a_training_ends_with_its_time_and_has_a_best_model(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("foveate.engine.train.fit_epochs", lambda prepared, seconds: prepared.recipe)
    monkeypatch.setattr(EpochEnd, "_is_late", lambda self, trainer: len(self.history) == 1)
    run = RunFolder(train_recipe(tiny(epochs=5, validate_every=5), out=tmp_path / "run", seconds=60.0))
    assert len(run.history()) == 2
    assert "mean_iou" in run.history()[-1]  # it was validated, since it is the last
    assert run.best.is_dir()
    assert "stopped at the time limit after epoch 2 of 5" in capsys.readouterr().err


def test_measurements_leave_the_training_as_it_was(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose epochs were measured is the run of as many epochs."""

    def two(prepared: Any, seconds: float) -> Recipe:
        return dataclasses.replace(trial.fit_epochs(prepared, seconds), epochs=2)

    monkeypatch.setattr("foveate.engine.train.fit_epochs", two)
    recipe = tiny(epochs=30, config__dropout=0.3)
    timed = RunFolder(train_recipe(recipe, out=tmp_path / "timed", seconds=600.0))
    assert timed.recipe().epochs == 2
    plain = RunFolder(train_recipe(timed.recipe(), out=tmp_path / "plain"))
    assert [row["train_loss"] for row in timed.history()] == [row["train_loss"] for row in plain.history()]


def test_the_search_finds_the_rate_at_which_a_loss_falls_fastest() -> None:
    lrs = list(np.logspace(-6, 0, 100))
    # A fall in the shape of a logistic curve, steepest at 1e-3, and a rise behind 1e-1.
    losses = [3 - 2 / (1 + math.exp(-4 * (math.log10(lr) + 3))) + max(0.0, math.log10(lr) + 1) * 5 for lr in lrs]
    assert trial.steepest(lrs, losses) == pytest.approx(1e-3, rel=0.1)
    with pytest.raises(TrainingError, match="the loss never falls"):
        trial.steepest(lrs, [float(i) for i in range(100)])


def test_a_search_leaves_the_model_as_it_was(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LR_STEPS", 40)
    prepared = prepare(tiny())
    before = {key: value.clone() for key, value in prepared.model.state_dict().items()}
    state = torch.random.get_rng_state()
    found = trial.find_lr(prepared)
    assert all(torch.equal(before[key], value) for key, value in prepared.model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert found.lrs[0] == trial.LR_LOW
    assert found.lrs[0] < found.best < 1
    assert 10 <= len(list(found.lines())) <= 20


def test_a_preview_shows_the_samples_of_the_first_batches(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(tiny(batch_size=4))
    shown: list[Any] = []
    original = type(prepared.task).preview
    monkeypatch.setattr(
        type(prepared.task), "preview",
        lambda self, samples, training: (shown.extend(samples), original(self, samples, training))[1],
    )  # fmt: skip
    sheet = trial.preview(prepared)
    assert len(shown) == 8  # the whole set: it is smaller than a sheet
    first = next(iter(prepared.batches().loader))
    normalised = prepared.task.collate(shown[:4])
    assert torch.equal(first["image"], normalised["image"])
    assert torch.equal(first["mask"], normalised["mask"])
    assert sheet.width > 4 * 240


def test_the_newest_unfinished_run_goes_on(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no run in runs to go on with: there is none in it"):
        newest_unfinished()
    train_recipe(tiny(epochs=1), out="runs/done")
    with pytest.raises(ConfigError, match="1 finished run in it; name one with --out RUN"):
        newest_unfinished()
    stopped = train_recipe(tiny(epochs=1), out="runs/stopped")
    recipe = json.loads((stopped / "recipe.json").read_text()) | {"epochs": 2}
    (stopped / "recipe.json").write_text(json.dumps(recipe))
    (stopped / "progress.json").write_text(json.dumps({"state": "training"}))
    assert newest_unfinished().path == Path("runs/stopped")
    assert cli.main(["train", "--resume", "--no-report"]) == 0
    assert len(RunFolder(stopped).history()) == 2
