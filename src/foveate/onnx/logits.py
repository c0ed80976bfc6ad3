"""Models that take images and answer with logits, as one ONNX graph.

    image   (batch, C, height, width) float32, normalised as the metadata's `foveate.preprocessing` says
    logits  (batch, K, height, width) float32, or (batch, K)

Batch, height and width are free; where the preprocessing has a size, only the batch is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import ModelError, counted
from foveate.onnx.file import OnnxFile
from foveate.onnx.graphs import Graph, Graphs, require_same_shape, worst
from foveate.onnx.write import prepared
from foveate.records import Preprocessing, traits_of

EXAMPLE_SIZE = (128, 160)
# Sizes that the export has not seen, odd ones among them, where padding and cropping go wrong first.
CHECKED_SIZES = ((97, 131), (250, 201))


class _Logits(nn.Module):
    """A model with its logits as the only output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image).logits
        return logits


class LogitsRunner(nn.Module):
    """An exported file with the interface of its model: an image (B, C, H, W) -> an output record with `logits` alone.

    output: the class of the record.
    """

    def __init__(self, file: OnnxFile, output: Any) -> None:
        super().__init__()
        inputs, outputs = file.session.get_inputs(), [x.name for x in file.session.get_outputs()]
        if len(inputs) != 1 or "logits" not in outputs:
            raise ModelError(
                f"{file.path} takes {counted(len(inputs), 'input')} and gives {', '.join(outputs)}; expected "
                f"one image and its "
                "logits: export the model again"
            )
        self.file, self.output, self.input = file, output, inputs[0].name

    def forward(self, image: Tensor) -> Any:
        """See the class; the logits are on the CPU."""
        return self.output(*self.file.run(["logits"], {self.input: image}))


def logits_graphs(model: nn.Module, preprocessing: Preprocessing) -> Graphs:
    """The one graph of a model whose output has `logits`.

    The check leaves out the share of logits that the model's traits name, `unchecked_share`.
    """
    size: Any = tuple(preprocessing.size)
    example, *checked = [size, size, size] if size else [EXAMPLE_SIZE, *CHECKED_SIZES]
    channels = len(preprocessing.mean)

    def difference(model: nn.Module, runner: nn.Module) -> float:
        generator = torch.Generator().manual_seed(0)
        differences = []
        for batch, (height, width) in enumerate(checked, start=1):
            image = torch.randn(batch, channels, height, width, generator=generator)
            differences.append(_difference(model, runner, image))
        return worst(differences)

    graph = Graph(
        _Logits(prepared(model)),
        (torch.zeros(2, channels, *example),),
        ({0: "batch"} if size else {0: "batch", 2: "height", 3: "width"},),
        ("image",),
        ("logits",),
    )
    return Graphs((graph,), tuple(dict.fromkeys(checked)), difference)


@torch.inference_mode()
def _difference(model: nn.Module, runner: nn.Module, image: Tensor) -> float:
    device = next((parameter.device for parameter in model.parameters()), image.device)
    expected, exported = model(image.to(device)).logits.float().cpu(), runner(image).logits
    require_same_shape(exported, expected)
    largest = max(float(expected.abs().max()), 1e-6)
    errors = (exported - expected).abs().flatten()
    allowed = traits_of(model).unchecked_share
    if allowed and not errors.isnan().any():
        return float(errors.kthvalue(max(1, round(errors.numel() * (1 - allowed)))).values) / largest
    return float(errors.max()) / largest
