"""Co-localisation: batches of images without boxes, windows on common objects, and their scores against boxes.

Shapes: B images of C channels, H x W pixels; T windows; N objects.

A co-localiser offers, beside `forward` and `loss`, a score that needs no box:

    compare(image (B, C, H, W), generator) -> theta, found (T, B, D), elsewhere (T, B, D)

the encodings of the contents of its windows, and of windows drawn from the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from foveate.metrics.localisation import LocalisationMetrics
from foveate.records import (
    ColocalisationBatch,
    ColocalisationPrediction,
    Preprocessing,
    Table,
)
from foveate.registry import task
from foveate.tasks.base import Count, Runner, Sample, Task, Writer, device_of
from foveate.tasks.classes import require_same_classes
from foveate.tasks.colocalisation.inspection import ColocalisationFindings
from foveate.tasks.colocalisation.reply import ColocalisationReplies
from foveate.tasks.colocalisation.report import draw_prediction, report
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.fitting import fit_sample, place, stack_images
from foveate.tasks.options import Options
from foveate.tasks.views import seen_pixels, view_of
from foveate.visualize.report import ReportPart

SEED = 0  # of the windows that those found are compared with


class ComparedMetrics(LocalisationMetrics):
    """Localisation scores, with the generator of the windows that those found are compared with."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.generator = torch.Generator().manual_seed(SEED)


@task("colocalisation")
class ColocalisationTask(ColocalisationReplies, Task):
    """The place of an object that all images of a set share."""

    name = "colocalisation"
    title = "co-localisation"
    hub_tag = "object-detection"
    monitor = "contrast"  # a score that needs no box
    own_score = "iou"
    headline = ("contrast", "corloc", "mean_iou", "pointing")
    sizes: ClassVar = {"in_channels": Count("channels")}
    batch_size = 64  # also the set in which the contents of windows are compared
    endings = ("_overlay.jpg",)

    def __init__(self, tables: Mapping[str, Table], preprocessing: Preprocessing) -> None:
        super().__init__(tables, preprocessing)
        self.classes: Any = self.tables["classes"]

    # Training

    @classmethod
    def learn_tables(cls, train_set: Any, recipe: Any) -> dict[str, Table]:
        """The kinds of common objects, for scoring."""
        return {"classes": train_set.classes}

    def collate(self, samples: Sequence[Any]) -> ColocalisationBatch:
        """Normalise images into one batch. Boxes and labels are left out."""
        return {"image": self._images([self.prepare(s) for s in samples]), "names": [s["name"] for s in samples]}

    def _images(self, prepared: Sequence[Any]) -> Tensor:
        return stack_images(prepared, self.preprocessing)

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
        options: Options,
        progress: Callable[[float], None] | None = None,
    ) -> list[ColocalisationPrediction]:
        """The windows on common objects in each image, in pixels of the image itself."""
        prepared = [self.prepare(sample) for sample in samples]
        with torch.no_grad():
            output = runner(self._images(prepared).to(device_of(runner)))
        thetas = torch.stack([one.theta.float().cpu() for one in output.transforms], 1)  # (B, T, 3)
        predictions = []
        for i, sample in enumerate(prepared):
            boxes = place(window_corners(thetas[i]), sample["size"], self.preprocessing).numpy()
            views = tuple(view_of(one, i, self.preprocessing) for one in output.transforms)
            predictions.append(ColocalisationPrediction(boxes, seen_pixels(sample["fitted"]), views, sample["name"]))
        return predictions

    # Scoring

    def metrics(self, dataset: Any, whole: bool = True) -> ComparedMetrics:
        """An empty counter; all scores are cheap."""
        return ComparedMetrics(len(self.classes))

    def count(self, metrics: ComparedMetrics, index: int, sample: Any, prediction: ColocalisationPrediction) -> float:
        """Count the windows of one image; returns their mean IoU with its objects."""
        windows, boxes = torch.from_numpy(prediction.boxes), sample["boxes"].as_subclass(Tensor)
        return metrics.update(windows, boxes, sample["labels"], sample["size"])

    def observe(self, runner: Runner, metrics: ComparedMetrics, samples: Sequence[Any]) -> None:
        """Compare the contents of the windows of a batch with each other, and with those of random windows."""
        model: Any = runner
        images = self._images([self.prepare(s) for s in samples]).to(device_of(runner))
        _, found, elsewhere = model.compare(images, metrics.generator)
        for mine, others in zip(found.float().cpu(), elsewhere.float().cpu(), strict=True):
            metrics.compare(mine, others)

    def undefined(self, scores: Any) -> Sequence[tuple[str, str]]:
        """The scores of boxes, where no image has one, and the contrast of a single image."""
        lacking = [("no boxes", "CorLoc, IoU and pointing")] if scores.without == scores.images else []
        return lacking + ([("only one picture", "the contrast")] if math.isnan(scores.contrast) else [])

    def scores_to_json(self, scores: Any) -> dict[str, Any]:
        """Scores by name, those of single kinds by their name."""
        return dict(scores.to_json(self.classes))

    # Keeping and showing

    def record(self, prediction: ColocalisationPrediction) -> dict[str, Any]:
        """Boxes as left, top, right, bottom in pixels of the image."""
        return {"boxes": [[round(float(v), 2) for v in box] for box in prediction.boxes]}

    def files(self, prediction: ColocalisationPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """A drawing of the windows and of their contents."""

        def write_drawing(path: Any) -> None:
            draw_prediction(prediction).save(path, format="JPEG", quality=92)

        return {"overlay": ("_overlay.jpg", write_drawing)}

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Localisation scores and example images."""
        return report(evaluation)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> ColocalisationFindings:
        """Objects an image, sizes and channels."""
        return ColocalisationFindings(path, recognised)


def window_corners(theta: Tensor) -> Tensor:
    """s, t_x, t_y (..., 3) -> the window's corners, XYXY in -1..1 over the network's input (..., 4)."""
    s, middle = theta[..., :1], theta[..., 1:]
    return torch.cat([middle - s, middle + s], -1)
