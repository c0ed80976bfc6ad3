"""Parameter groups, optimisers and the learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from foveate.engine.recipe import Optim


def make_optimizer(model: nn.Module, optim: Optim, fused: bool = True) -> Optimizer:
    """The optimiser over the parameters that are trained, grouped by learning rate and decay.

    fused: AdamW in one kernel, the fastest; under mixed precision Lightning does not clip its gradients.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr = optim.lr * (optim.backbone_lr if name.startswith("backbone.") else 1.0)
        lr *= optim.bias_lr if name.endswith(".bias") else 1.0
        decay = optim.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((lr, decay), []).append(parameter)
    settings = [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()]
    if optim.name == "sgd":
        return torch.optim.SGD(settings, lr=optim.lr, momentum=optim.momentum)
    return torch.optim.AdamW(settings, lr=optim.lr, fused=fused)


def lr_factor(optim: Optim, total_steps: int) -> Callable[[int], float]:
    """step -> factor on every group's learning rate, for a run of `total_steps`."""
    warmup = round(optim.warmup * total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        t = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        if optim.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * t))
        return float((1 - t) ** 0.9) if optim.schedule == "poly" else 1.0

    return factor
