"""A model under Lightning: one training step, its optimiser, and the averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import torch
import torch.distributed as dist
from torch import Tensor, nn

from foveate.engine.optim import lr_factor, make_optimizer
from foveate.engine.recipe import Recipe
from foveate.errors import ConfigError, TrainingError, unknown


class Learner(lightning.LightningModule):
    """LightningModule around a model, whose own `loss` is called here: inside the wrapped module, devices stay in step.

    total_steps: optimiser steps of the whole run, which the learning rate's schedule spans.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, total_steps: int) -> None:
        super().__init__()
        self.model, self.recipe, self.total_steps = model, recipe, total_steps
        self.frozen = _frozen_modules(model, recipe)
        for module in self.frozen:
            module.requires_grad_(False)
        self.averaged = copy.deepcopy(model).requires_grad_(False) if recipe.ema else None
        self.lr_factor = lr_factor(recipe.optim, total_steps)
        self.losses: dict[str, Tensor] = {}  # sums over the epoch, on the device: no step waits for them
        self.steps = 0
        self.last_loss = math.nan
        self.train()  # Lightning leaves every module in the mode it finds it in

    @property
    def best_guess(self) -> nn.Module:
        """The model that is evaluated and kept: the averaged weights where there are any."""
        return self.model if self.averaged is None else self.averaged

    @property
    def normalises(self) -> bool:
        """True if the model learns batch normalisation, whose statistics are those of a process's part of a batch."""
        modules = self.model.modules()
        return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in modules)

    def train(self, mode: bool = True) -> Learner:
        """Training mode for all but the frozen parts and the averaged copy."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        if self.averaged is not None:
            self.averaged.eval()
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Lightning notes the hook it is in forty times a step; a module's own setter looks for tensors."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """A batch is made on the CPU: there Lightning need not look through it."""
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The loss of one batch. Raises TrainingError, naming the samples, if it is not finite."""
        losses = self.model.loss(batch)  # type: ignore[operator]
        loss: Tensor = losses["loss"]
        self._require_finite(loss, batch["names"])
        for name, value in losses.items():
            value = value.detach().float()  # a sum in half precision stops growing after a few hundred steps
            self.losses[name] = self.losses[name] + value if name in self.losses else value
        self.steps += 1
        # Lightning divides by `accumulate`; the batches that are left over at an epoch's end are fewer.
        together = self.recipe.accumulate
        left = int(self.trainer.num_training_batches) - index // together * together
        return loss * (together / left) if left < together else loss

    def _require_finite(self, loss: Tensor, names: list[str]) -> None:
        self.last_loss = loss.item()
        wrong = [] if math.isfinite(self.last_loss) else names
        if self.trainer.world_size > 1:  # all stop together, or the others would wait for this one
            count = torch.tensor(len(wrong), device=self.device)
            dist.all_reduce(count)
            if count:
                parts: list[list[str]] = [[]] * self.trainer.world_size
                dist.all_gather_object(parts, wrong)
                wrong = [name for part in parts for name in part]
        if wrong:
            if not self.trainer.is_global_zero:
                raise SystemExit(1)
            raise TrainingError(
                f"the loss is not finite in epoch {self.current_epoch + 1} on {', '.join(wrong)}; look at these "
                "samples and their labels, or start again with a lower --optim.lr (every finished epoch is kept)"
            )

    def on_train_start(self) -> None:
        """Pair the averaged tensors with the model's, now that they are where they will be trained."""
        if self.averaged is None:
            return
        pairs = list(zip(self.averaged.state_dict().values(), self.model.state_dict().values(), strict=True))
        self.smoothed = [mine for mine, _ in pairs if mine.is_floating_point()]
        self.sources = [theirs for _, theirs in pairs if theirs.is_floating_point()]
        self.counted = [pair for pair in pairs if not pair[0].is_floating_point()]

    def optimizer_step(self, *arguments: Any, **more: Any) -> None:
        """One step at its learning rate; the averaged weights follow the model's: a <- decay a + (1 - decay) w."""
        factor = self.lr_factor(self.global_step)
        for group in self.optimizer.param_groups:  # a resume replaces the groups
            group["lr"] = group["initial_lr"] * factor
        super().optimizer_step(*arguments, **more)
        if self.averaged is None:
            return
        done = self.global_step + 1  # Lightning counts this step when we return
        # The decay grows with the steps: with the final one from the start, the average would long hold the initial
        # weights.
        decay = min(self.recipe.ema, (1 + done) / (10 + done))
        with torch.no_grad():
            torch._foreach_lerp_(self.smoothed, self.sources, 1 - decay)
            for mine, theirs in self.counted:
                mine.copy_(theirs)

    def averaged_tensors(self) -> dict[str, Tensor]:
        """A copy of the averaged tensors by name; {} where there are none."""
        return {} if self.averaged is None else {k: v.clone() for k, v in self.averaged.state_dict().items()}

    @torch.no_grad()
    def share_changes(self, before: Mapping[str, Tensor]) -> None:
        """Give the model what was set in the averaged one since `before`, such as a threshold that a validation chose.

        No gradient trains it: the average, which follows the model, would lose it step by step.
        """
        own = self.model.state_dict()
        for name, value in self.best_guess.state_dict().items() if before else ():
            if not torch.equal(value, before[name]):
                own[name].copy_(value)

    @property
    def last_lr(self) -> float:
        """The learning rate of the last step, before the factors of backbone and biases."""
        return self.recipe.optim.lr * self.lr_factor(max(0, self.global_step - 1))

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser. Its learning rate is a function of the step, so there is no scheduler to restore."""
        optimizer = make_optimizer(self.model, self.recipe.optim, fused=self.trainer.precision != "16-mixed")
        if self.trainer.precision == "bf16-mixed":
            # Gradients in bf16 are not scaled, so a fused step unscales none, and Lightning may clip them.
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def take_losses(self) -> dict[str, float]:
        """Mean of each named loss since the last call."""
        means = {name: (value / max(self.steps, 1)).item() for name, value in self.losses.items()}
        self.losses, self.steps = {}, 0
        return means


def _frozen_modules(model: nn.Module, recipe: Recipe) -> Sequence[nn.Module]:
    modules = dict(model.named_modules())
    for name in recipe.freeze:
        if name not in modules:
            told = unknown("module to freeze", name, [m for m in modules if m])
            raise ConfigError(f"{told}; an empty text, as --freeze '', freezes none")
    frozen = [modules[name] for name in recipe.freeze]
    if recipe.freeze_norm:
        frozen += [m for m in modules.values() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return frozen
