"""A trained model as one INT8 file, whose score on labelled data is checked before it is written.

    float32 file -> ranges of its activations on validation images -> INT8 file -> its score there
                        layers whose rounding changes the logits most go back to float32, until the score holds

The search is greedy and bounded in time: layers are ranked by the error of the logits when each alone is rounded, and
0, 1, 2, 4, 8, ... of the worst are kept in float32.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.disk import atomic_write
from foveate.errors import ConfigError, DataError, ModelError, counted
from foveate.export import export_onnx, require_module, require_onnx_name
from foveate.onnx import OnnxFile, open_session, require_extra
from foveate.onnx.file import PREFIX
from foveate.onnx.int8 import Ranges, calibrate, load_graph, logits_error, quantised, weighted_layers
from foveate.predictor import Predictor
from foveate.tasks import all_tasks
from foveate.tasks.base import Task
from foveate.tasks.exported import load_exported

CALIBRATED = 64  # inputs of which ranges are learned
MEASURED = 4  # of these, for the error of each layer
SEARCH_SECONDS = 900.0  # after which no further file is tried
KEY = "int8"  # of the metadata


@dataclass(frozen=True)
class Int8Report:
    """The INT8 file, and its score beside that of float32.

    bytes: of the file. monitor: the score's name. samples: of the split that both were scored on. all_layers: those
    with weights; float32_layers: of these, those that stay. data: the source, in one line.
    """

    path: Path
    bytes: int
    monitor: str
    float32: float
    int8: float
    all_layers: int
    float32_layers: int
    data: str
    split: str
    samples: int
    seconds: float


def export_int8(
    source: str | Path | Predictor,
    path: str | Path,
    data: Any = None,
    max_drop: float | None = None,
    seconds: float = SEARCH_SECONDS,
    tell: Callable[[str], None] = lambda line: None,
) -> Int8Report:
    """Write a model as one INT8 file (QDQ), if its score stays within the allowed drop.

    source: a run folder, a model folder, or an open Predictor on either. data: a labelled source, whose validation
    split gives ranges and scores; None for the run's own. max_drop: the largest loss of the family's monitored score,
    in points or in percent of the score, as the family has it (`Task.int8`); None for the family's usual one. seconds:
    that the search may take. tell: called with a line on each file that was tried.
    Raises ModelError for a family without INT8 export, and for a model whose score falls further: nothing is written;
    ConfigError, DataError for data that does not fit, OutputError for a file that cannot be written.
    """
    start = time.perf_counter()
    require_extra()
    path = require_onnx_name(path)
    predictor = Predictor.open(source, device="cpu") if isinstance(source, (str, Path)) else source
    require_module(predictor)
    allowance = require_int8(type(predictor.family))
    limit = allowance.drop if max_drop is None else max_drop
    if not (math.isfinite(limit) and limit >= 0):
        raise ConfigError(f"max_drop is {limit:g}; expected 0 or more, such as {allowance.drop:g}")
    dataset, described, split = _validation_set(predictor, data)
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory() as name:
        temporary.touch()  # fails for a place that cannot be written, before the work
        folder = Path(name)
        export_onnx(predictor, folder / "float32.onnx")
        search = _Search(folder, dataset, start + seconds, tell)
        task = predictor.family
        monitor, noun = task.monitor, task.noun(len(dataset))
        reached = search.run(lambda score: allowance.lost(search.float32, score, task.greater_is_better), limit)
        if not reached.lost <= limit:
            raise ModelError(
                f"in INT8 {predictor.name} reaches {monitor} {reached.score:.4f} on {len(dataset)} {noun} "
                f"({described}, {split}) with {reached.kept} of {counted(len(search.names), 'layer')} in float32, and "
                f"{search.float32:.4f} with all of them; that is {reached.lost:.2f} {allowance.unit} less, and "
                f"{limit:g} are allowed: nothing was written; allow more with --max-drop, or export without --int8"
            )
        about = {
            "monitor": monitor, "float32": search.float32, "int8": reached.score, "float32_layers": reached.kept,
            "all_layers": len(search.names), "data": described, "split": split, "samples": len(dataset),
        }  # fmt: skip
        search.write(reached, temporary, about)
    return Int8Report(
        path, path.stat().st_size, monitor, search.float32, reached.score, len(search.names), reached.kept, described,
        split, len(dataset), time.perf_counter() - start,
    )  # fmt: skip


def require_int8(family: type[Task]) -> Any:
    """Loss that a family's score may have in INT8 (`Task.int8`). Raises ModelError for one without INT8 export."""
    if family.int8 is None:
        titles = " and ".join(one.title for one in all_tasks() if one.int8 is not None)
        raise ModelError(
            f"models for {family.title} have no INT8 export; {titles} have: leave out --int8 for a float32 file"
        )
    return family.int8


