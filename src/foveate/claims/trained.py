"""Small networks trained on the synthetic Pasture data set, shared by the claims that need a trained network."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveate.claims import cached
from foveate.datasets.pasture import Pasture
from foveate.engine import train_recipe
from foveate.engine.recipe import Recipe
from foveate.metrics.segmentation import SegmentationScores
from foveate.predictor import Predictor
from foveate.recipes import resolve
from foveate.records import SemanticSample
from foveate.tasks.semantic.inference import SemanticOptions
from foveate.tasks.semantic.task import SemanticTask

# A small version of the Pasture data set that trains in seconds; each seed has its own training and test scenes.
SIDE, TRAIN, TEST = 96, 320, 60


@dataclass(frozen=True)
class Trained:
    """Trained network and test scenes."""

    model: nn.Module
    task: SemanticTask
    scenes: tuple[SemanticSample, ...]

    def score(self, options: SemanticOptions = SemanticOptions()) -> SegmentationScores:  # noqa: B008 - frozen
        """Score the network on the test scenes, with these inference options."""
        metrics = self.task.metrics(self.scenes)
        with torch.inference_mode():
            for _ in self.task.score(self.model, self.scenes, range(len(self.scenes)), metrics, options):
                pass
        return metrics.compute()

    def input(self, scene: SemanticSample) -> Tensor:
        """Preprocess a scene for the network, (1, C, H, W)."""
        return self.task.preprocessing(scene["image"].as_subclass(Tensor))[None]


def gains(before: SegmentationScores, after: SegmentationScores) -> tuple[float, float, float]:
    """Return the gains, in points, by which claims about boundaries and details are judged: least, boundary, mean IoU.

    The first is the smaller of the other two: finer boundaries that cost mean IoU do not support a claim, nor does more
    mean IoU with coarser boundaries.
    """
    boundary, mean = 100 * (after.boundary_iou - before.boundary_iou), 100 * (after.mean_iou - before.mean_iou)
    return min(boundary, mean), boundary, mean


@cached
def train_on_pasture(recipe: str, seed: int, epochs: int, **fields: Any) -> Predictor:
    """Train a recipe on a small version of the Pasture data set (`small_pasture`); cached for the process.

    fields: as for `trained`.
    """
    dotted = {name.replace("__", "."): value for name, value in fields.items()}
    dotted |= {f"data.{name}": value for name, value in small_pasture(seed).items()}
    return train_quietly(resolve(recipe, overrides=dotted | {"seed": seed, "epochs": epochs}))


def train_quietly(recipe: Recipe) -> Predictor:
    """Train a recipe in this process, validated once, and return its predictor on the CPU.

    Run folder and cached features are temporary, and the training's output is discarded.
    """
    recipe = dataclasses.replace(recipe, validate_every=recipe.epochs, workers=0)
    discarded = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        features_in(folder),
        contextlib.redirect_stdout(discarded),
        contextlib.redirect_stderr(discarded),
    ):
        return Predictor.open(train_recipe(recipe, out=Path(folder) / recipe.name), device="cpu")


@contextlib.contextmanager
def features_in(folder: str) -> Iterator[None]:
    """Cache features in a folder that is deleted afterwards."""
    before = os.environ.get("FOVEATE_CACHE")
    os.environ["FOVEATE_CACHE"] = str(Path(folder) / "cache")
    try:
        yield
    finally:
        if before is None:
            del os.environ["FOVEATE_CACHE"]
        else:
            os.environ["FOVEATE_CACHE"] = before


def small_pasture(seed: int, test: int | None = None) -> dict[str, Any]:
    """The fields of the small Pasture data set of a seed.

    test: number of test scenes, on which no training depends; None for the usual one.
    """
    test = TEST if test is None else test
    return {"height": SIDE, "width": SIDE, "train": TRAIN, "val": 10, "test": test, "seed": seed}


@cached
def trained(recipe: str, seed: int, epochs: int, **fields: Any) -> Trained:
    """Train a semantic recipe on a small version of the Pasture data set, and draw its test scenes; cached.

    fields: other recipe fields, nested ones with two underscores (`config__dropout=0.0`).
    """
    predictor = train_on_pasture(recipe, seed, epochs, **fields)
    test = Pasture(**small_pasture(seed)).open("test")
    assert isinstance(predictor.family, SemanticTask)
    return Trained(predictor.runner, predictor.family, tuple(test[i] for i in range(len(test))))
