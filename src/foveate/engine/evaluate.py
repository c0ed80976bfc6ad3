"""Scoring a trained model on a labelled split, each sample as it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from foveate.engine.loading import SuitedDataset
from foveate.engine.prepare import require_no_problems, validation_split
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError, DataError, listed, unknown
from foveate.onnx import OnnxFile
from foveate.ops.layout import channels_last
from foveate.store import LoadedModel, load_model
from foveate.tasks import create_task
from foveate.tasks.base import Task
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.exported import is_exported, load_exported
from foveate.torchvision_networks import builder_of


@dataclass
class Scoring:
    """A model and the samples that it is scored on.

    model: in evaluation mode, on its device. dataset: the split `split` of `source`, its inputs as the model takes
    them. options: those that it answers with. own: True for the run's own data. outcomes: of the samples that were
    scored, by index (`Task.outcome`).
    """

    loaded: LoadedModel
    model: Any
    task: Task
    options: Any
    source: Any
    split: str
    dataset: SuitedDataset
    own: bool
    outcomes: dict[int, dict[str, Any]] = field(default_factory=dict)


def open_scoring(
    path: str | Path,
    *,
    source: Any = None,
    split: str | None = None,
    options: Any = None,
    runtime: str | None = None,
    precision: str = "float32",
) -> Scoring:
    """Open a model and the data to score it on; see `evaluate_run`."""
    run = RunFolder(path)
    own = source is None
    exported = is_exported(Path(path))
    if exported and source is None:
        raise ConfigError(f"{path} is an exported file, which does not record its data; give some with --data PATH")
    if not exported and (runtime is not None or precision != "float32"):
        raise ConfigError(f"{path} is not an exported file; leave out --runtime and --precision, which are for those")
    if source is None and builder_of(path):
        raise ConfigError(f"{path} is a network of torchvision; name the data to score it on with --data PATH")
    if source is None:
        source = RunFolder.existing(path).recipe().data
        if source is None:
            raise ConfigError(f"{path} does not record which data it was trained on; give some with --data PATH")
    split = split or validation_split(source)
    if split == "test" and split not in source.splits() and not (own or _trained_on(run, source)):
        source = source.undivided() or source
    if split not in source.splits():
        require_no_problems(source)
        if split == "test":
            known = ", ".join(source.splits())
            add = "add one (a folder or list called test), or " if hasattr(source, "path") else ""
            raise ConfigError(
                f"no split test in {getattr(source, 'path', 'the data')}, only {known}; {add}score other labelled data "
                "with --data PATH"
            )
        raise ConfigError(unknown("split", split, source.splits()))
    if exported:
        file = OnnxFile.open(path, "auto", runtime=runtime, precision=precision)
        task, loaded = load_exported(file)
    else:
        loaded = load_model(run.best if run.recipe_file.is_file() else run.path)
        task = create_task(loaded.task, loaded.tables, loaded.preprocessing, loaded.options)
    options = task.make_options(options)
    task.require(options)
    dataset = source.open(split, loaded.task)
    if len(dataset) == 0:
        raise DataError(f"{source.describe(loaded.task)}: the {split} split is empty; nothing to evaluate")
    task.require_data(dataset, str(path))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = channels_last(loaded.model.to(device)).eval()
    return Scoring(loaded, model, task, options, source, split, SuitedDataset(dataset, task, loaded.name), own)


def evaluate_run(
    path: str | Path,
    *,
    source: Any = None,
    split: str | None = None,
    whole: bool = True,
    options: Any = None,
    runtime: str | None = None,
    precision: str = "float32",
    score: Callable[[Scoring, Any], list[tuple[int, float]]] | None = None,
) -> Evaluation:
    """Score a run's best model (a model folder, an exported file) on one split of its own data, or of another source.

    split: by default the one that epochs are ranked on (val, else test); of other data whose files do not say
    how they are divided, test is all of it (`DataSource.undivided`). whole: the scores that take long, too.
    options: an instance of the family's `Options`, or a dict of them. runtime, precision: of an exported file
    (`onnx.runtimes`). score: fills a counter and `Scoring.outcomes` elsewhere, and returns (index, own score) of each
    sample, in order; by default this process does. Raises a FoveateError.
    """
    scoring = open_scoring(path, source=source, split=split, options=options, runtime=runtime, precision=precision)
    loaded, task, options, suited = scoring.loaded, scoring.task, scoring.options, scoring.dataset
    source, split = scoring.source, scoring.split

    started = time.perf_counter()
    total = task.metrics(suited, whole)
    if score is not None:
        samples = score(scoring, total)
    else:
        with torch.inference_mode():
            indices = _progress(range(len(suited)))
            samples = list(task.score(scoring.model, suited, indices, total, options, scoring.outcomes))
    seconds = time.perf_counter() - started
    described = source.describe(loaded.task)
    for note, names in suited.notes.items():
        print(f"note: {listed(list(names), task.noun())}: {note}", file=sys.stderr)
    training_set = None
    if scoring.own and "train" in source.splits():
        training_set = lambda: SuitedDataset(source.open("train", loaded.task), task, loaded.name)  # noqa: E731
    return Evaluation(
        total.compute(), samples, suited, loaded, task, options, described, split, seconds, training_set,
        scoring.outcomes,
    )  # fmt: skip


def _trained_on(run: RunFolder, source: Any) -> bool:
    """True if `source` reads the folder that the run was trained on, part of which is no test."""
    own = getattr(run.recipe().data, "path", "") if run.recipe_file.is_file() else ""
    return bool(own) and Path(own).resolve() == Path(getattr(source, "path", "")).resolve()


def _progress(indices: range) -> Iterator[int]:
    console = Console(stderr=True)
    yield from track(indices, "evaluating", console=console, transient=True, disable=not sys.stderr.isatty())
