"""Networks that need no training, in the place of the trained ones: they read labels off the colours of flat scenes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import tv_tensors

from foveate.claims import Claim, Verdict
from foveate.claims.trained import Trained
from foveate.records import ClassTable, Preprocessing, SemanticOutput, SemanticSample
from foveate.registry import find
from foveate.tasks.semantic.task import SemanticTask

PALETTE = torch.tensor([[220, 40, 40], [40, 220, 40], [40, 40, 220]])
PLAIN = Preprocessing.centred(3)


def scenes(count: int = 4, side: int = 96) -> tuple[SemanticSample, ...]:
    """Two bars of colour on a third, with edges on no coarse grid."""
    made = []
    for i in range(count):
        mask = torch.zeros(side, side, dtype=torch.int64)
        mask[13 + 2 * i : 50 + i, 9 + i :] = 1
        mask[30:, 21 + i : 37 + 3 * i] = 2
        image = PALETTE[mask].permute(2, 0, 1).to(torch.uint8)
        made.append(SemanticSample(image=tv_tensors.Image(image), mask=tv_tensors.Mask(mask), name=str(i)))
    return tuple(made)


class Reader(nn.Module):
    """Sure of each pixel by its colour, with what `spoil` does to that: logits (1, 3, H, W) -> the same."""

    def __init__(self, spoil: Callable[[Tensor], Tensor] = lambda logits: logits) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))  # tells the task which device this is on
        self.spoil = spoil

    def forward(self, image: Tensor) -> SemanticOutput:
        return SemanticOutput(self.spoil(self.read(image)))

    def read(self, image: Tensor) -> Tensor:
        colours = PLAIN(PALETTE[..., None, None].to(torch.uint8))  # (3, C, 1, 1)
        # -|x - c|^2 without the |x|^2 that all classes share: its gradient does not vanish where the colour is right.
        return 10 * (2 * image[:, None] * colours - colours.square()).mean(2)


def stand_in(model: nn.Module) -> Trained:
    return Trained(model.eval(), SemanticTask({"classes": ClassTable(("a", "b", "c"))}, PLAIN), scenes())


def examined(name: str, seeds: tuple[int, ...] = (0,)) -> Verdict:
    """The verdict on a claim, from few seeds."""
    claim: Claim = find("claim", name).load()()
    return claim.judge([claim.measure(seed)[0] for seed in seeds])


def worked(slow: Callable[[], object], fast: Callable[[], object], repeats: int = 15) -> float:
    """In the place of a clock, which is of little use beside other work: multiply-adds."""
    counts = []
    for run in (slow, fast):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run()
        counts.append(counter.get_total_flops())
    return counts[0] / counts[1]


def shuffled(values: np.ndarray) -> np.ndarray:
    """The same values elsewhere."""
    return np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)
