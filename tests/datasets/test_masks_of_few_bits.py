"""Grey masks of 2 and 4 bits: the labels are the stored values, though a PNG decoder stretches them over 0..255."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets.classes import ClassList
from foveate.datasets.files import Pair
from foveate.datasets.masks import MaskReader, recognise_masks
from foveate.errors import DataError
from foveate.pictures import read_picture, read_raw

HEIGHT, WIDTH = 24, 31


def regions(top: int, index: int = 0) -> np.ndarray:
    """(H, W) upright bands of 0 to `top`, a step to the right in each file."""
    columns = (np.arange(WIDTH) + 2 * index) * (top + 1) // (WIDTH + 20)
    return np.repeat(columns[None].astype(np.uint8).clip(0, top), HEIGHT, axis=0)


def write(path: Path, values: np.ndarray, bits: int) -> Path:
    """A grey PNG, written chunk by chunk: rows of whole bytes, each behind a filter of 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.unpackbits(values[..., None], axis=2)[:, :, 8 - bits :]
    rows = np.packbits(planes.reshape(len(values), -1), axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def masks(folder: Path, top: int, bits: int) -> list[Path]:
    return [write(folder / f"{k}.png", regions(top, k), bits) for k in range(6)]


def labels(reader: MaskReader, file: Path) -> np.ndarray:
    return reader(Pair(file, file), HEIGHT, WIDTH)


@pytest.mark.parametrize(("bits", "step", "top"), [(2, 85, 3), (4, 17, 5), (4, 17, 15)])
def test_values_as_stored(tmp_path: Path, bits: int, step: int, top: int) -> None:
    files = masks(tmp_path, top, bits)
    raw = read_raw(files[0])
    np.testing.assert_array_equal(raw.values, regions(top).astype(int) * step)
    assert raw.step == step and read_picture(files[0])[0, -1].tolist() == [int(regions(top).max()) * step] * 3
    reader = recognise_masks(files, None)
    wide = [write(tmp_path / "wide" / f"{k}.png", regions(top, k), 8) for k in range(6)]
    alike = recognise_masks(wide, None)  # the same numbers in 8 bits
    assert (reader.kind, reader.classes, reader.codes) == (alike.kind, alike.classes, alike.codes)
    assert reader.remark == f"{alike.remark}, as stored in {bits} bits"
    for k, file in enumerate(files):
        np.testing.assert_array_equal(labels(reader, file), labels(alike, wide[k]))
        if reader.kind == "index":
            np.testing.assert_array_equal(labels(reader, file), regions(top, k))


def test_values_of_a_class_list(tmp_path: Path) -> None:
    files = masks(tmp_path, 5, 4)
    reader = recognise_masks(files, ClassList(tuple("abcdefgh")))
    np.testing.assert_array_equal(labels(reader, files[0]), regions(5))
    two = [write(tmp_path / "two" / f"{k}.png", regions(1, k) * 3, 2) for k in range(4)]  # 0 and 3 of four classes
    np.testing.assert_array_equal(labels(recognise_masks(two, ClassList(tuple("abcd"))), two[0]), regions(1) * 3)
    stretched = ClassList(("a", "b", "c"), values=(0, 17, 34))  # the list says what a viewer shows
    files = masks(tmp_path / "listed", 2, 4)
    np.testing.assert_array_equal(labels(recognise_masks(files, stretched), files[0]), regions(2))
    greys = ClassList(("a", "b", "c"), colors=((0, 0, 0), (17, 17, 17), (34, 34, 34)))
    np.testing.assert_array_equal(labels(recognise_masks(files, greys), files[0]), regions(2))


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("known", [None, ClassList(("grass", "cow"))])
def test_black_and_white_is_two_classes(tmp_path: Path, bits: int, known: ClassList | None) -> None:
    files = [write(tmp_path / f"{k}.png", regions(1, k) * (2**bits - 1), bits) for k in range(6)]
    reader = recognise_masks(files, known)
    assert reader.kind == "binary" and len(reader.classes) == 2
    np.testing.assert_array_equal(labels(reader, files[1]), regions(1, 1))


def test_files_made_smaller_beside_8_bits(tmp_path: Path) -> None:
    """A program that packs PNG stores 0 and 17 in 4 bits; beside files of 8 bits, 17 is what is meant."""
    files = [write(tmp_path / "0.png", regions(1), 4)]  # 0 and 17, packed
    files += [
        write(tmp_path / f"{k}.png", regions(1, k) * 17 + (regions(3, k) == 2) * np.uint8(3), 8) for k in (1, 2, 3)
    ]
    names = tuple(f"c{k}" for k in range(21))
    reader = recognise_masks(files, ClassList(names))
    np.testing.assert_array_equal(labels(reader, files[0]), regions(1) * 17)
    empty = write(tmp_path / "few" / "empty.png", np.zeros((HEIGHT, WIDTH), np.uint8), 8)
    few = [*masks(tmp_path / "few", 5, 4), empty]  # nothing but 0 is the same in any number of bits
    reader = recognise_masks(few, None)
    np.testing.assert_array_equal(labels(reader, few[0]), regions(5))
    assert not labels(reader, empty).any()
    Image.fromarray(regions(5)).save(few[0])
    with pytest.raises(DataError, match=r"0.png: is not of 4 bits, as the other masks are; save all masks alike"):
        labels(reader, few[0])
