"""Exported files, opened with their family."""

from __future__ import annotations

from pathlib import Path

from foveate.errors import ConfigError, ModelError
from foveate.onnx import TITLES, OnnxFile
from foveate.store import LoadedModel
from foveate.tasks import all_tasks, find_task
from foveate.tasks.base import Task


def is_exported(path: Path) -> bool:
    """True for a file that ends in .onnx."""
    return path.suffix.lower() == ".onnx" and path.is_file()


def family_class(name: str, path: Path) -> type[Task]:
    """The class of a family that a file at `path` names. Raises ModelError if there is none of that name."""
    try:
        return find_task(name)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error


def family_of(file: OnnxFile) -> Task:
    """The task of an exported file. Raises ModelError if its family is unknown."""
    cls = family_class(file.task, file.path)
    try:
        preprocessing = None if file.preprocessing is None else cls.Preprocessing.from_json(file.preprocessing)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
        raise file.unreadable("preprocessing", error) from error
    task = cls(file.tables, preprocessing)
    task.options = file.options(cls)
    return task


def load_exported(file: OnnxFile) -> tuple[Task, LoadedModel]:
    """The task of an exported file, and its runner in place of a model folder's module.

    Raises ModelError, also for a runtime in which the family's answers are not known to be right.
    """
    task = family_of(file)
    if file.runtime not in task.runtimes:
        others = ", ".join(one.title for one in all_tasks() if file.runtime in one.runtimes)
        raise ModelError(
            f"{file.path}: models for {task.title} are not run in {TITLES[file.runtime]}, where their answers are not "
            f"known to be right; use --runtime {task.runtimes[0]} ({TITLES[file.runtime]} is for {others})"
        )
    runner = task.open(file)
    return task, LoadedModel(runner, file.model, task.name, task.tables, task.preprocessing, {}, task.options)
