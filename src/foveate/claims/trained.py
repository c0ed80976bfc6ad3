"""Small trainings on the pasture, shared by the claims that need a trained network."""

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

# Of the embedded world, what trains in seconds: another world for each seed, with its own test scenes.
SIDE, TRAIN, TEST = 96, 320, 60


@dataclass(frozen=True)
class Trained:
    """A trained network, and test scenes that it has not seen."""

    model: nn.Module
    task: SemanticTask
    scenes: tuple[SemanticSample, ...]

    def score(self, how: Inference = Inference()) -> SegmentationScores:  # noqa: B008 - frozen
        """Its scores on the test scenes, looked at in this way."""
        metrics = self.task.metrics()
        for scene in self.scenes:
            metrics.update(
                self.task.answer(self.model, scene["image"].as_subclass(Tensor), how), self.task.truth(scene)
            )
        return metrics.compute()

    def input(self, scene: SemanticSample) -> Tensor:
        """A scene as the network takes it, (1, C, H, W)."""
        return self.task.preprocessing(scene["image"].as_subclass(Tensor))[None]


@cache
def trained(recipe: str, seed: int, epochs: int, **fields: Any) -> Trained:
    """Train a pasture recipe at small size, with other fields as `foveate.train` takes them; once a process.

    The run folder is a temporary one, and what the training has to say goes nowhere.
    """
    world = {"height": SIDE, "width": SIDE, "train": TRAIN, "val": 10, "test": TEST, "seed": seed}
    fields |= {f"data__{name}": value for name, value in world.items()}
    nowhere = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        run = foveate.train(
            recipe, out=Path(folder) / recipe, seed=seed, epochs=epochs, validate_every=epochs, workers=0, **fields
        )
        predictor = foveate.load(run, device="cpu")
    assert predictor.model is not None
    test = Pasture(**world).open("test")
    task = SemanticTask(predictor.classes, predictor.preprocessing)
    return Trained(predictor.model.eval(), task, tuple(test[i] for i in range(len(test))))
