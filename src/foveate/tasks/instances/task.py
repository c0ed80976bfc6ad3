"""Instance segmentation: batches of images with objects, detections, and their scores.

Shapes: B images of C channels, H x W pixels; N objects in an image, K classes.

A model's `forward` takes one image (1, C, H, W) and returns an `InstanceOutput`; its buffer `score_threshold` holds the
score from which an object counts as found, which validation chooses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import PIL.Image
import torch
from torch import Tensor, nn

from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.labels import Labels, labels_of_objects
from foveate.metrics.instances import InstanceMetrics
from foveate.ops.boxes import tight_boxes
from foveate.ops.mask_layers import areas, unpack
from foveate.pictures.fitting import shrink
from foveate.records import InstanceBatch, InstancePrediction, InstanceSample, Preprocessing, Table
from foveate.registry import task
from foveate.tasks.base import Count, Gallery, Runner, Sample, Task, Writer, device_of
from foveate.tasks.classes import require_same_classes
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.fitting import middle
from foveate.tasks.instances.detect import best_proposals, find_objects, has_regions, truth_of
from foveate.tasks.instances.export import graphs, open_runner
from foveate.tasks.instances.figures import LONGEST, draw_objects
from foveate.tasks.instances.inspection import InstanceFindings
from foveate.tasks.instances.outlines import can_outline, detector_of, outlined, true_box_ious
from foveate.tasks.instances.outputs import ENDINGS, Tables, object_files, objects_record
from foveate.tasks.instances.reply import InstanceReplies
from foveate.tasks.instances.report import report, score_notes
from foveate.tasks.options import PREDICT, Options, option
from foveate.tasks.semantic.drawing import recolored
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

LEAST_PIXELS = 4  # objects that augmentation leaves with fewer pixels are no examples
LOSS_SIDE = 512  # pixels a side, at most, of an image in the validation loss


@dataclass(frozen=True)
class InstanceOptions(Options):
    """Options of detection.

    score: lowest score that counts as found; None takes the one that validation chose.
    tile: side of the square tiles in pixels; 0 never tiles; None tiles images above 1.5 megapixels.
    overlap: pixels that neighbouring tiles share; None takes 128, or a quarter of a small tile.
    pixel_size: side of a pixel in physical units, for lengths and areas in the tables.
    boxes: a run or an exported file whose objects are found first, and then outlined by this model; None finds them
        with this model.
    """

    score: float | None = option(None, "lowest score that counts as found (default: chosen by validation)", "S")
    tile: int | None = option(None, "side of the tiles; 0: never (default: above 1.5 megapixels)", "N")
    overlap: int | None = option(None, "pixels that neighbouring tiles share (default 128)", "N")
    pixel_size: float = option(
        1.0, "side of a pixel, for lengths and areas in physical units", "SIZE", (PREDICT,), served=False
    )
    boxes: str | None = option(
        None, "outline the objects that another run or file finds (hypercolumns)", "RUN", served=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score is not None and not 0 <= self.score <= 1:
            raise ConfigError(f"score is {self.score:g}; give a number from 0 to 1")
        if not 0 < self.pixel_size < float("inf"):
            raise ConfigError(f"pixel_size is {self.pixel_size:g}; give a length above 0")


@task("instances")
class InstanceTask(InstanceReplies, Task):
    """Every object of an image, with its class, score and outline."""

    name = "instances"
    title = "instance segmentation"
    hub_tag = "image-segmentation"
    monitor = "ap"
    own_score = "tp_ratio50"
    headline = ("ap", "ap50", "ap75", "recall50")
    Options = InstanceOptions
    runtimes = ("onnxruntime", "openvino")
    sizes: ClassVar = {"num_classes": "classes", "in_channels": Count("channels")}
    batch_size = 1
    endings = ENDINGS

    def __init__(self, tables: Mapping[str, Table], preprocessing: Preprocessing) -> None:
        super().__init__(tables, preprocessing)
        self.classes: Any = self.tables["classes"]

    # Training

    @classmethod
    def learn_tables(cls, train_set: Any, recipe: Any) -> dict[str, Table]:
        """The class table of the data: classes of objects, without background. Raises DataError if there is none."""
        if all(bool(train_set[i]["crowd"].all()) for i in range(len(train_set))):
            pictures = counted(len(train_set), "training picture")
            raise DataError(f"{pictures} without an object, so there is nothing to learn; label some, or add others")
        return {"classes": train_set.classes}

    def collate(self, samples: Sequence[InstanceSample]) -> InstanceBatch:
        """Normalise samples into one batch. Smaller images are padded at the right and below."""
        sizes = [(s["image"].shape[-2], s["image"].shape[-1]) for s in samples]
        height, width = (max(size[k] for size in sizes) for k in (0, 1))
        images = torch.zeros(len(samples), samples[0]["image"].shape[0], height, width)
        images = images.contiguous(memory_format=torch.channels_last)
        batch: InstanceBatch = {
            "image": images, "image_sizes": sizes, "boxes": [], "labels": [], "masks": [], "crowds": [],
            "names": [s["name"] for s in samples],
        }  # fmt: skip
        for image, sample, (h, w) in zip(images, samples, sizes, strict=True):
            image[:, :h, :w] = self.preprocessing(sample["image"].as_subclass(Tensor))
            layers, labels, crowd = sample["layers"].as_subclass(Tensor), sample["labels"], sample["crowd"]
            visible = areas(layers, len(labels))
            masks = unpack(layers, len(labels))
            real = (visible >= LEAST_PIXELS) & ~crowd
            batch["boxes"].append(tight_boxes(masks[real]))
            batch["labels"].append(labels[real])
            batch["masks"].append(masks[real])
            batch["crowds"].append(masks[crowd].any(0) & ~masks[real].any(0))
        return batch

    def validation_sample(self, sample: InstanceSample) -> InstanceSample:
        """The middle of a large image, LOSS_SIDE pixels a side at most."""
        crop = middle(sample["image"], LOSS_SIDE)
        return sample | {"image": sample["image"][:, *crop], "layers": sample["layers"][:, *crop]}

    def require_data(self, dataset: Any, model: str) -> None:
        """Raise ConfigError for data with other classes than the model's."""
        require_same_classes(self.classes, dataset.classes, model)

    def fit(self, model: nn.Module, training_set: Any) -> None:
        """Let a model that has a method `fit` fit its last steps to the training images, batches of one each."""
        if hasattr(model, "fit"):
            model.fit(_Batches(self, training_set))  # type: ignore[operator]

    def adopt(self, model: nn.Module, scores: Any) -> None:
        """Keep the score threshold that validation chose in the model."""
        with torch.no_grad():
            model.score_threshold.fill_(scores.score_threshold)  # type: ignore[operator]

    # Answering

    def prepare(self, sample: Any) -> Any:
        """The image, and the true objects as 'truth' in place of their layers."""
        if "layers" not in sample:
            return sample
        return {"image": sample["image"], "truth": truth_of(sample), "name": sample["name"]}

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: InstanceOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[InstancePrediction]:
        """The objects of each image, in pixels of the image itself."""
        if options.boxes is not None:
            return self._answer_in_boxes(runner, samples, options, options.boxes)
        threshold = float(runner.score_threshold) if options.score is None else options.score  # type: ignore[arg-type]
        device = device_of(runner)
        predictions = []
        for sample in samples:
            image = sample["image"]
            image = image.as_subclass(Tensor) if isinstance(image, Tensor) else image
            with torch.inference_mode():
                found = find_objects(
                    runner, image, self.preprocessing,
                    tile=options.tile, overlap=options.overlap, score=threshold, device=device, progress=progress,
                )  # fmt: skip
            predictions.append(
                InstancePrediction(
                    found.objects, self.classes, threshold, sample["name"], options.pixel_size, found.note, found.cap
                )
            )
        return predictions

    def _answer_in_boxes(
        self, runner: Runner, samples: Sequence[Any], options: InstanceOptions, path: str
    ) -> list[InstancePrediction]:
        """The objects that the run at `path` finds, with its scores and its threshold, outlined by this model."""
        if not can_outline(runner):
            raise ConfigError(
                f"--boxes {path}: this model does not outline boxes that it is given; leave --boxes out, or "
                "take a run of hypercolumns, or its exported files"
            )
        device = device_of(runner)
        finder, tables, preprocessing = detector_of(path, device)
        other = type(self)(tables, preprocessing)
        if other.classes.names != self.classes.names:
            raise ConfigError(
                f"--boxes {path}: its model finds {', '.join(other.classes.names)}; this one outlines "
                f"{', '.join(self.classes.names)}: give a run with the same classes"
            )
        mine, theirs = (len(one.preprocessing.mean) for one in (self, other))
        if mine != theirs:
            raise ConfigError(
                f"--boxes {path}: its model takes images of {theirs} channels, this one of {mine}; give a run on "
                "images of as many"
            )
        where = {"tile": options.tile, "overlap": options.overlap, "device": device}
        predictions = other.answer(finder, samples, dataclasses.replace(options, boxes=None))
        for sample, prediction in zip(samples, predictions, strict=True):
            image = sample["image"]
            image = image.as_subclass(Tensor) if isinstance(image, Tensor) else image
            prediction.objects = outlined(runner, image, self.preprocessing, prediction.objects, **where)
        return predictions

    # Scoring

    def observe(self, runner: Runner, metrics: InstanceMetrics, samples: Sequence[Any]) -> None:
        """Score a model's parts alone, in evaluations: outlines in true boxes, and region proposals."""
        if not metrics.whole:
            return
        for sample in map(self.prepare, samples):
            image = sample["image"]
            image = image.as_subclass(Tensor) if isinstance(image, Tensor) else image
            if can_outline(runner):
                metrics.true_box_ious(true_box_ious(runner, image, self.preprocessing, sample["truth"]))
            if has_regions(runner):
                metrics.best_proposals(best_proposals(runner, image, self.preprocessing, sample["truth"]))

    def metrics(self, dataset: Any, whole: bool = True) -> InstanceMetrics:
        """An empty counter. whole: the scores at one threshold, of boxes and of regions, too."""
        metrics = InstanceMetrics(len(self.classes), None, whole)
        metrics.visible_shares = getattr(dataset, "visible_shares", None) if whole else None
        return metrics

    def count(self, metrics: InstanceMetrics, index: int, sample: Any, prediction: InstancePrediction) -> float:
        """Count the objects of one image; returns TP / (TP + FP + FN) at IoU 0.5, nan without objects."""
        if metrics.whole:  # an evaluation counts from the threshold that is in force
            metrics.threshold = prediction.threshold
        if prediction.cap:
            metrics.reached_cap(prediction.cap)
        visible = metrics.visible_shares(index) if metrics.visible_shares is not None else None
        return metrics.update(self.prepare(sample)["truth"], prediction.objects, visible)

    def score_notes(self, scores: Any) -> list[str]:
        """Remarks on images without objects, and on those with more than are ranked."""
        return score_notes(scores)

    def undefined(self, scores: Any) -> Sequence[tuple[str, str]]:
        """AP and recall, where no image has an object."""
        return () if scores.objects else (("no objects", "AP and recall"),)

    def scores_to_json(self, scores: Any) -> dict[str, Any]:
        """Scores by name, those of single classes by class name."""
        return dict(scores.to_json(self.classes))

    def sample_rows(self, scores: Any) -> list[dict[str, Any]]:
        """The true and the found number of objects of each image."""
        return [{"objects": int(true), "found": int(found)} for true, found in scores.counts]

    # Keeping and showing

    def record(self, prediction: InstancePrediction) -> dict[str, Any]:
        """Size of the image, and each object's class, score, box and area."""
        height, width = prediction.objects.size
        return {"height": height, "width": width, **objects_record(prediction)}

    def files(self, prediction: InstancePrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """Object numbers, LabelMe polygons, the contours over the image, and GeoJSON of an image on the ground."""
        return object_files(prediction, sample)

    def draw(self, prediction: InstancePrediction, sample: Sample, **options: Any) -> PIL.Image.Image:
        """The contours over the image. options: colors, class name -> '#rrggbb' or three whole numbers in 0..255.

        Raises ConfigError for others, and for a class or a colour that there is not.
        """
        if unknown_options := set(options) - {"colors"}:
            raise ConfigError(unknown("option of an overlay", min(unknown_options), ["colors"]))
        given = options.get("colors") or {}
        table = recolored(self.classes, given)
        drawn = draw_objects(shrink(sample["image"], LONGEST), prediction.found, table, by_class=bool(given))
        return PIL.Image.fromarray(drawn)

    def annotation(self, prediction: InstancePrediction) -> Labels:
        """The objects that count as found."""
        return labels_of_objects(prediction.found, self.classes)

    def gallery(self, model: str) -> Gallery:
        """Tables of all objects of the call: objects.csv, images.csv and, in COCO's form, objects.json."""
        return Tables(self.classes)

    def lines(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
        """The number of objects of each image."""
        for source, record in records:
            yield f"{source}: {counted(record['count'], 'object')}"

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Precision and recall, counts, sizes, and example images with contours."""
        return report(evaluation)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """An image of any size -> detections; and boxes -> outlines, of a model that can."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """An exported file with the model's interface."""
        return open_runner(file)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> InstanceFindings:
        """Objects a class and an image, their sizes, and those that touch."""
        return InstanceFindings(path, recognised)


class _Batches(Sequence[InstanceBatch]):
    """The samples of a set as batches of one, made when they are asked for."""

    def __init__(self, task: InstanceTask, dataset: Any) -> None:
        self.task, self.dataset = task, dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.task.collate([self.dataset[index]])
