"""The labels of one image: a LabelMe file, with what the labelling page keeps beside the shapes.

The file's key `foveate` holds `state` (draft, done or skipped), `seconds` and `strokes` of the work, and `origin`: the
run whose pre-label was taken, the digest of its model, and the share of pixels that were kept. All other keys, of the
file and of its shapes, are other tools' and are written back as they were read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foveate.datasets.labelme.json_files import read_shapes, require_labelme, stated_size
from foveate.datasets.labelme.shapes import BACKGROUND_LABELS, IGNORE_LABEL, POINT_COUNTS, Shape, require_near
from foveate.datasets.text_files import decode_text, parse_json
from foveate.errors import DataError, counted, unknown
from foveate.studio.layers import OWN, Layers, empty, is_key, layers_of, repaint
from foveate.studio.tiles import HIGHEST, tiles_from_json, tiles_to_json

LABELME_VERSION = "5.5.0"  # the version of labelme whose form the files have
STATES = ("draft", "done", "skipped")
UNTOUCHED = "untouched"
SPECIAL = (IGNORE_LABEL, *BACKGROUND_LABELS)  # labels that need not be in the class list
SHAPE_KEYS = ("label", "points", "group_id", "description", "shape_type", "flags", "mask", OWN)
_OUTLINES = tuple(kind for kind in POINT_COUNTS if kind != "mask")


@dataclass(frozen=True)
class Document:
    """Content of a labels file. data: its object without the shapes. layers: these."""

    data: Mapping[str, Any]
    layers: Layers

    @property
    def own(self) -> dict[str, Any]:
        """The labelling page's own part; {} in files of other tools."""
        own = self.data.get(OWN)
        return dict(own) if isinstance(own, dict) else {}

    @property
    def state(self) -> str:
        """draft, done or skipped; done for a file of another tool."""
        state = self.own.get("state")
        return state if state in STATES else "done"

    def labels(self) -> list[str]:
        """The labels of its shapes, each once."""
        shapes = [*(one.entry for one in self.layers.objects.values()), *self.layers.outlines.values()]
        return list(dict.fromkeys(str(entry["label"]) for entry in shapes))

    def text(self) -> str:
        """The file's content."""
        content = {**self.data, "shapes": self.layers.shapes()}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The document as the page gets it."""
        layers, own = self.layers, self.own
        height, width = layers.size
        objects = [
            {
                "number": number,
                **_facts(one.entry),
                **_others(one.entry),
                "source": one.entry.get("shape_type") or "polygon",
            }
            for number, one in layers.objects.items()
        ]
        outlines = [
            {
                "key": key,
                "kind": entry.get("shape_type") or "polygon",
                **_facts(entry),
                **_others(entry),
                "points": entry["points"],
            }
            for key, entry in layers.outlines.items()
        ]
        return {
            "height": height,
            "width": width,
            "state": self.state,
            "objects": objects,
            "tiles": tiles_to_json(layers.paint),
            "outlines": outlines,
            "seconds": number_or(own.get("seconds"), 0.0),
            "strokes": int(number_or(own.get("strokes"), 0)),
            "origin": own.get("origin"),
        }


def number_or(value: Any, other: float) -> float:
    """A finite number that is 0 or more, else `other`."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return value if fits else other


def _facts(entry: dict[str, Any]) -> dict[str, Any]:
    flags, description = entry.get("flags"), entry.get("description")
    return {
        "label": entry["label"],
        "group": entry.get("group_id"),
        "flags": flags if isinstance(flags, dict) else {},
        "description": description if isinstance(description, str) else "",
    }


