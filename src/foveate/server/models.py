"""Models that are served: loading, names, and their descriptions for clients."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from foveate.errors import ConfigError, unknown
from foveate.predictor import Predictor, find_model_folder, peek_family
from foveate.records import ClassTable
from foveate.server.bodies import MOST_INPUTS, all_flags, describe_flag
from foveate.server.problem import Problem
from foveate.tasks.exported import is_exported
from foveate.torchvision_networks import builder_of
from foveate.torchvision_networks.load import weights_file
from foveate.version import __version__

PACKAGES = ("torch", "onnxruntime", "openvino")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass
class Served:
    """A model under the name that it is served with. sha256: of its weights."""

    name: str
    predictor: Predictor
    sha256: str
    score: dict[str, Any] | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """The model's description for clients."""
        family, predictor = self.predictor.family, self.predictor
        options, parts = ([describe_flag(family, flag) for flag in some] for some in all_flags(family))
        inputs = [
            {
                "key": one.key,
                "kind": "text" if one.is_text else "file",
                "noun": one.noun,
                "suffixes": sorted(one.suffixes),
            }
            for one in family.inputs
        ]
        tables = {name: _table(table) for name, table in family.tables.items()}
        return {
            "name": self.name,
            "task": family.name,
            "title": family.title,
            "model": predictor.name,
            "runtime": predictor.runtime,
            "precision": predictor.precision,
            "device": str(predictor.device),
            "inputs": inputs,
            "options": [one for one in options if one.get("largest") is not False],
            "parts": parts,
            "tables": tables,
            "preprocessing": None if family.preprocessing is None else family.preprocessing.to_json(),
            "sha256": self.sha256,
            "score": self.score,
            "versions": {"foveate": __version__} | _versions(),
            "limits": dict(self.limits) | {"inputs": MOST_INPUTS},
        }


def _table(table: Any) -> dict[str, Any]:
    """A table of classes with their colours, or the size of a vocabulary."""
    if not isinstance(table, ClassTable):
        return {"entries": len(table)}
    return {
        "entries": len(table),
        "classes": [
            {"index": i, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*color)}
            for i, (name, color) in enumerate(zip(table.names, table.colors, strict=True))
        ],
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def named(given: Sequence[str]) -> dict[str, Path]:
    """Names of models and their paths, from the words of a command line: PATH, or NAME=PATH.

    Raises ConfigError for two of one name, and for a name that is no part of an address.
    """
    found: dict[str, Path] = {}
    for word in given:
        name, separator, path = word.partition("=")
        if not separator or Path(word).exists():
            path, name = word, Path(word).resolve().name.removesuffix(".onnx")
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"'{name[:80]}' cannot be a name in an address; give letters, digits and '-', '_', '.', as first={path}"
            )
        if name in found:
            raise ConfigError(f"two models are called '{name}': {found[name]} and {path}; name one, as in other={path}")
        found[name] = Path(path)
    return found


def require_models(paths: Iterable[Path]) -> None:
    """Raise ModelError for a path that is no model, before the first of several is loaded."""
    for path in paths:
        if not is_exported(path):  # to look into a file takes as long as to load it
            peek_family(path)


def load(
    name: str,
    path: Path,
    device: str,
    limits: Mapping[str, Any],
    runtime: str | None = None,
    precision: str = "float32",
) -> Served:
    """Open a model. runtime, precision: of an exported file alone. Raises ModelError, ConfigError."""
    of_file = {"runtime": runtime, "precision": precision} if is_exported(path) else {}
    predictor = Predictor.open(path, device=device, **of_file)  # type: ignore[arg-type]
    return Served(name, predictor, _sha256(_weights(path)), _score(path, predictor), limits)


def _weights(path: Path) -> Path:
    if builder_of(path):
        return weights_file(path)
    return path if path.is_file() else find_model_folder(path) / "model.safetensors"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _score(path: Path, predictor: Predictor) -> dict[str, Any] | None:
    """The score that the run was chosen by, from its evaluation; None where there is none."""
    try:
        scores = json.loads((path / "evaluation.json").read_text(encoding="utf-8"))
        value = float(scores[predictor.family.monitor])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {"name": predictor.family.monitor, "value": value}


class Models:
    """The models of a server, which are loaded while it answers already."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths = dict(paths)
        self._loaded: dict[str, Served] = {}
        self.ready = False

    def load_all(self, load_one: Callable[[str, Path], Served]) -> None:
        """Load every model, in order."""
        for name, path in self.paths.items():
            self._loaded[name] = load_one(name, path)
        self.ready = True

    def __iter__(self) -> Any:
        return iter(list(self._loaded.values()))

    def find(self, name: str | None) -> Served:
        """A model by name, or the only one. Raises Problem, naming the nearest."""
        if name is None:
            if len(self.paths) > 1:
                names = ", ".join(self.paths)
                raise Problem("not-found", f"several models are served ({names}); ask /v1/models/NAME/predict of one")
            (name,) = self.paths
        if name not in self.paths:
            raise Problem("not-found", unknown("model", name[:100], self.paths))
        if name not in self._loaded or not self.ready:
            raise Problem("loading", "the models are being loaded; try again in a moment", {"Retry-After": "2"})
        return self._loaded[name]
