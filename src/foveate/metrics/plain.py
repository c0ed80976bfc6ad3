"""Scores as plain values for JSON, which has no nan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from foveate.errors import ConfigError, counted
from foveate.records import ClassTable

T = TypeVar("T")


def number_or_none(value: T) -> T | None:
    """Return a value as it is, or None for nan."""
    return None if isinstance(value, float) and math.isnan(value) else value


def scores_by_name(values: Sequence[float], classes: ClassTable, noun: str = "class") -> dict[str, float | None]:
    """Return the score of each class by its name, None for nan.

    noun: what the table calls its entries. Raises ConfigError for a table of another length.
    """
    if len(classes) != len(values):
        raise ConfigError(
            f"scores of {counted(len(values), noun)}, but the class table has {len(classes)}; pass the table that the "
            "pictures were scored with"
        )
    return {name: number_or_none(value) for name, value in zip(classes.names, values, strict=True)}
