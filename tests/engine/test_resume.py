"""A run that was stopped, at any moment, is resumed to the same weights, bit for bit."""

from __future__ import annotations

import csv
import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from foveate import cli
from foveate.engine import train
from foveate.engine.evaluate import evaluate_run
from foveate.engine.recipe import Recipe
from foveate.engine.resume import newest_unfinished
from foveate.engine.run import RunFolder
from foveate.engine.several import train_each
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, DataError, ModelError
from foveate.store import read_checkpoint

Tiny = Callable[..., Recipe]

# All that has a memory or a dice: averaged weights, dropout, augmentation, class weights, accumulation over batches
# (with an odd one left over at the epoch's end), momentum, batch norm, frozen parts.
WORDS = shlex.split(
    "train fcn8s_pasture --config.pretrained false --config.backbone test_efficientnet --config.head_channels 8 "
    "--config.skip_channels 4 --config.head_kernel 1 --config.dropout 0.3 --data.height 40 --data.width 40 "
    "--data.train 10 --data.val 3 --data.test 2 --augment.crop 32,32 --augment.color 0.3 --augment.rotate 10 "
    "--batch_size 2 --accumulate 2 --epochs 3 --ema 0.9 --class_weights median --freeze backbone.net.conv_stem "
    "--optim.lr 0.003 --optim.backbone_lr 0.5 --config.lovasz 0.5 --validate_every 1"
)
KILLED = [
    "before_it_begins", "in_the_first_epoch", "in_a_later_epoch", "in_the_last_batch", "before_the_best_model",
    "before_the_last_model", "before_the_first_checkpoint", "before_a_checkpoint", "after_a_checkpoint",
    "before_the_metrics", "with_a_worker",
]  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A folder of runs, one for each way to end, and how each ended."""
    folder = tmp_path_factory.mktemp("stopped")
    script = Path(__file__).with_name("stopped_runs.py")
    command = [sys.executable, str(script), str(folder), json.dumps(WORDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def resume(run: Path, *more: str) -> int:
    return cli.main([*WORDS, "--out", str(run), "--resume", *more])


def history(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = ("seconds", "train_seconds", "peak_memory_mib")  # of the machine, not of the run
    return [{name: value for name, value in row.items() if name not in measured} for row in rows]


def assert_same_run(run: Path, other: Path) -> None:
    for name in ("last/model.safetensors", "model/model.safetensors", "model/config.json", "recipe.json", "data.json"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    assert history(run) == history(other)
    mine, theirs = (read_checkpoint(r / "checkpoints" / "last.ckpt") for r in (run, other))
    assert mine["global_step"] == theirs["global_step"] == 9
    for name, tensor in theirs["state_dict"].items():
        assert torch.equal(mine["state_dict"][name], tensor), name
    assert not list(run.rglob("*.unfinished*"))


@pytest.mark.parametrize("moment", KILLED)
def test_a_killed_run_is_resumed_bit_for_bit(stopped: tuple[Path, dict[str, int]], moment: str) -> None:
    folder, ends = stopped
    assert ends["never"] == 0, (folder / "never.log").read_text()
    assert ends[moment] == -9
    whole_before = (folder / moment / "checkpoints" / "last.ckpt").is_file()
    assert whole_before == (moment not in {
        "before_it_begins", "in_the_first_epoch", "before_the_best_model", "before_the_first_checkpoint"
    })  # fmt: skip
    assert resume(folder / moment, *(["--workers", "1"] if moment == "with_a_worker" else [])) == 0
    if moment == "with_a_worker":  # the workers are a field, the only one that may differ from the reference
        texts = [(folder / m / "recipe.json").read_text() for m in (moment, "never")]
        assert texts[0].replace('"workers": 1', '"workers": -1') == texts[1]
        (folder / moment / "recipe.json").write_text(texts[1])
    assert_same_run(folder / moment, folder / "never")


def test_a_run_that_was_killed_again_and_again_is_the_same(stopped: tuple[Path, dict[str, int]]) -> None:
    folder, _ = stopped
    assert resume(folder / "anywhere") == 0
    assert_same_run(folder / "anywhere", folder / "never")


def test_ctrl_c_says_so_in_one_line_and_leaves_a_resumable_run(stopped: tuple[Path, dict[str, int]]) -> None:
    folder, ends = stopped
    assert ends["ctrl_c"] == 130
    lines = (folder / "ctrl_c.log").read_text().splitlines()
    assert lines[-1] == "foveate: stopped; a training goes on from its last finished epoch with --resume"
    assert not [line for line in lines if "Traceback" in line or "KeyboardInterrupt" in line]
    assert len(lines) == 6  # the data, a note on few steps, the plan in two lines, one epoch, the farewell
    assert resume(folder / "ctrl_c") == 0
    assert_same_run(folder / "ctrl_c", folder / "never")


def test_a_full_disk_is_one_line_and_loses_nothing(stopped: tuple[Path, dict[str, int]]) -> None:
    folder, ends = stopped
    assert ends["disk_full"] == 1
    lines = (folder / "disk_full.log").read_text().splitlines()
    assert len(lines) == 6, lines
    assert lines[-1].startswith(
        f"foveate: cannot write {folder}/disk_full/checkpoints/last.ckpt: File too large; free some"
    )
    assert "--resume" in lines[-1]
    kept = read_checkpoint(folder / "disk_full" / "checkpoints" / "last.ckpt")
    assert kept["global_step"] == 3  # the first epoch's, whole
    assert not list((folder / "disk_full").rglob("*.unfinished*"))
    assert resume(folder / "disk_full") == 0
    assert_same_run(folder / "disk_full", folder / "never")


@pytest.fixture
def finished(stopped: tuple[Path, dict[str, int]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped[0] / "never", tmp_path / "run"))


def test_resuming_a_finished_run_changes_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    assert resume(finished) == 0
    told = capsys.readouterr().out
    assert f"\n{finished} was finished already, with 3 epochs; nothing is left to train\nkept: epoch " in told
    assert "parameters" not in told and "to train on" not in told
    assert {p: p.read_bytes() for p in before} == before
    assert {p.parent.name for p in finished.rglob("*") if p.is_file() and p not in before} <= {"tensorboard"}


@pytest.mark.parametrize(
    ("change", "name"),
    [("--epochs 4", "epochs = 3"), ("--optim.lr 1e-4", "optim.lr = 0.003"), ("--data.seed 1", "data.seed = 0"),
     ("--augment.crop 40,40", r"augment.crop = \[32, 32\]"), ("--seed 1", "seed = 0")],
)  # fmt: skip
def test_another_field_is_refused_by_name(
    finished: Path, capsys: pytest.CaptureFixture[str], change: str, name: str
) -> None:
    before = (finished / "recipe.json").read_bytes()
    assert resume(finished, *change.split()) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"foveate: {finished} was started with {name.replace(chr(92), '')}, and is resumed with ")
    assert message.count("\n") == 1
    assert (finished / "recipe.json").read_bytes() == before


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "flipped"])
def test_a_damaged_checkpoint_is_named_and_nothing_is_lost(
    finished: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    checkpoint = finished / "checkpoints" / "last.ckpt"
    whole = checkpoint.read_bytes()
    broken = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "garbage": b"not a checkpoint at all" * 100,
        "flipped": whole[:40] + bytes(byte ^ 255 for byte in whole[40:4000]) + whole[4000:],
    }[damage]
    checkpoint.write_bytes(broken)
    models = {p: p.read_bytes() for p in finished.rglob("*.safetensors")}
    assert resume(finished) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"foveate: {checkpoint} is damaged")
    assert "delete it to start this run over" in message
    assert message.count("\n") == 1
    assert checkpoint.read_bytes() == broken
    assert {p: p.read_bytes() for p in models} == models


def test_a_checkpoint_that_holds_code_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = finished / "checkpoints" / "last.ckpt"
    torch.save({"state_dict": {}, "code": subprocess.Popen}, checkpoint)
    assert resume(finished) == 1
    assert "refused, since reading it could run code" in capsys.readouterr().err


def test_other_pictures_are_refused(finished: Path) -> None:
    about = json.loads((finished / "data.json").read_text())
    about["train"][3] = "pasture/train/999999"
    (finished / "data.json").write_text(json.dumps(about))
    recipe = evaluate_run(finished).dataset.source  # the run's own source
    assert recipe.train == 10

    with pytest.raises(
        DataError, match=r"was started with 10 train samples, now there are 10; first difference: .*000003"
    ):
        train_recipe(RunFolder(finished).recipe(), out=finished, resume=True)


def test_a_new_run_never_lands_on_an_old_one(finished: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match="already holds a run; add --resume to go on with it, or choose another --out"
    ):
        train_recipe(tiny(), out=finished)
    shutil.move(finished / "checkpoints", finished.parent)  # as to save space
    weights = (finished / "model" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="already holds a run"):
        train_recipe(tiny(seed=5), out=finished)
    assert (finished / "model" / "model.safetensors").read_bytes() == weights
    monkeypatch.chdir(finished.parent)
    assert [str(train_recipe(tiny(epochs=1))) for _ in range(2)] == ["runs/fcn8s_pasture", "runs/fcn8s_pasture-2"]
    assert str(train_recipe(tiny(epochs=1), resume=True)) == "runs/fcn8s_pasture-2"


def test_a_damaged_recipe_is_named(finished: Path) -> None:
    (finished / "recipe.json").write_text('{"model": ')
    with pytest.raises(ModelError, match=r"recipe\.json cannot be read .* restore it or train again"):
        evaluate_run(finished)


def test_a_run_that_stopped_early_stays_stopped(
    tiny: Tiny, tmp_path: Path, scripted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    scripted([0.5, 0.4, 0.3])  # no epoch is better than the first
    recipe = tiny(epochs=9, early_stop=2)
    run = train_recipe(recipe, out=tmp_path / "run")
    assert [row["epoch"] for row in history(run)] == ["1", "2", "3"]
    before = (run / "checkpoints" / "last.ckpt").read_bytes()
    capsys.readouterr()
    train_recipe(recipe, out=run, resume=True)
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == before
    assert len(history(run)) == 3
    told = f"{run} was finished already: it stopped early, with 3 epochs of 9; nothing is left to train\n"
    assert told in capsys.readouterr().out


def test_early_stopping_waits_for_validations(tiny: Tiny, tmp_path: Path, scripted: Callable[..., None]) -> None:
    scripted([0.5, 0.4])
    recipe = tiny(epochs=9, early_stop=1, validate_every=3)
    run = train_recipe(recipe, out=tmp_path / "run")
    assert [row["mean_iou"] != "" for row in history(run)] == [False, False, True, False, False, True]


def test_resuming_before_the_first_checkpoint_starts_from_the_same_weights(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_recipe(tiny(epochs=1), out=tmp_path / "first")
    tuned = train_recipe(tiny(epochs=1, seed=1), out=tmp_path / "tuned", init=first)
    expected = (tuned / "last" / "model.safetensors").read_bytes()
    shutil.rmtree(tuned / "checkpoints")
    (tuned / "last" / "model.safetensors").unlink()
    train_recipe(tiny(epochs=1, seed=1), out=tuned, resume=True)  # without saying again where from
    assert (tuned / "last" / "model.safetensors").read_bytes() == expected


def test_a_run_that_failed_before_its_first_epoch_is_no_obstacle(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown module to freeze"):
        train_recipe(tiny(epochs=1, freeze=("backbon",)), out=tmp_path / "run")
    assert (tmp_path / "run" / "recipe.json").is_file()  # the half-made folder
    run = train_recipe(tiny(epochs=1), out=tmp_path / "run")
    assert RunFolder(run).recipe().freeze == ()


def test_a_run_that_was_killed_behind_its_last_checkpoint_is_done(tiny: Tiny, tmp_path: Path) -> None:
    """Its progress.json is of an earlier epoch then, and of another best one, or was damaged by a power cut."""
    recipe = tiny(epochs=2)
    run = RunFolder(train_recipe(recipe, out=tmp_path / "runs" / "run"))
    whole = run.read_json("progress.json")
    assert run.is_done
    early = whole | {"state": "training", "epoch": 1, "step": 2, "best": {"epoch": 1, "score": "mean_iou", "value": 9}}
    for left in (json.dumps(early), "", "[]"):
        run.progress.write_text(left)
        assert not run.is_done and newest_unfinished(run.path.parent).path == run.path
        (one,) = train_each({"run": recipe}, run.path.parent, "run")
        assert run.is_done and one.score == whole["best"]["value"]
        again = run.read_json("progress.json")
        assert {k: again[k] for k in ("epoch", "epochs", "step", "steps", "best")} == {
            k: whole[k] for k in ("epoch", "epochs", "step", "steps", "best")
        }
    with pytest.raises(ConfigError, match="1 finished run in it"):
        newest_unfinished(run.path.parent)
    shutil.rmtree(run.path / "checkpoints")  # as to save space
    (one,) = train_each({"run": recipe}, run.path.parent, "run")
    assert one.score == whole["best"]["value"]
    with pytest.raises(ConfigError, match="was started with seed = 0, and is resumed with 1"):
        train_each({"run": tiny(epochs=2, seed=1)}, run.path.parent, "run")
    run.progress.write_text(json.dumps(early))
    with pytest.raises(ConfigError, match=r"was stopped, and has no checkpoints/last.ckpt any more to go on from"):
        train_each({"run": recipe}, run.path.parent, "run")


def test_a_resumed_run_keeps_its_start(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of epochs that a time gave, and the weights that it began from."""
    first = train_recipe(tiny(epochs=1), out=tmp_path / "first")
    monkeypatch.setattr(train, "fit_epochs", lambda prepared, seconds: dataclasses.replace(prepared.recipe, epochs=1))
    recipe, folder = tiny(epochs=5, seed=1), tmp_path / "tuned"
    run = RunFolder(train_recipe(recipe, out=folder, init=first, seconds=600))
    before = run.checkpoint.read_bytes()
    train_recipe(recipe, out=folder, init=first, seconds=600, resume=True)
    monkeypatch.chdir(tmp_path)
    train_recipe(recipe, out=folder, init="first", seconds=600, resume=True)
    train_recipe(recipe, out=folder, seconds=600, resume=True)
    assert run.checkpoint.read_bytes() == before and run.recipe().epochs == len(run.history()) == 1
    with pytest.raises(ConfigError, match="was started with epochs = 1, and is resumed with 5"):
        train_recipe(recipe, out=folder, init=first, resume=True)
    with pytest.raises(ConfigError, match=f"was started with init = {first}, and is resumed with {folder}; "):
        train_recipe(recipe, out=folder, init=folder, seconds=600, resume=True)
    with pytest.raises(ConfigError, match=f"was started with init = None, and is resumed with {folder}; "):
        train_recipe(tiny(epochs=1), out=first, init=folder, resume=True)


def test_a_folder_is_a_run_once_all_of_its_start_is_written(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a resume would start from other weights, or another list of classes."""
    run = RunFolder(tmp_path / "run")
    run.start(tiny(seed=1), {}, {"init": "earlier"})

    class KilledError(Exception):
        pass

    def write_json(self: RunFolder, name: str, content: object) -> None:
        if name == killed[-1]:
            raise KilledError
        original(self, name, content)

    original, killed = RunFolder.write_json, []
    monkeypatch.setattr(RunFolder, "write_json", write_json)
    for name in ("tables.json", "environment.json", "data.json", "recipe.json"):
        killed.append(name)
        with pytest.raises(KilledError):
            run.start(tiny(seed=2), {}, {"init": "later"})
        assert not run.recipe_file.exists()
    with pytest.raises(ModelError, match="is not a run folder"):
        RunFolder.existing(run.path)
