"""Label maps on the wire: tiles of 256 x 256 pixels, each as runs of equal values.

A tile's pixels are taken row by row. Each run is a value and a length, both as unsigned LEB128: 7 bits a byte, the low
bits first, the high bit set on all bytes but the last. Tiles are named "X,Y" by column and row of tiles; those at the
right and lower edge are smaller; a tile of zeros alone may be left out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from foveate.errors import DataError

TILE = 256
HIGHEST = 65535  # value of a pixel
_LONGEST = 5  # bytes of a number


def encode_runs(tile: np.ndarray) -> bytes:
    """(h, w) unsigned integers up to 65535 -> runs."""
    flat = np.ascontiguousarray(tile).reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(np.append(starts, flat.size))
    numbers = np.stack([flat[starts].astype(np.int64), lengths], 1).reshape(-1)
    digits = (numbers[:, None] >> (7 * np.arange(_LONGEST))) & 127  # (N, 5), low digits first
    count = 1 + (numbers[:, None] >= 1 << 7 * np.arange(1, _LONGEST)).sum(1)[:, None]
    used, follows = np.arange(_LONGEST) < count, np.arange(_LONGEST) < count - 1
    return (digits | (follows << 7))[used].astype(np.uint8).tobytes()


def decode_runs(data: bytes, height: int, width: int) -> np.ndarray:
    """Runs -> (height, width) uint16. Raises DataError unless they fill the tile exactly."""
    coded = np.frombuffer(data, np.uint8)
    if not coded.size or coded[-1] & 128:
        raise DataError(f"runs of {coded.size} bytes end within a number; expected pairs of value and length")
    ends = np.flatnonzero(coded < 128)
    begins = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - begins + 1
    if ends.size % 2:
        raise DataError(f"runs hold {ends.size} numbers; expected pairs of value and length")
    if sizes.max() > _LONGEST:
        raise DataError(f"runs hold a number of {sizes.max()} bytes; expected at most {_LONGEST}")
    place = np.arange(coded.size) - np.repeat(begins, sizes)
    numbers = np.add.reduceat((coded.astype(np.int64) & 127) << (7 * place), begins)
    values, lengths = numbers[0::2], numbers[1::2]
    if values.max() > HIGHEST:
        raise DataError(f"runs hold the value {values.max()}; expected at most {HIGHEST}")
    if lengths.min() < 1 or lengths.sum() != height * width:
        raise DataError(
            f"runs cover {lengths.sum()} pixels in lengths from {lengths.min()}; expected the {height * width} of a "
            f"tile of {width}x{height}, in lengths of 1 or more"
        )
    return np.repeat(values.astype(np.uint16), lengths).reshape(height, width)


def tile_box(x: int, y: int, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a tile in an image of height x width."""
    return slice(y * TILE, min((y + 1) * TILE, height)), slice(x * TILE, min((x + 1) * TILE, width))


def tiles_of(height: int, width: int) -> Iterator[tuple[int, int]]:
    """(column, row) of every tile of an image."""
    for y in range(-(-height // TILE)):
        for x in range(-(-width // TILE)):
            yield x, y


def tiles_to_json(values: np.ndarray, which: Iterable[tuple[int, int]] | None = None) -> dict[str, str]:
    """(H, W) -> "X,Y" -> base64 of the runs. which: the tiles; by default those that are not all zero."""
    height, width = values.shape
    found = {}
    for x, y in tiles_of(height, width) if which is None else which:
        tile = values[tile_box(x, y, height, width)]
        if which is not None or tile.any():
            found[f"{x},{y}"] = base64.b64encode(encode_runs(tile)).decode()
    return found


def tiles_from_json(tiles: object, height: int, width: int) -> dict[tuple[int, int], np.ndarray]:
    """(column, row) -> (h, w) uint16. Raises DataError naming the tile."""
    if not isinstance(tiles, Mapping):
        raise DataError(f"tiles is {_kind(tiles)}; expected an object of runs by 'X,Y'")
    columns, rows = -(-width // TILE), -(-height // TILE)
    found = {}
    for name, text in tiles.items():
        x, y = _place(name)
        if x >= columns or y >= rows:
            raise DataError(f"tile '{name}'; the picture of {width}x{height} has {columns}x{rows} tiles")
        box = tile_box(x, y, height, width)
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise DataError(f"tile '{name}' is not base64; expected the runs of a tile") from None
        try:
            found[x, y] = decode_runs(data, box[0].stop - box[0].start, box[1].stop - box[1].start)
        except DataError as error:
            raise DataError(f"tile '{name}': {error}") from None
    return found


def _place(name: object) -> tuple[int, int]:
    x, _, y = str(name).partition(",")
    if not (x.isascii() and x.isdecimal() and y.isascii() and y.isdecimal() and len(x) < 7 and len(y) < 7):
        raise DataError(f"tile '{str(name)[:40]}'; expected its column and row, as '3,2'")
    return int(x), int(y)


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(type(value), repr(value)[:40])
