"""The shared records: class tables, preprocessing, predictions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError
from foveate.records import ClassTable, Preprocessing, SemanticPrediction


def test_a_class_table_survives_json() -> None:
    for table in (
        ClassTable(("cow", "grass")),
        ClassTable(("cow", "grass"), ((1, 2, 3), (4, 5, 6)), ignore_index=11),
        ClassTable(tuple(map(str, range(300))), ignore_index=65535),
    ):
        assert ClassTable.from_json(json.loads(json.dumps(table.to_json()))) == table
    assert ClassTable.from_json({"names": ["a"]}) == ClassTable(("a",))


def test_drawn_colours_are_distinct_and_stay() -> None:
    table = ClassTable(tuple(map(str, range(40))))
    assert len(table) == 40
    assert table.colors == ClassTable(tuple(map(str, range(40)))).colors
    assert table.colors[:5] == ClassTable(tuple("abcde")).colors  # a class keeps its colour when others are added
    assert all(0 <= value <= 255 for color in table.colors for value in color)
    colors = np.array(table.colors, int)
    assert min(np.abs(a - b).sum() for a, b in itertools.pairwise(colors)) > 60
    assert len(set(table.colors)) == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "a class table needs at least one class name; got none"),
        ((("a", "b", "a"),), "class names must differ; repeated: a"),
        ((("a", "b"), (), 1), "ignore value 1 is also the label of class 'b'; choose a value of 2 or more"),
        ((("a", "b"), ((0, 0, 0),)), "2 class names but 1 colour; give one colour a class"),
    ],
)
def test_tables_that_make_no_sense_are_refused(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match=message):
        ClassTable(*arguments)


def test_preprocessing_is_the_same_for_bytes_and_floats() -> None:
    preprocessing = Preprocessing((0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 3).expand(3, 1, 3)
    expected = torch.tensor([[-1.0, -0.6, 1.0], [-1.0, -0.2, 3.0], [0.0, 0.1, 0.5]])
    assert torch.allclose(preprocessing(pixels)[:, 0], expected, atol=1e-6)
    assert torch.allclose(preprocessing(pixels.float() / 255), preprocessing(pixels), atol=1e-6)
    assert preprocessing(pixels[None].expand(2, -1, -1, -1)).shape == (2, 3, 1, 3)
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


def test_shares_are_those_of_the_pixels() -> None:
    table = ClassTable(("a", "b", "c"))
    prediction = SemanticPrediction(np.array([[0, 0, 2], [0, 2, 0]], np.uint8), table)
    assert prediction.shares() == {"a": pytest.approx(4 / 6), "b": 0.0, "c": pytest.approx(2 / 6)}
