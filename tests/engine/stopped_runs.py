"""Makes training runs that end badly, for test_resume.py.

    python stopped_runs.py FOLDER '["train", RECIPE, ...]'

Each run is a process forked from this one (which has imported everything, and computed nothing), told to meet its end
at one moment. FOLDER/<moment>.log holds what it said; how all of them ended is printed as JSON, negative for a signal.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from foveate import cli
from foveate.engine import checkpoints, learner, run

# Imported before the forks, so that none of them has to.
for module in ("engine.train", "recipes.fcn", "models.semantic.fcn", "datasets.pasture", "tasks.semantic.task"):
    importlib.import_module(f"foveate.{module}")
importlib.import_module("torch.utils.tensorboard")


def strike(owner: Any, name: str, when: Callable[..., bool], blow: Callable[[], None]) -> None:
    """Deal the blow as soon as a function is called with arguments for which `when` is true."""
    original = getattr(owner, name)

    def struck(*arguments: Any, **more: Any) -> Any:
        if when(*arguments):
            blow()
        return original(*arguments, **more)

    setattr(owner, name, struck)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def no_room() -> None:
    """No file may grow past 600 kB from here on: enough for the weights, too little for a checkpoint."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))


def step(epoch: int, batch: int) -> Callable[..., bool]:
    return lambda learner, _, index: (learner.current_epoch, index) == (epoch, batch)


def replaced(suffix: str, nth: int) -> Callable[..., bool]:
    """At the nth time that a whole temporary file is about to become the file of this path."""
    seen = []

    def when(_: Path, target: Path) -> bool:
        if str(target).endswith(suffix):
            seen.append(target)
        return len(seen) == nth

    return when


def after_checkpoint(nth: int) -> None:
    original, done = checkpoints.Checkpoints.save_checkpoint, []

    def save(*arguments: Any, **more: Any) -> None:
        original(*arguments, **more)
        done.append(1)
        if len(done) == nth:
            kill()

    checkpoints.Checkpoints.save_checkpoint = save  # type: ignore[method-assign]


MOMENTS: dict[str, Callable[[], None]] = {
    "never": lambda: None,
    "before_it_begins": lambda: strike(
        run.RunFolder, "write_json", lambda _, name, __: name == "environment.json", kill
    ),
    "in_the_first_epoch": lambda: strike(learner.Learner, "training_step", step(0, 3), kill),
    "in_a_later_epoch": lambda: strike(learner.Learner, "training_step", step(1, 2), kill),
    "in_the_last_batch": lambda: strike(learner.Learner, "training_step", step(2, 4), kill),
    "before_the_best_model": lambda: strike(Path, "replace", replaced("model/model.safetensors", 1), kill),
    "before_the_last_model": lambda: strike(Path, "replace", replaced("last/model.safetensors", 2), kill),
    "before_the_first_checkpoint": lambda: strike(Path, "replace", replaced("last.ckpt", 1), kill),
    "before_a_checkpoint": lambda: strike(Path, "replace", replaced("last.ckpt", 2), kill),
    "after_a_checkpoint": lambda: after_checkpoint(1),
    "before_the_metrics": lambda: strike(Path, "replace", replaced("metrics.csv", 2), kill),
    "ctrl_c": lambda: strike(learner.Learner, "training_step", step(1, 2), interrupt),
    "disk_full": lambda: strike(learner.Learner, "training_step", step(1, 2), no_room),
    "with_a_worker": lambda: strike(learner.Learner, "training_step", step(1, 2), kill),
}
EXTRA = {"with_a_worker": ["--workers", "1"]}


def fork(log: Path, moment: str, words: list[str]) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
    torch.set_num_threads(1)
    MOMENTS[moment]()
    code = cli.main(words)
    sys.stdout.flush()
    os._exit(code)


def main(folder: Path, words: list[str]) -> None:
    ends = {}
    started = time.monotonic()
    for moment in MOMENTS:
        out = ["--out", str(folder / moment), *EXTRA.get(moment, [])]
        child = fork(folder / f"{moment}.log", moment, words + out)
        ends[moment] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if moment == "never":
            whole = time.monotonic() - started
    dice = random.Random(0)
    for _ in range(5):  # killed from outside, whatever it is doing, and resumed each time
        child = fork(folder / "anywhere.log", "never", [*words, "--out", str(folder / "anywhere"), "--resume"])
        time.sleep(dice.uniform(0.1, 0.9) * whole)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
