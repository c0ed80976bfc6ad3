"""Export of instance models: one ONNX graph from an image to detections.

    image   (1, C, height, width) float32, normalised as the metadata's `foveate.preprocessing` says
    boxes   (R, 4) float32, left, top, right, bottom in pixels      labels  (R,) int64, classes of `foveate.tables`
    scores  (R,) float32, falling                                   masks   (R, m, m) float32, 0..1 inside the box
    kept    (R,) bool: the detections that stay; the others only vote on their masks

The metadata's `foveate.score_threshold` is the score from which an object counts as found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.onnx import Graph, Graphs, OnnxFile, prepared, require_same_shape, worst
from foveate.records import InstanceOutput

if TYPE_CHECKING:
    from foveate.tasks.base import Task

OUTPUTS = ("boxes", "labels", "scores", "masks", "kept")
EXAMPLE_SIZE = (128, 160)
CHECKED_SIZES = ((97, 131), (250, 201))  # sizes that the export has not seen


class _Detections(nn.Module):
    """A model with its detections as a tuple of tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(image))


class DetectionRunner(nn.Module):
    """An exported file under the face of its model: an image (1, C, H, W) -> `InstanceOutput` on the CPU."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self.file = file
        try:
            threshold = float(file.value("score_threshold"))
        except (TypeError, ValueError) as error:
            raise file.unreadable("score_threshold", error) from error
        self.register_buffer("score_threshold", torch.tensor(threshold))

    def forward(self, image: Tensor) -> InstanceOutput:
        """See the class."""
        return InstanceOutput(*self.file.run(OUTPUTS, {"image": image}))


def graphs(task: Task, model: Any) -> Graphs:
    """The model as one graph, at any height and width. Raises ModelError for a model that says why it has none."""
    if reason := getattr(model, "unexported", ""):
        raise ModelError(f"this model has no ONNX export: {reason}; use the run folder or the model folder")
    channels = len(task.preprocessing.mean)
    graph = Graph(
        _Detections(prepared(model)),
        (torch.zeros(1, channels, *EXAMPLE_SIZE),),
        ({2: "height", 3: "width"},),
        ("image",),
        OUTPUTS,
        metadata={"score_threshold": round(float(model.score_threshold), 6)},
    )

    def difference(model: nn.Module, runner: nn.Module) -> float:
        generator = torch.Generator().manual_seed(0)
        images = [torch.randn(1, channels, *size, generator=generator) for size in CHECKED_SIZES]
        return worst([_difference(model, runner, image) for image in images])

    return Graphs((graph,), CHECKED_SIZES, difference)


@torch.inference_mode()
def _difference(model: nn.Module, runner: nn.Module, image: Tensor) -> float:
    """Largest difference of the kept detections, as a share of the image's side for boxes, of 1 for the rest."""
    device = next(model.parameters()).device
    expected = _kept(InstanceOutput(*(part.cpu() for part in model(image.to(device)))))
    exported = _kept(runner(image))
    require_same_shape(exported.boxes, expected.boxes)
    if not len(expected.boxes):
        return 0.0
    side = max(image.shape[-2:])
    return worst([
        float((exported.boxes - expected.boxes).abs().max()) / side,
        float((exported.labels != expected.labels).any()),
        float((exported.scores - expected.scores).abs().max()),
        float((exported.masks - expected.masks).abs().max()),
    ])  # fmt: skip


def _kept(output: InstanceOutput) -> InstanceOutput:
    return InstanceOutput(*(part[output.kept] for part in output))
