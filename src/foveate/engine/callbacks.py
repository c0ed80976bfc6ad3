"""What happens around Lightning's steps: progress, and the work at the end of each epoch."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import lightning
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # fmt: skip
from rich.progress import Progress as Bar

from foveate.engine.learner import Learner
from foveate.engine.loading import mixed_seed
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder, peak_memory
from foveate.errors import OutputError
from foveate.store import save_model

REDRAW = 0.2  # seconds between two looks at the progress bar


class Progress(Callback):
    """A bar over the whole run, for a terminal."""

    def __init__(self, recipe: Recipe) -> None:
        self.epochs = recipe.epochs
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
        )
        self.drawn = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the bar."""
        self.task = self.bar.add_task("training", total=self.epochs)
        if trainer.is_global_zero:
            self.bar.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, i: int) -> None:
        """Move it, a few times a second at most."""
        now = time.monotonic()
        if now - self.drawn < REDRAW:
            return
        self.drawn = now
        epoch = trainer.current_epoch
        done = epoch + (i + 1) / max(1, int(trainer.num_training_batches))
        self.bar.update(self.task, completed=done, description=f"epoch {epoch + 1}/{self.epochs}", refresh=True)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take it away."""
        self.bar.stop()

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Take it away before the message."""
        self.bar.stop()


class EpochEnd(Callback):
    """Validates, logs, keeps the best model, checkpoints, stops early. All it remembers is in its state_dict."""

    def __init__(self, run: RunFolder, recipe: Recipe, task: Any, val_set: Any, batches: Any) -> None:
        self.run, self.recipe, self.task, self.val_set, self.batches = run, recipe, task, val_set, batches
        self.history: list[dict[str, float]] = []
        self.best, self.best_epoch = -math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and lists only: checkpoints are read as tensors and primitives."""
        return {"history": self.history, "best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.history, self.best, self.best_epoch = list(state["history"]), state["best"], state["best_epoch"]
        # Lightning says which epoch it is only after loading processes have begun to fetch.
        self.batches.set_epoch(len(self.history))

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A run that had stopped early is not resumed into another epoch."""
        if self._patience_is_over():
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Seed dropout and its like by (seed, epoch, process), so that an epoch is the same after a resume."""
        torch.manual_seed(mixed_seed(self.recipe.seed, trainer.current_epoch, trainer.global_rank, 1))
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """See the class."""
        assert isinstance(pl_module, Learner)
        epoch = trainer.current_epoch + 1
        row: dict[str, float] = {"epoch": epoch}
        row |= {f"train_{name}": value for name, value in _mean_over_processes(pl_module.take_losses()).items()}
        row["lr"] = pl_module.last_lr
        row["train_seconds"] = round(time.perf_counter() - self.started, 3)
        if epoch % self.recipe.validate_every == 0 or epoch == self.recipe.epochs:
            row |= self._validate(trainer, pl_module)
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        if (memory := peak_memory()) is not None:
            row["peak_memory_mib"] = memory
        self.history.append(row)

        score = row.get(self.task.monitor)
        # The first score is the best so far even where it is not a number, as that of too few pictures to compare.
        improved = score is not None and (score > self.best or not self.best_epoch)
        if improved and score is not None:
            self.best, self.best_epoch = (-math.inf if math.isnan(score) else score), epoch
        with self._saving():
            if trainer.is_global_zero:
                self._write(trainer, pl_module, row, improved)
            trainer.save_checkpoint(self.run.checkpoint)  # every process takes part; the first one writes
        if trainer.is_global_zero:
            shown = ("train_loss", *self.task.headline[:2])
            told = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if k in shown)
            took = f"{row['seconds']:.1f} s" + ("  best" if improved else "")
            print(f"epoch {epoch}/{self.recipe.epochs}  {told}  {took}", file=sys.stderr, flush=True)
        if self._patience_is_over():
            trainer.should_stop = True

    def _patience_is_over(self) -> bool:
        last = self.history[-1] if self.history else {}
        waited = last.get("epoch", 0) - self.best_epoch
        return 0 < self.recipe.early_stop <= waited and self.task.monitor in last

    def _validate(self, trainer: lightning.Trainer, learner: Learner) -> dict[str, float]:
        """Scores on the validation pictures; each process looks at its share and the counts are summed."""
        model = learner.best_guess
        training = model.training
        model.eval()
        with torch.inference_mode():
            indices = range(trainer.global_rank, len(self.val_set), trainer.world_size)
            metrics = self.task.metrics(self.val_set, whole=False)
            for _ in self.task.score(model, self.val_set, indices, metrics):
                pass
        model.train(training)
        learner.train(learner.training)  # the frozen parts stay in evaluation mode
        if trainer.world_size > 1:
            state = metrics.state().to(learner.device)
            dist.all_reduce(state)
            metrics = self.task.metrics(self.val_set, whole=False)
            metrics.merge(state.cpu())
        scores = metrics.compute()
        return {name: float(getattr(scores, name)) for name in self.task.headline}

    def _write(self, trainer: lightning.Trainer, learner: Learner, row: dict[str, float], improved: bool) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))
            logger.save()
        name, classes, task = self.recipe.model, self.task.classes, self.recipe.task
        if improved:
            save_model(self.run.best, learner.best_guess, name, classes, task)
        save_model(self.run.last, learner.best_guess, name, classes, task)
        self.run.write_history(self.history)

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            raise OutputError(f"{error}; then go on from the last whole epoch with --resume") from error
        except OSError as error:  # TensorBoard's
            raise OutputError(
                f"cannot write into {self.run.path}: {error.strerror or error}; free some space, then go on from the "
                "last whole epoch with --resume"
            ) from error


def _mean_over_processes(losses: dict[str, float]) -> dict[str, float]:
    if not (dist.is_available() and dist.is_initialized()):
        return losses
    values = torch.tensor(list(losses.values()), dtype=torch.float64)
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    values = values.to(device)
    dist.all_reduce(values)
    return dict(zip(losses, (values / dist.get_world_size()).tolist(), strict=True))