def _validation_set(predictor: Predictor, source: Any) -> tuple[Any, str, str]:
    """The samples of the validation split as the model takes them, their source in one line, and the split's name."""
    from foveate.engine.loading import SuitedDataset
    from foveate.engine.prepare import validation_split
    from foveate.engine.run import RunFolder

    task = predictor.family
    if source is None:
        run = RunFolder(predictor.path)
        source = run.recipe().data if run.recipe_file.is_file() else None
        if source is None:
            raise ConfigError(
                f"{predictor.path} does not record which data it was trained on, and INT8 needs labelled images; give "
                "some with --data PATH"
            )
    split = validation_split(source)
    dataset = source.open(split, task.name)
    if len(dataset) == 0:
        raise DataError(f"{source.describe(task.name)}: the {split} split is empty; nothing to calibrate on")
    task.require_data(dataset, str(predictor.path))
    suited = SuitedDataset(dataset, task, predictor.name)
    return suited, source.describe(task.name), split


@dataclass(frozen=True)
class _Reached:
    """One INT8 file. chosen: its layers in INT8. kept: the number of those in float32. lost: of the score."""

    chosen: tuple[str, ...]
    kept: int
    score: float
    lost: float


class _Search:
    """INT8 files of one float32 file, with more and more layers in float32. deadline: on the performance counter."""

    def __init__(self, folder: Path, dataset: Any, deadline: float, tell: Callable[[str], None]) -> None:
        self.folder, self.dataset, self.deadline, self.tell = folder, dataset, deadline, tell
        self.file = folder / "float32.onnx"
        self.graph = load_graph(self.file)
        self.names = weighted_layers(self.graph)
        if not self.names:
            raise ModelError(
                "the model has no convolution or matrix product to compute in 8 bits; export it in float32"
            )
        task, loaded = load_exported(OnnxFile.open(self.file, "cpu", runtime="onnxruntime"))
        self.float32 = _score(task, loaded.model, dataset)
        if not math.isfinite(self.float32):
            raise DataError(f"{task.monitor} is not defined on these samples; INT8 cannot be compared with float32")
        tell(f"float32: {task.monitor} {self.float32:.4f}")
        self.inputs = _inputs(task, loaded.model, dataset)
        self.ranges: Ranges = calibrate(self.graph, self.inputs, folder)

    def run(self, lost: Callable[[float], float], limit: float) -> _Reached:
        """The file with the fewest float32 layers that loses no more than the limit; else the one that loses least.

        lost: of a score. Of those files that there is time to try.
        """

        def attempt(kept: int) -> _Reached:
            chosen = tuple(name for name in self.names if name not in set(order[:kept]))
            score = self.score(chosen)
            self.tell(f"INT8, {kept} of {counted(len(self.names), 'layer')} in float32: {score:.4f}")
            return _Reached(chosen, kept, score, lost(score))

        order: list[str] = []
        began = time.perf_counter()
        tried = [attempt(0)]
        trial = time.perf_counter() - began
        if not tried[0].lost <= limit:
            self.tell("measuring the layers one by one")
            order = self.by_damage()
        kept = 1
        while not tried[-1].lost <= limit:
            if kept >= len(self.names) or time.perf_counter() + trial > self.deadline:
                return min(tried, key=lambda one: one.lost if math.isfinite(one.lost) else math.inf)
            tried.append(attempt(kept))
            kept *= 2
        best, low = tried[-1], tried[-2].kept if len(tried) > 1 else 0
        while best.kept - low > 1 and time.perf_counter() + trial < self.deadline:  # fewer may do
            middle = attempt((low + best.kept) // 2)
            best, low = (middle, low) if middle.lost <= limit else (best, middle.kept)
        return best

    def by_damage(self) -> list[str]:
        """Layers, first the one that changes the logits most when it alone is rounded; last unmeasured ones."""
        session = open_session(self.file, "cpu")
        few = self.inputs[:: max(1, len(self.inputs) // MEASURED)][:MEASURED]
        expected = [_logits(session, one) for one in few]
        errors = dict.fromkeys(self.names, 0.0)
        half = time.perf_counter() + (self.deadline - time.perf_counter()) / 2
        for name in self.names:
            if time.perf_counter() > half:
                break
            session = open_session(self._written([name]), "cpu")
            errors[name] = logits_error(expected, [_logits(session, one) for one in few])
        return sorted(self.names, key=lambda name: -errors[name])

    def score(self, chosen: Sequence[str]) -> float:
        """The score of the file with these layers in INT8."""
        task, loaded = load_exported(OnnxFile.open(self._written(chosen), "cpu", runtime="onnxruntime"))
        return _score(task, loaded.model, self.dataset)

    def write(self, reached: _Reached, path: Path, about: Mapping[str, Any]) -> None:
        """Write a file, with what it reached in its metadata."""
        self._written(reached.chosen, path, about)

    def _written(self, chosen: Sequence[str], path: Path | None = None, about: Mapping[str, Any] | None = None) -> Path:
        import onnx

        path = path or self.folder / "int8.onnx"
        graph = quantised(self.graph, self.ranges, chosen)
        if about is not None:
            graph.metadata_props.add(key=PREFIX + KEY, value=json.dumps(about, ensure_ascii=False))
            onnx.checker.check_model(graph, full_check=True)
        path.write_bytes(graph.SerializeToString())
        return path


def _logits(session: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    found: np.ndarray = session.run([session.get_outputs()[0].name], inputs)[0]
    return found


def _score(task: Task, runner: nn.Module, dataset: Any) -> float:
    """The family's monitored score, without what takes long."""
    metrics = task.metrics(dataset, False)
    with torch.inference_mode():
        for _ in task.score(runner, dataset, range(len(dataset)), metrics):
            pass
    return float(getattr(metrics.compute(), task.monitor))


class _Recorder(nn.Module):
    """A runner that keeps the tensors that it is given, up to CALIBRATED of them."""

    def __init__(self, runner: Any) -> None:
        super().__init__()
        self.runner, self.kept = runner, []  # type: ignore[var-annotated]

    def forward(self, image: Tensor) -> Any:
        """The runner's answer."""
        if len(self.kept) < CALIBRATED:
            self.kept.append({self.runner.input: np.ascontiguousarray(image.detach().numpy())})
        return self.runner(image)


def _inputs(task: Task, runner: nn.Module, dataset: Any) -> list[Mapping[str, np.ndarray]]:
    """The network's inputs for some samples, spread over the data set, as answering them prepares them."""
    recorder = _Recorder(runner)
    indices = dict.fromkeys(i * len(dataset) // CALIBRATED for i in range(CALIBRATED))
    with torch.inference_mode():
        for index in indices:
            if len(recorder.kept) == CALIBRATED:  # a large image is several inputs
                break
            task.answer(recorder, [task.prepare(dataset[index])], task.options)
    return recorder.kept
