"""The families, one folder each. `base` holds the contract: how samples become batches, answers, scores and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from foveate.errors import ConfigError, unknown
from foveate.registry import entries, find

if TYPE_CHECKING:
    from foveate.records import Table
    from foveate.tasks.base import Task


def find_task(family: str) -> type[Task]:
    """The class of a family by name. Raises ConfigError for an unknown name, and a class that breaks the contract."""
    from foveate.tasks.contract import require_contract

    if family not in entries("task"):
        raise ConfigError(unknown("family of models", family, entries("task")))
    cls: type[Task] = find("task", family).load()
    require_contract(family, cls)
    return cls


def create_task(family: str, tables: Mapping[str, Table], preprocessing: Any, options: Any = None) -> Task:
    """The task of a family for one model. options: the model's own; None for the defaults. Raises ConfigError."""
    task = find_task(family)(tables, preprocessing)
    if options is not None:
        task.options = options
    return task


def all_tasks() -> Iterable[type[Task]]:
    """The class of every family, in alphabetical order."""
    return (find_task(name) for name in entries("task"))
