"""Scores as plain values for JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from foveate.errors import ConfigError
from foveate.metrics.plain import number_or_none, scores_by_name
from foveate.records import ClassTable


def test_nan_alone_becomes_none() -> None:
    assert [number_or_none(x) for x in (math.nan, np.float64("nan"), 0.0, 3, "nan", ())] == [
        None,
        None,
        0.0,
        3,
        "nan",
        (),
    ]


def test_scores_of_classes_are_named() -> None:
    assert json.dumps(scores_by_name((0.5, math.nan), ClassTable(("cow", "sky")))) == '{"cow": 0.5, "sky": null}'
    with pytest.raises(
        ConfigError, match="scores of 1 kind, but the class table has 2; pass the table that the pictures"
    ):
        scores_by_name((0.5,), ClassTable(("cow", "sky")), "kind")
