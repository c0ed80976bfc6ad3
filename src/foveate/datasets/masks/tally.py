"""The values and colours that occur in the masks of a set: every file is decoded once, and only its summary kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from foveate.datasets.masks.evidence import surrounding
from foveate.datasets.masks.layers import Layers, distinct, read_layers
from foveate.errors import DataError

MOST = 256  # classes that are guessed from values or colours alone; more are object numbers or shades, not classes
GRID = 16  # places a side that masks are compared at
_FEW = 8  # values of a file; more may be two with shades between them
_KEPT = 4096  # distinct codes of a file that are kept; more than MOST decide alike


@dataclass(frozen=True)
class Summary:
    """Contents of one file.

    values: of a grey or palette file. colors: of a colour file, 0xRRGGBB. palette: (index, colour) of each index in
    use that the palette has. alpha: the values of the alpha channel, () without one. clear, solid: the values or
    colours under an alpha of 0, and under any other. wide: stored with more than 8 bits. nodata, lossy, channels,
    form, white_is_zero: as in `Layers`. grid: the values or colours at GRID x GRID places. around, alpha_around: of two
    values or colours, and of the alpha channel's, the one that lies around the other (see `evidence.surrounding`).
    step: the values are this many times those that the file stores, in 2 or 4 bits.
    """

    path: Path
    values: frozenset[int]
    colors: frozenset[int]
    palette: tuple[tuple[int, int], ...]
    alpha: frozenset[int]
    clear: frozenset[int]
    solid: frozenset[int]
    wide: bool
    nodata: int | None
    lossy: bool
    channels: int
    form: str
    white_is_zero: bool = False
    grid: tuple[int, ...] = ()
    around: int | None = None
    alpha_around: int | None = None
    step: int = 1

    def every_color(self) -> frozenset[int]:
        """The colours of the file: its own, its palette's, or grey values as three equal channels."""
        if self.palette:
            return frozenset(color for _, color in self.palette)
        return self.colors | {value * 0x10101 for value in self.values}


def summarise(path: Path) -> Summary:
    """Decode a mask file and sum it up; remembered as long as the file does not change. Raises DataError."""
    try:
        stat = path.stat()
    except OSError:
        return _summarise(path, 0, 0)  # reading it says what is wrong
    return _summarise(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=65536)
def _summarise(path: Path, changed: int, size: int) -> Summary:
    layers = read_layers(path)
    plane = _plane(layers)
    found = frozenset(distinct(plane)[:_KEPT].tolist())
    used = sorted(found) if layers.palette is not None else []
    colors = (
        () if layers.palette is None else tuple((i, int(layers.palette[i])) for i in used if i < len(layers.palette))
    )
    clear = solid = alpha = frozenset[int]()
    around = surrounding(plane) if len(found) == 2 or (layers.values is not None and len(found) > _FEW) else None
    alpha_around = None
    if layers.alpha is not None:
        alpha_around = surrounding(layers.alpha)
        alpha = frozenset(distinct(layers.alpha)[:_KEPT].tolist())
        clear = frozenset(distinct(plane[layers.alpha == 0])[:_KEPT].tolist())
        solid = frozenset(distinct(plane[layers.alpha != 0])[:_KEPT].tolist())
    grey = layers.values is not None
    return Summary(
        path, found if grey else frozenset(), frozenset() if grey else found, colors, alpha, clear, solid,
        plane.dtype.itemsize > 1 and grey, layers.nodata, layers.lossy, layers.channels, layers.form,
        layers.white_is_zero, _grid(plane), around, alpha_around, layers.step,
    )  # fmt: skip


def _grid(plane: np.ndarray) -> tuple[int, ...]:
    """The codes (H, W) at the middles of GRID x GRID equal parts."""
    rows, columns = (((np.arange(GRID) + 0.5) * side / GRID).astype(int) for side in plane.shape)
    return tuple(plane[np.ix_(rows, columns)].ravel().tolist()) if plane.size else ()


def _plane(layers: Layers) -> np.ndarray:
    plane = layers.values if layers.values is not None else layers.colors
    assert plane is not None
    return plane


@dataclass(frozen=True)
class Tally:
    """Summaries of the files of a set that can be read.

    step: by which the values of files were divided, as a reader has to divide them.
    """

    files: tuple[Summary, ...]
    step: int = 1

    @cached_property
    def values(self) -> frozenset[int]:
        """Values of all grey and palette files."""
        return frozenset().union(*(f.values for f in self.files))

    @cached_property
    def colors(self) -> frozenset[int]:
        """Colours of all colour files."""
        return frozenset().union(*(f.colors for f in self.files))

    @cached_property
    def nodata(self) -> frozenset[int]:
        """Values that a file declares to be no data."""
        return frozenset(f.nodata for f in self.files if f.nodata is not None)

    @cached_property
    def palettes(self) -> dict[int, dict[int, Summary]]:
        """Index -> colour -> the first file whose palette says so, of the indices in use."""
        found: dict[int, dict[int, Summary]] = {}
        for file in self.files:
            for index, color in file.palette:
                found.setdefault(index, {}).setdefault(color, file)
        return found

    def palette_colors(self) -> dict[int, set[int]]:
        """Index -> the colours that palettes give it, of the indices in use."""
        return {index: set(colors) for index, colors in self.palettes.items()}

    @property
    def form(self) -> str:
        """'palette PNG' or 'index TIFF', after the first file."""
        first = self.files[0]
        return f"{'palette' if first.palette else 'index'} {first.form}"

    def holding(self, values: Iterable[int]) -> list[Summary]:
        """The files that hold any of the values."""
        wanted = frozenset(values)
        return [f for f in self.files if f.values & wanted]

    def highest(self) -> Summary:
        """The first file with the largest value of all."""
        return next(f for f in self.files if max(self.values) in f.values)


def _require_one_nodata(found: Tally) -> None:
    """Raise DataError for a value that one file declares to be no data, and another holds without declaring it."""
    for value in sorted(found.nodata):
        declaring = next(f for f in found.files if f.nodata == value)
        holding = next((f for f in found.files if f.nodata != value and value in f.values), None)
        if holding is not None:
            raise DataError(
                f"{declaring.path}: declares {value} to be no data, but {holding.path} holds {value} and does not; "
                "declare the same in every mask, or in none"
            )


def tally(files: Sequence[Path]) -> Tally:
    """Sum up all files that can be read; one that cannot decides nothing, and reading it later says so.

    Raises the first file's DataError if none can be read, or DataError for no files or a disagreement on no data.
    """
    found: list[Summary] = []
    unreadable: DataError | None = None
    for path in files:
        try:
            found.append(summarise(path))
        except DataError as error:
            unreadable = unreadable or error
    if not found:
        raise unreadable or DataError("no label pictures; expected one for each picture")
    whole = Tally(tuple(found))
    _require_one_nodata(whole)
    return whole
