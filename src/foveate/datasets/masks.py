"""Masks -> class indices, for the four ways in which the masks of a set hold labels.

palette: a palette PNG; the palette's indices are the labels, its colours are for show.
index: the pixel values (8 or 16 bits) are the labels.
binary: the whole set holds only 0 and 255; 255 is class 1.
rgb: colours; the class list gives the class of each.
Grey masks that were saved as RGB (three equal channels) count as index or binary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from foveate import pictures
from foveate.datasets.classes import CLASSES_FILE, ClassList, Color, hex_color
from foveate.datasets.files import Pair
from foveate.errors import DataError
from foveate.records import ClassTable

MaskKind = Literal["palette", "index", "binary", "rgb"]
_MOST = 256  # classes that are guessed from values alone; more are object numbers or shades, not classes


@dataclass(frozen=True)
class MaskReader:
    """Reads the masks of one set; a `ReadLabel`.

    codes: for rgb masks, the known colours as 0xRRGGBB with the label of each, in rising order.
    remark: the recognised kind, in one clause.
    """

    kind: MaskKind
    classes: ClassTable
    codes: tuple[tuple[int, int], ...] = ()
    remark: str = ""

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(H, W) labels of the mask file `pair.label`. Raises DataError."""
        path = pair.label
        values = _values(path)
        if self.kind == "rgb":
            return self._from_colors(path, values)
        if values.ndim == 3:
            grey = _grey(values)
            if grey is None:
                raise DataError(f"{path}: holds colours, but the other masks hold indices; save all masks alike")
            values = grey
        return np.where(values == 255, 1, values).astype(values.dtype) if self.kind == "binary" else values

    def _from_colors(self, path: Path, values: np.ndarray) -> np.ndarray:
        if values.ndim == 2:
            raise DataError(f"{path}: holds indices, but the other masks hold colours; save all masks alike")
        code = _pack(values)
        known, labels = (np.array(column) for column in zip(*self.codes, strict=True))
        place = np.minimum(np.searchsorted(known, code), len(known) - 1)
        unknown = known[place] != code
        if unknown.any():
            raise DataError(f"{path}: {self._unknown_colors(np.unique(code[unknown]))}")
        return labels.astype(np.uint8 if labels.max() <= 255 else np.int32)[place]

    def _unknown_colors(self, codes: np.ndarray) -> str:
        worst = _unpack(int(codes[0]))
        near = min(self.codes, key=lambda c: sum((a - b) ** 2 for a, b in zip(_unpack(c[0]), worst, strict=True)))
        label = near[1]
        name = self.classes.names[label] if label < len(self.classes) else "ignore"
        more = f" (and {len(codes) - 1} other unknown colours)" if len(codes) > 1 else ""
        return (
            f"colour {hex_color(worst)}{more} is no class's; the nearest is '{name}' {hex_color(_unpack(near[0]))}; "
            f"add it to {CLASSES_FILE}, with a name or as 'ignore: {hex_color(worst)}'"
        )


def color_reader(classes: ClassTable, labels: Iterable[tuple[Color, int]], remark: str = "RGB colours") -> MaskReader:
    """A reader of rgb masks; several colours may share a label."""
    codes = sorted((r << 16 | g << 8 | b, label) for (r, g, b), label in labels)
    return MaskReader("rgb", classes, tuple(codes), remark)


def recognise_masks(files: Sequence[Path], known: ClassList | None) -> MaskReader:
    """Find the kind of a set's masks, over the whole set rather than file by file.

    known: the set's class list; without one, classes are named `class_0` and so on after the values or colours
    found. Reads masks until their kind is known: all of them for a binary set or without a class list.
    Raises DataError: no mask can be read, JPEG masks, classes that cannot be guessed or do not fit.
    """
    tally = _count_values(files, known)
    values = tally.values
    if tally.colors or (tally.color_files and known is not None and known.colors):
        return _rgb(tally, known)
    form = f"{tally.form} {tally.suffix}"
    if values <= {0, 255} and 255 in values:
        return _binary(form, known)
    kind: MaskKind = "palette" if tally.form == "palette" else "index"
    if known is not None:
        return MaskReader(kind, known.table(), remark=form)
    scored = values - {255} if max(values - {255}) < 255 else values
    if max(scored) >= _MOST:
        raise DataError(
            f"{tally.highest_file}: label values run to {max(scored)}, too many to be guessed as classes (are they "
            f"object numbers?); write {CLASSES_FILE}, one name a line, beside the pictures"
        )
    names = tuple(f"class_{i}" for i in range(max(scored) + 1))
    colors = tally.palette[: len(names)] if len(tally.palette) >= len(names) else ()
    table = ClassTable(names, colors)
    return MaskReader(kind, table, remark=f"{form}; no {CLASSES_FILE}, so classes are named after the label values")


