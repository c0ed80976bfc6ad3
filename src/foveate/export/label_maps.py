"""Models that answer a picture with logits, label maps and classifiers, as one ONNX graph.

    image   (batch, C, height, width) float32, normalised as the metadata's `foveate.preprocessing` says
    logits  (batch, K, height, width) float32

Batch, height and width are free; of a model with a size of its own (a classifier, with logits (batch, K)), the batch
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.export.graph import about, prepared, write_graph
from foveate.predictor import Predictor

EXAMPLE_SIZE = (128, 160)
# Sizes that the export has not seen, odd ones among them, where padding and cropping go wrong first.
CHECKED_SIZES = ((97, 131), (250, 201))


def files(path: Path) -> tuple[Path, ...]:
    """What is written for `path`: itself."""
    return (path,)


def checked_sizes(predictor: Predictor) -> tuple[tuple[int, int], ...]:
    """The (height, width) at which a file is compared. A model with a size of its own has no other."""
    return tuple(dict.fromkeys(_sizes(predictor)[1:]))


def _sizes(predictor: Predictor) -> list[tuple[int, int]]:
    """The size that is traced, and those that are checked."""
    if predictor.preprocessing.size:
        height, width = predictor.preprocessing.size
        return [(height, width)] * 3
    return [EXAMPLE_SIZE, *CHECKED_SIZES]


class _Logits(nn.Module):
    """The model as ONNX sees it: a tensor in, a tensor out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image).logits
        return logits


def write(predictor: Predictor, model: nn.Module, paths: Sequence[Path]) -> None:
    """Write the graph to the one path. Raises ModelError for a model that cannot be exported."""
    example = torch.zeros(2, predictor.channels, *_sizes(predictor)[0])
    free = {0: "batch"} if predictor.preprocessing.size else {0: "batch", 2: "height", 3: "width"}
    write_graph(
        _Logits(prepared(model)),
        (example,),
        (free,),
        ["image"],
        ["logits"],
        about(predictor),
        predictor.name,
        paths[0],
    )


def disagreement(predictor: Predictor, model: nn.Module, paths: Sequence[Path]) -> float:
    """The largest difference between the file in ONNX Runtime and the module, relative to the largest logit.

    A model that chooses between values (DeconvNet's pooling switches) says by `may_differ` which share of its logits
    may be left out: where two values are equal up to rounding, each side may choose another.
    """
    spared = getattr(model, "may_differ", 0.0)
    exported = Predictor.open(paths[0], device="cpu")
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch, (height, width) in enumerate(_sizes(predictor)[1:], start=1):
        image = torch.randn(batch, predictor.channels, height, width, generator=generator)
        with torch.inference_mode():
            expected = model(image.to(predictor.device)).logits.float().cpu()
            got = exported.network(image)
        if got.shape != expected.shape:
            raise ModelError(
                f"the exported {predictor.name} answers {tuple(got.shape)}, PyTorch {tuple(expected.shape)}; "
                "nothing was written: please report this model"
            )
        largest = max(float(expected.abs().max()), 1e-6)
        apart = (got - expected).abs().flatten()
        kept = apart.kthvalue(max(1, round(apart.numel() * (1 - spared)))).values if spared else apart.max()
        worst = max(worst, float(kept) / largest)
    return worst
