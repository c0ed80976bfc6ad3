"""Small trainings on tensors, for claims whose networks no recipe trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

PEAK = 3e-3  # of the learning rate, as the recipes for digits have it


def fit(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    pictures: int,
    steps: int,
    *,
    seed: int,
    batch: int = 64,
    constant: float = 0.0,
) -> Iterator[int]:
    """AdamW, a step at a time; yields how many were made. Another seed, other batches.

    loss: indices (B,) below `pictures` -> what is minimised. constant: a learning rate that stays, for curves that are
    to be compared along their whole length; otherwise it rises to PEAK and falls to 0 in one cycle.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=constant or PEAK)
    schedule = None if constant else torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss(torch.randint(pictures, (batch,), generator=order)).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        yield step
    model.eval()
