"""Image classification: batches of images and labels, class probabilities, and their scores.

Shapes: B images of C channels, H x W pixels, h x w of them given to the network, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from foveate.errors import DataError
from foveate.metrics.classification import ClassificationMetrics
from foveate.pictures.fitting import fit
from foveate.records import (
    ClassificationBatch,
    ClassificationOutput,
    ClassificationPrediction,
    ClassificationSample,
    Preprocessing,
    Table,
    TransformerOutput,
)
from foveate.registry import task
from foveate.tasks.auditing import Audited, Suspect, entropy
from foveate.tasks.base import Allowance, Count, Runner, Sample, Task, Writer, device_of
from foveate.tasks.classes import require_same_classes
from foveate.tasks.classification.export import background_of, graphs, open_runner
from foveate.tasks.classification.figures import draw_prediction
from foveate.tasks.classification.inspection import ClassificationFindings
from foveate.tasks.classification.reply import ClassificationReplies
from foveate.tasks.classification.report import report
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.fitting import fit_sample, place
from foveate.tasks.options import PREDICT, Options, option
from foveate.tasks.semantic.task import class_weights
from foveate.tasks.views import corners, seen_pixels, view_of
from foveate.visualize.clips import poses, write_clip
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    import PIL.Image

    from foveate.onnx import Graphs, OnnxFile


@dataclass(frozen=True)
class ClassificationOptions(Options):
    """Views of a prediction.

    flip: average with the mirrored image.
    clip: also predict the image in motion, turning or moving, for an animation of what the network does with it.
    """

    flip: bool = option(False, "average with the mirrored image")
    clip: Literal["none", "turn", "move"] = option(
        "none",
        "also a GIF of each image in motion, with all predictions: turn or move",
        "KIND",
        (PREDICT,),
        served=False,
    )

    def describe(self) -> str:
        """The views in words, '' for a single plain pass."""
        return "flip" if self.flip else ""


@task("classification")
class ClassificationTask(ClassificationReplies, Task):
    """One class for an image."""

    name = "classification"
    title = "image classification"
    hub_tag = "image-classification"
    monitor = "top1"
    own_score = "probability"
    headline = ("top1", "error_percent", "calibration_error")
    Options = ClassificationOptions
    sizes: ClassVar = {"num_classes": "classes", "in_channels": Count("channels")}
    batch_size = 64
    endings = ("_overlay.jpg", "_clip.gif")
    runtimes = ("onnxruntime", "openvino")
    int8 = Allowance(1.0, relative=True)

    def __init__(self, tables: Mapping[str, Table], preprocessing: Preprocessing) -> None:
        super().__init__(tables, preprocessing)
        self.classes: Any = self.tables["classes"]
        self.class_weights: Tensor | None = None  # (K,) for the loss

    # Training

    @classmethod
    def learn_tables(cls, train_set: Any, recipe: Any) -> dict[str, Table]:
        """The class table of the data."""
        return {"classes": train_set.classes}

    def collate(self, samples: Sequence[ClassificationSample]) -> ClassificationBatch:
        """Normalise samples into one batch. An image of the network's size, as after augmentation, stays as it is."""
        images = [s["image"].as_subclass(Tensor) for s in samples]
        size = self.preprocessing.size or tuple(images[0].shape[-2:])
        fitted = [image if tuple(image.shape[-2:]) == size else fit(image, self.preprocessing) for image in images]
        if len({tuple(image.shape) for image in fitted}) > 1:
            height, width = fitted[0].shape[-2:]
            raise DataError(
                f"images of {width}x{height} pixels and other sizes in one batch; give the model an image_size to "
                "resize them to"
            )
        batch: ClassificationBatch = {
            "image": self.preprocessing(torch.stack(fitted)).contiguous(memory_format=torch.channels_last),
            "label": torch.tensor([s["label"] for s in samples]),
            "names": [s["name"] for s in samples],
        }
        if self.class_weights is not None:
            batch["class_weights"] = self.class_weights
        return batch

    def validation_sample(self, sample: Any) -> Any:
        """The image at the network's size."""
        return sample | {"image": fit(sample["image"].as_subclass(Tensor), self.preprocessing)}

    def weigh_classes(self, samples: Iterable[Any], kind: str) -> None:
        """Weigh the loss of each class by its share of the samples; kind as `class_weights`."""
        labels = torch.tensor([s["label"] for s in samples])
        shares = torch.bincount(labels, minlength=len(self.classes)).double() / len(labels)
        self.class_weights = class_weights(shares, kind)

    def require_data(self, dataset: Any, model: str) -> None:
        """Raise ConfigError for data with other classes than the model's."""
        require_same_classes(self.classes, dataset.classes, model)

    # Answering

    def prepare(self, sample: Any) -> Any:
        """The image at the network's size, as 'fitted', and its own (height, width), as 'size'."""
        return fit_sample(sample, self.preprocessing)

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: ClassificationOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[ClassificationPrediction]:
        """Class probabilities of each image, and the regions that the model's spatial transformers sampled."""
        prepared = [self.prepare(sample) for sample in samples]
        predictions = [p for some in _same_size(prepared) for p in self._answer_batch(runner, some, options.flip)]
        if options.clip != "none":
            background = background_of(runner)
            for prediction in predictions:
                image = torch.from_numpy(prediction.seen).permute(2, 0, 1) / 255
                frames = [{"fitted": pose, "name": ""} for pose in poses(image, options.clip, background)]
                prediction.motion = tuple(self._answer_batch(runner, frames, options.flip))
        return predictions

    def _answer_batch(self, runner: Runner, samples: Sequence[Any], flip: bool) -> list[ClassificationPrediction]:
        """Predictions of prepared images of one size."""
        output = _forward(runner, self.preprocessing(torch.stack([s["fitted"] for s in samples])), flip)
        probabilities = output.logits.softmax(1).numpy()
        return [
            ClassificationPrediction(
                probabilities[i],
                self.classes,
                seen_pixels(sample["fitted"]),
                tuple(view_of(one, i, self.preprocessing) for one in output.transforms),
                name=sample["name"],
            )
            for i, sample in enumerate(samples)
        ]

    # Scoring

    def metrics(self, dataset: Any, whole: bool = True) -> ClassificationMetrics:
        """An empty counter; all scores are cheap."""
        return ClassificationMetrics(len(self.classes))

    def count(
        self, metrics: ClassificationMetrics, index: int, sample: Any, prediction: ClassificationPrediction
    ) -> float:
        """Count one prediction; returns the probability of the true class."""
        probabilities = torch.from_numpy(prediction.probabilities)
        metrics.update(probabilities[None], torch.tensor([sample["label"]]))
        if "centre" in sample and prediction.transforms:
            window = torch.from_numpy(prediction.transforms[-1].grid.mean((0, 1))).double()
            x, y = (place(window, sample["size"], self.preprocessing) - 0.5).tolist()  # pixel centres are whole numbers
            metrics.locate((x, y), sample["centre"])
        return float(probabilities[sample["label"]])

    def outcome(self, sample: Any, prediction: ClassificationPrediction) -> dict[str, Any]:
        """The true class of an image, and the likeliest one."""
        names = self.classes.names
        return {"reference": names[int(sample["label"])], "predicted": names[int(prediction.probabilities.argmax())]}

    def audit(self, runner: Runner, sample: Any, options: ClassificationOptions) -> Audited:
        """The label, if the model finds another class likelier."""
        (prediction,) = self.answer(runner, [sample], options)
        probabilities, label = prediction.probabilities, int(sample["label"])
        names, own, best = self.classes.names, float(probabilities[label]), int(probabilities.argmax())
        suspects = [Suspect(names[label], names[best], float(probabilities[best]), own)] if best != label else []
        return Audited(float(entropy(probabilities)), suspects, {names[label]: (own, 1)})

    def draw_suspect(
        self, runner: Runner, sample: Any, suspect: Suspect | None, options: ClassificationOptions
    ) -> PIL.Image.Image:
        """The image as the network is given it, and its answer."""
        (prediction,) = self.answer(runner, [sample], options)
        return draw_prediction(prediction)

    def scores_to_json(self, scores: Any) -> dict[str, Any]:
        """Scores by name, those of single classes by class name."""
        return dict(scores.to_json(self.classes))

    # Keeping and showing

    def record(self, prediction: ClassificationPrediction) -> dict[str, Any]:
        """The likeliest classes, and the corners of the regions that spatial transformers sampled."""
        top = [{"class": name, "probability": round(p, 6)} for name, p in prediction.top()]
        record: dict[str, Any] = {"class": top[0]["class"], "top": top}
        transforms = [{"corners": corners(view.grid)} for view in prediction.transforms]
        # "looks" is the name that 0.1.0 gave it; it goes with 0.3.
        return record | ({"transforms": transforms, "looks": transforms} if transforms else {})

    def files(self, prediction: ClassificationPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """A drawing of what the network was given, what it sampled and what it answers; with `clip`, in motion."""

        def write_drawing(path: Any) -> None:
            draw_prediction(prediction).save(path, format="JPEG", quality=92)

        found: dict[str, tuple[str, Writer]] = {"overlay": ("_overlay.jpg", write_drawing)}
        if prediction.motion:
            found["clip"] = (
                "_clip.gif",
                lambda path: write_clip([draw_prediction(p) for p in prediction.motion], path),
            )
        return found

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Scores by class, mistakes, calibration, mean images and examples."""
        return report(evaluation)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> ClassificationFindings:
        """Samples a class, sizes and channels."""
        return ClassificationFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """One graph: image -> logits."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """An exported file with the model's interface; it has no transforms to show."""
        return open_runner(self, file)


def _same_size(samples: Sequence[Any]) -> Iterable[list[Any]]:
    """The samples in their order, in runs of images of one shape and type."""
    run: list[Any] = []
    for sample in samples:
        if run and (run[0]["fitted"].shape, run[0]["fitted"].dtype) != (sample["fitted"].shape, sample["fitted"].dtype):
            yield run
            run = []
        run.append(sample)
    if run:
        yield run


@torch.no_grad()
def _forward(runner: Runner, batch: Tensor, flip: bool = False) -> ClassificationOutput:
    """The network's output for (B, C, h, w), normalised, on the CPU in float32.

    flip: the probabilities of both sides averaged, as logits; `transforms` are those of the unmirrored images.
    """
    batch = batch.to(device_of(runner), memory_format=torch.channels_last)
    output = runner(batch)
    logits = output.logits.float().cpu()
    if flip:
        mirrored = runner(batch.flip(-1)).logits.float().cpu()
        logits = torch.stack([logits.softmax(1), mirrored.softmax(1)]).mean(0).log()
    transforms = tuple(TransformerOutput(*(part.float().cpu() for part in one)) for one in output.transforms)
    return ClassificationOutput(logits, transforms)
