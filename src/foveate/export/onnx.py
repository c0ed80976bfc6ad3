"""A trained model as ONNX that carries all it needs: weights, table of classes or tokens, preprocessing.

What the graphs take and give stands in `export.label_maps` and, of models that write sentences, in `export.captions`.
The metadata's values are JSON: see `predictor.METADATA_KEYS`. `Predictor.open` runs the file in ONNX Runtime; so can
anything else that reads ONNX, without Foveate.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from foveate.errors import ConfigError, ModelError, OutputError
from foveate.export import captions, label_maps
from foveate.export.graph import OPSET as OPSET
from foveate.export.graph import TOLERANCE, require_extra
from foveate.pictures import atomic_write
from foveate.predictor import Predictor


class Family(Protocol):
    """How models of one kind become graphs: a module of this folder."""

    def files(self, path: Path) -> tuple[Path, ...]:
        """What is written when `path` is asked for: itself, and what goes with it."""
        ...

    def checked_sizes(self, predictor: Predictor) -> tuple[tuple[int, int], ...]:
        """The (height, width) of the pictures that the check looks at."""
        ...

    def write(self, predictor: Predictor, model: nn.Module, paths: Sequence[Path]) -> None:
        """Write a graph to each path. Raises ModelError for a model that cannot be exported."""
        ...

    def disagreement(self, predictor: Predictor, model: nn.Module, paths: Sequence[Path]) -> float:
        """How far the files are from PyTorch, as a share of the largest logit. Raises ModelError for other shapes."""
        ...


FAMILIES: dict[str, Family] = {"semantic": label_maps, "classification": label_maps, "captioning": captions}


@dataclass(frozen=True)
class ExportReport:
    """What was written and how well it agrees.

    bytes: of all files. sizes: the (height, width) at which ONNX Runtime was compared with PyTorch.
    difference: the largest absolute difference of two logits, as a share of the largest logit.
    beside: files that `path` needs beside it: the decoding step of a model that writes sentences.
    """

    path: Path
    opset: int
    bytes: int
    sizes: tuple[tuple[int, int], ...]
    difference: float
    seconds: float
    beside: tuple[Path, ...] = ()


def export_onnx(source: str | Path | Predictor, path: str | Path) -> ExportReport:
    """Write a model as an ONNX file and check it against PyTorch on inputs the export did not see.

    source: a run folder, a model folder, or an open Predictor on either. Whatever stood at `path` is replaced only by
    what passed the check. A captioning model gives two files, both or none: `path` looks at a picture, and its
    neighbour, `captions.step.onnx` for `captions.onnx`, writes one token.
    Raises ConfigError when the export extra is not installed or `path` is no .onnx file, ModelError when the
    model cannot be exported or the file disagrees, OutputError when it cannot be written.
    """
    require_extra()
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise ConfigError(f"{path} is not a name for an ONNX file; give one that ends in .onnx")
    predictor = source if isinstance(source, Predictor) else Predictor.open(source, device="cpu")
    if predictor.model is None:
        raise ModelError(f"{predictor.path} is an exported file already; give the run or model folder it came from")
    if predictor.task not in FAMILIES:
        raise ModelError(f"{predictor.name} is not exported; models for {', '.join(FAMILIES)} are")
    family = FAMILIES[predictor.task]
    start = time.perf_counter()
    targets = family.files(path)
    for target in targets:
        if target.is_dir():  # told before anything is replaced, so that files that belong together stay together
            raise OutputError(f"cannot write {target}: it is a folder; give another name with --out")
    with ExitStack() as stack:
        temporaries = [stack.enter_context(atomic_write(target)) for target in targets]
        for temporary in temporaries:
            temporary.touch()  # an unwritable place says so before the work
        family.write(predictor, predictor.model, temporaries)
        difference = family.disagreement(predictor, predictor.model, temporaries)
        if not difference <= TOLERANCE:  # also true for NaN
            raise ModelError(
                f"the exported {predictor.name} differs from PyTorch by {difference:.2g} of the largest logit, above "
                f"{TOLERANCE:g}; nothing was written: please report this model"
            )
    seconds = time.perf_counter() - start
    size = sum(target.stat().st_size for target in targets)
    return ExportReport(path, OPSET, size, family.checked_sizes(predictor), difference, seconds, targets[1:])
