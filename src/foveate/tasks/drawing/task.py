"""Drawing: batches of images without labels, bounds on their likelihood, and images generated from noise.

Shapes: B images of C channels, H x W pixels; T steps of Z latent numbers each.

A drawing model offers, beside `forward` and `loss` (see `models.spatial.draw`):

    begin_from(mean (C, H, W))                     start from the mean training image
    generate(noise (T, B, Z)) -> DrawingOutput     draw from noise alone
    nll(canvas, image) -> (B,)                     of images under a canvas; and expected(canvas), their mean
    importance_bound(image, samples, generator)    a tighter bound (B,)

Its `config` has `glimpses`, `latent`, `write` and `read`. An exported file generates, and reads no image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from foveate.metrics.drawing import DrawingMetrics
from foveate.pictures.given import suit
from foveate.records import DrawingBatch, DrawingOutput, DrawingPrediction, DrawingPreprocessing
from foveate.registry import task
from foveate.tasks.base import Count, Generated, Runner, Sample, Task, Writer, device_of
from foveate.tasks.drawing.export import graphs, open_runner
from foveate.tasks.drawing.figures import draw_grid, interpolations, save_image, write_drawing
from foveate.tasks.drawing.inputs import FIXED_SEED, STATIC_SEED, binarised, fitted, latent_noise
from foveate.tasks.drawing.inspection import DrawingFindings
from foveate.tasks.drawing.reply import DrawingReplies
from foveate.tasks.drawing.report import report
from foveate.tasks.evaluation import Evaluation
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

IW_SAMPLES, IW_IMAGES = 50, 1000  # of the importance-weighted bound
MEAN_IMAGES = 5000  # training images that the first canvas is the mean of
FILMED = 16  # generated samples that are drawn in the animation
INTERPOLATED = 4  # pairs of samples that are interpolated
BATCH = 50  # images that are generated together


@task("drawing")
class DrawingTask(DrawingReplies, Task):
    """Images that are generated from nothing, step by step."""

    name = "drawing"
    title = "drawing images"
    hub_tag = "unconditional-image-generation"
    monitor = "bound"
    greater_is_better = False
    headline = ("bound", "kl", "reconstruction")
    inputs = ()
    Preprocessing = DrawingPreprocessing
    runtimes = ("onnxruntime", "openvino")
    sizes: ClassVar = {"in_channels": Count("channels")}
    batch_size = 100
    endings = (".png",)

    preprocessing: DrawingPreprocessing

    # Training

    def suit(self, sample: Any, model: str = "") -> tuple[Any, str]:
        """The image with the model's channels and intensities; a note on that, and on another size."""
        image, note = suit(sample["image"], self.preprocessing, model or "the model", sample["name"])
        sized = _resized_note(tuple(image.shape[-2:]), tuple(self.preprocessing.size))
        return {"image": image, "name": sample["name"]}, "; ".join(filter(None, (note, sized)))

    def remark(self, training_set: Any) -> str:
        """A note where images are resized."""
        return _resized_note(tuple(training_set[0]["image"].shape[-2:]), tuple(self.preprocessing.size))

    def initialise(self, model: Any, training_set: Any) -> None:
        """Let the canvas start from the mean of the training images."""
        chosen = np.unique(np.linspace(0, len(training_set) - 1, MEAN_IMAGES).astype(int)).tolist()
        total = torch.zeros(len(self.preprocessing.mean), *self.preprocessing.size, dtype=torch.float64)
        for index in chosen:
            total += fitted(training_set[index]["image"], self.preprocessing)
        model.begin_from((total / len(chosen)).float())

    def collate(self, samples: Sequence[Any]) -> DrawingBatch:
        """Images in 0..1 of the model's size, in one batch; binary ones sampled if the binarisation is static.

        Under a dynamic one they stay intensities, from which the model's `loss` samples.
        """
        images = [self.prepare(sample)["fitted"] for sample in samples]
        if self.preprocessing.pixels == "binary" and self.preprocessing.binarise == "static":
            images = [binarised(image, STATIC_SEED) for image in images]
        return {"image": torch.stack(images), "names": [sample["name"] for sample in samples]}

    def validation_sample(self, sample: Any) -> Any:
        """The image as it is scored: binary pixels are sampled under a seed of their own."""
        return {"fitted": self._scored(self.prepare(sample)["fitted"], FIXED_SEED), "name": sample["name"]}

    # Answering

    def prepare(self, sample: Any) -> Any:
        """The image in 0..1 at the model's size, as 'fitted'; a sample without an image, which is generated, stays."""
        if "image" not in sample:
            return sample
        rest = {key: value for key, value in sample.items() if key != "image"}
        return rest | {"fitted": fitted(sample["image"], self.preprocessing)}

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: Any,
        progress: Callable[[float], None] | None = None,
    ) -> list[DrawingPrediction]:
        """Drawings: after their images, with the bound, or from noise whose seed is the sample's index."""
        prepared = [self.prepare(sample) for sample in samples]
        if "fitted" not in prepared[0]:
            return [self.generate(runner, 1, sample.get("index", 0), options).predictions[0] for sample in prepared]
        images = torch.stack([self._scored(sample["fitted"], FIXED_SEED) for sample in prepared])
        output, reconstruction, divergence = self._read(runner, images, FIXED_SEED)
        drawn = self._predictions(runner, output, [sample["name"] for sample in prepared])
        for i, prediction in enumerate(drawn):
            prediction.image = _pixels(images[i])
            prediction.reconstruction = float(reconstruction[i])
            prediction.kl = divergence[:, i].numpy()
        return drawn

    def _scored(self, image: Tensor, seed: int) -> Tensor:
        """An image (C, H, W) in 0..1 as its likelihood is taken."""
        return binarised(image, seed) if self.preprocessing.pixels == "binary" else image

    def _read(self, runner: Any, images: Tensor, seed: int) -> tuple[DrawingOutput, Tensor, Tensor]:
        """The output for images (B, C, H, W), their negative log-likelihood (B,) and the KL of each step (T, B)."""
        shape = (runner.config.glimpses, runner.config.latent)
        noise = torch.stack([latent_noise(image, shape, seed) for image in images], 1)
        device = device_of(runner)
        images = images.to(device)
        output = runner(images, noise.to(device))
        return output, runner.nll(output.canvases[-1], images).float().cpu(), output.kl().float().cpu()

    def _predictions(self, runner: Any, output: DrawingOutput, names: Sequence[str]) -> list[DrawingPrediction]:
        canvases = torch.stack([runner.expected(canvas) for canvas in output.canvases], 1).float().cpu()
        drawn = canvases.permute(0, 1, 3, 4, 2).numpy()  # (B, S, H, W, C)
        write, read = (None if w is None else w.float().cpu().numpy() for w in (output.write, output.read))
        return [
            DrawingPrediction(
                drawn[i],
                None if write is None else write[:, i],
                None if read is None else read[:, i],
                (runner.config.write, runner.config.read),
                name=name,
            )
            for i, name in enumerate(names)
        ]

    def generate(
        self,
        runner: Runner,
        count: int,
        seed: int,
        options: Any,
        progress: Callable[[float], None] | None = None,
    ) -> Generated:
        """Images drawn from noise; with files of all of them side by side, of their drawing, and of images between."""
        noise = torch.stack([self._noise(runner, seed, number) for number in range(count)], 1)  # (T, N, Z)
        found: list[DrawingPrediction] = []
        for start in range(0, count, BATCH):
            names = [f"{number}" for number in range(start, min(start + BATCH, count))]
            part = self._predictions(runner, self._drawn(runner, noise[:, start : start + BATCH]), names)
            for prediction in part if start else part[FILMED:]:
                prediction.canvases = prediction.canvases[-1:].copy()
            found += part
            if progress is not None:
                progress(len(found) / count)
        files: dict[str, tuple[str, Writer]] = {
            "grid": ("grid.png", lambda path: draw_grid([p.canvases[-1] for p in found]).save(path, format="PNG")),
            "drawing": ("drawing.gif", lambda path: write_drawing(found[:FILMED], path)),
        }
        if count > 1:
            between = interpolations(noise[:, : 2 * INTERPOLATED])
            rows = [
                [p.canvases[-1] for p in self._predictions(runner, self._drawn(runner, row), [""] * row.shape[1])]
                for row in between
            ]
            flat = [image for row in rows for image in row]
            files["interpolation"] = (
                "interpolation.png",
                lambda path: draw_grid(flat, len(rows[0])).save(path, format="PNG"),
            )
        return Generated(found, files)

    def _noise(self, runner: Any, seed: int, number: int) -> Tensor:
        """Noise (T, Z) of one sample, a function of the seed and of the sample's number."""
        shape = (runner.config.glimpses, runner.config.latent)
        return latent_noise(torch.tensor([seed, number]), shape, FIXED_SEED)

    def _drawn(self, runner: Any, noise: Tensor) -> DrawingOutput:
        output: DrawingOutput = runner.generate(noise.to(device_of(runner)))
        return output

    # Scoring

    def metrics(self, dataset: Any, whole: bool = True) -> DrawingMetrics:
        """An empty counter; whole: with the bounds of a static binarisation, and of importance weighting."""
        preprocessing = self.preprocessing
        height, width = preprocessing.size
        dimensions = len(preprocessing.mean) * height * width
        return DrawingMetrics(preprocessing.pixels, dimensions, whole, IW_IMAGES)

    def count(self, metrics: DrawingMetrics, index: int, sample: Any, prediction: DrawingPrediction) -> float:
        """Count one image; returns its bound, in nats."""
        assert prediction.kl is not None
        metrics.add("reconstruction", torch.tensor([prediction.reconstruction]))
        metrics.add("kl", torch.tensor([float(prediction.kl.sum())]))
        return prediction.bound

    def observe(self, runner: Any, metrics: DrawingMetrics, samples: Sequence[Any]) -> None:
        """Take the bounds that cost more than one pass."""
        if not metrics.whole:
            return
        images = [self.prepare(sample)["fitted"] for sample in samples]
        if self.preprocessing.pixels == "binary":
            static = torch.stack([binarised(image, STATIC_SEED) for image in images])
            _, reconstruction, divergence = self._read(runner, static, STATIC_SEED)
            metrics.add("static", reconstruction + divergence.sum(0))
        left = metrics.weighted - metrics.seen("weighted")
        if left > 0 and self.preprocessing.pixels != "intensity":
            scored = torch.stack([self._scored(image, FIXED_SEED) for image in images[:left]]).to(device_of(runner))
            generator = torch.Generator().manual_seed(metrics.seen("weighted"))
            metrics.add("weighted", runner.importance_bound(scored, IW_SAMPLES, generator).float().cpu())

    # Keeping and showing

    def record(self, prediction: DrawingPrediction) -> dict[str, Any]:
        """The windows of each step: x, y, stride and sigma of the filters in pixels, and the intensity."""
        if prediction.write is None:
            return {}
        keys = ("x", "y", "stride", "sigma", "intensity")
        return {
            "windows": [dict(zip(keys, (round(float(v), 4) for v in row), strict=True)) for row in prediction.write]
        }

    def files(self, prediction: DrawingPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The image: the expected value of each pixel."""
        return {"image": (".png", lambda path: save_image(prediction.canvases[-1], path))}

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Samples, the paths of windows, reconstructions, and the training images that samples are nearest to."""
        return report(self, evaluation)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> DrawingFindings:
        """Sizes, channels and the mean image."""
        return DrawingFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """One graph: a step of generation."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """An exported file with the model's interface; it generates, and reads no image."""
        return open_runner(self, file)


def _resized_note(size: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if size == wanted:
        return ""
    return f"{size[1]}x{size[0]} pixels, resized to the model's {wanted[1]}x{wanted[0]} after a central crop"


def _pixels(image: Tensor) -> np.ndarray:
    """(C, H, W) -> (H, W, C) as an array."""
    pixels: np.ndarray = image.permute(1, 2, 0).cpu().numpy()
    return pixels
