"""Strokes in JSON: a list of {"text": ..., "points": [[x, y, up], ...]}."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foveate.datasets.handwriting.ink import Ink, InkSource, Pen, PenBits, ink_of, lifted
from foveate.datasets.text_files import read_json
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

# The first entry with its points, before which nothing but plain values stand, as in no other tool's JSON.
_ENTRY = re.compile(rb'[\s\xef\xbb\xbf]*\[?\s*\{(?:"(?:[^"\\]|\\.)*"|[^{}\[\]"])*?"points"\s*:')


@dataset("stroke_json")
@dataclass(frozen=True)
class StrokeJson(InkSource):
    """Strokes in JSON: DATA.json, or DATA/{train,val,test}.json, lists of {"text": ..., "points": [[x, y, up], ...]}.

    y points downwards, and up is 1 where the pen is lifted after the point (see `pen`). An undivided file gives every
    tenth piece to val.

    path: the file or folder DATA.
    pen: the meaning of the third number: lifted after the point, down (the line to the point is drawn), from (the line
        from the point is drawn), or auto, which takes the one that most values fit.
    """

    path: str
    pen: Pen = "auto"
    called: ClassVar[str] = 'JSON lists of {"text", "points": [[x, y, up], ...]}'
    suffix: ClassVar[str] = ".json"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if a JSON file in the folder, or the file itself, begins as a list of strokes."""
        files = sorted(path.glob("*.json")) if path.is_dir() else [path] if path.suffix.lower() == ".json" else []
        return any(_looks_right(file) for file in files)

    def holds(self, path: Path) -> bool:
        """True for a file of strokes."""
        return path.is_file() and _looks_right(path)

    def load(self, path: Path, problems: list[Problem]) -> tuple[list[Ink], str]:
        """See `InkSource.load`."""
        found: list[tuple[str, str, np.ndarray]] = []
        for file in [path] if path.is_file() else [p for p in sorted(path.glob("*.json")) if _looks_right(p)]:
            for number, entry in enumerate(as_list(read_json(file))):
                name = f"{file.name}#{number}"
                try:
                    found.append((name, *entry_of(entry, name)))
                except DataError as error:
                    problems.append(Problem(file, str(error)))
        meaning, words = PenBits(self.pen).resolve([points[:, 2] for _, _, points in found if points.size])
        inks = []
        for name, text, points in found:
            if points.size:
                points = np.concatenate([points[:, :2], lifted(points[:, 2], meaning)[:, None]], 1)
            try:
                inks.append(ink_of(points, text, name))
            except DataError as error:
                problems.append(Problem(path, str(error)))
        return inks, words


def as_list(content: Any) -> list[Any]:
    """The entries of a file: a list, or one entry."""
    return content if isinstance(content, list) else [content]


def entry_of(entry: Any, name: str) -> tuple[str, np.ndarray]:
    """(text, points (N, 3)) of an entry. Raises DataError."""
    if not isinstance(entry, dict) or "points" not in entry:
        raise DataError(f'{name}: expected {{"text": ..., "points": [[x, y, up], ...]}}, got {str(entry)[:40]}')
    text = entry.get("text", "")
    if not isinstance(text, str):
        raise DataError(f"{name}: the text is {str(text)[:40]}; expected a string")
    try:
        points = np.array(entry["points"], np.float64)
    except (ValueError, TypeError, OverflowError):
        points = np.zeros(())
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{name}: the points are {str(entry['points'])[:40]}; expected [[x, y, up], ...]")
    return text, points


def _looks_right(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        return False
    return _ENTRY.match(head) is not None
