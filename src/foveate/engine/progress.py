"""Progress of a training: the plan at its start, the bar, the estimate of its time, and progress.json.

progress.json is for other programs. It is replaced as a whole, at most once a second, and holds

    state           training, done, stopped (by Ctrl-C or a signal) or failed
    epoch, epochs   the epoch that is trained, from 1, and their number
    step, steps     optimiser batches of the whole run, done and in all
    loss            of the last batch
    samples_per_second, seconds, seconds_left    null where it is not known yet
    best            {"epoch", "score", "value"} of the best epoch so far, or null
    updated         seconds since 1970
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from foveate.disk import atomic_write
from foveate.engine.callbacks import EpochEnd
from foveate.engine.learner import Learner
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.errors import OutputError, counted, duration_text
from foveate.tasks.base import Task

REDRAW = 0.2  # seconds between two drawings of the bar
REWRITE = 1.0  # seconds between two writings of progress.json
MEASURED = 3.0  # seconds of training from which the estimate is made


def plan_lines(
    recipe: Recipe, learner: Learner, task: Task, device: torch.device, train: int, val: int, steps: int
) -> list[str]:
    """The training in two lines: device and parameters; samples and steps.

    train, val: numbers of samples. steps: batches of an epoch.
    """
    parameters = list(learner.model.parameters())
    count = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    trained_text = "all trained" if trained == count else f"{count_text(trained)} of them trained"
    threads = f" ({counted(torch.get_num_threads(), 'thread')})" if device.type == "cpu" else ""
    precision = "" if recipe.precision in ("auto", "float32") else f" in {recipe.precision}"
    total = recipe.epochs * steps
    batch = min(recipe.batch_size, train)
    samples = f"{train} {task.training_noun(train)} to train on"
    others = "" if task.training_noun(2) == task.noun(2) else f" {task.noun(val)}"
    ranked = f"the same {task.noun(2)} rank the epochs" if recipe.overfit else f"{val}{others} to rank epochs by"
    return [
        f"device: {device}{threads}{precision}; {recipe.model}: {count_text(count)} parameters, {trained_text}",
        f"{samples}, {ranked}; {counted(recipe.epochs, 'epoch')} of {counted(steps, 'step')} with {batch} "
        f"{task.training_noun(batch)} each, {counted(total, 'step')} in all",
    ]


def count_text(count: int) -> str:
    """A number of parameters: '812', '23.5 thousand', '4.7 million'."""
    for size, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return str(count)


class Progress(Callback):
    """Shows and writes how far a training is.

    It stands behind the callback `epoch_end`, whose history it reads. steps: batches of an epoch.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, epoch_end: EpochEnd, steps: int) -> None:
        self.run, self.recipe, self.epoch_end, self.steps = run, recipe, epoch_end, steps
        self.file = run.progress
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self.bar = Bar(*columns, TextColumn("{task.fields[facts]}"), console=console, transient=True,
                       auto_refresh=False, disable=not console.is_terminal)  # fmt: skip
        self.drawn = self.written = -math.inf
        self.started = self.last = time.monotonic()
        self.measured = 0.0  # seconds of training steps, the first of which is left out: it allocates
        self.counted = 0  # steps of these seconds
        self.epoch, self.done = 1, 0
        self.first = True
        self.announced = self.validated = False
        self.loss = math.nan

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the bar."""
        self.bar_task = self.bar.add_task("training", total=self.recipe.epochs * self.steps, facts="")
        self.started = time.monotonic()
        self.done = trainer.current_epoch * self.steps
        if trainer.is_global_zero:
            self.bar.start()
            self._write("training")

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin to measure steps."""
        self.epoch, self.last = trainer.current_epoch + 1, time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, i: int) -> None:
        """Take the time of a step; draw and write, a few times a second at most."""
        now = time.monotonic()
        if not self.first:
            self.measured += now - self.last
            self.counted += 1
        self.first, self.last = False, now
        self.done = (self.epoch - 1) * self.steps + i + 1
        self.loss = pl_module.last_loss
        if not trainer.is_global_zero:
            return
        if not self.announced and self.counted and (self.measured >= MEASURED or i + 1 == self.steps):
            self._announce()
        if now - self.drawn >= REDRAW and not self.bar.disable:
            self.drawn = now
            self.bar.update(self.bar_task, completed=self.done, description=f"epoch {self.epoch}/{self.recipe.epochs}",
                            facts=self._facts(), refresh=True)  # fmt: skip
        if now - self.written >= REWRITE:
            self._write("training")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the epoch's outcome, at most once a second as well; after the first validation say what these take."""
        if trainer.is_global_zero and self.announced and not self.validated and (own := self._validation()):
            self.validated = True
            self._correct(own)
        if trainer.is_global_zero and time.monotonic() - self.written >= REWRITE:
            self._write("training")

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the bar away."""
        self.bar.stop()
        if trainer.is_global_zero:
            self._write("stopped" if trainer.interrupted else "done")

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Say that a run is done that ended from outside behind its last checkpoint: no step of it was left."""
        if trainer.is_global_zero and self.written == -math.inf and not self.run.is_done:
            self.epoch, self.done = self.recipe.epochs, self.recipe.epochs * self.steps
            self._write("done")

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Take the bar away before the message."""
        self.bar.stop()
        if trainer.is_global_zero:
            stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
            self._write("stopped" if stopped else "failed")

    @property
    def seconds_per_step(self) -> float | None:
        """Mean time of a step, loading included; None before the second."""
        return self.measured / self.counted if self.counted else None

    def seconds_left(self) -> float | None:
        """Expected time of the remaining steps and of the remaining validations, as far as one was measured."""
        if self.seconds_per_step is None:
            return None
        every, epochs = self.recipe.validate_every, self.recipe.epochs
        left = {e for e in range(self.epoch, epochs + 1) if e % every == 0 or e == epochs}
        left -= {int(row["epoch"]) for row in self.epoch_end.history}
        return (epochs * self.steps - self.done) * self.seconds_per_step + len(left) * self._validation()

    def _validation(self) -> float:
        """Mean seconds of a validation; 0 before the first."""
        history = self.epoch_end.history
        own = [row["seconds"] - row["train_seconds"] for row in history if self.epoch_end.task.monitor in row]
        return sum(own) / len(own) if own else 0.0

    def _correct(self, validation: float) -> None:
        """Print the estimate again if validations take more than a quarter of the time of steps."""
        each, left = self.seconds_per_step, self.seconds_left()
        assert each is not None and left is not None
        if left >= MEASURED and validation > 0.25 * each * self.steps * self.recipe.validate_every:
            print(f"a validation takes {duration_text(validation)}: about {duration_text(left)} to go", flush=True)

    def _announce(self) -> None:
        self.announced = True
        each, left = self.seconds_per_step, self.seconds_left()
        assert each is not None and left is not None
        if left < MEASURED:  # it is over before the line is read
            return
        print(
            f"about {duration_text(left)} to go: {each:.3g} s a step, {self._speed():.3g} samples a second; "
            "validations come on top",
            flush=True,
        )

    def _speed(self) -> float:
        """Samples a second."""
        each = self.seconds_per_step
        return self.epoch_end.batches.batch_size / each if each else math.nan

    def _facts(self) -> str:
        left = self.seconds_left()
        if left is None:
            return ""
        return f"loss {self.loss:.4g}  {self._speed():.3g} samples/s  {duration_text(left)} left"

    def _write(self, state: str) -> None:
        self.written = time.monotonic()
        left, speed = self.seconds_left(), self._speed()
        monitor = self.epoch_end.task.monitor
        best = next((r for r in self.epoch_end.history if r["epoch"] == self.epoch_end.best_epoch), None)
        content = {
            "state": state,
            "epoch": self.epoch,
            "epochs": self.recipe.epochs,
            "step": self.done,
            "steps": self.recipe.epochs * self.steps,
            "loss": _plain(self.loss),
            "samples_per_second": _plain(speed),
            "seconds": round(self.written - self.started, 1),
            "seconds_left": None if left is None else round(left, 1),
            "best": None if best is None else {
                "epoch": int(best["epoch"]), "score": monitor, "value": _plain(best.get(monitor, math.nan)),
            },
            "updated": round(time.time(), 1),
        }  # fmt: skip
        # It is renewed every second: neither worth a flush to the disk, nor the end of a training.
        with contextlib.suppress(OutputError), atomic_write(self.file, flush=False) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
