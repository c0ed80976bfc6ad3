"""The families, one file each: how samples are batched, and how answers are made and scored."""

from __future__ import annotations

from typing import Any

from foveate.errors import ConfigError, unknown

FAMILIES = {"semantic": "SemanticTask"}


def create_task(family: str, *arguments: Any) -> Any:
    """The task of a family by name. Raises ConfigError."""
    import importlib

    if family not in FAMILIES:
        raise ConfigError(unknown("task", family, FAMILIES))
    return getattr(importlib.import_module(f"foveate.tasks.{family}"), FAMILIES[family])(*arguments)
