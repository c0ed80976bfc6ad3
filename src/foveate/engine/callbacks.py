"""The work at the end of each epoch: validation, the log, the best model, the checkpoint."""

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

from foveate.engine.learner import Learner
from foveate.engine.loading import mixed_seed, seeded
from foveate.engine.processes import is_first
from foveate.engine.ranking import LOSS, Ranking
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder, peak_memory
from foveate.errors import ConfigError, DataError, OutputError, counted, duration_text
from foveate.ops.losses import single_process
from foveate.store import save_model
from foveate.tasks.base import Task
from foveate.tasks.contract import logged_scores


class EpochEnd(Callback):
    """Validates, logs, keeps the best model, checkpoints, stops early. Its whole state is in its state_dict.

    val_set: of the family, scored as it is. loss_set: the same as pairs of input and target, for the validation loss;
    None where it has none. training_set: without augmentation, for what gradients do not train. batches:
    the sampler of the training batches. deadline: on the monotonic clock; the training
    ends before an epoch that would go past it; None for none. processes: that train together. normalises: the model
    learns batch normalisation.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        task: Task,
        val_set: Any,
        loss_set: Any,
        training_set: Any,
        batches: Any,
        deadline: float | None = None,
        processes: int = 1,
        normalises: bool = False,
    ) -> None:
        self.run, self.recipe, self.task, self.batches = run, recipe, task, batches
        self.val_set, self.loss_set, self.training_set, self.deadline = val_set, loss_set, training_set, deadline
        self.ranking = Ranking(task.monitor, task.greater_is_better)
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.processes, self.normalises = processes, normalises

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and lists only: checkpoints are read as tensors and primitives."""
        return {"history": self.history, "best_epoch": self.best_epoch, "processes": self.processes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. Raises ConfigError where another number of processes would change the training.

        Gradients are those of the whole batch on any number of processes; statistics of batch normalisation are those
        of a process's part.
        """
        before = state.get("processes", self.processes)  # a run of an earlier version has none
        if before != self.processes and self.normalises:
            if not is_first():
                raise SystemExit(1)
            raise ConfigError(
                f"{self.run.path} was started on {counted(before, 'process', 'processes')} and is resumed on "
                f"{self.processes}, and its model learns batch normalisation from each process's part of a batch, "
                f"which would be of another size; resume it on {before}, or start another run with --init"
            )
        self.history, self.best_epoch = list(state["history"]), state["best_epoch"]
        # Lightning says which epoch it is only after loading processes have begun to fetch.
        self.batches.set_epoch(len(self.history))

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop again at once if the run had stopped early."""
        if self._patience_is_over():
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Seed random layers by (seed, epoch, process), so that an epoch is the same after a resume."""
        torch.manual_seed(mixed_seed(self.recipe.seed, trainer.current_epoch, trainer.global_rank, 1))
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validate, log, save and checkpoint."""
        assert isinstance(pl_module, Learner)
        epoch = trainer.current_epoch + 1
        row: dict[str, float] = {"epoch": epoch}
        row |= {f"train_{name}": value for name, value in _mean_over_processes(pl_module.take_losses()).items()}
        row["lr"] = pl_module.last_lr
        row["train_seconds"] = round(time.perf_counter() - self.started, 3)
        late = self._is_late(trainer)
        if epoch % self.recipe.validate_every == 0 or epoch == self.recipe.epochs or late:
            row |= self._validate(trainer, pl_module)
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        if (memory := peak_memory()) is not None:
            row["peak_memory_mib"] = memory
        self.history.append(row)

        best = next((old for old in self.history if old["epoch"] == self.best_epoch), None)
        improved = self.task.monitor in row and self.ranking.improves(row, best)
        if improved:
            self.best_epoch = epoch
        with self._saving():
            if trainer.is_global_zero:
                self._write(trainer, pl_module, row, improved)
            trainer.save_checkpoint(self.run.checkpoint)  # every process takes part; the first one writes
        if trainer.is_global_zero:
            always = ("train_loss", LOSS, self.task.monitor)
            # Any other score that is nan has no value for this data, so it is not printed.
            shown = {k: v for k, v in row.items() if k in always or (k in self.task.headline[:2] and math.isfinite(v))}
            scores = "  ".join(f"{k} {v:.4f}" for k, v in shown.items())
            seconds = duration_text(row["seconds"]) + ("  best" if improved else "")
            print(f"epoch {epoch}/{self.recipe.epochs}  {scores}  {seconds}", file=sys.stderr, flush=True)
        if late and epoch < self.recipe.epochs and trainer.is_global_zero:
            print(f"stopped at the time limit after epoch {epoch} of {self.recipe.epochs}", file=sys.stderr, flush=True)
        if late or self._patience_is_over():
            trainer.should_stop = True

    def _is_late(self, trainer: lightning.Trainer) -> bool:
        """True if another epoch like the last one would end after the deadline; the same in every process."""
        if self.deadline is None:
            return False
        longest = max([time.perf_counter() - self.started, *(row["seconds"] for row in self.history[-1:])])
        return bool(trainer.strategy.reduce_boolean_decision(time.monotonic() + longest > self.deadline, all=False))

    def _patience_is_over(self) -> bool:
        last = self.history[-1] if self.history else {}
        waited = last.get("epoch", 0) - self.best_epoch
        return 0 < self.recipe.early_stop <= waited and self.task.monitor in last

    def kept(self) -> str:
        """The epoch that was kept, by what, and its score, in one line."""
        return self.ranking.describe(self.history, self.best_epoch)

    def _validate(self, trainer: lightning.Trainer, learner: Learner) -> dict[str, float]:
        """Loss and scores on the validation set; each process takes its share, and the sums are added up."""
        model = learner.best_guess
        training, before = model.training, learner.averaged_tensors()
        model.eval()
        self.task.fit(model, self.training_set)
        with torch.inference_mode():
            loss = self._validation_loss(trainer, learner, model)
            indices = range(trainer.global_rank, len(self.val_set), trainer.world_size)
            metrics: Any = self.task.metrics(self.val_set, whole=False)
            for _ in self.task.score(model, self.val_set, indices, metrics):
                pass
        model.train(training)
        learner.train(learner.training)  # the frozen parts stay in evaluation mode
        if trainer.world_size > 1:
            states: list[Any] = [None] * trainer.world_size
            dist.all_gather_object(states, metrics.state())
            metrics = self.task.metrics(self.val_set, whole=False)
            for state in states:
                metrics.merge(state)
        scores = metrics.compute()
        self.task.adopt(model, scores)
        learner.share_changes(before)
        return loss | logged_scores(self.task, scores)

    def _validation_loss(self, trainer: lightning.Trainer, learner: Learner, model: Any) -> dict[str, float]:
        """The mean of the model's loss over the validation samples, without augmentation or dropout.

        Batch k goes to process k % world as a whole, and a loss that samples does so by the batch's own seed, so that
        the sum depends neither on the number of processes nor on the epoch's noise.
        """
        if self.loss_set is None:
            return {}
        size = self.task.loss_batch_size or self.recipe.batch_size
        starts = range(trainer.global_rank * size, len(self.loss_set), trainer.world_size * size)
        total = torch.zeros(2, dtype=torch.float64)  # the sum over samples, and their number
        forward = trainer.precision_plugin.forward_context
        for start in starts:
            chosen = range(start, min(start + size, len(self.loss_set)))
            batch = self.task.collate([self.task.validation_sample(self.loss_set[i]) for i in chosen])
            batch = learner.transfer_batch_to_device(batch, learner.device, 0)
            try:
                with seeded(learner.device, self.recipe.seed, start), single_process(), forward():
                    mean = float(model.loss(batch)["loss"])
            except (ConfigError, DataError):  # a batch that is too small, of a model that compares its images
                continue
            total += torch.tensor([mean * len(chosen), len(chosen)], dtype=torch.float64)
        if trainer.world_size > 1:
            total = total.to(learner.device)
            dist.all_reduce(total)
        return {LOSS: float(total[0] / total[1])}  # nan where no batch has a loss

    def _write(self, trainer: lightning.Trainer, learner: Learner, row: dict[str, float], improved: bool) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))
            logger.save()
        for folder in (self.run.best, self.run.last) if improved else (self.run.last,):
            task = self.task
            save_model(folder, learner.best_guess, self.recipe.model, task.tables, task.name, task.options)
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
