"""Export of translation models as two ONNX graphs, and the two files with the interface of the model.

    translate.onnx       source (batch, length) int64: tokens, <end> last and <pad> after it
                         -> memory_*, state_*: the tensors that the decoder begins with, each (batch, ...)
    translate.step.onnx  memory_*, state_*, tokens (batch,) int64
                         -> logits (batch, V), next_state_*, attention (batch, length) of a model with attention

Batch and length are free. See `onnx.stepwise`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foveate.onnx import Graphs, OnnxFile, prepared, worst
from foveate.onnx.stepwise import (
    Encoded,
    ExportedDecoder,
    Tensors,
    open_stepwise,
    stepwise_difference,
    stepwise_graphs,
)
from foveate.ops.padding import pad
from foveate.text import END, PAD, SPECIALS

if TYPE_CHECKING:
    from foveate.tasks.base import Task

CHECKED_STEPS = 6  # tokens of each sentence that the check decodes
CHECKED_LENGTHS = ((9,), (3, 14, 6))  # of the sentences that the check encodes; the export has seen others
EXAMPLE, LONGER = (5, 4), (8, 4)  # lengths that the graphs are traced with, and by which the free axes are found


def _start(model: Any, source: Tensor) -> tuple[Any, Any]:
    memory = model.encode(source)
    return memory, model.begin(memory)


def _start_exported(runner: Any, source: Tensor) -> tuple[Any, Any]:
    encoded = runner.encode(source)
    return encoded, runner.begin(encoded)


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The encoder and the step of a model."""
    ready: Any = prepared(model)
    sizes = [len(task.tables[side]) for side in ("source", "target")]
    example, longer = ({"source": _sentences(lengths, sizes[0])} for lengths in (EXAMPLE, LONGER))
    # Axes are found with the model itself, whose encoder runs in PyTorch.
    pair = stepwise_graphs(model, ready, _start, example, longer, task.options.search_to_json())

    def difference(model: nn.Module, runner: nn.Module) -> float:
        return _difference(model, runner, sizes)

    return Graphs(pair, (), difference)


def _sentences(lengths: tuple[int, ...], vocabulary: int) -> Tensor:
    """Random sentences (B, S), <end> last."""
    generator = torch.Generator().manual_seed(sum(lengths))
    words = [torch.randint(len(SPECIALS), vocabulary, (length,), generator=generator) for length in lengths]
    return pad([torch.cat([own, torch.tensor([END])]) for own in words], PAD)


def _difference(model: nn.Module, runner: nn.Module, sizes: list[int]) -> float:
    """The largest difference of two logits, as a share of the largest one, over whole sentences of random tokens."""
    differences = []
    for lengths in CHECKED_LENGTHS:
        source = _sentences(lengths, sizes[0])
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(sizes[1], (CHECKED_STEPS, len(lengths)), generator=generator)
        differences += stepwise_difference(model, runner, (_start, _start_exported), [source], tokens)
    return worst(differences)


class ExportedTranslator(ExportedDecoder):
    """The two files with the interface of a translation model: `encode`, `begin` and `step`."""

    def encode(self, source: Tensor) -> Encoded:
        """Sentences (B, S), <end> last and <pad> after it."""
        return self.start(source)

    def begin(self, memory: Encoded) -> Tensors:
        """State at the start of a search, B rows."""
        return memory.state

    def step(self, memory: Any, state: Tensors, tokens: Tensor) -> tuple[Tensor, Tensors, Tensor | None]:
        """See `ExportedDecoder.step`; memory: as `encode` gives it."""
        return super().step(memory.memory, state, tokens)


def open_runner(task: Task, file: OnnxFile) -> ExportedTranslator:
    """The encoder's file and the step beside it as a translation model.

    Raises ModelError for a step that is missing, damaged or of another export.
    """
    step, signature = open_stepwise(file, "translator", attention_rank=2)
    return ExportedTranslator(file, step, signature)