@dataclass
class _Tally:
    """Values and colours of the masks that were read so far."""

    values: set[int]
    colors: set[int]  # of files that are not merely grey
    grey_colors: set[int]  # of grey files with three channels
    color_files: int = 0
    form: str = "index"
    suffix: str = "PNG"
    palette: tuple[Color, ...] = ()
    highest_file: Path | None = None
    first_color_file: Path | None = None


def _count_values(files: Sequence[Path], known: ClassList | None) -> _Tally:
    tally = _Tally(set(), set(), set())
    unreadable: DataError | None = None
    num_read = 0
    for path in files:
        try:
            raw = pictures.read_raw(path)
        except DataError as error:  # reading it later will say so by name; it decides nothing
            unreadable = unreadable or error
            continue
        _refuse_lossy(path, raw)
        num_read += 1
        _add(tally, path, raw)
        settled = bool(tally.colors) or not tally.values <= {0, 255} or (tally.color_files and known and known.colors)
        if settled and known is not None:
            break
        if len(tally.colors) > _MOST:
            break
    if not num_read:
        raise unreadable or DataError("no label pictures; expected one for each picture")
    return tally


def _add(tally: _Tally, path: Path, raw: pictures.RawPicture) -> None:
    if not tally.values and not tally.color_files:
        tally.suffix = {".tif": "TIFF", ".tiff": "TIFF"}.get(path.suffix.lower(), path.suffix[1:].upper())
    values: np.ndarray | None = raw.values
    if raw.values.ndim == 3:
        tally.color_files += 1
        tally.first_color_file = tally.first_color_file or path
        values = _grey(raw.values)
        codes = np.unique(_pack(raw.values) if values is None else values.astype(np.int64) * 0x10101)
        (tally.colors if values is None else tally.grey_colors).update(codes.tolist())
    if values is None:
        return
    if raw.palette is not None and not tally.values:
        tally.form = "palette"
        tally.palette = tuple((int(r), int(g), int(b)) for r, g, b in raw.palette)
    present = np.flatnonzero(np.bincount(values.ravel())) if values.dtype == np.uint8 else np.unique(values)
    if not tally.values or int(present[-1]) > max(tally.values):
        tally.highest_file = path
    tally.values.update(present.tolist())


def _rgb(tally: _Tally, known: ClassList | None) -> MaskReader:
    colors = [_unpack(c) for c in sorted(tally.colors | tally.grey_colors)]
    if known is None:
        if len(colors) > _MOST:
            raise DataError(
                f"{tally.first_color_file}: more than {_MOST} colours in the masks, too many to be classes (smoothed "
                f"edges, or photographs?); write {CLASSES_FILE} with lines 'name #rrggbb', and save masks unsmoothed"
            )
        table = ClassTable(tuple(f"class_{i}" for i in range(len(colors))), tuple(colors))
        remark = f"RGB colours; no {CLASSES_FILE}, so classes are named after the colours found"
        return color_reader(table, zip(colors, range(len(colors)), strict=True), remark)
    if not known.colors:
        some = ", ".join(map(hex_color, colors[:4]))
        raise DataError(
            f"{tally.first_color_file}: holds colours ({some}), but {CLASSES_FILE} has names without colours; "
            f"write its lines as 'name #rrggbb'"
        )
    table = known.table()
    labels = [*zip(known.colors, range(len(table)), strict=True)]
    labels += [(c, table.ignore_index) for c in known.ignore_colors]
    return color_reader(table, labels)


def _binary(form: str, known: ClassList | None) -> MaskReader:
    names = known.names if known is not None else ("background", "foreground")
    if len(names) == 1:
        names = ("background", *names)
    if len(names) != 2:
        raise DataError(
            f"the masks hold only 0 and 255, so two classes, but {CLASSES_FILE} names {len(names)}; "
            f"name two, or save labels as class indices"
        )
    colors = known.colors if known is not None and len(known.colors) == 2 else ()
    stated = f", although {CLASSES_FILE} says 'ignore: 255'" if known is not None and known.ignore == 255 else ""
    remark = f"binary {form} of 0 and 255: 255 is class '{names[1]}'{stated}"
    return MaskReader("binary", ClassTable(names, colors), remark=remark)


def _values(path: Path) -> np.ndarray:
    raw = pictures.read_raw(path)
    _refuse_lossy(path, raw)
    return raw.values


def _refuse_lossy(path: Path, raw: pictures.RawPicture) -> None:
    if raw.lossy:
        raise DataError(f"{path}: a JPEG keeps labels only roughly; save masks as PNG")


def _grey(values: np.ndarray) -> np.ndarray | None:
    """The one channel of (H, W, C) that all others equal, or None where they differ."""
    first = values[:, :, 0]
    return first if (values == first[:, :, None]).all() else None


def _pack(values: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> 0xRRGGBB; 16-bit colours keep their upper 8 bits."""
    rgb = (values[:, :, :3] >> 8 if values.dtype == np.uint16 else values[:, :, :3]).astype(np.int32)
    return rgb[:, :, 0] << 16 | rgb[:, :, 1] << 8 | rgb[:, :, 2]


def _unpack(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255
