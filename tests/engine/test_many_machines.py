"""Two machines, played by two process groups that share nothing but the loopback interface."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from foveate import cli
from foveate.engine import processes
from foveate.engine.processes import devices_of
from foveate.errors import ConfigError

# Turned images have ignored corners, so that processes hold different numbers of valid pixels.
WORDS = shlex.split(
    "train fcn8s_pasture --config.pretrained false --config.backbone test_efficientnet --config.head_channels 8 "
    "--config.skip_channels 4 --config.head_kernel 1 --config.dropout 0 --config.lovasz 0 --freeze_norm true "
    "--data.height 40 --data.width 40 --data.train 8 --data.val 3 --data.test 2 --augment.crop 32,32 "
    "--augment.rotate 60 --augment.color 0.2 --batch_size 4 --epochs 12 --ema 0.5 --validate_every 1 "
    "--freeze backbone.net.conv_stem --optim.name sgd --optim.lr 0.02 --optim.clip 0.5 --no-report"
)
LAUNCHED = ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE", *processes.RANKS)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process that no launcher started."""
    for name in [n for n in os.environ if n in LAUNCHED or n.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(machine: Path, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a machine's process, with folders of its own."""
    machine.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if k not in (*LAUNCHED, processes.FOLDER) and "SLURM" not in k}
    own = {"HOME": str(machine), "FOVEATE_CACHE": str(machine / "cache"), "TMPDIR": str(machine)}
    threads = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        command,
        cwd=machine,
        env=kept | own | threads | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def by_torchrun(machines: list[Path], *words: str) -> list[subprocess.Popen[str]]:
    """Start a training on two machines as a user does by hand, one torchrun on each."""
    port = free_port()
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1"]
    return [start(m, [*command, "-m", "foveate", *WORDS, *words], {}) for m in machines]


def by_slurm(machines: list[Path], *words: str) -> list[subprocess.Popen[str]]:
    """Start a training on two machines with what srun tells each of its tasks."""
    common = {
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "SLURM_LOCALID": "0",
        "SLURM_NODELIST": "127.0.0.1", "SLURM_JOB_NAME": "train", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    return [
        start(machine, [sys.executable, "-m", "foveate", *WORDS, *words],
              common | {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)})
        for rank, machine in enumerate(machines)
    ]  # fmt: skip


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a machine's launcher and the process that it started, in a session of its own."""
    own = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, own)):
        os.kill(pid, signal.SIGKILL)


def weights(machine: Path) -> dict[str, torch.Tensor]:
    return load_file(machine / "run" / "last" / "model.safetensors")


def test_a_machine_killed_and_the_job_started_again_give_the_weights_of_one_process(
    tmp_path: Path, alone: pytest.MonkeyPatch
) -> None:
    machines = [tmp_path / "a", tmp_path / "b"]
    flags = ("--nodes", "2", "--out", "run", "--resume")
    started = by_torchrun(machines, *flags)
    try:
        lines = {process.stderr: "" for process in started}
        while not any("epoch 1/12 " in text for text in lines.values()):
            ready = started[0] if (machines[0] / "run").exists() or not (machines[1] / "run").exists() else started[1]
            assert ready.stderr is not None
            lines[ready.stderr] += (line := ready.stderr.readline())
            assert line, lines
        first = started.index(ready)
        kill(started[1 - first])
        complained = started[first].communicate(timeout=900)[1]
        assert "foveate: another process of this training ended" in complained, complained
        assert "start all of them again, with --resume" in complained
        assert not (machines[1 - first] / "run").exists()  # the first process alone writes
    finally:
        for process in started:
            if process.poll() is None:
                kill(process)
            process.communicate()

    order = [machines[first], machines[1 - first]]
    shutil.copytree(order[0], tmp_path / "fewer")
    again = by_slurm(order, *flags)
    told = [process.communicate(timeout=900) for process in again]
    assert [process.returncode for process in again] == [0, 0], told
    assert "epoch 1/12 " not in told[0][1] and "epoch 12/12 " in told[0][1]
    assert told[1] == ("", "")  # one process speaks
    assert not (order[1] / "run").exists()

    # The same run goes on with one process, and a run that was never stopped.
    alone.chdir(tmp_path / "fewer")
    assert cli.main([*WORDS, "--resume", "--out", "run", "--nodes", "1"]) == 0
    assert cli.main([*WORDS, "--out", str(tmp_path / "one" / "run")]) == 0
    one, two, fewer = weights(tmp_path / "one"), weights(order[0]), weights(tmp_path / "fewer")
    for name, tensor in one.items():
        assert (tensor - two[name]).abs().max() < 1e-5, name
        assert (tensor - fewer[name]).abs().max() < 1e-5, name


def test_batch_normalisation_goes_on_with_the_number_of_processes_that_it_began_with(tmp_path: Path) -> None:
    from foveate.engine.callbacks import EpochEnd
    from foveate.engine.recipe import Recipe
    from foveate.engine.run import RunFolder
    from foveate.tasks import find_task

    class Batches:
        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    family = find_task("semantic")

    def callback(processes: int, normalises: bool) -> EpochEnd:
        recipe, run = Recipe("fcn8s", None), RunFolder(tmp_path)
        return EpochEnd(run, recipe, family, [], None, [], Batches(), None, processes, normalises)  # type: ignore[arg-type]

    state = callback(2, True).state_dict()
    callback(2, True).load_state_dict(state)
    callback(1, False).load_state_dict(state)
    with pytest.raises(
        ConfigError, match="was started on 2 processes and is resumed on 1, and its model learns batch "
    ):
        callback(1, True).load_state_dict(state)
    callback(1, True).load_state_dict({k: v for k, v in state.items() if k != "processes"})  # of an earlier version


def test_several_machines_need_a_launcher(alone: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"nodes is 2, but no launcher started this process; .* torchrun, or with srun"
    ):
        devices_of(0, 2)
    assert devices_of(3, 1) == 3


def test_numbers_are_those_of_the_launcher(alone: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        alone.setenv(name, value)
    assert devices_of(0, 2) == devices_of(2, 2) == 2
    for devices, nodes in ((0, 1), (1, 2), (2, 1), (4, 1)):
        with pytest.raises(ConfigError, match="the launcher started 4 processes on 2 machines, but nodes is"):
            devices_of(devices, nodes)


def test_slurm_needs_the_tasks_of_each_machine(alone: pytest.MonkeyPatch) -> None:
    alone.setenv("SLURM_PROCID", "0")
    alone.setenv("SLURM_NTASKS", "2")
    with pytest.raises(ConfigError, match="give --ntasks-per-node to sbatch or srun"):
        processes.join()
    alone.setenv("SLURM_JOB_NAME", "interactive")
    assert processes.launched() == 0


def test_torchrun_inside_slurm_says_who_is_first(alone: pytest.MonkeyPatch) -> None:
    alone.setenv("SLURM_PROCID", "1")
    alone.setenv("RANK", "0")
    assert processes.is_first()
    alone.setenv("SLURM_PROCID", "0")
    alone.setenv("RANK", "1")
    assert not processes.is_first()
