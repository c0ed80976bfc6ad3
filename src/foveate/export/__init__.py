"""A trained model as ONNX files that carry all they need: weights, class tables or vocabularies, preprocessing.

The task of the model gives the graphs (`Task.graphs`); the metadata is described in `foveate.onnx.file`.
`Predictor.open` runs the files in ONNX Runtime or OpenVINO; so can any other reader of ONNX, without Foveate.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from foveate.disk import atomic_write
from foveate.errors import ConfigError, ModelError, OutputError
from foveate.onnx import OPSET as OPSET
from foveate.onnx import OnnxFile, metadata_of, require_extra, sibling_path, write_graph
from foveate.predictor import Predictor

TOLERANCE = 1e-3  # of the largest logit


@dataclass(frozen=True)
class ExportReport:
    """The files that were written, and how well they agree with PyTorch.

    bytes: of all files. sizes: the (height, width) at which ONNX Runtime was compared with PyTorch; () where a model's
    inputs are no images. difference: the largest absolute difference of two logits, as a share of the largest logit.
    beside: files that `path` needs beside it, such as the decoding step of a captioning model.
    """

    path: Path
    opset: int
    bytes: int
    sizes: tuple[tuple[int, int], ...]
    difference: float
    seconds: float
    beside: tuple[Path, ...] = ()


def export_onnx(source: str | Path | Predictor, path: str | Path) -> ExportReport:
    """Write a model as ONNX and check it against PyTorch on inputs that the export has not seen.

    source: a run folder, a model folder, or an open Predictor on either. An existing file at `path` is replaced only by
    one that passed the check. Some models give several files, all or none: a captioning model writes its encoder to
    `path`, captions.onnx, and the step that decodes one token beside it, captions.step.onnx.
    Raises ConfigError when the export extra is not installed or `path` is no .onnx file, ModelError when the model
    cannot be exported or the file differs from PyTorch, OutputError when it cannot be written.
    """
    require_extra()
    path = require_onnx_name(path)
    predictor = Predictor.open(source, device="cpu") if isinstance(source, (str, Path)) else source
    require_module(predictor)
    start = time.perf_counter()
    task, model, name = predictor.family, predictor.runner, predictor.name
    graphs = task.graphs(model)
    targets = {graph.suffix: sibling_path(path, graph.suffix) for graph in graphs.graphs}
    for target in targets.values():
        if target.is_dir():  # checked before any file is replaced, so that files of one export stay together
            raise OutputError(f"cannot write {target}: it is a folder; give another name with --out")
    metadata = metadata_of(predictor.task, name, task.tables, task.preprocessing, task.options)
    with ExitStack() as stack:
        temporaries = {suffix: stack.enter_context(atomic_write(target)) for suffix, target in targets.items()}
        for temporary in temporaries.values():
            temporary.touch()  # fails for a place that cannot be written, before the work
        for graph in graphs.graphs:
            write_graph(graph, metadata, name, temporaries[graph.suffix])
        siblings = {suffix: temporary for suffix, temporary in temporaries.items() if suffix}
        difference = graphs.difference(model, task.open(OnnxFile.open(temporaries[""], "cpu", siblings)))
        if not difference <= TOLERANCE:  # also true for NaN
            raise ModelError(
                f"the exported {name} differs from PyTorch by {difference:.2g} of the largest logit, above "
                f"{TOLERANCE:g}; nothing was written: please report this model"
            )
    seconds = time.perf_counter() - start
    size = sum(target.stat().st_size for target in targets.values())
    beside = tuple(target for suffix, target in targets.items() if suffix)
    return ExportReport(path, OPSET, size, graphs.sizes, difference, seconds, beside)


def require_module(predictor: Predictor) -> None:
    """Raise ModelError for a predictor that runs an exported file."""
    if predictor.runtime != "torch":
        raise ModelError(f"{predictor.path} is an exported file already; give the run or model folder it came from")


def require_onnx_name(path: str | Path) -> Path:
    """The path of a file to write. Raises ConfigError if it does not end in .onnx."""
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise ConfigError(f"{path} is not a name for an ONNX file; give one that ends in .onnx")
    return path
