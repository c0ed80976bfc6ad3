"""The run folder: everything that a training leaves behind, and that later verbs start from."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from foveate.disk import write_atomically
from foveate.engine import fields
from foveate.engine.recipe import Recipe
from foveate.errors import ConfigError, ModelError, OutputError
from foveate.records import Table
from foveate.registry import create_recipe
from foveate.values import parse_json

PACKAGE = Path(__file__).parents[1]
PACKAGES = ("foveate", "torch", "torchvision", "timm", "lightning", "numpy", "pillow")


class RunFolder:
    """Paths and small files of `runs/<name>/`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.json"
        self.checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.best, self.last = self.path / "model", self.path / "last"
        self.report = self.path / "report.html"
        self.evaluation = self.path / "evaluation.json"
        self.progress = self.path / "progress.json"

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """A run folder that holds a recipe. Raises ModelError."""
        run = cls(path)
        if not run.recipe_file.is_file():
            near = sorted(p.parent.name for p in run.path.parent.glob("*/recipe.json"))
            hint = f"; runs beside it: {', '.join(near[:6])}" if near else ""
            wrong = "is not a run folder: it holds no recipe.json" if run.path.exists() else "does not exist"
            raise ModelError(f"{path} {wrong}{hint or '; give a folder that `foveate train` wrote'}")
        return run

    @property
    def is_trained(self) -> bool:
        """True once an epoch was finished: the checkpoint may have been deleted since, to save space."""
        return self.checkpoint.exists() or self.best.exists()

    @property
    def is_done(self) -> bool:
        """True if the run says that it is done; False also where a power cut damaged its progress.json."""
        try:
            return bool(self.read_json(self.progress.name)["state"] == "done")
        except (ModelError, KeyError, TypeError):
            return False

    def write_json(self, name: str, content: Any) -> None:
        """Write one JSON file of the folder, whole or not at all."""
        write_atomically(self.path / name, json.dumps(content, indent=2) + "\n")

    def start(self, recipe: Recipe, tables: Mapping[str, Table], about: Mapping[str, Any]) -> None:
        """Write everything that is known before the first step. Raises OutputError if the folder cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # A folder is a run once it has a recipe.json, which comes last: a resume reads the others beside it.
            self.recipe_file.unlink(missing_ok=True)
        except OSError as error:
            what = f"renew {self.recipe_file}" if self.path.is_dir() else f"create {self.path}"
            raise OutputError(f"cannot {what}: {error.strerror}; choose another folder with --out") from error
        self.write_json("tables.json", {name: table.to_json() for name, table in tables.items()})
        self.write_json("environment.json", environment())
        self.write_json("data.json", about)
        self.write_json(self.recipe_file.name, fields.to_json(recipe))

    def tables(self) -> dict[str, Any]:
        """The tables that the run was started with, by name, as JSON. Raises ModelError.

        Version 0.1.0 wrote one table, of classes or of a text, as classes.json.
        """
        if (self.path / "tables.json").is_file():
            tables = self.read_json("tables.json")
            if not isinstance(tables, dict):
                raise ModelError(f"{self.path / 'tables.json'} is damaged; restore it or train again")
            return tables
        table = self.read_json("classes.json")
        if not isinstance(table, dict):
            raise ModelError(f"{self.path / 'classes.json'} is damaged; restore it or train again")
        return {"text" if "kind" in table else "classes": table}

    def preprocessing(self, family: Any) -> Any:
        """The preprocessing of the run's last model, None for a model that has none. Raises ModelError.

        family: the class of its task.
        """
        data = self.read_json(f"{self.last.name}/config.json")["preprocessing"]
        return None if data is None else family.Preprocessing.from_json(data)

    def recipe(self) -> Recipe:
        """The resolved recipe. Raises ModelError if its file is damaged."""
        data = self.read_json("recipe.json")
        try:
            data = fields.upgraded(data)
            recipe: Recipe = fields.restore(create_recipe(data["name"]), data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
            raise ModelError(f"{self.recipe_file} is damaged ({error}); restore it or train again") from error
        return recipe

    def read_json(self, name: str) -> Any:
        """One JSON file of the folder. Raises ModelError."""
        file = self.path / name
        try:
            return parse_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} cannot be read ({error}); restore it or train again") from error

    def write_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """metrics.csv: a row an epoch."""
        names = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_atomically(self.path / "metrics.csv", text.getvalue())

    def history(self) -> list[dict[str, float]]:
        """The rows of metrics.csv; a score that an epoch did not measure is left out. Raises ModelError if damaged."""
        file = self.path / "metrics.csv"
        if not file.is_file():
            return []
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise ModelError(f"{file} is damaged ({error}); restore it or train again") from error


def environment() -> dict[str, Any]:
    """Versions, commit and hardware, as far as they are known.

    clean: True if the package's files were those of the commit, False if some were changed, None if there is no commit.
    instructions: the processor's instructions that torch uses, "AVX2" for example; sums differ in rounding with them.
    """
    commit = _commit()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "packages": versions,
        "commit": commit,
        "clean": None if commit is None else not _git("status", "--porcelain", "--", "."),
        "platform": platform.platform(),
        "cpu": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or ["cpu"],
        "command": shlex.join(["foveate", *sys.argv[1:]]),
    }


def _processor() -> str:
    """The processor's name; Linux keeps it in a file of its own."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def peak_memory() -> int | None:
    """The most memory that this process has held so far, in MiB: of the GPU where there is one, else of the machine."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated() / 2**20)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / (2**20 if sys.platform == "darwin" else 2**10))


def _commit() -> str | None:
    """The commit of the source tree this package runs from, if it is one.

    A package that was installed into a folder of another repository is none of its files, and has no commit.
    """
    return _git("rev-parse", "HEAD") if _git("ls-files", "--", "__init__.py") else None


def _git(*command: str) -> str | None:
    """Run git in the package's folder; returns its output, or None if it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(PACKAGE), *command], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
