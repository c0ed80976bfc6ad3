"""Scoring a trained model on a labelled set, picture by picture at each picture's own size."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from foveate.engine.run import RunFolder
from foveate.engine.train import require_task, validation_split
from foveate.errors import ConfigError, DataError, unknown
from foveate.records import ClassTable
from foveate.store import LoadedModel, load_model
from foveate.tasks import create_task
from foveate.tasks.inference import Inference


@dataclass
class Evaluation:
    """What an evaluation found.

    scores: of the family, e.g. SegmentationScores.
    pictures: (index in the data set, the picture's own score: mean IoU, or the probability of the true class), in the
        data set's order.
    """

    scores: Any
    classes: Any  # a ClassTable, or the table of a text
    pictures: list[tuple[int, float]]
    dataset: Any
    loaded: LoadedModel
    source: str
    split: str
    seconds: float
    how: Inference

    def to_json(self) -> dict[str, Any]:
        """Scores and what they were measured on."""
        return self.scores.to_json(self.classes) | {
            "seconds": round(self.seconds, 3),
            "split": self.split,
            "data": self.source,
            "model": self.loaded.name,
            "inference": self.how.describe(),
        }


def evaluate_run(
    path: str | Path,
    *,
    source: Any = None,
    split: str | None = None,
    whole: bool = True,
    how: Inference = Inference(),  # noqa: B008 - frozen
) -> Evaluation:
    """Score a run's best model (or a model folder) on one split of its own data, or of another source.

    split: by default the one to choose by (val, else test). whole: the costly scores too. how: several views,
    refinement. Raises a FoveateError.
    """
    if Path(path).suffix.lower() == ".onnx":
        raise ConfigError(f"{path} is an exported model, which is not evaluated; give the run that it was made from")
    run = RunFolder(path)
    if source is None:
        source = RunFolder.existing(path).recipe().data
        if source is None:
            raise ConfigError(f"{path} does not say which data it was trained on; name some with --data PATH")
    split = split or validation_split(source)
    if split not in source.splits():
        raise ConfigError(unknown("split", split, source.splits()))
    loaded = load_model(run.best if run.recipe_file.is_file() else run.path)
    require_task(source, loaded.task)
    dataset = source.open(split)
    if len(dataset) == 0:
        raise DataError(f"{source.describe()}: the {split} split is empty; nothing to evaluate")
    if hasattr(dataset, "classes"):
        _require_same_classes(loaded.classes, dataset.classes, path)

    started = time.perf_counter()
    model = loaded.model.to("cuda" if torch.cuda.is_available() else "cpu", memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    task = create_task(loaded.task, loaded.classes, loaded.preprocessing)
    how = task.filled(how) if hasattr(task, "filled") else how
    total = task.metrics(dataset, whole)
    with torch.inference_mode():
        pictures = list(task.score(model, dataset, _progress(range(len(dataset))), total, how))
    seconds = time.perf_counter() - started
    return Evaluation(
        total.compute(), loaded.classes, pictures, dataset, loaded, source.describe(), split, seconds, how
    )


def _require_same_classes(model: ClassTable, data: ClassTable, path: str | Path) -> None:
    if model.names == data.names:
        return
    listing = ", ".join(model.names[:6]) + (", ..." if len(model) > 6 else "")
    strange = [n for n in data.names if n not in model.names] or [n for n in model.names if n not in data.names]
    raise ConfigError(
        f"{path} was trained on {len(model)} classes ({listing}), the data has {len(data)}; first difference: "
        f"{strange[0] if strange else 'their order'}; evaluate on data with the model's classes.txt"
    )


def _progress(indices: range) -> Iterator[int]:
    console = Console(stderr=True)
    yield from track(indices, "evaluating", console=console, transient=True, disable=not sys.stderr.isatty())
