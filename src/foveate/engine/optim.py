"""Parameter groups, optimisers and the learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from foveate.engine.recipe import Optim


def make_optimizer(model: nn.Module, optim: Optim, fused: bool = True) -> Optimizer:
    """The optimiser over the parameters that are trained, grouped by learning rate and decay.

    fused: AdamW and SGD in one kernel, the fastest; in float16 Lightning does not clip their gradients.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr = optim.lr * (optim.backbone_lr if name.startswith("backbone.") else 1.0)
        lr *= optim.bias_lr if is_bias(name) else 1.0
        decay = optim.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((lr, decay), []).append(parameter)
    settings = [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()]
    if optim.name == "sgd":
        return torch.optim.SGD(settings, lr=optim.lr, momentum=optim.momentum, fused=fused)
    if optim.name == "rmsprop":
        return GravesRMSprop(settings, optim.lr, optim.momentum)
    if optim.name == "adadelta":
        return torch.optim.Adadelta(settings, lr=optim.lr, rho=0.95, eps=1e-6)
    return torch.optim.AdamW(settings, lr=optim.lr, betas=(optim.momentum, 0.999), fused=fused)


def is_bias(name: str) -> bool:
    """True for the name of a bias: `bias` or `b` as torch and the equations have it, with an index or without."""
    return name.rpartition(".")[2].partition("_")[0] in ("bias", "b")


def lr_factor(optim: Optim, total_steps: int) -> Callable[[int], float]:
    """step -> factor on every group's learning rate, for a run of `total_steps`."""
    warmup = round(optim.warmup * total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        t = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        if optim.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * t))
        if optim.schedule == "step":
            return float(0.1 ** (step // max(1, round(optim.step * total_steps))))
        return float((1 - t) ** 0.9) if optim.schedule == "poly" else 1.0

    return factor


class GravesRMSprop(Optimizer):
    """RMSProp with momentum, centred, its constant under the root.

    Source: Graves, "Generating Sequences With Recurrent Neural Networks" (2013), equations 38 to 41.

        n <- 0.95 n + 0.05 g^2,  m <- 0.95 m + 0.05 g,  d <- momentum d - lr g / sqrt(n - m^2 + 1e-4),  w <- w + d

    torch's adds its constant to the root, so that a gradient far below 0.01 would take steps of another size. The
    gradient of a weight decay, weight_decay w, is added to g.
    """

    def __init__(self, groups: Any, lr: float, momentum: float = 0.9) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                state = self.state[parameter]
                n, m, d = (state.setdefault(key, torch.zeros_like(parameter)) for key in ("n", "m", "d"))
                n.mul_(0.95).addcmul_(gradient, gradient, value=0.05)
                m.mul_(0.95).add_(gradient, alpha=0.05)
                root = n.addcmul(m, m, value=-1).add_(1e-4).sqrt_()
                d.mul_(group["momentum"]).addcdiv_(gradient, root, value=-group["lr"])
                parameter.add_(d)
        return loss
