"""Formats of InkML's traces: which of a point's numbers are X and Y, by the contexts that traces refer to.

Sections are those of the W3C's recommendation "Ink Markup Language (InkML)" of 2011.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from foveate.errors import DataError

UNITS = {"m": 100.0, "cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "pc": 2.54 / 6}  # in centimetres
_ID = "{http://www.w3.org/XML/1998/namespace}id"
_DEFAULT = ("#DefaultContext", "DefaultContext")  # which every file has
_DEEPEST = 16  # references in a chain; more go round in circles
_EQUAL = 1e-6  # of a scale: rounding in a file


class Channels(NamedTuple):
    """X and Y among the numbers of a point: their places, signs that make y grow downwards, and units, '' for none."""

    places: tuple[int, int] = (0, 1)
    signs: tuple[float, float] = (1.0, 1.0)
    units: tuple[str, str] = ("", "")


def tag_of(element: ElementTree.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def every(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    """The elements of a name in an element and below it, in order."""
    return [element for element in root.iter() if tag_of(element) == tag]


def id_of(element: ElementTree.Element) -> str:
    """The id of an element; '' without one."""
    return element.get(_ID) or element.get("id") or ""


class TraceFormats:
    """The formats of the traces of one file. Raises DataError for a format that cannot be read.

    A trace refers to a context, itself or by a group that it is in, or follows one (sections 4.2 and 7.2). Without a
    context, it has the one format of the file, and without a format two channels, X and Y.
    """

    def __init__(self, root: ElementTree.Element, file: Path) -> None:
        self._file = file
        self._elements = {id_of(element): element for element in root.iter() if id_of(element)}
        self._formats = {form: self._channels(form) for form in every(root, "traceFormat")}
        self._context_of: dict[ElementTree.Element, ElementTree.Element] = {}
        self._walk(root, None)
        for transform in every(root, "canvasTransform"):
            self._require_plain(transform, "a canvasTransform")

    def of(self, trace: ElementTree.Element) -> Channels:
        """The channels of a trace. Raises DataError where the file has several formats and does not say which."""
        context = self._context_of.get(trace)
        form = None if context is None else self._format_of(context)
        if form is not None:
            return self._formats[form]
        found = set(self._formats.values())
        if len(found) > 1:
            raise DataError(
                f"{self._file}: formats of traces that differ in x and y, and a trace that does not say which it has; "
                "write all traces in one, or refer to a context in each"
            )
        return found.pop() if found else Channels()

    def factors(self, used: Iterable[Channels]) -> dict[Channels, tuple[float, float]]:
        """Channels -> what x and y are multiplied by, so that all traces are in one unit and y grows downwards.

        Raises DataError for units that cannot be compared.
        """
        used = set(used)
        units = sorted({unit for channels in used for unit in channels.units})
        if len(units) > 1 and not set(units) <= UNITS.keys():
            raise DataError(
                f"{self._file}: traces in {' and in '.join(unit or 'no unit' for unit in units)}, which cannot be "
                f"compared; expected one unit, or several of {', '.join(UNITS)}"
            )
        sizes = {unit: UNITS[unit] if len(units) > 1 else 1.0 for unit in units}
        return {one: (one.signs[0] * sizes[one.units[0]], one.signs[1] * sizes[one.units[1]]) for one in used}

    def _walk(self, element: ElementTree.Element, context: ElementTree.Element | None) -> None:
        """Note the context of each trace: its own, that of its group, or the last one before it."""
        for child in element:
            tag = tag_of(child)
            own = context
            reference = child.get("contextRef", "") if tag in ("trace", "traceGroup") else ""
            if reference and reference not in _DEFAULT:
                own = self._referred(reference, "contextRef")
            if tag == "context" and tag_of(element) != "definitions":
                context = child
            elif tag == "trace" and own is not None:
                self._context_of[child] = own
            elif tag == "traceGroup":
                self._walk(child, own)
            elif tag == "definitions":
                self._walk(child, None)

    def _format_of(self, context: ElementTree.Element, depth: int = 0) -> ElementTree.Element | None:
        """The traceFormat of a context or an inkSource: in it, or referred to; None if it has none."""
        if tag_of(context) == "traceFormat":
            return context
        if depth > _DEEPEST:
            raise DataError(f"{self._file}: contexts that refer to each other in a circle; write the format into one")
        for child in context:
            if tag_of(child) == "traceFormat":
                return child
        for name in ("traceFormatRef", "inkSourceRef", "contextRef"):
            if (reference := context.get(name, "")) and reference not in _DEFAULT:
                found = self._format_of(self._referred(reference, name), depth + 1)
                if found is not None:
                    return found
        for child in context:
            if tag_of(child) == "inkSource":
                return self._format_of(child, depth + 1)
        return None

    def _referred(self, reference: str, name: str) -> ElementTree.Element:
        place = reference.rpartition("#")[2]
        if place not in self._elements:
            raise DataError(f"{self._file}: {name} '{reference}' is of no element of this file; write it into the file")
        return self._elements[place]

    def _channels(self, form: ElementTree.Element) -> Channels:
        """X and Y of a format. Raises DataError: they are not there, mapped, or in units that cannot be compared."""
        channels = every(form, "channel")
        names = [one.get("name", "").upper() for one in channels]
        if not {"X", "Y"} <= set(names):
            raise DataError(
                f"{self._file}: a traceFormat with the channels {', '.join(names) or 'none'}; expected X and Y"
            )
        places = names.index("X"), names.index("Y")
        own = channels[places[0]], channels[places[1]]
        units = own[0].get("units", ""), own[1].get("units", "")
        if units[0] != units[1] and not set(units) <= UNITS.keys():
            raise DataError(
                f"{self._file}: a traceFormat with X in {units[0] or 'no unit'} and Y in {units[1] or 'no unit'}, "
                f"which cannot be compared; expected one unit, or two of {', '.join(UNITS)}"
            )
        for channel in own:
            self._require_plain(channel, f"channel {channel.get('name')}")
        signs = [-1.0 if one.get("orientation") == "-ve" else 1.0 for one in own]
        return Channels(places, (signs[0], signs[1]), units)

    def _require_plain(self, element: ElementTree.Element, what: str) -> None:
        """Raise DataError for an element with a mapping that may change the form of the writing (section 6.3).

        Identities do not, and of a canvas neither do affine mappings that shift and scale x and y alike.
        """
        for mapping in every(element, "mapping"):
            reference = mapping.get("mappingRef", "")
            one = self._referred(reference, "mappingRef") if reference else mapping
            kind = one.get("type", "unknown")
            if kind == "identity" or (tag_of(element) == "canvasTransform" and kind == "affine" and _keeps_form(one)):
                continue
            raise DataError(
                f"{self._file}: {what} with a mapping of type {kind}, which is not read; write the traces in mapped "
                "values, without the mapping"
            )


def _keeps_form(mapping: ElementTree.Element) -> bool:
    """True for an affine mapping of two values whose matrix, a row for x and one for y, has one scale and no turn."""
    text = next((one.text or "" for one in every(mapping, "affine")), mapping.text or "")
    try:
        rows = [[float(number) for number in row.split()] for row in text.strip().split(",")]
    except ValueError:
        return False
    if [len(row) for row in rows] != [3, 3]:
        return False
    (xx, xy, _), (yx, yy, _) = rows
    return xx > 0 and abs(xx - yy) <= _EQUAL * xx and max(abs(xy), abs(yx)) <= _EQUAL * xx
