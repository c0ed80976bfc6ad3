"""Semantic segmentation: batches of images and masks, label maps, and their scores.

Shapes: B images of C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, DataError, counted
from foveate.labels import Labels, labels_of_objects
from foveate.metrics.plain import number_or_none
from foveate.metrics.segmentation import SegmentationMetrics
from foveate.records import IGNORE, SemanticBatch, SemanticPrediction, SemanticSample, Table, traits_of
from foveate.registry import task
from foveate.tasks.auditing import Audited, Suspect
from foveate.tasks.base import Allowance, Count, Gallery, Runner, Sample, Task, Writer, device_of
from foveate.tasks.classes import require_same_classes
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.fitting import AUTO_TILE_PIXELS, middle
from foveate.tasks.instances.outputs import ENDINGS, Tables, object_files, objects_record
from foveate.tasks.semantic.audit import audit_labels, draw_suspect
from foveate.tasks.semantic.drawing import draw_labels
from foveate.tasks.semantic.export import graphs, open_runner
from foveate.tasks.semantic.inference import SemanticOptions, predict_labels, predict_probabilities
from foveate.tasks.semantic.inspection import SemanticFindings
from foveate.tasks.semantic.objects import objects_in
from foveate.tasks.semantic.reply import SemanticReplies
from foveate.tasks.semantic.report import report
from foveate.tasks.semantic.tiling import STRIDE
from foveate.visualize.geotiff import index_geotiff
from foveate.visualize.overlay import index_png
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    import PIL.Image

    from foveate.onnx import Graphs, OnnxFile

# The validation loss takes at most this square from the middle of an image; larger ones are predicted in tiles.
LOSS_SIDE = int(AUTO_TILE_PIXELS**0.5) // STRIDE * STRIDE


@task("semantic")
class SemanticTask(SemanticReplies, Task):
    """A class for every pixel."""

    name = "semantic"
    title = "semantic segmentation"
    hub_tag = "image-segmentation"
    monitor = "mean_iou"
    headline = ("mean_iou", "pixel_accuracy", "mean_accuracy")
    Options = SemanticOptions
    sizes: ClassVar = {"num_classes": "classes", "in_channels": Count("channels")}
    batch_size = loss_batch_size = 1  # images come in many sizes, each is predicted at its own
    endings = (*ENDINGS, "_mask.png", "_mask.tif")
    runtimes = ("onnxruntime", "openvino")
    int8 = Allowance(0.5)

    def __init__(self, tables: Mapping[str, Table], preprocessing: Any) -> None:
        super().__init__(tables, preprocessing)
        self.classes: Any = self.tables["classes"]
        self.class_weights: Tensor | None = None  # (K,) for the loss

    # Training

    @classmethod
    def learn_tables(cls, train_set: Any, recipe: Any) -> dict[str, Table]:
        """The class table of the data."""
        return {"classes": train_set.classes}

    def collate(self, samples: Sequence[SemanticSample]) -> SemanticBatch:
        """Normalise samples into one batch. Smaller images are padded at the right and below, and not scored there."""
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

    def validation_sample(self, sample: SemanticSample) -> SemanticSample:
        """The middle of a large image, LOSS_SIDE pixels a side at most."""
        crop = middle(sample["image"], LOSS_SIDE)
        return {"image": sample["image"][:, *crop], "mask": sample["mask"][crop], "name": sample["name"]}

    def weigh_classes(self, samples: Iterable[Any], kind: str) -> None:
        """Weigh the loss of each class by its share of the labelled pixels; kind as `class_weights`.

        Raises DataError if no pixel is labelled.
        """
        self.class_weights = class_weights(class_shares(samples, len(self.classes)), kind)

    def require_data(self, dataset: Any, model: str) -> None:
        """Raise ConfigError for data with other classes than the model's."""
        require_same_classes(self.classes, dataset.classes, model)

    # Answering

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: SemanticOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[SemanticPrediction]:
        """The label map of each image, at the image's own size."""
        predictions = self._labelled(runner, samples, options, progress)
        if options.objects:
            for prediction in predictions:
                prediction.objects = objects_in(prediction, options.least_area, options.pixel_size)
        return predictions

    def _labelled(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: SemanticOptions,
        progress: Callable[[float], None] | None = None,
        confident: bool = False,
    ) -> list[SemanticPrediction]:
        """Label maps without objects. confident: with the probability of each pixel's class."""
        if options.scales != (1.0,) and traits_of(runner).resizes_images:
            raise ConfigError(
                "this model resizes every image to one size, so that scales change nothing; leave them out"
            )
        network, device = network_of(runner), device_of(runner)
        predictions = []
        for sample in samples:
            mask, confidence = predict_labels(
                network, sample["image"], self.preprocessing, options, device, progress, confident
            )
            predictions.append(SemanticPrediction(mask, self.classes, sample["name"], known_confidence=confidence))
        return predictions

    def probabilities(self, runner: Runner, sample: Any, options: SemanticOptions) -> np.ndarray:
        """Class probabilities (K, H, W) of one image; see `predict_probabilities`."""
        return predict_probabilities(
            network_of(runner), sample["image"], self.preprocessing, options, device_of(runner)
        )

    # Scoring

    def metrics(self, dataset: Any, whole: bool = True) -> SegmentationMetrics:
        """An empty counter. whole: the scores at the boundaries too, which take longest."""
        return SegmentationMetrics(len(self.classes), boundaries=whole)

    def answer_to_score(
        self, runner: Runner, samples: Sequence[Any], options: SemanticOptions, metrics: SegmentationMetrics
    ) -> list[SemanticPrediction]:
        """Label maps; in a whole evaluation with the probability of each pixel's class, for the calibration error."""
        return self._labelled(runner, samples, options, confident=metrics.boundaries and options.probabilistic)

    def count(self, metrics: SegmentationMetrics, index: int, sample: Any, prediction: SemanticPrediction) -> float:
        """Count one label map; returns its mean IoU, nan for an image without a scored pixel."""
        own = SegmentationMetrics(len(self.classes), boundaries=metrics.boundaries)
        own.update(prediction.mask, self.truth(sample), prediction.known_confidence)
        metrics.merge(own.state())
        try:
            return float(own.compute().mean_iou)
        except DataError:  # every pixel of this image is ignored
            return float(np.nan)

    def truth(self, sample: SemanticSample) -> np.ndarray:
        """A sample's labels (H, W), with IGNORE where the class table ignores."""
        mask = sample["mask"].numpy().astype(np.int64)
        mask[mask == self.classes.ignore_index] = IGNORE
        return mask

    def audit(self, runner: Runner, sample: Any, options: SemanticOptions) -> Audited:
        """Regions of one class that the model is sure to be of another; see `audit_labels`."""
        return audit_labels(self.probabilities(runner, sample, options), self.truth(sample), self.classes)

    def draw_suspect(
        self, runner: Runner, sample: Any, suspect: Suspect | None, options: SemanticOptions
    ) -> PIL.Image.Image:
        """Image, labels and prediction of a region."""
        (prediction,) = self.answer(runner, [sample], options)
        image = sample["image"].as_subclass(Tensor).permute(1, 2, 0).numpy()
        box = suspect.box if suspect is not None else ()
        return draw_suspect(image, sample["mask"].numpy(), prediction.mask, self.classes, box)

    def sample_rows(self, scores: Any) -> list[dict[str, Any]]:
        """The scores of each image alone, and the IoU of each class that it holds or was given."""
        columns = {name: values for name, values in scores.per_image.items() if values.ndim == 1}
        rows = [
            {name: number_or_none(float(value)) for name, value in zip(columns, row, strict=True)}
            for row in zip(*columns.values(), strict=True)
        ]
        for row, ious in zip(rows, scores.per_image.get("per_class_iou", ()), strict=True):
            found = zip(self.classes.names, ious, strict=True)
            row.update({f"iou {name}": float(value) for name, value in found if np.isfinite(value)})
        return rows

    def score_notes(self, scores: Any) -> list[str]:
        """A note on a model that gives every pixel one class, where there are others."""
        given, true = (np.flatnonzero(scores.confusion.sum(axis)) for axis in (0, 1))
        if len(given) > 1 or len(true) < 2:
            return []
        return [
            f"every pixel was given the class '{self.classes.names[given[0]]}': the others are not learned yet; train "
            "for more epochs, or on more pictures"
        ]

    def scores_to_json(self, scores: Any) -> dict[str, Any]:
        """Scores by name, those of single classes by class name."""
        return dict(scores.to_json(self.classes))

    # Keeping and showing

    def record(self, prediction: SemanticPrediction) -> dict[str, Any]:
        """Size of the image, the share of each class, and the objects, where they were asked for."""
        height, width = prediction.mask.shape
        found = {"height": height, "width": width, "shares": prediction.shares()}
        return found if prediction.objects is None else found | objects_record(prediction.objects)

    def files(self, prediction: SemanticPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The mask as an index PNG, and its overlay on the image with a legend; for a GeoTIFF the mask as one, too.

        With objects, their files instead of the overlay (`object_files`), and the mask beside the object numbers.
        """

        def write_overlay(path: Any) -> None:
            self.draw(prediction, sample).save(path, format="JPEG", quality=90)

        found: dict[str, tuple[str, Writer]] = {
            "mask": (".png", lambda path: index_png(prediction.mask, self.classes, path)),
            "overlay": ("_overlay.jpg", write_overlay),
        }
        if prediction.objects is not None:
            found = {"mask": ("_mask.png", found["mask"][1]), **object_files(prediction.objects, sample)}
        if (ground := getattr(sample["image"], "ground", None)) is not None:
            found["geotiff"] = ("_mask.tif", lambda path: index_geotiff(prediction.mask, self.classes, ground, path))
        return found

    def annotation(self, prediction: SemanticPrediction) -> Labels:
        """The label map, or the objects where they were asked for."""
        if prediction.objects is not None:
            return labels_of_objects(prediction.objects.found, prediction.objects.classes)
        return Labels(prediction.mask, self.classes)

    def gallery(self, model: str) -> Gallery:
        """Tables of the objects of the call, as of instance segmentation; nothing without objects."""
        return ObjectTables()

    def lines(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
        """The number of objects of each image, where they were asked for."""
        for source, record in records:
            if "count" in record:
                yield f"{source}: {counted(record['count'], 'object')}"

    def draw(self, prediction: SemanticPrediction, sample: Sample, **options: Any) -> PIL.Image.Image:
        """The label map over its image, with a legend; options: those of `semantic.drawing.Look`."""
        return draw_labels(sample["image"], prediction.mask, self.classes, prediction.shares(), options)

    def draw_frame(self, prediction: SemanticPrediction, sample: Sample) -> PIL.Image.Image:
        """The label map over a frame, without the legend, whose height differs with the classes."""
        return self.draw(prediction, sample, legend=False)

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Scores by class, mistakes, boundaries and example images."""
        return report(evaluation)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> SemanticFindings:
        """Shares of the classes, sizes and channels."""
        return SemanticFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """One graph: image -> logits, at any size."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """An exported file with the model's interface."""
        return open_runner(self, file)


class ObjectTables:
    """Tables of the objects of label maps; nothing without any."""

    def __init__(self) -> None:
        self.tables: Tables | None = None

    def add(self, name: str, prediction: SemanticPrediction, sample: Sample) -> None:
        """Take in one prediction."""
        if prediction.objects is not None:
            self.tables = self.tables or Tables(prediction.objects.classes)
            self.tables.add(name, prediction.objects, sample)

    def write(self, folder: Any) -> None:
        """Write objects.csv, images.csv and objects.json."""
        if self.tables is not None:
            self.tables.write(folder)


def class_shares(samples: Iterable[SemanticSample], num_classes: int) -> Tensor:
    """The share of each class among the scored pixels, (num_classes,) float64. Raises DataError if there are none."""
    counts = torch.zeros(num_classes, dtype=torch.int64)
    for sample in samples:
        mask = sample["mask"].as_subclass(Tensor).flatten().long()
        counts += torch.bincount(mask[mask < num_classes], minlength=num_classes)
    if not counts.sum():
        raise DataError("no labelled pixel in the training images: every one has the ignored value; check the masks")
    return counts.double() / counts.sum()


def class_weights(shares: Tensor, kind: str) -> Tensor:
    """(K,) weights for the loss from the classes' shares; an absent class weighs nothing.

    median: median share / share, after Eigen & Fergus (2015), who however count a class only over the images that
        hold it. log: 1 / log(1.02 + share) (ENet, Paszke et al. 2016).
    """
    present = shares > 0
    weights = shares[present].quantile(0.5) / shares if kind == "median" else 1 / torch.log(1.02 + shares)
    return torch.where(present, weights, 0.0).float()


def network_of(runner: Runner) -> Callable[[Tensor], Tensor]:
    """A model as a function from normalised images (B, C, H, W) to logits (B, K, H, W)."""

    def network(x: Tensor) -> Tensor:
        logits: Tensor = runner(x.contiguous(memory_format=torch.channels_last)).logits
        return logits

    return network
