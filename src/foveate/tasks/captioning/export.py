"""Export of captioning models as two ONNX graphs, and the two files with the interface of the model.

    captions.onnx       image (batch, C, H, W) float32, normalised
                        -> memory_*, state_*: the tensors that `begin` gives, each (batch, ...)
    captions.step.onnx  memory_*, state_*, tokens (batch,) int64
                        -> logits (batch, V), next_state_*, attention (batch, h, w) of a model with attention

The batch is free; images have the model's own size. See `onnx.stepwise`.

Shapes: B images, N rows of sentences, V in the vocabulary, a grid of h x w places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from foveate.onnx import Graphs, OnnxFile, prepared, worst
from foveate.onnx.stepwise import (
    ExportedDecoder,
    Signature,
    Tensors,
    open_stepwise,
    stepwise_difference,
    stepwise_graphs,
)

if TYPE_CHECKING:
    from foveate.tasks.base import Task

CHECKED_STEPS = 6  # tokens of each sentence that the check decodes
CHECKED_BATCHES = (1, 3)  # numbers of images that the check encodes; the export has seen 2


def _start(model: Any, image: Tensor) -> tuple[Any, Any]:
    return model.begin(model.encode(image))


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The encoder and the step of a model."""
    ready: Any = prepared(model)
    channels, (height, width) = len(task.preprocessing.mean), task.preprocessing.size
    vocabulary = len(task.tables["text"])
    image = torch.zeros(2, channels, height, width)
    with torch.no_grad():
        grid = ready.encode(image).shape[-2:]
    search = task.options.search_to_json(task.tables["text"])
    pair = stepwise_graphs(model, ready, _start, {"image": image}, None, search, grid)

    def difference(model: nn.Module, runner: nn.Module) -> float:
        return _difference(model, runner, (channels, height, width), vocabulary)

    return Graphs(pair, ((height, width),), difference)


def _difference(model: nn.Module, runner: nn.Module, image_shape: tuple[int, int, int], vocabulary: int) -> float:
    """The largest difference of two logits, as a share of the largest one, over whole sentences of random tokens."""
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch in CHECKED_BATCHES:
        image = torch.randn(batch, *image_shape, generator=generator)
        sentences = torch.randint(vocabulary, (CHECKED_STEPS, batch), generator=generator)
        differences += stepwise_difference(model, runner, (_start, _start), [image], sentences)
    return worst(differences)


class EncodedImages(NamedTuple):
    """The encoder's outputs for B images, in place of a model's features."""

    memory: Tensors
    state: Tensors
    shape: tuple[int, ...]  # (B, h, w); without attention there is no grid, (B,)


class ExportedCaptioner(ExportedDecoder):
    """The two files with the interface of a captioning model: `encode`, `begin` and `step`."""

    def __init__(self, encoder: OnnxFile, decoder: OnnxFile, signature: Signature) -> None:
        super().__init__(encoder, decoder, signature)
        shapes = {output.name: output.shape for output in decoder.session.get_outputs()}
        self.grid = tuple(shapes["attention"][1:]) if self.attends else ()

    def encode(self, image: Tensor) -> EncodedImages:
        """(B, C, H, W) float32, normalised, of the size that the model takes."""
        memory, state = self.start(image)
        return EncodedImages(memory, state, (image.shape[0], *self.grid))

    def begin(self, features: EncodedImages) -> tuple[Tensors, Tensors]:
        """Memory and state at the start of a search, B rows each."""
        return features.memory, features.state


def open_runner(task: Task, file: OnnxFile) -> ExportedCaptioner:
    """The encoder's file and the step beside it as a captioning model.

    Raises ModelError for a step that is missing, damaged or of another export.
    """
    step, signature = open_stepwise(file, "captioner", attention_rank=3)
    return ExportedCaptioner(file, step, signature)
