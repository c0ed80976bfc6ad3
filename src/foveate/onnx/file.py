"""ONNX files in a runtime, with the metadata that `foveate export` wrote into them.

Every value is JSON:

    foveate.task, foveate.model, foveate.version    family, registry name of the model, version that exported it
    foveate.preprocessing                           as in a model folder; null for inputs without
    foveate.tables                                  name -> class table or vocabulary
    foveate.options                                 options of a family that stores them with a model
    foveate.classes                                 the table of a model with exactly one; all that 0.1.0 wrote

A family may add values (`Graph.metadata`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, ModelError
from foveate.onnx.graphs import sibling_path
from foveate.onnx.runtimes import default_runtime, open_session
from foveate.records import Table
from foveate.store import read_tables
from foveate.values import parse_json
from foveate.version import __version__

PREFIX = "foveate."
NAMES = ("task", "model", "version")  # keys of texts
REQUIRED = (*NAMES, "preprocessing")


@dataclass
class OnnxFile:
    """An open file that `foveate export` wrote.

    device, runtime, precision, workers: as they were asked for.
    session: an onnxruntime.InferenceSession, or what offers its methods (`runtimes.OpenVinoSession`).
    about: the metadata, parsed; its keys are without the prefix "foveate.".
    siblings: suffix -> path of the files of one export that are not at their usual place beside this one.
    """

    path: Path
    device: str
    session: Any
    about: dict[str, Any]
    siblings: Mapping[str, Path] = field(default_factory=dict)
    runtime: str = "onnxruntime"
    precision: str = "float32"
    workers: int = 1

    @classmethod
    def open(
        cls,
        path: str | Path,
        device: str = "auto",
        siblings: Mapping[str, Path] | None = None,
        runtime: str | None = None,
        precision: str = "float32",
        workers: int = 1,
    ) -> OnnxFile:
        """Open a file and read its metadata; see `runtimes.open_session`. runtime: None for the usual one.

        Raises ModelError for a file that is damaged or not made by `foveate export`, or whose runtime is not installed,
        ConfigError for a device or precision that is not available.
        """
        path = Path(path)
        runtime = runtime or default_runtime()
        session = open_session(path, device, runtime, precision, workers)
        return cls(path, device, session, _read_metadata(path, session), siblings or {}, runtime, precision, workers)

    @property
    def task(self) -> str:
        """The name of the family."""
        return str(self.about["task"])

    @property
    def model(self) -> str:
        """The registry name of the model."""
        return str(self.about["model"])

    @property
    def version(self) -> str:
        """The version of Foveate that wrote the file."""
        return str(self.about["version"])

    @cached_property
    def tables(self) -> dict[str, Any]:
        """Class tables and vocabularies by name. Raises ModelError."""
        try:
            return read_tables(self.about)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ConfigError) as error:
            raise self.unreadable("tables" if "tables" in self.about else "classes", error) from error

    @property
    def preprocessing(self) -> dict[str, Any] | None:
        """The preprocessing as it is stored; None for inputs without."""
        value: dict[str, Any] | None = self.about["preprocessing"]
        return value

    def options(self, family: Any) -> Any:
        """The default options of the model. Raises ModelError.

        family: the class of its task.
        """
        try:
            return family.Options.from_json(self.about.get("options"))
        except (TypeError, AttributeError, ValueError, ConfigError) as error:
            raise self.unreadable("options", error) from error

    def value(self, key: str) -> Any:
        """One value of the metadata, by its key without the prefix. Raises ModelError if it is missing."""
        if key not in self.about:
            raise _missing(self.path, key)
        return self.about[key]

    def unreadable(self, key: str, error: Exception) -> ModelError:
        """The error to raise for a value that is JSON, but not of the expected form."""
        return ModelError(
            f"{self.path} has a '{PREFIX}{key}' in its metadata that cannot be read ({type(error).__name__}: {error}); "
            "export it again"
        )

    def sibling(self, suffix: str) -> OnnxFile:
        """Open another file of the same export, on the same device and in the same runtime.

        suffix: ".step" is captions.step.onnx for captions.onnx. Raises ModelError if it is missing, damaged or not made
        by `foveate export`.
        """
        path = self.siblings.get(suffix, sibling_path(self.path, suffix))
        if not path.is_file():
            raise ModelError(
                f"{self.path} needs {path.name}, which is not beside it; copy both files that `foveate export` wrote"
            )
        return OnnxFile.open(path, self.device, None, self.runtime, self.precision, self.workers)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Run the graph: named tensors, on any device -> the named outputs, on the CPU."""
        arrays = {name: np.ascontiguousarray(x.detach().cpu().numpy()) for name, x in inputs.items()}
        return [torch.from_numpy(x) for x in self.session.run(list(outputs), arrays)]


def metadata_of(
    task: str, model: str, tables: Mapping[str, Table], preprocessing: Any, options: Any = None
) -> dict[str, Any]:
    """The metadata of every exported file; keys are without the prefix.

    task: the family's name. model: its registry name. preprocessing: offers `to_json`, or None.
    options: the family's `Options` that the model answers with; they are written if the family stores them.
    """
    written = {name: table.to_json() for name, table in tables.items()}
    about = {
        "task": task,
        "model": model,
        "version": __version__,
        "preprocessing": None if preprocessing is None else preprocessing.to_json(),
        "tables": written,
    }
    if options is not None and options.stored:
        about["options"] = options.to_json()
    if len(written) == 1:
        (about["classes"],) = written.values()
    return about


def _read_metadata(path: Path, session: Any) -> dict[str, Any]:
    """The metadata of a session, parsed and checked; keys are without the prefix. Raises ModelError."""
    raw: dict[str, str] = session.get_modelmeta().custom_metadata_map
    stored = {key.removeprefix(PREFIX): text for key, text in raw.items() if key.startswith(PREFIX)}
    for key in REQUIRED if "tables" in stored else (*REQUIRED, "classes"):
        if key not in stored:
            raise _missing(path, key)
    try:
        about = {key: parse_json(text) for key, text in stored.items()}
    except ValueError as error:
        raise ModelError(f"{path} has metadata that is not JSON ({error}); export it again") from None
    expected = [(key, str, "a text") for key in NAMES] + [("preprocessing", dict | None, "an object or null")]
    for key, kind, noun in expected:
        if not isinstance(about[key], kind):
            raise ModelError(f"{path} has a '{PREFIX}{key}' in its metadata that is not {noun}; export it again")
    return about


def _missing(path: Path, key: str) -> ModelError:
    return ModelError(f"{path} has no '{PREFIX}{key}' in its metadata; only files made by `foveate export` can be used")
