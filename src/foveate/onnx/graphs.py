"""The graphs of a model, as its task describes them to the exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.records import traits_of


@dataclass(frozen=True)
class Graph:
    """One ONNX file.

    module: takes and returns tensors, or lists of them; it is made from a `prepared` model.
    example: the inputs that it is traced with, in float32 on the CPU.
    free: the axes of each input that may vary, in the shape of `example`, as `torch.export` takes its dynamic shapes.
    inputs, outputs: the names of the tensors, in order.
    suffix: "" for the file that was asked for; ".step" for captions.step.onnx, beside captions.onnx.
    metadata: further values that the file carries, as JSON. Keys are without the prefix "foveate.", and differ from
        those that every file has (`metadata_of`).
    """

    module: nn.Module
    example: tuple[Any, ...]
    free: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    suffix: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graphs:
    """All files of one model, and how they are checked.

    graphs: one of them has the suffix "".
    sizes: (height, width) of the images that `difference` compares; () where the inputs are no images.
    difference: (model in PyTorch, runner of the files) -> their largest difference as a share of the largest logit.
        Raises ModelError for outputs of different shapes.
    """

    graphs: tuple[Graph, ...]
    sizes: tuple[tuple[int, int], ...]
    difference: Callable[[nn.Module, nn.Module], float]


def sibling_path(path: Path, suffix: str) -> Path:
    """The path of the graph with this suffix: captions.onnx, ".step" -> captions.step.onnx; "" -> `path` itself."""
    return path.with_suffix(f"{suffix}{path.suffix}")


def require_exportable(model: Any) -> None:
    """Raise ModelError for a model that has no ONNX graph, with the reason that its traits give."""
    if reason := traits_of(model).no_export_reason:
        raise ModelError(f"this model has no ONNX export: {reason}; run it in PyTorch")


def require_same_shape(exported: Tensor | None, expected: Tensor | None) -> None:
    """Raise ModelError if an output of the exported file has another shape than PyTorch's; None is a missing one."""
    shapes = [None if x is None else tuple(x.shape) for x in (exported, expected)]
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"the exported model gives an output of shape {shapes[0]}, PyTorch {shapes[1]}; nothing was written: "
            "please report this model"
        )


def worst(differences: Iterable[float]) -> float:
    """The largest difference, nan if one is; `max` would ignore a nan that is not the first."""
    return float(torch.tensor(list(differences), dtype=torch.float64).max())
