"""The families, one file each: how samples are batched, and how answers are made and scored."""

from __future__ import annotations

from typing import Any

from foveate.registry import find


def create_task(family: str, *arguments: Any) -> Any:
    """The task of a family by name, e.g. 'semantic'. Raises ConfigError."""
    return find("task", family).load()(*arguments)
