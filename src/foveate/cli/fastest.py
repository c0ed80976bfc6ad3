"""The fastest way to predict many inputs with a run folder: its exported file, if that gives the same results."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.inputs import Job
from foveate.errors import DataError, FoveateError

if TYPE_CHECKING:
    from foveate.predictor import Predictor

MANY = 1000  # inputs from which an export, some seconds, pays
COMPARED = 3  # inputs that are predicted both ways
EXTRA = ("onnx", "onnxruntime", "onnxscript")


def exported_if_equal(predictor: Predictor, jobs: Sequence[Job], options: Any, folder: Path) -> Path | None:
    """The exported file of a model in PyTorch on a CPU, in `folder`; None where there is none, or it does not pay.

    It pays if there are many inputs, and the first few give the same records and the same files, byte by byte, in less
    time.
    """
    from foveate.export import export_onnx
    from foveate.predictor import Predictor

    here = predictor.runtime == "torch" and predictor.device.type == "cpu" and len(jobs) >= MANY
    if not here or not all(importlib.util.find_spec(name) for name in EXTRA):
        return None
    file = folder / "model.onnx"
    try:
        export_onnx(predictor, file)
        exported = Predictor.open(file, "cpu", "onnxruntime")
    except FoveateError:  # a family or model without export
        return None
    samples = _first_samples(predictor, jobs)
    results, seconds = [], []
    for one in (predictor, exported):
        started = time.perf_counter()
        predictions = [one.answer([sample], options)[0] for sample in samples]
        seconds.append(time.perf_counter() - started)
        results.append([_result(one, prediction, s) for prediction, s in zip(predictions, samples, strict=True)])
    return file if samples and results[0] == results[1] and seconds[1] < seconds[0] else None


def _first_samples(predictor: Predictor, jobs: Sequence[Job]) -> list[Any]:
    """The first samples that can be read and are small."""
    found: list[Any] = []
    for number, job in enumerate(jobs[: 10 * COMPARED]):
        if len(found) == COMPARED:
            break
        try:
            given = job.local()
            if all(one.is_small(given[one.name]) for one in predictor.family.inputs):
                found.append(predictor.sample_of(given, job.title, number))
        except DataError:  # it is named when its turn comes
            continue
    return found


def _result(predictor: Predictor, prediction: Any, sample: Any) -> tuple[Any, dict[str, bytes]]:
    """The record of a prediction, and the bytes of its files."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for key, (ending, write) in predictor.family.files(prediction, sample).items():
            path = Path(folder) / f"result{ending}"
            write(path)
            found[key] = path.read_bytes()
    return predictor.family.record(prediction), found
