"""A model under Lightning: one training step, its optimiser, and the averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from foveate.engine.optim import lr_factor, make_optimizer
from foveate.engine.recipe import Recipe
from foveate.errors import ConfigError, TrainingError, unknown


class Learner(lightning.LightningModule):
    """What Lightning drives. The model's own `loss` is called here, inside the wrapped module, so devices stay in step.

    total_steps: optimiser steps of the whole run, which the learning rate's schedule spans.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, total_steps: int) -> None:
        super().__init__()
        self.model, self.recipe, self.total_steps = model, recipe, total_steps
        self.frozen = _frozen_modules(model, recipe)
        for module in self.frozen:
            module.requires_grad_(False)
        self.averaged = copy.deepcopy(model).requires_grad_(False) if recipe.ema else None
        self.losses: dict[str, Tensor] = {}  # sums over the epoch, on the device: no step waits for them
        self.steps = 0

    @property
    def best_guess(self) -> nn.Module:
        """The model that is evaluated and kept: the averaged weights where there are any."""
        return self.model if self.averaged is None else self.averaged

    def train(self, mode: bool = True) -> Learner:
        """Training mode for all but the frozen parts and the averaged copy."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        if self.averaged is not None:
            self.averaged.eval()
        return self

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The loss of one batch. Raises TrainingError, naming the pictures, if it is not finite."""
        losses = self.model.loss(batch)  # type: ignore[operator]
        loss: Tensor = losses["loss"]
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss is {loss.item()} in epoch {self.current_epoch + 1} on {', '.join(batch['names'])}; look at "
                "these pictures and labels, or lower --optim.lr. The run can be resumed from its last epoch"
            )
        for name, value in losses.items():
            value = value.detach()
            self.losses[name] = self.losses[name] + value if name in self.losses else value
        self.steps += 1
        return loss

    def on_before_zero_grad(self, optimizer: torch.optim.Optimizer) -> None:
        """After each optimiser step: move the averaged weights towards the model's."""
        if self.averaged is None or self.global_step == 0:
            return
        # A young average trusts new weights more, so that it does not remember the initial ones.
        decay = min(self.recipe.ema, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for mine, theirs in zip(
                (*self.averaged.parameters(), *self.averaged.buffers()),
                (*self.model.parameters(), *self.model.buffers()), strict=True,
            ):  # fmt: skip
                if mine.is_floating_point():
                    mine.lerp_(theirs, 1 - decay)
                else:
                    mine.copy_(theirs)

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser, its learning rate stepped with it."""
        optimizer = make_optimizer(self.model, self.recipe.optim)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_factor(self.recipe.optim, self.total_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def take_losses(self) -> dict[str, float]:
        """Mean of each named loss since the last call."""
        means = {name: (value / max(self.steps, 1)).item() for name, value in self.losses.items()}
        self.losses, self.steps = {}, 0
        return means


def _frozen_modules(model: nn.Module, recipe: Recipe) -> Sequence[nn.Module]:
    modules = dict(model.named_modules())
    for name in recipe.freeze:
        if name not in modules:
            raise ConfigError(unknown("module to freeze", name, [m for m in modules if m]))
    frozen = [modules[name] for name in recipe.freeze]
    if recipe.freeze_norm:
        frozen += [m for m in modules.values() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return frozen
