"""Quick, Draw!'s lines of JSON: the points, where the pen is lifted, and lines that are no drawing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from foveate.datasets import recognise
from foveate.datasets.handwriting.quick_draw import QuickDraw
from foveate.errors import DataError

STROKES = [[[1, 3, 5], [2, 2, 4]], [[7, 9], [1, 0]]]
POINTS = [[1, 2, 0], [3, 2, 0], [5, 4, 1], [7, 1, 0], [9, 0, 1]]


def write(path: Path, *strokes: list[list[list[float]]], word: str = "cat") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"word": word, "recognized": True, "drawing": drawing} for drawing in strokes]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("times", [False, True])
def test_points(tmp_path: Path, times: bool) -> None:
    drawing = [[x, y, list(range(len(x)))] for x, y in STROKES] if times else STROKES
    write(tmp_path / "cat.ndjson", *[drawing] * 3)
    write(tmp_path / "dog.ndjson", *[drawing] * 9, word="dog")
    source = recognise(tmp_path)
    assert isinstance(source, QuickDraw) and not source.problems()
    assert {split: len(source.open(split)) for split in source.splits()} == {"train": 10, "val": 2}
    (first, *_), texts = source.scan.pairs["train"], source.open("train").texts
    np.testing.assert_array_equal(first.points, POINTS)
    assert texts == ["cat"] * 2 + ["dog"] * 8
    assert "the pen is lifted after each stroke" in source.describe()
    assert recognise(tmp_path / "cat.ndjson") == QuickDraw(str(tmp_path / "cat.ndjson"))


def test_files_of_splits(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("valid", 2)):
        write(tmp_path / f"{split}.ndjson", *[STROKES] * count)
    source = QuickDraw(str(tmp_path))
    assert {split: len(source.open(split)) for split in source.splits()} == {"train": 3, "val": 2}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"word": "cat"', 'cat.ndjson#2: \'{"word": "cat"\'; expected'),
        ('{"word": "cat", "drawing": [[[1, 2], [3]]]}', "cat.ndjson#2: '"),
        ('{"word": 5, "drawing": [[[1, 2], [3, 4]]]}', "strokes without as many x as y, or a word that is no text"),
        ('{"word": "cat", "drawing": []}', "strokes without as many x as y"),
        ('{"word": "cat", "drawing": [[[1, 1], [2, 2]]]}', "2 points at one and the same place"),
    ],
)
def test_lines_that_are_no_drawing(tmp_path: Path, line: str, message: str) -> None:
    file = write(tmp_path / "cat.ndjson", STROKES)
    file.write_text(file.read_text() + line + "\n" + file.read_text())
    (problem,) = QuickDraw(str(tmp_path)).problems()
    assert message in str(problem)
    with pytest.raises(DataError):
        QuickDraw(str(tmp_path)).open("train")


def test_other_lines_of_json_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"data_row": {"id": 1}}\n')
    assert not QuickDraw.recognise(tmp_path)
