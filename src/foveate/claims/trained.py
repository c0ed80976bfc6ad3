"""Small networks trained on the synthetic Pasture data set, shared by the claims that need a trained network."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import foveate
from foveate.datasets.pasture import Pasture
from foveate.metrics.segmentation import SegmentationScores
from foveate.records import SemanticSample
from foveate.tasks.inference import Inference
from foveate.tasks.semantic import SemanticTask

# A small version of the Pasture data set that trains in seconds; each seed has its own training and test scenes.
SIDE, TRAIN, TEST = 96, 320, 60


@dataclass(frozen=True)
class Trained:
    """Trained network and test scenes."""

    model: nn.Module
    task: SemanticTask
    scenes: tuple[SemanticSample, ...]

    def score(self, options: Inference = Inference()) -> SegmentationScores:  # noqa: B008 - frozen
        """Score the network on the test scenes, with these inference options."""
        metrics = self.task.metrics()
        for scene in self.scenes:
            metrics.update(
                self.task.answer(self.model, scene["image"].as_subclass(Tensor), options), self.task.truth(scene)
            )
        return metrics.compute()

    def input(self, scene: SemanticSample) -> Tensor:
        """Preprocess a scene for the network, (1, C, H, W)."""
        return self.task.preprocessing(scene["image"].as_subclass(Tensor))[None]


@cache
def trained(recipe: str, seed: int, epochs: int, **fields: Any) -> Trained:
    """Train a recipe on a small version of the Pasture data set; cached for the process.

    The run folder is temporary, and the training's output is discarded.

    fields: other recipe fields, as `foveate.train` takes them.
    """
    data_fields = {"height": SIDE, "width": SIDE, "train": TRAIN, "val": 10, "test": TEST, "seed": seed}
    fields |= {f"data__{name}": value for name, value in data_fields.items()}
    discarded = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(discarded),
        contextlib.redirect_stderr(discarded),
    ):
        run = foveate.train(
            recipe, out=Path(folder) / recipe, seed=seed, epochs=epochs, validate_every=epochs, workers=0, **fields
        )
        predictor = foveate.load(run, device="cpu")
    assert predictor.model is not None
    test = Pasture(**data_fields).open("test")
    task = SemanticTask(predictor.classes, predictor.preprocessing)
    return Trained(predictor.model.eval(), task, tuple(test[i] for i in range(len(test))))
