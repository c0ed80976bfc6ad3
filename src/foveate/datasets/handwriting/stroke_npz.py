"""Strokes in NumPy's .npz: one array of the points of all pieces, and the places where each begins."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from foveate.datasets.arrays import holds_arrays, read_arrays
from foveate.datasets.handwriting.ink import Ink, InkSource, Pen, PenBits, ink_of, lifted
from foveate.errors import DataError, counted
from foveate.records import Problem
from foveate.registry import dataset

NAMES = ("data", "offsets", "text")


@dataset("stroke_npz")
@dataclass(frozen=True)
class StrokeNpz(InkSource):
    """Strokes in .npz: DATA.npz, or DATA/{train,val,test}.npz, with the arrays data, offsets and text.

    They are (N, 3), (P + 1,) and (P,). Piece k is data[offsets[k]:offsets[k + 1]]: x, y downwards, and the pen bit.
    Arrays of Python objects are not read. An undivided file gives every tenth piece to val.

    path: the file or folder DATA.
    pen: the meaning of the pen bit: lifted after the point, down (the line to the point is drawn), from (the line from
        the point is drawn), or auto, which takes the one that most values fit.
    """

    path: str
    pen: Pen = "auto"
    called: ClassVar[str] = "strokes in .npz"
    suffix: ClassVar[str] = ".npz"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if an .npz in the folder, or the file itself, has the arrays."""
        files = sorted(path.glob("*.npz")) if path.is_dir() else [path] if path.suffix.lower() == ".npz" else []
        return any(_looks_right(file) for file in files)

    def holds(self, path: Path) -> bool:
        """True for a file of strokes."""
        return path.is_file() and path.suffix.lower() == ".npz" and _looks_right(path)

    def load(self, path: Path, problems: list[Problem]) -> tuple[list[Ink], str]:
        """See `InkSource.load`."""
        files = [path] if path.is_file() else [p for p in sorted(path.glob("*.npz")) if _looks_right(p)]
        inks: list[Ink] = []
        words = ""
        for file in files:
            data, offsets, texts = _arrays(file)
            meaning, words = PenBits(self.pen).resolve(_pieces(data[:, 2], offsets))
            for number, (first, end) in enumerate(itertools.pairwise(offsets)):
                points, name = data[first:end].astype(np.float64), f"{file.name}#{number}"
                points[:, 2] = lifted(points[:, 2], meaning)
                try:
                    inks.append(ink_of(points, str(texts[number]), name))
                except DataError as error:
                    problems.append(Problem(file, str(error)))
        return inks, words


def _arrays(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of a file. Raises DataError for one that does not fit the others."""
    found = read_arrays(file, ", ".join(NAMES))
    if missing := [name for name in NAMES if name not in found]:
        raise DataError(f"{file}: no array {missing[0]}; expected {', '.join(NAMES)}")
    data, offsets, texts = (found[name] for name in NAMES)
    kinds = data.dtype.kind in "iuf", offsets.dtype.kind in "iu", texts.dtype.kind == "U"
    if not all(kinds):
        raise DataError(
            f"{file}: data of type {data.dtype}, offsets {offsets.dtype} and text {texts.dtype}; expected numbers, "
            "whole numbers and text"
        )
    fits = data.shape[1:] == (3,) and offsets.ndim == texts.ndim == 1 and len(offsets) == len(texts) + 1
    if not fits:
        raise DataError(
            f"{file}: data {data.shape}, offsets {offsets.shape} and text {texts.shape}; expected (N, 3), (P + 1,) and "
            "(P,)"
        )
    if (falls := np.flatnonzero(offsets[1:] < offsets[:-1])).size:
        place = int(falls[0])
        raise DataError(
            f"{file}: offset {place + 1} is {offsets[place + 1]}, after {offsets[place]}; offsets must rise, from 0 to "
            "the number of points"
        )
    if offsets[0] != 0 or offsets[-1] != len(data):
        raise DataError(
            f"{file}: offsets from {offsets[0]} to {offsets[-1]} for {counted(len(data), 'point')}; expected from 0 to "
            f"{len(data)}, so that every point is of a piece"
        )
    return data, offsets, texts


def _pieces(pen: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    """The pen bits of every piece that has points."""
    return [pen[first:end] for first, end in itertools.pairwise(offsets) if end > first]


def _looks_right(file: Path) -> bool:
    return holds_arrays(file, NAMES)
