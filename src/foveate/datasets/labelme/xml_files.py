"""The older LabelMe of MIT: `Annotations/<folder>/<name>.xml` beside `Images/<folder>/<name>.jpg`.

Russell et al., "LabelMe: a database and web-based tool for image annotation", IJCV 2008. Deleted objects are passed
over; an object is a polygon or, where the web tool's brush made it, a mask in `Masks/<folder>`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from foveate.datasets.labelme.shapes import Annotation, Shape
from foveate.disk import is_hidden
from foveate.errors import DataError

ANNOTATIONS, IMAGES, MASKS = "Annotations", "Images", "Masks"


def list_xml(root: Path) -> list[Path]:
    """The annotation files below `root`, sorted by path."""
    folder = root / ANNOTATIONS
    return sorted(p for p in folder.rglob("*.xml") if not any(map(is_hidden, p.relative_to(folder).parts)))


def read_annotation(file: Path, root: Path) -> Annotation:
    """Read one file. Raises DataError naming file and object."""
    try:
        tree = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DataError(
            f"{file}: malformed XML at line {line}, column {column + 1} ({str(error).split(':')[0]}); "
            f"repair or remove it"
        ) from error
    except (OSError, ValueError, LookupError) as error:
        raise DataError(f"{file}: cannot be read ({error}); expected an XML file") from error
    name = _text(tree, "filename")
    if tree.tag != "annotation" or not name:
        raise DataError(f"{file}: no <annotation> with a <filename>, so not a LabelMe file; repair or remove it")
    folder = file.parent.relative_to(root / ANNOTATIONS)
    picture = root / IMAGES / folder / _plain(file, name)
    shapes = tuple(_shapes(file, tree, root / MASKS / folder))
    rows, columns = _text(tree, "imagesize/nrows"), _text(tree, "imagesize/ncols")
    size = (int(rows), int(columns)) if all(re.fullmatch(r"\d{1,9}", side) for side in (rows, columns)) else None
    return Annotation(file, picture, shapes, size)


def _shapes(file: Path, tree: ElementTree.Element, masks: Path) -> Iterator[Shape]:
    for number, node in enumerate(tree.iterfind("object"), 1):
        if _text(node, "deleted") == "1":
            continue
        label = " ".join(_text(node, "name").split())
        where = f"{file}: object {number} ('{label}')"
        if not label:
            raise DataError(f"{where}: no name; expected what it is, in <name>")
        try:
            shape = _shape(file, node, label, masks)
        except ValueError as error:
            raise DataError(f"{where}: {error}; expected numbers") from error
        complaint = "neither <polygon> nor <segm>" if shape is None else shape.complaint()
        if shape is None or complaint:
            raise DataError(f"{where}: {complaint}; repair or delete it")
        yield shape


def _shape(file: Path, node: ElementTree.Element, label: str, masks: Path) -> Shape | None:
    polygon, segment = node.find("polygon"), node.find("segm")
    if polygon is not None:
        points = tuple((float(_text(p, "x")), float(_text(p, "y"))) for p in polygon.iterfind("pt"))
        return Shape(label, "polygon", points)
    if segment is None:
        return None
    left, top, right, bottom = (float(_text(segment, f"box/{side}") or 0) for side in ("xmin", "ymin", "xmax", "ymax"))
    mask = masks / _plain(file, _text(segment, "mask"))
    return Shape(label, "mask", ((left, top), (right, bottom)), mask=mask)


def _plain(file: Path, name: str) -> str:
    """A file name without folders. Raises DataError."""
    if Path(name).name != name or "\\" in name:
        raise DataError(f"{file}: file name '{name}' leads out of its folder; expected a name without folders")
    return name


def _text(node: ElementTree.Element, path: str) -> str:
    """The text of a descendant, '' if there is none; old files have line ends around it."""
    return (node.findtext(path) or "").strip()
