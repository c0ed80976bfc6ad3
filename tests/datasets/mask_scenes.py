"""Masks of made-up scenes: a disc (class 1) and a square (class 2) on a background (class 0); and numbered cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageFilter

from foveate.datasets.classes import ClassList
from foveate.datasets.files import Pair
from foveate.datasets.masks import MaskReader

SIDE, COUNT = 48, 12
ONE, TWO, THREE = ClassList(("rust",)), ClassList(("steel", "rust")), ClassList(("steel", "rust", "rivet"))
STEEL, RUST, RIVET = (0, 0, 0), (250, 50, 83), (52, 209, 183)
PALETTE = np.array([STEEL, RUST, RIVET], np.uint8)
COLORED = ClassList(THREE.names, (STEEL, RUST, RIVET))


def scene(seed: int) -> np.ndarray:
    """(SIDE, SIDE) classes 0..2."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    label = np.zeros((SIDE, SIDE), np.int64)
    label[(rows - rng.integers(10, 20)) ** 2 + (columns - rng.integers(10, 38)) ** 2 < rng.integers(36, 64)] = 1
    left = int(rng.integers(2, 30))
    label[28:40, left : left + 12] = 2
    return label


def disc(seed: int) -> np.ndarray:
    """(SIDE, SIDE) 0 and 1."""
    return (scene(seed) == 1).astype(np.int64)


def cells(seed: int, most: int = 12) -> np.ndarray:
    """(SIDE, SIDE) object numbers without gaps: discs that do not touch, at most 16."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(max(most // 2, 1), most + 1))
    places = rng.permutation(16)[:number]
    label = np.zeros((SIDE, SIDE), np.int64)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for k, place in enumerate(places, 1):
        row, column = place // 4 * 12 + 6, place % 4 * 12 + 6
        label[(rows - row) ** 2 + (columns - column) ** 2 < rng.integers(6, 25)] = k
    return label


def draw(folder: Path, image: Callable[[int], np.ndarray | Image.Image], suffix: str = ".png") -> list[Path]:
    """Write COUNT masks."""
    files = [folder / f"{i:02}{suffix}" for i in range(COUNT)]
    folder.mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(files):
        drawn = image(i)
        (drawn if isinstance(drawn, Image.Image) else Image.fromarray(drawn)).save(file)
    return files


def tiffs(folder: Path, values: Callable[[int], np.ndarray], nodata: str = "") -> list[Path]:
    """Write COUNT TIFFs; nodata: as GDAL's tag declares it."""
    files = [folder / f"{i:02}.tif" for i in range(COUNT)]
    for i, file in enumerate(files):
        tags = [(42113, "s", 0, nodata, True)] if nodata else []
        tifffile.imwrite(file, values(i), extratags=tags, photometric="minisblack")
    return files


def grey(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint8)


def read(reader: MaskReader, file: Path) -> np.ndarray:
    return reader(Pair(file, file), SIDE, SIDE)


def assert_reads(reader: MaskReader, files: list[Path], expected: Callable[[int], np.ndarray]) -> None:
    assert reader.refused == ""
    for i, file in enumerate(files):
        np.testing.assert_array_equal(read(reader, file), expected(i), err_msg=file.name)


def unscored(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where, 255, values)


def blurred(radius: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.filter(ImageFilter.GaussianBlur(radius))
