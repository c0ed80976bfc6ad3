"""InkML, the W3C's format of pen traces: a file a piece, its text in an annotation."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from foveate.datasets.handwriting.ink import Ink, InkSource, ink_of
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

TRUTH = (
    "truth",
    "label",
    "transcription",
    "text",
)  # types of the annotation that holds the text, the first that is there


@dataset("inkml")
@dataclass(frozen=True)
class InkML(InkSource):
    """InkML, a file a piece of handwriting: DATA/*.inkml, or DATA/{train,val,test}/*.inkml.

    Each trace is a stroke, but those of type penUp; of the channels that a traceFormat names, X and Y are read, y
    downwards, else the first two. The text is the annotation of type truth, label, transcription or text. An undivided
    folder gives every tenth file to val.

    path: the file or folder DATA.
    """

    path: str
    called: ClassVar[str] = "InkML"
    suffix: ClassVar[str] = ".inkml"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is an .inkml file in the folder or a folder in it, or the file is one."""
        return (
            path.suffix.lower() == ".inkml"
            if path.is_file()
            else any(path.glob("*.inkml")) or any(path.glob("*/*.inkml"))
        )

    def load(self, path: Path, problems: list[Problem]) -> tuple[list[Ink], str]:
        """See `InkSource.load`."""
        inks = []
        for file in [path] if path.is_file() else sorted(path.rglob("*.inkml")):
            try:
                inks.append(_read(file))
            except DataError as error:
                problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
        return inks, "each trace is a stroke"


def parse_xml(file: Path) -> ElementTree.Element:
    """The root of an XML file without a document type. Raises DataError."""
    try:
        content = file.read_bytes()
        if b"<!ENTITY" in content:
            raise DataError(f"{file}: defines entities, which are not read; remove them")
        return ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: of its encoding
        raise DataError(f"{file}: not readable as XML ({error})") from error


def from_strokes(strokes: list[np.ndarray], text: str, name: str) -> Ink:
    """A piece from its strokes, (n, 2) each. Raises DataError."""
    kept = [stroke for stroke in strokes if len(stroke)]
    if not kept:
        raise DataError(f"{name}: no strokes; expected one or more")
    ends = [np.append(np.zeros(len(stroke) - 1), 1) for stroke in kept]
    return ink_of(np.concatenate([np.concatenate(kept), np.concatenate(ends)[:, None]], 1), text, name)


def _read(file: Path) -> Ink:
    root = parse_xml(file)
    strokes: list[np.ndarray] = []
    texts: dict[str, str] = {}
    places = _places(root, file)
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "trace" and element.get("type", "penDown") == "penDown":
            strokes.append(_trace(element.text or "", places, file))
        elif tag == "annotation" and (kind := element.get("type", "").lower()) in TRUTH:
            texts.setdefault(kind, (element.text or "").strip())
    text = next((texts[kind] for kind in TRUTH if kind in texts), "")
    return from_strokes(strokes, text, file.name)


def _places(root: ElementTree.Element, file: Path) -> tuple[int, int]:
    """The places of x and y among the numbers of a point. Raises DataError if formats of traces disagree on them."""
    found = set()
    for form in (element for element in root.iter() if element.tag.rpartition("}")[2] == "traceFormat"):
        names = [one.get("name", "").upper() for one in form.iter() if one.tag.rpartition("}")[2] == "channel"]
        if not {"X", "Y"} <= set(names):
            raise DataError(f"{file}: a traceFormat with the channels {', '.join(names) or 'none'}; expected X and Y")
        found.add((names.index("X"), names.index("Y")))
    if len(found) > 1:
        raise DataError(f"{file}: formats of traces that order x and y differently; write all traces in one")
    return found.pop() if found else (0, 1)


def _trace(text: str, places: tuple[int, int], file: Path) -> np.ndarray:
    """'10 0, 9 14' -> (2, 2). Raises DataError."""
    points = [point.split() for point in text.strip().split(",") if point.strip()]
    try:
        return np.array([[point[place] for place in places] for point in points], np.float64).reshape(len(points), 2)
    except (ValueError, IndexError):
        raise DataError(f"{file}: a trace of {text.strip()[:40]!r}; expected 'x y, x y, ...' in whole values") from None
