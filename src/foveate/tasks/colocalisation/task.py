"""The family of co-localisation: pictures become batches without boxes, and found windows are scored against them.

Shapes: B pictures of C channels, H x W pixels; T windows; N objects.

A co-localiser offers, beside `forward` and `loss`, what tells how it does where nobody knows the boxes:

    compare(image (B, C, H, W), generator) -> theta, found (T, B, D), elsewhere (T, B, D)

which is what its windows hold, and others that are drawn from the generator.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import ConfigError
from foveate.metrics.localisation import LocalisationMetrics
from foveate.records import (
    ClassTable,
    ColocalisationBatch,
    ColocalisationOutput,
    ColocalisationPrediction,
    ColocalisationSample,
    Preprocessing,
    TransformView,
)
from foveate.registry import task
from foveate.tasks.classification import fit
from foveate.tasks.inference import Inference

Network = Callable[[Tensor], ColocalisationOutput]
AT_ONCE = 64  # pictures that are scored together, and whose windows are compared
SEED = 0  # of the windows that those found are compared with


@task("colocalisation")
class ColocalisationTask:
    """What the engine needs to know of the common objects and a model's input."""

    monitor = "contrast"  # the score that says which epoch is best: one that asks for no box
    headline = ("contrast", "corloc", "mean_iou", "pointing")  # what an epoch logs

    def __init__(self, classes: ClassTable, preprocessing: Preprocessing) -> None:
        self.classes, self.preprocessing = classes, preprocessing

    def collate(self, samples: Sequence[ColocalisationSample]) -> ColocalisationBatch:
        """Samples -> one normalised batch. Boxes and labels are left behind."""
        return {"image": self._images(samples), "names": [s["name"] for s in samples]}

    def _images(self, samples: Sequence[ColocalisationSample]) -> Tensor:
        fitting = [fit(s["image"].as_subclass(Tensor), self.preprocessing) for s in samples]
        return self.preprocessing(torch.stack(fitting)).contiguous(memory_format=torch.channels_last)

    def weigh_classes(self, samples: Iterable[Any], kind: str) -> None:
        """There are no classes to weigh. Raises ConfigError."""
        raise ConfigError(f"class_weights '{kind}' is for labels, and nothing is labelled here; leave it at none")

    def metrics(self, dataset: Any = None, whole: bool = True) -> LocalisationMetrics:
        """An empty counter of this data set's scores. whole: no matter here, all of them are cheap."""
        return LocalisationMetrics(len(self.classes))

    def score(
        self,
        model: nn.Module,
        dataset: Any,
        indices: Iterable[int],
        metrics: LocalisationMetrics,
        how: Inference = Inference(),  # noqa: B008 - frozen
    ) -> Iterator[tuple[int, float]]:
        """Count the windows found in some pictures; yields (index, the mean IoU with its objects) of each."""
        require_plain(how)
        device, indices = next(model.parameters()).device, iter(indices)
        generator = torch.Generator(device).manual_seed(SEED)
        while some := list(itertools.islice(indices, AT_ONCE)):
            fitting, truths = [], []  # pictures are made small one by one
            for sample in map(dataset.__getitem__, some):
                image = sample["image"].as_subclass(Tensor)
                fitting.append(fit(image, self.preprocessing))
                truths.append((image.shape[-2:], sample["boxes"].as_subclass(Tensor), sample["labels"]))
            batch = self.preprocessing(torch.stack(fitting)).to(device, memory_format=torch.channels_last)
            theta, found, elsewhere = model.compare(batch, generator)  # type: ignore[operator]
            for mine, others in zip(found.float().cpu(), elsewhere.float().cpu(), strict=True):
                metrics.compare(mine, others)
            corners = _corners(theta.float().cpu())
            for index, ((height, width), boxes, labels), windows in zip(some, truths, corners, strict=True):
                placed = place(windows, (height, width), self.preprocessing)
                yield index, metrics.update(placed, boxes, labels, (height, width))

    def answer(self, model: nn.Module, image: Tensor, how: Inference = Inference()) -> ColocalisationPrediction:  # noqa: B008
        """Where the common objects of a picture (C, H, W) are, as the model sees them."""
        require_plain(how)
        device = next(model.parameters()).device
        return answer(lambda batch: model(batch.to(device)), image, self.preprocessing)


def answer(network: Network, image: Tensor, preprocessing: Preprocessing) -> ColocalisationPrediction:
    """Where a network finds common objects in a picture (C, H, W), uint8 or float in 0..1."""
    seen = fit(image, preprocessing)
    output = network(preprocessing(seen)[None])
    theta = torch.stack([look.theta[0].float().cpu() for look in output.transforms])
    size = (image.shape[-2], image.shape[-1])
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    looks = []
    for look in output.transforms:
        handed_on = look.output[0].float().cpu().permute(1, 2, 0).numpy()
        looks.append(TransformView(look.grid[0].float().cpu().numpy(), (handed_on * std + mean).clip(0, 1)))
    shown = (seen * 255).round().byte() if seen.is_floating_point() else seen
    boxes = place(_corners(theta), size, preprocessing).numpy()
    return ColocalisationPrediction(boxes, shown.permute(1, 2, 0).numpy(), tuple(looks))


def _corners(theta: Tensor) -> Tensor:
    """s, t_x, t_y (..., 3) -> the window's corners, XYXY in -1..1 over what the network sees (..., 4)."""
    s, middle = theta[..., :1], theta[..., 1:]
    return torch.cat([middle - s, middle + s], -1)


def place(windows: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> Tensor:
    """Windows (T, 4) in -1..1 over what the network sees -> in pixels of the picture, whose (height, width) is `size`.

    The network sees the middle of the picture, as `fit` cuts it out.
    """
    height, width = size
    down, across = height, width
    if preprocessing.size and not preprocessing.stretch:
        factor = min(height / preprocessing.size[0], width / preprocessing.size[1]) * preprocessing.crop
        down, across = (max(1, round(side * factor)) for side in preprocessing.size)
    # Where torchvision's centre crop begins.
    corner = torch.tensor([round((width - across) / 2), round((height - down) / 2)]).repeat(2)
    extent = torch.tensor([across, down]).repeat(2)
    return (windows + 1) / 2 * extent + corner


def require_plain(how: Inference) -> None:
    """There is one way to look for common objects. Raises ConfigError."""
    if how != Inference():
        raise ConfigError(f"common objects are not looked for with {how.describe()}; leave those flags out")
