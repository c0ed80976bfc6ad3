"""Quick, Draw!'s files: lines of JSON, a drawing of a word each (github.com/googlecreativelab/quickdraw-dataset).

A drawing is a list of strokes, each of two lists of equal length: x, and y, which points downwards. The raw files have
a third one of times, which is not read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foveate.datasets.handwriting.ink import Ink, InkSource, ink_of
from foveate.datasets.text_files import read_text
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

_HEAD = 4096  # bytes by which a file is known
_DRAWING = re.compile(rb'[\s\xef\xbb\xbf]*\{[^\n]*"drawing"\s*:\s*\[\s*\[\s*\[')


@dataset("quick_draw")
@dataclass(frozen=True)
class QuickDraw(InkSource):
    """Drawings of Quick, Draw!: DATA/*.ndjson, lines {"word": ..., "drawing": [[[x, ...], [y, ...]], ...]}.

    The text of a drawing is its word. Files train.ndjson, val.ndjson and test.ndjson are the splits; without them every
    tenth drawing is val.

    path: the folder DATA, or one file.
    """

    path: str
    called: ClassVar[str] = "Quick, Draw!"
    suffix: ClassVar[str] = ".ndjson"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if the first line of a file is a drawing."""
        return any(map(_is_drawing, _files(path)))

    def load(self, path: Path, problems: list[Problem]) -> tuple[list[Ink], str]:
        """See `InkSource.load`."""
        inks = []
        for file in filter(_is_drawing, _files(path)):
            for number, line in enumerate(read_text(file).split("\n"), 1):
                if not line.strip():
                    continue
                try:
                    inks.append(_ink(line, f"{file.name}#{number}"))
                except DataError as error:
                    problems.append(Problem(file, str(error)))
        return inks, "the pen is lifted after each stroke"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == QuickDraw.suffix else []
    return sorted(path.glob(f"*{QuickDraw.suffix}")) if path.is_dir() else []


def _is_drawing(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _DRAWING.match(stream.read(_HEAD)) is not None
    except OSError:
        return False


def _ink(line: str, name: str) -> Ink:
    """The drawing of a line. Raises DataError."""
    expected = '{"word": ..., "drawing": [[[x, ...], [y, ...]], ...]}'
    try:
        entry: Any = json.loads(line)
        word, strokes = entry.get("word", ""), [np.array(stroke[:2], np.float64) for stroke in entry["drawing"]]
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        raise DataError(f"{name}: '{line[:40]}'; expected {expected}") from None
    if not strokes or not isinstance(word, str) or any(s.ndim != 2 or len(s) != 2 or not s.size for s in strokes):
        raise DataError(f"{name}: strokes without as many x as y, or a word that is no text; expected {expected}")
    pens = [np.arange(stroke.shape[1]) == stroke.shape[1] - 1 for stroke in strokes]
    points = np.concatenate([np.vstack([stroke, pen]).T for stroke, pen in zip(strokes, pens, strict=True)])
    return ink_of(points, word, name)
