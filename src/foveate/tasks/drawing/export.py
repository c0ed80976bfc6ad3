"""Export of drawing models: one ONNX graph, a step of generation.

    canvas (batch, C, H, W), hidden (batch, M), cell (batch, M), noise (batch, Z)
      -> next_canvas, next_hidden, next_cell, and window (batch, 5) of a model with attention

all float32. The metadata's `foveate.drawing` has the steps T, Z, the filters of a window, and the canvas, hidden and
cell that every image starts from. The image is sigmoid(canvas) after T steps with standard normal noise.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.onnx import Graph, Graphs, OnnxFile, prepared, require_same_shape, worst
from foveate.records import DrawingOutput

if TYPE_CHECKING:
    from foveate.tasks.base import Task

CHECKED = 3  # images that are drawn to compare the file with PyTorch
START = ("canvas", "hidden", "cell")


class _Step(nn.Module):
    """One step of generation, tensors in and tensors out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, canvas: Tensor, hidden: Tensor, cell: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        canvas, hidden, cell, window = self.model.step(canvas, hidden, cell, noise)
        return (canvas, hidden, cell) if window is None else (canvas, hidden, cell, window)


class ExportedDrawing(nn.Module):
    """An exported file with the interface of its model: `generate` and `expected`."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self.file = file
        about = file.value("drawing")
        try:
            numbers = {name: int(about[name]) for name in ("glimpses", "latent", "read", "write")}
            self.config = SimpleNamespace(**numbers)
            self.attention = bool(about["attention"])
            self.start = {name: torch.tensor(about[name], dtype=torch.float32) for name in START}
        except (KeyError, TypeError, ValueError) as error:
            raise file.unreadable("drawing", error) from error

    def generate(self, noise: Tensor) -> DrawingOutput:
        """Draw from noise (T, B, Z)."""
        batch = noise.shape[1]
        state = {name: value.expand(batch, *value.shape).contiguous() for name, value in self.start.items()}
        outputs = [f"next_{name}" for name in START] + (["window"] if self.attention else [])
        canvases, windows = [state["canvas"]], []
        for z in noise:
            found = self.file.run(outputs, state | {"noise": z.float()})
            state = dict(zip(START, found, strict=False))
            canvases.append(state["canvas"])
            windows += found[len(START) :]
        return DrawingOutput(tuple(canvases), torch.stack(windows) if windows else None)

    def expected(self, canvas: Tensor) -> Tensor:
        """The expected image of a canvas."""
        return canvas.sigmoid()

    def forward(self, *_: Any) -> Any:
        """Raises ModelError: the file generates, and reads no image."""
        raise ModelError(f"{self.file.path} generates images and reads none; give the run that it was exported from")


def graphs(task: Task, model: Any) -> Graphs:
    """The model as one graph."""
    model = prepared(model)
    config = model.config
    hidden, cell = model.decoder_start.detach()
    start = {"canvas": model.canvas.detach(), "hidden": hidden, "cell": cell}
    example = [value.expand(2, *value.shape).contiguous() for value in start.values()]
    about = {name: getattr(config, name) for name in ("glimpses", "latent", "read", "write", "attention")}
    graph = Graph(
        _Step(model),
        (*example, torch.zeros(2, config.latent)),
        ({0: "batch"},) * 4,
        (*START, "noise"),
        (*(f"next_{name}" for name in START), *(["window"] if config.attention else [])),
        metadata={"drawing": about | {name: value.tolist() for name, value in start.items()}},
    )
    return Graphs((graph,), (), _difference)


def open_runner(task: Task, file: OnnxFile) -> nn.Module:
    """The exported file as a module that generates. Raises ModelError."""
    return ExportedDrawing(file)


@torch.inference_mode()
def _difference(model: Any, runner: Any) -> float:
    """The largest difference of the last canvas and of the windows, as a share of the largest value of each."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(model.config.glimpses, CHECKED, model.config.latent, generator=generator)
    expected, exported = model.generate(noise.to(model.canvas.device)), runner.generate(noise)
    differences = []
    for one, other in ((expected.canvases[-1], exported.canvases[-1]), (expected.write, exported.write)):
        require_same_shape(other, one)
        if one is not None:
            differences.append(float((one.cpu() - other).abs().max() / one.abs().max().clamp(min=1e-6)))
    return worst(differences)
