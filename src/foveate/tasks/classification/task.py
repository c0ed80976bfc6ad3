"""The family of image classification: how samples become batches, and how answers are made and scored.

Shapes: B pictures of C channels, H x W pixels, h x w of them seen by the network, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from foveate.errors import ConfigError, DataError
from foveate.metrics.classification import ClassificationMetrics
from foveate.records import (
    ClassificationBatch,
    ClassificationDataset,
    ClassificationOutput,
    ClassificationPrediction,
    ClassificationSample,
    ClassTable,
    Preprocessing,
    TransformerOutput,
    TransformView,
)
from foveate.registry import task
from foveate.tasks.inference import Inference
from foveate.tasks.semantic import class_weights

Network = Callable[[Tensor], ClassificationOutput]
AT_ONCE = 64  # pictures that are scored together


@task("classification")
class ClassificationTask:
    """What the engine needs to know of a set of classes and a model's input."""

    monitor = "top1"  # the score that says which epoch is best
    headline = ("top1", "error_percent", "calibration_error")  # what an epoch logs

    def __init__(self, classes: ClassTable, preprocessing: Preprocessing) -> None:
        self.classes, self.preprocessing = classes, preprocessing
        self.class_weights: Tensor | None = None  # (K,) for the loss

    def collate(self, samples: Sequence[ClassificationSample]) -> ClassificationBatch:
        """Samples -> one normalised batch. What augmentation has brought to the network's size stays as it is."""
        pictures = [s["image"].as_subclass(Tensor) for s in samples]
        size = self.preprocessing.size or tuple(pictures[0].shape[-2:])
        fitting = [p if tuple(p.shape[-2:]) == size else fit(p, self.preprocessing) for p in pictures]
        if len({tuple(p.shape) for p in fitting}) > 1:
            raise DataError(
                f"pictures of {_size(fitting[0])} and other sizes in one batch; give the model an image_size to bring "
                "them to"
            )
        images = self.preprocessing(torch.stack(fitting)).contiguous(memory_format=torch.channels_last)
        batch: ClassificationBatch = {
            "image": images,
            "label": torch.tensor([s["label"] for s in samples]),
            "names": [s["name"] for s in samples],
        }
        if self.class_weights is not None:
            batch["class_weights"] = self.class_weights
        return batch

    def weigh_classes(self, samples: Iterable[ClassificationSample], kind: str) -> None:
        """Weigh the loss by how rare each class is in these samples; kind as `class_weights`."""
        labels = torch.tensor([s["label"] for s in samples])
        shares = torch.bincount(labels, minlength=len(self.classes)).double() / len(labels)
        self.class_weights = class_weights(shares, kind)

    def metrics(self, dataset: Any = None, whole: bool = True) -> ClassificationMetrics:
        """An empty counter of a data set's scores. whole: no matter here, all of them are cheap."""
        return ClassificationMetrics(len(self.classes))

    def score(
        self,
        model: nn.Module,
        dataset: ClassificationDataset,
        indices: Iterable[int],
        metrics: ClassificationMetrics,
        how: Inference = Inference(),  # noqa: B008 - frozen
    ) -> Iterator[tuple[int, float]]:
        """Count the model's answers on some pictures; yields (index, the probability of its true class) of each."""
        require_plain(how)
        network, indices = _on_device(model), iter(indices)
        while some := list(itertools.islice(indices, AT_ONCE)):
            # Photographs are made small one by one: sixty-four whole ones would fill the memory.
            fitting, truth = [], []
            for sample in map(dataset.__getitem__, some):
                fitting.append(fit(sample["image"].as_subclass(Tensor), self.preprocessing))
                truth.append(sample["label"])
            probabilities = look(network, self.preprocessing(torch.stack(fitting)), how.flip).logits.softmax(1)
            labels = torch.tensor(truth)
            metrics.update(probabilities, labels)
            yield from zip(some, probabilities[torch.arange(len(some)), labels].tolist(), strict=True)

    def answer(self, model: nn.Module, image: Tensor, how: Inference = Inference()) -> ClassificationPrediction:  # noqa: B008
        """What the model says of a picture (C, H, W)."""
        require_plain(how)
        return answer(_on_device(model), image, self.classes, self.preprocessing, flip=how.flip)


def _on_device(model: nn.Module) -> Network:
    """The model, for batches on any device."""
    device = next(model.parameters()).device
    return lambda batch: model(batch.to(device, memory_format=torch.channels_last))


def look(network: Network, batch: Tensor, flip: bool = False) -> ClassificationOutput:
    """The network's output for (B, C, h, w), normalised, on the CPU in float32.

    flip: the probabilities of both sides averaged, as logits; `looks` are those of the unmirrored pictures.
    """
    output = network(batch)
    logits = output.logits.float().cpu()
    if flip:
        mirrored = network(batch.flip(-1)).logits.float().cpu()
        logits = torch.stack([logits.softmax(1), mirrored.softmax(1)]).mean(0).log()
    return ClassificationOutput(
        logits, tuple(TransformerOutput(*(p.float().cpu() for p in one)) for one in output.transforms)
    )


def answer(
    network: Network, image: Tensor, classes: ClassTable, preprocessing: Preprocessing, *, flip: bool = False
) -> ClassificationPrediction:
    """What a network says of a picture (C, H, W), uint8 or float in 0..1."""
    seen = fit(image, preprocessing)
    output = look(network, preprocessing(seen)[None], flip)
    shown = (seen * 255).round().byte() if seen.is_floating_point() else seen
    return ClassificationPrediction(
        output.logits[0].softmax(0).numpy(),
        classes,
        shown.permute(1, 2, 0).numpy(),
        tuple(_look(one, preprocessing) for one in output.transforms),
    )


def _look(one: TransformerOutput, preprocessing: Preprocessing) -> TransformView:
    handed_on = one.output[0].permute(1, 2, 0).numpy()
    if handed_on.shape[2] != len(preprocessing.mean):  # of a map inside the network
        return TransformView(one.grid[0].numpy(), None)
    restored = handed_on * np.array(preprocessing.std, np.float32) + np.array(preprocessing.mean, np.float32)
    return TransformView(one.grid[0].numpy(), restored.clip(0, 1))


def fit(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Bring a picture (C, H, W) to the network's size (C, h, w), as `Preprocessing` describes; its dtype stays."""
    if not preprocessing.size:
        return image
    size = list(preprocessing.size)
    height, width = image.shape[-2:]
    if [height, width] == size and preprocessing.crop == 1:
        return image
    if preprocessing.stretch:
        return F.resize(image, size, InterpolationMode.BILINEAR, antialias=True)
    # The largest window of this shape that the picture holds, then `crop` of its sides.
    factor = min(height / size[0], width / size[1]) * preprocessing.crop
    window = [max(1, round(side * factor)) for side in size]
    return F.resize(F.center_crop(image, window), size, InterpolationMode.BILINEAR, antialias=True)


def require_plain(how: Inference) -> None:
    """A classifier can be asked twice, mirrored, but has no label map to refine. Raises ConfigError."""
    if how != Inference(flip=how.flip):
        raise ConfigError(f"a classifier cannot be looked at with {how.describe()}; only --flip is for classifiers")


def _size(picture: Tensor) -> str:
    return f"{picture.shape[-1]}x{picture.shape[-2]} pixels"
