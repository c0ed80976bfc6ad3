"""Runs of tiles, against a coder of plain Python."""

import base64
import itertools

import numpy as np
import pytest

from foveate.errors import DataError
from foveate.studio.tiles import decode_runs, encode_runs, tile_box, tiles_from_json, tiles_of, tiles_to_json


def varint(number):
    """Unsigned LEB128, as Wikipedia writes it down."""
    out = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        out.append(byte | 0x80 if number else byte)
        if not number:
            return bytes(out)


def plain_runs(mask):
    groups = ((int(value), len(list(run))) for value, run in itertools.groupby(mask.reshape(-1).tolist()))
    return b"".join(varint(value) + varint(length) for value, length in groups)


def test_runs_of_ten_thousand_masks_are_those_of_a_plain_coder():
    rng = np.random.default_rng(0)
    for number in range(10_000):
        height, width = rng.integers(1, 10, 2)
        highest = int(rng.choice([2, 3, 200, 65536]))
        mask = rng.integers(0, highest, (height, width)).astype(np.uint16)
        mask[:, : width // 2] = mask[0, 0]
        coded = encode_runs(mask)
        assert coded == plain_runs(mask), number
        assert np.array_equal(decode_runs(coded, height, width), mask), number


def test_runs_by_hand():
    tile = np.array([[0, 0, 5], [300, 300, 300]], np.uint16)
    assert encode_runs(tile) == bytes([0, 2, 5, 1, 300 & 127 | 128, 300 >> 7, 3])
    whole = np.full((256, 256), 65535, np.uint16)
    assert encode_runs(whole) == bytes([0xFF, 0xFF, 0x03, 0x80, 0x80, 0x04])
    assert np.array_equal(decode_runs(encode_runs(whole), 256, 256), whole)


def test_a_coder_may_split_a_run():
    assert decode_runs(bytes([7, 1, 7, 3]), 2, 2).tolist() == [[7, 7], [7, 7]]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "runs of 0 bytes end within a number"),
        (bytes([1, 0x84]), "end within a number"),
        (bytes([1]), "hold 1 numbers; expected pairs"),
        (bytes([1, 3]), "cover 3 pixels"),
        (bytes([1, 5]), "cover 5 pixels"),
        (bytes([1, 4, 2, 0]), "in lengths of 1 or more"),
        (bytes([0x80, 0x80, 0x04, 4]), "the value 65536; expected at most 65535"),
        (bytes([1, 0x84, 0x80, 0x80, 0x80, 0x80, 0x00]), "a number of 6 bytes; expected at most 5"),
    ],
)
def test_runs_that_do_not_fill_a_tile_are_refused(data, text):
    with pytest.raises(DataError, match=text):
        decode_runs(data, 2, 2)


def test_tiles_of_an_image_put_together_are_the_image():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 3, (300, 700)).astype(np.uint16)
    values[:256, 256:512] = 0
    coded = tiles_to_json(values)
    assert set(coded) == {"0,0", "2,0", "0,1", "1,1", "2,1"}
    again = np.zeros_like(values)
    for (x, y), tile in tiles_from_json(coded, 300, 700).items():
        assert tile.shape == (256 if y == 0 else 44, 188 if x == 2 else 256)
        again[tile_box(x, y, 300, 700)] = tile
    assert np.array_equal(again, values)
    assert len(list(tiles_of(300, 700))) == 6
    assert "1,0" in tiles_to_json(values, [(1, 0)])


@pytest.mark.parametrize(
    ("tiles", "text"),
    [
        ([], "tiles is a list; expected an object"),
        ({"1": ""}, "tile '1'; expected its column and row"),
        ({"-1,0": ""}, "tile '-1,0'; expected its column and row"),
        ({"2,0": ""}, "tile '2,0'; the picture of 300x200 has 2x1 tiles"),
        ({"0,0": "*"}, "tile '0,0' is not base64"),
        ({"0,0": 5}, "tile '0,0' is not base64"),
        ({"0,0": base64.b64encode(bytes([1, 1])).decode()}, "tile '0,0': runs cover 1 pixels"),
    ],
)
def test_tiles_that_cannot_be_read_are_named(tiles, text):
    with pytest.raises(DataError, match=text):
        tiles_from_json(tiles, 200, 300)
