"""Training of small networks on tensors, for claims about networks without a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

PEAK_LR = 3e-3  # as in the recipes for digits


def fit(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    images: int,
    steps: int,
    *,
    seed: int,
    batch: int = 64,
    peak: float = PEAK_LR,
    constant: float = 0.0,
    clip: float = 0.0,
) -> Iterator[int]:
    """Train with AdamW one step at a time; yields the number of steps made.

    model: the network, in training mode during the steps and in evaluation mode afterwards.
    loss: function from indices (B,) in 0..images-1 to the loss of this batch.
    images: number of training images.
    steps: number of steps.
    seed: determines the batches.
    batch: B.
    peak: learning rate to which it rises, and from which it falls to 0, in one cycle.
    constant: constant learning rate in its place, for curves that are compared along their whole length; 0: the cycle.
    clip: largest norm of the whole gradient, for recurrent networks; 0: no limit.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=constant or peak)
    schedule = None if constant else torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss(torch.randint(images, (batch,), generator=order)).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        yield step
    model.eval()
