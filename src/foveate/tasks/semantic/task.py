"""The family of semantic segmentation: how samples become batches, and how answers are scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import DataError
from foveate.metrics.segmentation import SegmentationMetrics
from foveate.records import IGNORE, ClassTable, Preprocessing, SemanticBatch, SemanticDataset, SemanticSample
from foveate.registry import task
from foveate.tasks.inference import Inference, predict_labels


@task("semantic")
class SemanticTask:
    """What the engine needs to know of a semantic data set and a model's input."""

    monitor = "mean_iou"  # the score that says which epoch is best
    headline = ("mean_iou", "pixel_accuracy", "mean_accuracy")  # what an epoch logs

    def __init__(self, classes: ClassTable, preprocessing: Preprocessing) -> None:
        self.classes, self.preprocessing = classes, preprocessing
        self.class_weights: Tensor | None = None  # (K,) for the loss

    def collate(self, samples: Sequence[SemanticSample]) -> SemanticBatch:
        """Samples -> one normalised batch. Smaller pictures are padded at the right and below, and not scored there."""
        height = max(s["image"].shape[-2] for s in samples)
        width = max(s["image"].shape[-1] for s in samples)
        channels = samples[0]["image"].shape[0]
        images = torch.zeros(len(samples), channels, height, width).contiguous(memory_format=torch.channels_last)
        masks = torch.full((len(samples), height, width), IGNORE, dtype=torch.int64)
        for i, sample in enumerate(samples):
            h, w = sample["image"].shape[-2:]
            images[i, :, :h, :w] = self.preprocessing(sample["image"].as_subclass(Tensor))
            mask = sample["mask"].as_subclass(Tensor).long()
            masks[i, :h, :w] = mask.masked_fill(mask == self.classes.ignore_index, IGNORE)
        batch: SemanticBatch = {"image": images, "mask": masks, "names": [s["name"] for s in samples]}
        if self.class_weights is not None:
            batch["class_weights"] = self.class_weights
        return batch

    def weigh_classes(self, samples: Iterable[SemanticSample], kind: str) -> None:
        """Weigh the loss by how rare each class is in these samples; kind as `class_weights`. Raises DataError."""
        self.class_weights = class_weights(class_shares(samples, len(self.classes)), kind)

    def metrics(self, dataset: Any = None, whole: bool = True) -> SegmentationMetrics:
        """An empty counter of a data set's scores. whole: those at the boundaries too, which cost the most."""
        return SegmentationMetrics(len(self.classes), boundaries=whole)

    def score(
        self,
        model: nn.Module,
        dataset: SemanticDataset,
        indices: Iterable[int],
        metrics: SegmentationMetrics,
        how: Inference = Inference(),  # noqa: B008 - frozen
    ) -> Iterator[tuple[int, float]]:
        """Count the model's answers on some pictures, each at its own size; yields (index, its own mean IoU) of each.

        A picture of which every pixel is ignored has nan.
        """
        for index in indices:
            sample, one = dataset[index], self.metrics(dataset, metrics.boundaries)
            one.update(self.answer(model, sample["image"].as_subclass(Tensor), how), self.truth(sample))
            metrics.merge(one.state())
            yield index, _mean_iou(one)

    def answer(self, model: nn.Module, image: Tensor, how: Inference = Inference()) -> np.ndarray:  # noqa: B008
        """The labels (H, W) that the model gives a picture (C, H, W)."""
        device = next(model.parameters()).device

        def network(x: Tensor) -> Tensor:
            logits: Tensor = model(x.contiguous(memory_format=torch.channels_last)).logits
            return logits

        return predict_labels(network, image.to(device), self.preprocessing, how)

    def truth(self, sample: SemanticSample) -> np.ndarray:
        """A sample's labels (H, W), with IGNORE where the class table ignores."""
        mask = sample["mask"].numpy().astype(np.int64)
        mask[mask == self.classes.ignore_index] = IGNORE
        return mask


def _mean_iou(metrics: SegmentationMetrics) -> float:
    try:
        return float(metrics.compute().mean_iou)
    except DataError:  # every pixel of this picture is ignored
        return float(np.nan)


def class_shares(samples: Iterable[SemanticSample], num_classes: int) -> Tensor:
    """The share of each class among the scored pixels, (num_classes,) float64. Raises DataError if there are none."""
    counts = torch.zeros(num_classes, dtype=torch.int64)
    for sample in samples:
        mask = sample["mask"].as_subclass(Tensor).flatten().long()
        counts += torch.bincount(mask[mask < num_classes], minlength=num_classes)
    if not counts.sum():
        raise DataError("no labelled pixel in the training pictures: every one has the ignored value; check the masks")
    return counts.double() / counts.sum()


def class_weights(shares: Tensor, kind: str) -> Tensor:
    """(K,) weights for the loss from the classes' shares; an absent class weighs nothing.

    median: median share / share, after Eigen & Fergus (2015), who however count a class only over the pictures that
        hold it. log: 1 / log(1.02 + share) (ENet, Paszke et al. 2016).
    """
    present = shares > 0
    weights = shares[present].quantile(0.5) / shares if kind == "median" else 1 / torch.log(1.02 + shares)
    return torch.where(present, weights, 0.0).float()
