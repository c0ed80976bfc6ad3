"""The families, one folder each. `base` holds the contract: how samples become batches, answers, scores and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from foveate.errors import ConfigError, unknown
from foveate.registry import entries, find


def find_task(family: str) -> Any:
    """The class of a family by name. Raises ConfigError."""
    if family not in entries("task"):
        raise ConfigError(unknown("family of models", family, entries("task")))
    cls = find("task", family).load()
    if cls.name != family:
        raise ConfigError(f"the family '{family}' is registered with {cls.__name__}, which is named '{cls.name}'")
    return cls


def create_task(family: str, tables: Mapping[str, Any], preprocessing: Any, options: Any = None) -> Any:
    """The task of a family for one model. options: the model's own; None for the defaults. Raises ConfigError."""
    task = find_task(family)(tables, preprocessing)
    if options is not None:
        task.options = options
    return task


def all_tasks() -> Iterable[Any]:
    """The class of every family, in alphabetical order."""
    return (find_task(name) for name in entries("task"))
