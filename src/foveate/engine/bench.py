"""Costs of a trained model: parameters, multiply-adds, time and memory for one input of its own data."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from foveate.engine.loading import SuitedDataset
from foveate.engine.prepare import validation_split
from foveate.engine.run import peak_memory
from foveate.tasks.base import Task

REPEATS = 10  # timed answers, after one that is not timed


@dataclass(frozen=True)
class Cost:
    """Costs of one answer. multiply_adds: of the operators that torch counts; 0 where it counts none.

    milliseconds: median of REPEATS answers, from the decoded input to the prediction; fastest, slowest: of these.
    """

    parameters: int
    multiply_adds: int
    milliseconds: float
    fastest: float
    slowest: float
    memory_mib: int | None


def sample_of(source: Any, task: Task, model: str) -> Any:
    """The first sample of the split of a data source that ranks epochs, as the model takes it."""
    return SuitedDataset(source.open(validation_split(source), task.name), task, model)[0]


def measure(task: Task, runner: torch.nn.Module, sample: Any) -> Cost:
    """Cost of answering one sample."""

    def answer() -> None:
        with torch.inference_mode():
            task.answer(runner, [sample], task.options)

    counter = FlopCounterMode(display=False)
    with counter:
        answer()
    times = timed(answer)
    return Cost(
        sum(p.numel() for p in runner.parameters()),
        int(counter.get_total_flops()) // 2,  # two operations for each product that is added
        statistics.median(times),
        min(times),
        max(times),
        peak_memory(),
    )


def timed(call: Callable[[], None]) -> list[float]:
    """Milliseconds of REPEATS calls."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    return times
