"""Export of semantic models: one ONNX graph from images to logits (see `foveate.onnx.logits`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from foveate.onnx import Graphs, LogitsRunner, OnnxFile, logits_graphs, require_exportable
from foveate.records import SemanticOutput

if TYPE_CHECKING:
    from foveate.tasks.base import Task


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The model as one graph. Raises ModelError for a model that says why it has none."""
    require_exportable(model)
    return logits_graphs(model, task.preprocessing)


def open_runner(task: Task, file: OnnxFile) -> nn.Module:
    """The exported file as a module that returns a `SemanticOutput`. Raises ModelError."""
    return LogitsRunner(file, SemanticOutput)
