"""Export of handwriting models: one ONNX graph, a step of writing.

    point (rows, 3), hidden and cell (rows, N, M)
      and, of a model that writes a text, text (rows, U) and characters (rows,) int64, read (rows, A), kappa (rows, K)
      -> mixture (rows, 6 J + 1), next_hidden, next_cell, and window (rows, U + 1), next_read, next_kappa

all but text and characters float32. Writing starts from zeros; `foveate.handwriting` in the metadata has the sizes.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.onnx import Graph, Graphs, OnnxFile, prepared, require_same_shape, worst
from foveate.records import HandwritingState

if TYPE_CHECKING:
    from foveate.tasks.base import Task

SIZES = ("layers", "units", "vocabulary", "gaussians")
CHECKED = 12  # points that are compared with PyTorch


class _TextStep(nn.Module):
    """One step of writing a text, tensors in and tensors out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, point: Tensor, hidden: Tensor, cell: Tensor, text: Tensor, characters: Tensor, read: Tensor, kappa: Tensor
    ) -> tuple[Tensor, ...]:
        mixture, window, state = self.model.step(point, text, characters, HandwritingState(hidden, cell, read, kappa))
        return mixture, state.hidden, state.cell, window, state.read, state.kappa


class _FreeStep(nn.Module):
    """One step of writing without a text."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, point: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
        start = self.model.begin(1)
        state = HandwritingState(hidden, cell, start.read.expand(len(point), -1), start.kappa.expand(len(point), -1))
        mixture, _, state = self.model.step(point, None, None, state)
        return mixture, state.hidden, state.cell


class ExportedHandwriting(nn.Module):
    """An exported file with the interface of its model: `begin` and `step`."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self.file = file
        about = file.value("handwriting")
        try:
            sizes = {name: int(about[name]) for name in SIZES}
            self.config = SimpleNamespace(text=bool(about["text"]), **sizes)
        except (KeyError, TypeError, ValueError) as error:
            raise file.unreadable("handwriting", error) from error

    def begin(self, batch: int) -> HandwritingState:
        """The state before the first point."""
        config = self.config
        layers = torch.zeros(batch, config.layers, config.units)
        return HandwritingState(
            layers,
            layers,
            torch.zeros(batch, config.vocabulary if config.text else 0),
            torch.zeros(batch, config.gaussians),
        )

    def step(
        self, point: Tensor, text: Tensor | None, characters: Tensor | None, state: HandwritingState
    ) -> tuple[Tensor, Tensor, HandwritingState]:
        """One point; see `models.spatial.handwriting`."""
        inputs = {"point": point.float(), "hidden": state.hidden, "cell": state.cell}
        outputs = ["mixture", "next_hidden", "next_cell"]
        if text is None or characters is None:
            mixture, hidden, cell = self.file.run(outputs, inputs)
            return mixture, point.new_zeros(len(point), 0), HandwritingState(hidden, cell, state.read, state.kappa)
        inputs |= {"text": text, "characters": characters, "read": state.read, "kappa": state.kappa}
        mixture, hidden, cell, window, read, kappa = self.file.run(
            [*outputs, "window", "next_read", "next_kappa"], inputs
        )
        return mixture, window, HandwritingState(hidden, cell, read, kappa)

    def forward(self, *_: Any) -> Any:
        """Raises ModelError: the file writes, and scores nothing."""
        raise ModelError(f"{self.file.path} writes and scores nothing; give the run that it was exported from")


def graphs(task: Task, model: Any) -> Graphs:
    """The model as one graph."""
    model = prepared(model)
    config = model.config
    rows, length = 2, 3
    state = model.begin(rows)
    # The two are one tensor of zeros, which would be traced as one input.
    example: list[Tensor] = [torch.zeros(rows, 3), state.hidden.clone(), state.cell.clone()]
    free: list[Any] = [{0: "rows"}] * 3
    inputs, outputs = ["point", "hidden", "cell"], ["mixture", "next_hidden", "next_cell"]
    if config.text:
        text, characters = torch.full((rows, length), 4), torch.full((rows,), length)
        example += [text, characters, state.read, state.kappa]
        free += [{0: "rows", 1: "length"}, {0: "rows"}, {0: "rows"}, {0: "rows"}]
        inputs += ["text", "characters", "read", "kappa"]
        outputs += ["window", "next_read", "next_kappa"]
    about = {name: getattr(config, name) for name in SIZES} | {"text": config.text}
    graph = Graph(
        (_TextStep if config.text else _FreeStep)(model),
        tuple(example),
        tuple(free),
        tuple(inputs),
        tuple(outputs),
        metadata={"handwriting": about},
    )
    return Graphs((graph,), (), _difference)


def open_runner(task: Task, file: OnnxFile) -> nn.Module:
    """The exported file as a module that writes. Raises ModelError."""
    return ExportedHandwriting(file)


@torch.inference_mode()
def _difference(model: Any, runner: Any) -> float:
    """The largest difference of mixtures and windows over some points, as a share of the largest value."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(CHECKED, 3, 3, generator=generator)
    text = characters = None
    if model.config.text:
        text = torch.randint(4, model.config.vocabulary, (3, 7), generator=generator)
        characters = torch.tensor([7, 2, 5])
    one, other = model.begin(3), runner.begin(3)
    differences = []
    for point in points:
        expected, window, one = model.step(point, text, characters, one)
        found, seen, other = runner.step(point, text, characters, other)
        for a, b in ((expected, found), (window, seen)):
            require_same_shape(b, a)
            if a.numel():
                differences.append(float((a - b).abs().max() / a.abs().max().clamp(min=1e-6)))
    return worst(differences)
