"""Export of video models as two ONNX graphs, and the two files with the interface of the model.

    video.onnx       clips (batch, K, C, H, W) float32, normalised; or (batch, K, D), of a model of features
                     -> memory_frames (batch, K, D), memory_keys (batch, K, A), memory_mask (batch, K) bool, state_*
    video.step.onnx  memory_*, state_*, tokens (batch,) int64
                     -> logits (batch, V), next_state_*, attention (batch, K)

The number of frames K is free, and so is the batch. The encoder takes clips of one length, and its mask is True
everywhere; clips of several lengths are encoded each by itself, and their memories filled up with zeros and False. See
`onnx.stepwise`.

Shapes: B clips, N rows of sentences, V in the vocabulary.
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

if TYPE_CHECKING:
    from foveate.tasks.base import Task

TRACED = (3, 5)  # frames of the clips that the graphs are traced with
CHECKED_STEPS = 6  # tokens of each sentence that the check decodes
CHECKED = ((1, 1), (2, 4), (3, 7))  # (clips, frames) that the check encodes


def _start(model: Any, clips: Tensor) -> tuple[Any, Any]:
    memory, state = model.begin(clips if model.preprocessing.features else model.encode(clips))
    return memory, state


def _start_exported(runner: Any, clips: Tensor) -> tuple[Any, Any]:
    encoded = runner.start(clips)
    return encoded.memory, encoded.state


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The encoder and the step of a model."""
    ready: Any = prepared(model)
    form = task.preprocessing
    shape = (form.features,) if form.features else (len(form.mean), *form.size)
    clips, longer = (torch.zeros(2, frames, *shape) for frames in TRACED)
    search = task.options.search_to_json(task.tables["text"])
    pair = stepwise_graphs(model, ready, _start, {"clips": clips}, {"clips": longer}, search)
    vocabulary = len(task.tables["text"])

    def difference(model: nn.Module, runner: nn.Module) -> float:
        return _difference(model, runner, shape, vocabulary)

    return Graphs(pair, (), difference)


def _difference(model: nn.Module, runner: nn.Module, shape: tuple[int, ...], vocabulary: int) -> float:
    """The largest difference of two logits, as a share of the largest one, over sentences of random tokens.

    Clips have other lengths than those that were traced.
    """
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch, frames in CHECKED:
        clips = torch.randn(batch, frames, *shape, generator=generator)
        sentences = torch.randint(vocabulary, (CHECKED_STEPS, batch), generator=generator)
        differences += stepwise_difference(model, runner, (_start, _start_exported), [clips], sentences)
    return worst(differences)


class ExportedVideo(ExportedDecoder):
    """The two files with the interface of a video model: `encode`, `begin` and `step`."""

    def encode(self, clips: Tensor, lengths: Tensor | None = None) -> Encoded:
        """(B, K, C, H, W) or (B, K, D) float32, and the frames of each, as the model takes them."""
        counts = [clips.shape[1]] * len(clips) if lengths is None else lengths.tolist()
        found = [self.start(one[None, :count]) for one, count in zip(clips, counts, strict=True)]
        memory = zip(*(one.memory for one in found), strict=True)
        state = zip(*(one.state for one in found), strict=True)
        return Encoded(
            tuple(pad([part[0] for part in parts]) for parts in memory), tuple(torch.cat(parts) for parts in state)
        )

    def begin(self, features: Encoded | Tensor, lengths: Tensor | None = None) -> tuple[Tensors, Tensors]:
        """Memory and state at the start of a search, B rows each."""
        encoded = self.encode(features, lengths) if isinstance(features, Tensor) else features
        return encoded.memory, encoded.state


def open_runner(task: Task, file: OnnxFile) -> ExportedVideo:
    """The encoder's file and the step beside it as a video model.

    Raises ModelError for a step that is missing, damaged or of another export.
    """
    step, signature = open_stepwise(file, "video model", attention_rank=2)
    return ExportedVideo(file, step, signature)
