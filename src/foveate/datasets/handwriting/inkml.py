"""InkML, the W3C's format of pen traces: a file a piece, its text in an annotation."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from foveate.datasets.handwriting.ink import Ink, InkSource, ink_of
from foveate.datasets.handwriting.trace_formats import Channels, TraceFormats, every, id_of, tag_of
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

TRUTH = (
    "truth",
    "label",
    "transcription",
    "text",
)  # types of the annotation that holds the text, the first that is there
_VALUE = re.compile(r"([!'\"]?)\s*([*?TF]|[+-]?#[0-9A-Fa-f]+|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


@dataset("inkml")
@dataclass(frozen=True)
class InkML(InkSource):
    """InkML, a file a piece of handwriting: DATA/*.inkml, or DATA/{train,val,test}/*.inkml.

    Each trace is a stroke, but those of type penUp, and those that continue another. Of the channels that a traceFormat
    names, X and Y are read, with their orientation and units, else the first two; where there are several formats, that
    of the trace's context. Mappings that would change the form are refused. Values may be differences. The text is the
    annotation of type truth, label, transcription or text. An undivided folder gives every tenth file to val.

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
    formats = TraceFormats(root, file)
    traces = [one for one in every(root, "trace") if one.get("type", "penDown") == "penDown"]
    channels_of = {one: formats.of(one) for one in traces}
    factors = formats.factors(channels_of.values())
    strokes: list[np.ndarray] = []
    place_of: dict[str, int] = {}  # id of a trace -> its stroke
    for element in traces:
        channels = channels_of[element]
        points = _trace(element.text or "", channels, file) * factors[channels]
        before = place_of.get(element.get("priorRef", "").removeprefix("#"), -1)
        if element.get("continuation") in ("middle", "end") and before >= 0:
            strokes[before] = np.concatenate([strokes[before], points])
        else:
            strokes.append(points)
            before = len(strokes) - 1
        place_of[id_of(element)] = before
    own = [element for element in root if tag_of(element) == "annotation"]
    texts = _texts(own) or _texts(every(root, "annotation"))  # those of parts of the piece come last
    return from_strokes(strokes, next((texts[kind] for kind in TRUTH if kind in texts), ""), file.name)


def _texts(annotations: list[ElementTree.Element]) -> dict[str, str]:
    """Type of annotation -> the first text of it, of the types that hold the text."""
    found: dict[str, str] = {}
    for element in annotations:
        if (kind := element.get("type", "").lower()) in TRUTH:
            found.setdefault(kind, (element.text or "").strip())
    return found


def _trace(text: str, channels: Channels, file: Path) -> np.ndarray:
    """'10 0, 9 14' -> (2, 2). Raises DataError."""
    points = [point for point in text.strip().split(",") if point.strip()]
    try:
        values = [[float(point.split()[place]) for place in channels.places] for point in points]
    except (ValueError, IndexError):
        values = _decoded(points, channels.places, file)
    return np.array(values, np.float64).reshape(len(points), 2)


def _decoded(points: list[str], places: tuple[int, int], file: Path) -> list[list[float]]:
    """The values of points that are written with InkML's marks (section 3.3.1 of the W3C's recommendation).

    ! before a value says that it stands for itself, ' that it is a difference from the one before, " a difference of
    differences; the mark holds for its channel until another comes. * repeats what was written before, # begins a
    hexadecimal number, and blanks may be missing. Raises DataError, also for ?, a value that is not known, in X or Y.
    """
    marks: dict[int, str] = {}
    written: dict[int, float] = {}
    speed, last = dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0)
    found = []
    for point in points:
        tokens, rest = _VALUE.findall(point), _VALUE.sub("", point).strip()
        if rest or len(tokens) <= max(places):
            raise DataError(f"{file}: a point {point.strip()[:40]!r}; expected numbers, X and Y among them")
        for place in places:
            mark, value = tokens[place]
            marks[place] = mark or marks.get(place, "!")
            if value in ("?", "T", "F") or (value == "*" and place not in written):
                raise DataError(f"{file}: a point {point.strip()[:40]!r} without a value of X or Y; expected numbers")
            if value != "*":
                written[place] = float(int(value.replace("#", ""), 16)) if "#" in value else float(value)
            if marks[place] == "!":
                speed[place] = written[place] - last[place]
            else:
                speed[place] = written[place] + (speed[place] if marks[place] == '"' else 0.0)
            last[place] += speed[place]
        found.append([last[place] for place in places])
    return found
