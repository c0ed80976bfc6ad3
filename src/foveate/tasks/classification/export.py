"""Export of classification models: one ONNX graph from images to logits (see `foveate.onnx.logits`).

The metadata's `foveate.background` is the value of pixels outside of the image, of a model that has one.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from torch import nn

from foveate.onnx import Graphs, LogitsRunner, OnnxFile, logits_graphs
from foveate.records import ClassificationOutput

if TYPE_CHECKING:
    from foveate.tasks.base import Task

BACKGROUND = "background"


def background_of(runner: Any) -> float:
    """The value of pixels outside of the image for a model, or its exported file, 0..1; 0 for one that says none."""
    return float(getattr(getattr(runner, "config", None), BACKGROUND, 0.0))


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The model as one graph."""
    found = logits_graphs(model, task.preprocessing)
    if not hasattr(getattr(model, "config", None), BACKGROUND):
        return found
    (graph,) = found.graphs
    return dataclasses.replace(found, graphs=(dataclasses.replace(graph, metadata={BACKGROUND: background_of(model)}),))


def open_runner(task: Task, file: OnnxFile) -> nn.Module:
    """The exported file as a module that returns a `ClassificationOutput`. Raises ModelError."""
    runner: Any = LogitsRunner(file, ClassificationOutput)
    try:
        background = float(file.about.get(BACKGROUND, 0.0))  # earlier versions wrote none
    except (TypeError, ValueError) as error:
        raise file.unreadable(BACKGROUND, error) from error
    runner.config = SimpleNamespace(background=background)
    return runner
