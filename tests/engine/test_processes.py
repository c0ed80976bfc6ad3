"""Two processes on one machine: the result of one, told and written once."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from foveate import cli
from foveate.engine import processes
from foveate.engine.loading import EpochBatches
from foveate.engine.recipe import Recipe
from foveate.engine.resume import choose_folder
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError

# Turned pictures have ignored corners, so the two processes hold different numbers of valid pixels.
WORDS = shlex.split(
    "train fcn8s_pasture --config.pretrained false --config.backbone test_efficientnet --config.head_channels 8 "
    "--config.skip_channels 4 --config.head_kernel 1 --config.dropout 0 --config.lovasz 0 --freeze_norm true "
    "--data.height 40 --data.width 40 --data.train 9 --data.val 5 --data.test 2 --augment.crop 32,32 "
    "--augment.rotate 60 --augment.color 0.2 --batch_size 4 --accumulate 2 --epochs 3 --ema 0.5 --validate_every 1 "
    "--class_weights median --freeze backbone.net.conv_stem --optim.name sgd --optim.lr 0.05 --optim.clip 0.5"
)


def start_on_two(*words: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k not in (*processes.RANKS, processes.FOLDER)}
    command = [sys.executable, "-m", "foveate", *WORDS, "--devices", "2", *words]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def test_two_processes_killed_and_resumed_give_the_result_of_one(tmp_path: Path) -> None:
    first = start_on_two("--out", str(tmp_path / "two"))
    assert first.stderr is not None
    line = first.stderr.readline()
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert line.startswith("epoch 1/3 "), line
    second = start_on_two("--out", str(tmp_path / "two"), "--resume")
    told, complained = second.communicate(timeout=900)
    assert second.returncode == 0, complained

    assert cli.main([*WORDS, "--out", str(tmp_path / "one")]) == 0
    one, two = (load_file(tmp_path / n / "last" / "model.safetensors") for n in ("one", "two"))
    for name, tensor in one.items():
        assert (tensor - two[name]).abs().max() < 1e-5, name
    rows = [RunFolder(tmp_path / n).history() for n in ("one", "two")]
    for mine, theirs in zip(*rows, strict=True):
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-5)  # the mean over both
        # Batch k goes to one process as a whole: the sum over the validation set is the same one.
        assert theirs["val_loss"] == pytest.approx(mine["val_loss"], rel=1e-5)
        for name in ("mean_iou", "pixel_accuracy", "mean_accuracy"):
            assert theirs[name] == pytest.approx(mine[name], abs=2e-3)
    # One process speaks.
    assert [line.split()[0] for line in told.splitlines()] == [
        "the",
        "note:",
        "device:",
        "9",
        "kept:",
        "report:",
        "trained:",
        "next:",
    ]
    assert {line.split()[0] for line in complained.splitlines()} <= {"epoch"}
    assert len(complained.splitlines()) <= 3


def test_a_loss_that_is_not_finite_stops_both_with_all_names(tmp_path: Path) -> None:
    run = start_on_two("--out", str(tmp_path / "run"), "--optim.lr", "1e30", "--optim.clip", "0", "--accumulate", "1")
    complained = run.communicate(timeout=900)[1]
    assert run.returncode == 1
    lines = complained.splitlines()
    assert len(lines) == 1, complained
    second = list(EpochBatches(9, 4, seed=0))[1]
    assert lines[0].startswith("foveate: the loss is not finite in epoch 1 on ")
    told = lines[0].partition(" on ")[2].partition(";")[0]
    assert set(told.split(", ")) == {f"pasture/train/{index:06d}" for _, index in second}


@pytest.mark.parametrize("name", processes.RANKS)
def test_any_of_the_ranks_tells_who_is_first(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for rank in processes.RANKS:
        monkeypatch.delenv(rank, raising=False)
    assert processes.is_first()
    monkeypatch.setenv(name, "0")
    assert processes.is_first()
    monkeypatch.setenv(name, "3")
    assert not processes.is_first()


def test_the_others_learn_the_folder_from_the_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recipe = Recipe("fcn8s", None, name="mine")
    monkeypatch.chdir(tmp_path)
    with processes.share_folder(tmp_path / "runs" / "mine-2"):
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert choose_folder(recipe, None, resume=False).path == tmp_path / "runs" / "mine-2"
    with pytest.raises(ConfigError, match="do not know each other's run folder; name it with --out"):
        choose_folder(recipe, None, resume=False)
    assert choose_folder(recipe, "there", resume=False).path == Path("there")
