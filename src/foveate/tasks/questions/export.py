"""Export of models that answer questions: one ONNX graph.

    image        (batch, C, H, W) float32, normalised, of the model's own size
    tokens       (batch, words) int64, ids of the table `text`; <pad> (0) after the last word of shorter questions
    logits       (batch, K)
    attention    (batch, hops, h, w); correlation (batch, words, h, w); winner (batch, h, w) int64: as in a
                 `QuestionOutput`; missing in the file of a model without attention

Batch and words are free; words after the model's `max_words` are not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.onnx import Graph, Graphs, OnnxFile, prepared, require_same_shape, worst
from foveate.records import QuestionOutput
from foveate.tasks.parts import device_of
from foveate.text import PAD

if TYPE_CHECKING:
    from foveate.tasks.base import Task

OUTPUTS = ("logits", "attention", "correlation", "winner")
CHECKED = ((1, 1), (3, 4), (2, 9))  # (batch, words) of the check; the export has seen (2, 6)


class _Tensors(nn.Module):
    """Image and tokens in, the tensors of a `QuestionOutput` out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, tokens: Tensor) -> list[Tensor]:
        return [x for x in self.model(image, tokens) if x is not None]


class ExportedAnswers(nn.Module):
    """An exported file with the interface of its model."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        inputs = {x.name for x in file.session.get_inputs()}
        found = {x.name for x in file.session.get_outputs()}
        self.file, self.names = file, [name for name in OUTPUTS if name in found]
        if inputs != {"image", "tokens"} or "logits" not in found:
            raise ModelError(
                f"{file.path} takes {', '.join(sorted(inputs))} and gives {', '.join(sorted(found))}; expected image, "
                "tokens and logits: export the model again"
            )

    def forward(self, image: Tensor, tokens: Tensor) -> QuestionOutput:
        """(B, C, H, W), (B, T) -> the answers, on the CPU."""
        return QuestionOutput(*self.file.run(self.names, {"image": image, "tokens": tokens}))


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The model as one graph, in which the batch and the number of words are free."""
    channels, size = len(task.preprocessing.mean), tuple(task.preprocessing.size)
    vocabulary, most = len(task.tables["text"]), task.preprocessing.max_words
    ready: Any = prepared(model)
    example = (torch.zeros(2, channels, *size), torch.full((2, min(6, most)), vocabulary - 1))
    with torch.no_grad():
        count = sum(x is not None for x in ready(*example))
    graph = Graph(
        _Tensors(ready),
        example,
        ({0: torch.export.Dim("batch")}, {0: torch.export.Dim("batch"), 1: torch.export.Dim("words", max=most)}),
        ("image", "tokens"),
        OUTPUTS[:count],
    )

    def difference(model: nn.Module, runner: nn.Module) -> float:
        return _difference(model, runner, (channels, *size), vocabulary, most)

    return Graphs((graph,), (size,), difference)


@torch.inference_mode()
def _difference(model: Any, runner: Any, image_shape: tuple[int, ...], vocabulary: int, most: int) -> float:
    """The largest difference of two logits as a share of the largest one, and of attention and correlation likewise."""
    device = device_of(model)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch, words in CHECKED:
        image = torch.randn(batch, *image_shape, generator=generator)
        tokens = torch.randint(PAD + 1, vocabulary, (batch, min(words, most)), generator=generator)
        tokens[0, 1:] = PAD
        expected, exported = model(image.to(device), tokens.to(device)), runner(image, tokens)
        for mine, other in zip(expected[:3], exported[:3], strict=True):
            mine = None if mine is None else mine.float().cpu()
            require_same_shape(other, mine)
            if mine is not None:
                differences.append(float((mine - other).abs().max() / mine.abs().max().clamp(min=1e-6)))
    return worst(differences)


def open_runner(task: Task, file: OnnxFile) -> ExportedAnswers:
    """The exported file as a module. Raises ModelError."""
    return ExportedAnswers(file)
