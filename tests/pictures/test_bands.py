"""Bands beyond RGB, whatever they are tagged as, and transparency, which is none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from foveate import pictures
from foveate.errors import DataError

RANDOM = np.random.default_rng(3)
MASK = np.zeros((40, 50), np.uint8)
MASK[5:30, 10:45] = 255


def bands(count: int, dtype: str = "uint8") -> np.ndarray:
    high = {"uint8": 256, "uint16": 4096, "int16": 3000, "float32": 1}[dtype]
    values = RANDOM.random((40, 50, count)) * high
    return values.astype(dtype)


def everywhere(path: Path, expected: np.ndarray) -> None:
    """The image, its header and a window of it agree."""
    np.testing.assert_array_equal(pictures.read_picture(path), expected)
    assert pictures.read_picture(path).dtype == expected.dtype
    assert pictures.picture_info(path).channels == expected.shape[2]
    windows = pictures.open_windows(path)
    assert windows.channels == expected.shape[2]
    np.testing.assert_array_equal(windows.read(8, 9, 20, 30), expected[8:28, 9:39])
    windows.close()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    ("count", "options"),
    [
        (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (4, {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
        (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        (4, {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (16, 16), "compression": "zlib"}),
        (4, {"photometric": "minisblack", "planarconfig": "contig"}),
        (4, {"photometric": "minisblack", "extrasamples": ["unspecified", "unspecified", "unassalpha"]}),
        (5, {"photometric": "rgb", "extrasamples": ["unassalpha", "unspecified"]}),
        (8, {"photometric": "minisblack", "planarconfig": "contig"}),
        (8, {"photometric": "rgb", "extrasamples": ["unspecified"] * 4 + ["unassalpha"]}),
        (2, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    ],
)
def test_bands_stay_whatever_their_tag(tmp_path: Path, dtype: str, count: int, options: dict[str, Any]) -> None:
    array = bands(count, dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, **({"planarconfig": "contig"} | options))
    everywhere(tmp_path / "a.tif", array)


def test_bands_in_planes(tmp_path: Path) -> None:
    array = bands(4, "uint16")
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", array.transpose(2, 0, 1), **options)
    everywhere(tmp_path / "a.tif", array)
    assert pictures.alpha_of(tmp_path / "a.tif") == "band"


def test_a_band_of_two_values_is_a_band(tmp_path: Path) -> None:
    array = bands(4)
    array[..., 3] = np.where(MASK > 0, 200, 40)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    everywhere(tmp_path / "a.tif", array)


@pytest.mark.parametrize("tag", ["unassalpha", "assocalpha"])
def test_a_mask_of_transparency_becomes_white(tmp_path: Path, tag: str) -> None:
    for dtype, white in (("uint8", 255), ("uint16", 65535)):
        array = bands(4, dtype)
        array[..., 3] = MASK.astype(dtype) * (white // 255)
        if tag == "assocalpha":
            array[MASK == 0] = 0
        path = tmp_path / f"{dtype}.tif"
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=[tag])
        everywhere(path, np.where(MASK[..., None] > 0, array[..., :3], np.array(white, dtype)))
        assert pictures.alpha_of(path) == "mask"
        np.testing.assert_array_equal(pictures.read_picture(path, channels=4), array)  # a set of four bands
        windows = pictures.open_windows(path, channels=4)
        np.testing.assert_array_equal(windows.read(0, 0, 40, 50), array)
        windows.close()


def test_soft_edges_leave_a_mask_a_mask(tmp_path: Path) -> None:
    array = bands(4)
    array[..., 3] = MASK
    array[5, 10:45, 3] = 128  # 35 of 2000 pixels
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    read = pictures.read_picture(tmp_path / "a.tif")
    assert read.shape[2] == 3
    expected = array[5, 20, :3] * (128 / 255) + 255 * (127 / 255)
    np.testing.assert_allclose(read[5, 20], expected, atol=0.51)


def test_a_large_image_is_looked_at_in_places(tmp_path: Path) -> None:
    array = np.zeros((1100, 1200, 4), np.uint8)
    array[..., 3] = 255
    options: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (64, 64)}
    tifffile.imwrite(tmp_path / "mask.tif", array, **options)
    assert pictures.picture_info(tmp_path / "mask.tif").channels == 3
    array[800:, 900:, 3] = np.arange(300) % 250
    tifffile.imwrite(tmp_path / "band.tif", array, **options)
    assert pictures.picture_info(tmp_path / "band.tif").channels == 4


def test_one_value_is_undecided_and_the_other_files_decide(tmp_path: Path) -> None:
    empty, full = bands(4), bands(4)
    empty[..., 3] = 0  # a tile without vegetation, or one that is wholly transparent
    for name, array in (("a.tif", empty), ("b.tif", full)):
        tifffile.imwrite(tmp_path / name, array, photometric="rgb", extrasamples=["unassalpha"])
    assert pictures.alpha_of(tmp_path / "a.tif") == "constant"
    np.testing.assert_array_equal(pictures.read_picture(tmp_path / "a.tif"), empty[..., :3])
    assert pictures.channels_of([tmp_path / "a.tif"]) == 3
    assert pictures.channels_of([tmp_path / "a.tif", tmp_path / "b.tif"]) == 4
    np.testing.assert_array_equal(pictures.read_picture(tmp_path / "a.tif", channels=4), empty)


@pytest.mark.parametrize("first", [0, 255, "mask"])
@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_band_that_looks_like_transparency_in_some_files_is_one_in_all(
    tmp_path: Path, first: int | str, place: int, dtype: str
) -> None:
    """Of four files, the one at `place` holds a constant or a mask where the others hold near infrared."""
    files = [tmp_path / f"{number}.tif" for number in range(4)]
    for number, file in enumerate(files):
        array = bands(4, dtype)
        if number == place:
            top = np.iinfo(dtype).max
            array[..., 3] = (
                np.where(MASK > 0, top, 0) if first == "mask" else np.array(first).astype(dtype) * (top // 255)
            )
        tifffile.imwrite(file, array, photometric="rgb", extrasamples=["unassalpha"])
    assert pictures.channels_of(files) == 4
    for file in files:
        assert pictures.read_picture(file, channels=4).shape == (40, 50, 4)
    assert pictures.channels_of(files[place : place + 1]) == 3


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_with_a_band(tmp_path: Path, dtype: str) -> None:
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for number, file in enumerate(files):
        array = bands(2, dtype)
        if number == 0:
            array[..., 1] = np.iinfo(dtype).max
        tifffile.imwrite(file, array, photometric="minisblack", extrasamples=["unassalpha"])
    assert pictures.channels_of(files[:1]) == 3
    assert pictures.channels_of(files) == 2


def test_channels_of_a_set_are_those_of_most_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    tifffile.imwrite(tmp_path / "b.tif", bands(5), photometric="minisblack", planarconfig="contig")
    Image.fromarray(bands(3)).save(tmp_path / "c.png")
    files = sorted(tmp_path.iterdir())
    assert pictures.channels_of(files) == 5  # the first that can be read, of one each
    assert pictures.channels_of(files[:1]) == 3 and pictures.channels_of([]) == 3
    Image.fromarray(bands(3)).save(tmp_path / "d.jpg")
    assert pictures.channels_of(sorted(tmp_path.iterdir())) == 3
    with pytest.raises(DataError, match=r"b\.tif: 5 channels, expected 3"):
        pictures.read_picture(tmp_path / "b.tif", channels=3)


def test_a_model_of_colours_is_not_given_near_infrared_as_transparency(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", bands(4), photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(DataError, match="4 channels, expected 3"):
        pictures.read_picture(tmp_path / "a.tif", channels=3)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_alpha_of_a_png_is_transparency(tmp_path: Path, mode: str) -> None:
    array = bands(4)[..., : len(mode)]
    Image.fromarray(array, mode).save(tmp_path / "a.png")
    alpha = array[..., -1:] / 255
    expected = np.broadcast_to(array[..., :-1] * alpha + 255 * (1 - alpha), (40, 50, 3))
    np.testing.assert_allclose(pictures.read_picture(tmp_path / "a.png"), expected, atol=0.51)
    assert pictures.alpha_of(tmp_path / "a.png") == "mask"
    array[..., -1] = 255
    Image.fromarray(array, mode).save(tmp_path / "b.png")
    assert pictures.alpha_of(tmp_path / "b.png") == ""
    assert pictures.alpha_of(tmp_path / "b.png") == ""


def test_alpha_of_16_bit_png_and_of_files_without(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(bands(4, "uint16")))
    assert pictures.alpha_of(tmp_path / "a.png") == "mask"
    Image.fromarray(bands(3)).save(tmp_path / "b.jpg")
    tifffile.imwrite(tmp_path / "c.tif", bands(3), photometric="rgb")
    assert [pictures.alpha_of(tmp_path / name) for name in ("b.jpg", "c.tif")] == ["", ""]


# Types of values


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (np.array([[0.0, 0.5], [0.25, 1.0]], np.float32), "float32"),
        (np.array([[0.0, 9999.5], [-3.25, 1.0]], np.float64), "float32"),
        (np.array([[0.0, 0.5], [0.25, 1.0]], np.float16), "float32"),
        (np.array([[-1000, 3000], [0, 7]], np.int16), "int16"),
        (np.array([[-100, 100], [0, 7]], np.int8), "int16"),
        (np.array([[-100000, 100000], [0, 7]], np.int32), "int32"),
        (np.array([[4000000000, 100000], [0, 7]], np.uint32), "uint32"),
    ],
)
def test_values_of_other_types_stay(tmp_path: Path, values: np.ndarray, read: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    array = pictures.read_picture(tmp_path / "a.tif")
    assert array.dtype == np.dtype(read)
    np.testing.assert_array_equal(array, np.repeat(values[..., None], 3, axis=2))
    assert pictures.picture_tags(tmp_path / "a.tif") == (1, read)
    assert pictures.picture_info(tmp_path / "a.tif").bits == 8 * np.dtype(read).itemsize


def test_64_bits_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.int64))
    with pytest.raises(DataError, match="type int64; expected whole numbers or floats of up to 32 bits"):
        pictures.read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(("depth", "factor"), [(2, 85), (4, 17)])
def test_grey_of_2_and_4_bits_fills_8(tmp_path: Path, depth: int, factor: int) -> None:
    values = RANDOM.integers(0, 2**depth, (6, 16), dtype=np.uint8)
    per_byte = 8 // depth
    packed = np.zeros((6, 16 // per_byte), np.uint8)
    for place in range(per_byte):
        packed |= values[:, place::per_byte] << (8 - depth * (place + 1))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, packed, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["BitsPerSample"].overwrite(depth)
        file.pages[0].tags["ImageWidth"].overwrite(16)
    np.testing.assert_array_equal(pictures.read_picture(path)[..., 0], values * factor)


def nodata(value: str) -> dict[str, Any]:
    return {"extratags": [(42113, "s", 0, value, True)], "photometric": "minisblack"}


def test_pixels_without_data_are_black_in_16_bits_and_no_number_in_floats(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[65535, 300]], np.uint16), **nodata("65535"))
    assert pictures.read_picture(tmp_path / "a.tif")[..., 0].tolist() == [[0, 300]]
    tifffile.imwrite(tmp_path / "b.tif", np.array([[-9999, 300]], np.float32), **nodata("-9999"))
    np.testing.assert_array_equal(pictures.read_picture(tmp_path / "b.tif")[..., 0], [[np.nan, 300]])
    tifffile.imwrite(tmp_path / "c.tif", np.array([[255, 30]], np.uint8), **nodata("255"))
    assert pictures.read_picture(tmp_path / "c.tif")[..., 0].tolist() == [[255, 30]]
    assert pictures.read_raw(tmp_path / "a.tif").values.tolist() == [[65535, 300]]  # a label is a label


def test_labels_are_values_of_any_type(tmp_path: Path) -> None:
    for dtype in ("float64", "float32", "int8", "int16", "int32", "int64", "uint32"):
        tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), 7, dtype), extratags=[(42113, "s", 0, "7", True)])
        raw = pictures.read_raw(tmp_path / "a.tif")
        assert (raw.values.dtype, raw.nodata) == (dtype, 7) and (raw.values == 7).all()
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), "int64"))
    with pytest.raises(DataError, match="values of type int64; expected whole numbers or floats of up to 32 bits"):
        pictures.read_picture(tmp_path / "a.tif")


# Nothing but transparent pixels


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_picture_under_wholly_transparent_pixels_is_refused(tmp_path: Path, suffix: str, mode: str) -> None:
    """A broken alpha channel over a sound picture would give a blank one."""
    if (mode, suffix) == ("LA", "webp"):
        return
    array = bands(4)[..., : len(mode)]
    array[..., -1] = 0
    Image.fromarray(array, mode).save(tmp_path / f"a.{suffix}", **({"exact": True} if suffix == "webp" else {}))
    message = "every pixel is transparent, though colours differ beneath; save it without alpha channel"
    with pytest.raises(DataError, match=rf"a\.{suffix}: {message}"):
        pictures.read_picture(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match=message):
        pictures.open_windows(tmp_path / f"a.{suffix}")


def test_a_picture_in_16_bits_under_wholly_transparent_pixels(tmp_path: Path) -> None:
    array = bands(4, "uint16")
    array[..., 3] = 0
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array))
    with pytest.raises(DataError, match=r"a\.png: every pixel is transparent, though colours differ beneath"):
        pictures.read_picture(tmp_path / "a.png")


def test_an_empty_picture_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (50, 40), (9, 9, 9, 0)).save(tmp_path / "a.png")
    assert pictures.alpha_of(tmp_path / "a.png") == "clear"
    assert (pictures.read_picture(tmp_path / "a.png") == 255).all()
