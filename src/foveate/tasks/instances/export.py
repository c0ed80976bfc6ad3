"""Export of instance models: one ONNX graph from an image to detections, and of some a second one beside it.

    image   (1, C, height, width) float32, normalised as the metadata's `foveate.preprocessing` says
    boxes   (R, 4) float32, left, top, right, bottom in pixels      labels  (R,) int64, classes of `foveate.tables`
    scores  (R,) float32, falling                                   masks   (R, m, m) float32, 0..1 inside the box
    kept    (R,) bool: the detections that stay; the others only vote on their masks

The metadata's `foveate.score_threshold` is the score from which an object counts as found, `foveate.most` the most
detections that stay.

A model that outlines the objects of boxes that it is given has a second file, cells.outline.onnx beside cells.onnx:

    image, boxes (R, 4) float32 in pixels, labels (R,) int64  ->  masks (R, m, m) float32, 0..1 inside the box
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from foveate.onnx import Graph, Graphs, OnnxFile, prepared, require_exportable, require_same_shape, worst
from foveate.records import InstanceOutput, traits_of
from foveate.tasks.parts import device_of

if TYPE_CHECKING:
    from foveate.tasks.base import Task

OUTPUTS = ("boxes", "labels", "scores", "masks", "kept")
EXAMPLE_SIZE = (128, 160)
OUTLINE = ".outline"  # the suffix of the second file
CHECKED_SIZES = ((97, 131), (250, 201))  # sizes that the export has not seen


class _Detections(nn.Module):
    """A model with its detections as a tuple of tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(image))


class _Outlines(nn.Module):
    """A model that outlines the objects of given boxes, as a function of tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        masks: Tensor = self.model.draw(image, boxes, labels).masks  # type: ignore[operator]
        return masks


class ExportedOutlines(NamedTuple):
    """Masks of the boxes of one image, (R, m, m) in 0..1."""

    masks: Tensor


class DetectionRunner(nn.Module):
    """An exported file with the interface of its model: an image (1, C, H, W) -> `InstanceOutput` on the CPU."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self.file = file
        try:
            threshold = float(file.value("score_threshold"))
        except (TypeError, ValueError) as error:
            raise file.unreadable("score_threshold", error) from error
        self.register_buffer("score_threshold", torch.tensor(threshold))
        self.max_detections = int(file.about.get("most", 0))  # earlier versions wrote none

    def forward(self, image: Tensor) -> InstanceOutput:
        """See the class."""
        return InstanceOutput(*self.file.run(OUTPUTS, {"image": image}))


class OutliningRunner(DetectionRunner):
    """The exported files of a model that outlines the objects of given boxes, too."""

    @cached_property
    def second(self) -> OnnxFile:
        """The file of the outlines, opened when it is needed."""
        return self.file.sibling(OUTLINE)

    def outline(self, image: Tensor, boxes: Tensor, labels: Tensor) -> ExportedOutlines:
        """Outline objects of one image (1, C, H, W) in boxes (R, 4) with labels (R,). Raises ModelError."""
        return ExportedOutlines(*self.second.run(("masks",), {"image": image, "boxes": boxes, "labels": labels}))


def open_runner(file: OnnxFile) -> DetectionRunner:
    """Open an exported file with its model's interface. Raises ModelError."""
    return OutliningRunner(file) if file.about.get("outlines") else DetectionRunner(file)


def graphs(task: Task, model: Any) -> Graphs:
    """The model as one graph, at any height and width. Raises ModelError for a model that says why it has none."""
    require_exportable(model)
    channels = len(task.preprocessing.mean)
    outlines = hasattr(model, "draw")
    ready, image = prepared(model), torch.zeros(1, channels, *EXAMPLE_SIZE)
    metadata = {
        "score_threshold": round(float(model.score_threshold), 6),
        "most": traits_of(model).max_detections,
        "outlines": outlines,
    }
    sides = {2: "height", 3: "width"}
    parts = [Graph(_Detections(ready), (image,), (sides,), ("image",), OUTPUTS, metadata=metadata)]
    if outlines:
        boxes = torch.tensor([[8.0, 12, 40, 60], [70, 30, 150, 90], [20, 70, 60, 120]])
        parts.append(
            Graph(
                _Outlines(ready), (image, boxes, torch.zeros(len(boxes), dtype=torch.int64)),
                (sides, {0: "boxes"}, {0: "boxes"}), ("image", "boxes", "labels"), ("masks",), OUTLINE, metadata,
            )
        )  # fmt: skip

    def difference(model: nn.Module, runner: nn.Module) -> float:
        generator = torch.Generator().manual_seed(0)
        images = [torch.randn(1, channels, *size, generator=generator) for size in CHECKED_SIZES]
        found = [_difference(model, runner, image) for image in images]
        if isinstance(runner, OutliningRunner):
            found += [_outline_difference(model, runner, image) for image in images]
        return worst(found)

    return Graphs(tuple(parts), CHECKED_SIZES, difference)


@torch.inference_mode()
def _difference(model: nn.Module, runner: nn.Module, image: Tensor) -> float:
    """Largest difference of the kept detections, as a share of the image's side for boxes, of 1 for the rest."""
    device = device_of(model)
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


@torch.inference_mode()
def _outline_difference(model: Any, runner: OutliningRunner, image: Tensor) -> float:
    """Largest difference of the outlines in two boxes."""
    device = device_of(model)
    height, width = image.shape[-2:]
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.3, 0.0, 1.0, 0.4]]) * torch.tensor([width, height, width, height])
    labels = torch.zeros(2, dtype=torch.int64)
    expected = model.outline(image.to(device), boxes.to(device), labels.to(device)).masks.cpu()
    exported = runner.outline(image, boxes, labels).masks
    require_same_shape(exported, expected)
    return float((exported - expected).abs().max())


def _kept(output: InstanceOutput) -> InstanceOutput:
    return InstanceOutput(*(part[output.kept] for part in output))