def _others(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of other tools as `others`, which the page sends back with a shape that it made of this one."""
    others = {key: value for key, value in entry.items() if key not in SHAPE_KEYS}
    return {"others": others} if others else {}


def parse(file: Path, content: bytes, height: int, width: int) -> Document:
    """A file's content. Raises DataError, with the text of the reader of LabelMe files."""
    try:
        text = decode_text(content)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    data = parse_json(file, text)
    require_labelme(file, data)
    size = stated_size(data)
    if size not in (None, (height, width)):
        raise DataError(
            f"{file}: says {size[1]}x{size[0]}, but its picture is {width}x{height}; they must be of one size"
        )
    layers = layers_of(file, data["shapes"], height, width)
    return Document(data, layers)


def fresh(stated: str, height: int, width: int) -> Document:
    """The document of an image without a file."""
    data: dict[str, Any] = {
        "version": LABELME_VERSION,
        "flags": {},
        "shapes": [],
        "imagePath": stated,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return Document(data, empty(height, width))


# Edits


def edit(document: Document, change: Mapping[str, Any], classes: Collection[str]) -> Document:
    """The document with what the page sent. Raises RefusedError, with what is wrong."""
    layers = document.layers
    allowed = {*classes, *SPECIAL, *document.labels()}
    entries = _objects(change.get("objects"), layers, allowed)
    try:
        tiles = tiles_from_json(change.get("tiles", {}), *layers.size)
    except DataError as error:
        raise RefusedError("labels", str(error)) from None
    painted = repaint(layers, entries, tiles)
    stray = [int(n) for n in painted.counts.nonzero()[0] if n and n not in entries]
    if stray:
        raise RefusedError(
            "labels",
            f"the paint holds {counted(len(stray), 'number')} that no object has ({stray[0]}); send every object",
        )
    outlines = _outlines(change.get("outlines"), layers, allowed)
    return Document({**document.data, OWN: _own(document, change)}, replace(painted, outlines=outlines))


def sent_labels(change: Mapping[str, Any]) -> set[str]:
    """The labels of the shapes that the page sent."""
    shapes = (one for name in ("objects", "outlines") if isinstance(change.get(name), list) for one in change[name])
    return {one["label"] for one in shapes if isinstance(one, dict) and isinstance(one.get("label"), str)}


def without_groups(change: Mapping[str, Any]) -> dict[str, Any]:
    """A page's change without the groups of its shapes."""
    found = dict(change)
    for name in ("objects", "outlines"):
        if isinstance(shapes := change.get(name), list):
            found[name] = [one | {"group": None} if isinstance(one, dict) else one for one in shapes]
    return found


class RefusedError(DataError):
    """An edit that cannot be made. reason: the part of it that is wrong."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def _own(document: Document, change: Mapping[str, Any]) -> dict[str, Any]:
    state = change.get("state", "draft")
    if state not in STATES:
        raise RefusedError("labels", f"state is {state!r:.40}; expected draft, done or skipped")
    own = {**document.own, "format": 1, "state": state}
    for name in ("seconds", "strokes"):
        value = change.get(name, own.get(name, 0))
        if number_or(value, -1) < 0:
            raise RefusedError("labels", f"{name} is {value!r:.40}; expected a number of 0 or more")
        own[name] = round(float(value), 1) if name == "seconds" else int(value)
    origin = change.get("origin", own.get("origin"))
    if origin is not None and not (
        isinstance(origin, dict)
        and set(origin) == {"run", "model_sha256", "kept"}
        and all(isinstance(origin[k], str) for k in ("run", "model_sha256"))
        and 0 <= number_or(origin["kept"], -1) <= 1
    ):
        raise RefusedError("labels", "origin must be null, or hold run, model_sha256 and the share kept (0..1)")
    return {**own, "origin": origin}


def _objects(given: Any, layers: Layers, allowed: set[str]) -> dict[int, dict[str, Any]]:
    if not isinstance(given, list):
        raise RefusedError("labels", f"objects is {given!r:.40}; expected the list of all objects")
    found: dict[int, dict[str, Any]] = {}
    for one in given:
        number = one.get("number") if isinstance(one, dict) else None
        if type(number) is not int or not 0 < number <= HIGHEST:
            raise RefusedError("labels", f"an object has the number {number!r:.40}; expected 1 to {HIGHEST}")
        if number in found:
            raise RefusedError("labels", f"two objects have the number {number}; give each its own")
        known = layers.objects.get(number)
        found[number] = _described(known.entry if known else {}, one, f"object {number}", allowed)
    return found


def _outlines(given: Any, layers: Layers, allowed: set[str]) -> dict[str, dict[str, Any]]:
    if not isinstance(given, list):
        raise RefusedError("labels", f"outlines is {given!r:.40}; expected the list of all outlines")
    found: dict[str, dict[str, Any]] = {}
    height, width = layers.size
    for one in given:
        key = one.get("key") if isinstance(one, dict) else None
        if not is_key(key) or key in found:
            wrong = "which another one has" if is_key(key) else "expected a text of 1 to 40 characters"
            raise RefusedError("outline", f"an outline has the key {key!r:.60}; {wrong}")
        shape = shape_of(key, one)
        try:
            require_near(shape, height, width, f"outline '{key}'")
        except DataError as error:
            raise RefusedError("outline", f"{error}; draw it inside") from None
        known = layers.outlines.get(key, {})
        entry = _described(known, one, f"outline '{key}'", allowed)
        same = known.get("points") == one["points"] and (known.get("shape_type") or "polygon") == shape.kind
        found[key] = entry if same else {**entry, "points": one["points"], "shape_type": shape.kind}
    return found


def shape_of(key: str, one: Mapping[str, Any]) -> Shape:
    """An outline that the page sent. Raises RefusedError."""
    kind = one.get("kind", "polygon")
    if not isinstance(kind, str):
        raise RefusedError("outline", f"outline '{key}': kind is {kind!r:.40}; expected {', '.join(_OUTLINES)}")
    if kind not in _OUTLINES:
        raise RefusedError("outline", f"outline '{key}': {unknown('kind', kind[:60], _OUTLINES)}")
    entry = {"label": str(one.get("label")), "points": one.get("points"), "shape_type": kind}
    try:
        (shape,) = read_shapes(Path("outline"), [entry])
    except DataError as error:
        raise RefusedError("outline", f"outline '{key}': {str(error).split(': ', 2)[-1]}") from None
    return shape


def _described(entry: dict[str, Any], one: Mapping[str, Any], where: str, allowed: set[str]) -> dict[str, Any]:
    """A shape's object with the label, group, flags and description that were sent, where these differ."""
    label, group = one.get("label"), one.get("group")
    if not isinstance(label, str):
        raise RefusedError("label", f"{where}: label is {label!r:.40}; expected the name of a class")
    if label not in allowed:
        raise RefusedError("label", f"{where}: {unknown('class', label[:60], sorted(allowed))}; add it to the classes")
    if group is not None and type(group) is not int and group != entry.get("group_id"):  # labelme takes no other
        raise RefusedError("labels", f"{where}: group is {group!r:.40}; expected a whole number or null")
    flags, description = one.get("flags", {}), one.get("description", "")
    if not isinstance(flags, dict) or not all(isinstance(v, bool) for v in flags.values()):
        raise RefusedError("labels", f"{where}: flags is {flags!r:.40}; expected names with true or false")
    if not isinstance(description, str):
        raise RefusedError("labels", f"{where}: description is {description!r:.40}; expected a text")
    others = one.get("others", {})
    if not isinstance(others, dict) or set(others) & set(SHAPE_KEYS):
        raise RefusedError("labels", f"{where}: others is {others!r:.40}; expected the keys that other tools wrote")
    base = entry or {"label": label, "points": [], "group_id": None, "description": "", "shape_type": "polygon",
                     "flags": {}, **others}  # fmt: skip
    facts = _facts(base)
    changed = {"label": label, "group": group, "flags": flags, "description": description}
    names = {"label": "label", "group": "group_id", "flags": "flags", "description": "description"}
    return {**base, **{names[k]: v for k, v in changed.items() if v != facts[k]}}
