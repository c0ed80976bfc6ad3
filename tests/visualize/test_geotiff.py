"""Masks of GeoTIFF images: the same place on the ground, class colours, and no class where the image has no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from foveate import pictures
from foveate.records import ClassTable
from foveate.visualize.geotiff import index_geotiff

CLASSES = ClassTable(("field", "road", "roof"), ((10, 200, 30), (90, 90, 90), (220, 40, 20)))
# A grid of half a metre in UTM zone 32 north: pixel scale, tie point, and three GeoKeys.
SCALE, TIE = (0.5, 0.5, 0.0), (0.0, 0.0, 0.0, 691000.0, 5334000.0, 0.0)
KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)
GEO: list[Any] = [
    (33550, "d", 3, SCALE, True),
    (33922, "d", 6, TIE, True),
    (34735, "H", 16, KEYS, True),
    (34737, "s", 0, "WGS 84 / UTM zone 32N|", True),
]
MASK = np.random.default_rng(0).integers(0, 3, (300, 280)).astype(np.uint8)


def image(path: Path, array: np.ndarray, nodata: str | None = None, **options: Any) -> Path:
    tags = [*GEO, *([(42113, "s", 0, nodata, True)] if nodata is not None else [])]
    colour = {"photometric": "rgb" if array.ndim == 3 and array.shape[2] == 3 else "minisblack", "metadata": None}
    tifffile.imwrite(path, array, extratags=tags, **(colour | options))
    return path


def written(source: Path, classes: ClassTable = CLASSES, mask: np.ndarray = MASK) -> tuple[np.ndarray, Any]:
    windows: Any = pictures.open_windows(source)
    out = source.with_name("out.tif")
    index_geotiff(mask, classes, windows.ground, out)
    windows.close()
    with tifffile.TiffFile(out) as file:
        page: Any = file.pages[0]
        return page.asarray(), {tag.code: tag.value for tag in page.tags} | {"geo": file.geotiff_metadata}


@pytest.mark.parametrize(
    "options", [{}, {"tile": (64, 64)}, {"rowsperstrip": 7, "compression": "zlib"}, {"bigtiff": True}]
)
def test_labels_lie_where_the_image_lies(tmp_path: Path, options: dict[str, Any]) -> None:
    labels, tags = written(image(tmp_path / "a.tif", np.zeros((300, 280, 3), np.uint8), **options))
    np.testing.assert_array_equal(labels, MASK)
    assert (tags[33550], tags[33922], tags[34735]) == (SCALE, TIE, KEYS)
    assert tags[34737] == "WGS 84 / UTM zone 32N|"
    assert int(tags["geo"]["ProjectedCSTypeGeoKey"]) == 32632
    assert 42113 not in tags


def test_labels_have_the_class_colours(tmp_path: Path) -> None:
    source = image(tmp_path / "a.tif", np.zeros((300, 280), np.uint16))
    written(source)
    raw = pictures.read_raw(tmp_path / "out.tif")
    np.testing.assert_array_equal(raw.values, MASK)
    assert raw.palette is not None
    assert [tuple(map(int, color)) for color in raw.palette[:3]] == list(CLASSES.colors)


@pytest.mark.parametrize(
    ("value", "dtype", "nodata", "label"),
    [
        (0, "uint16", "0", 255),  # 0 is a class
        (255, "uint8", "255", 255),
        (-9999, "float32", "-9999", 255),
        (np.nan, "float32", "nan", 255),
        (200, "uint8", "200", 200),
    ],
)
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_pixels_without_data_are_no_class(
    tmp_path: Path, value: float, dtype: str, nodata: str, label: int, bands: int
) -> None:
    array = np.full((300, 280, bands), 7, dtype)
    array[100:200, 50:60] = value
    array[0, 0, 0] = value  # one band alone
    options: dict[str, Any] = {"planarconfig": "contig"} if bands > 1 else {}
    source = image(tmp_path / "a.tif", array if bands > 1 else array[..., 0], nodata, **options)
    expected = MASK.copy()
    expected[100:200, 50:60] = label
    if bands == 1:
        expected[0, 0] = label
    labels, tags = written(source)
    np.testing.assert_array_equal(labels, expected)
    assert tags[42113] == str(label)


def test_a_file_that_is_decoded_at_once(tmp_path: Path) -> None:
    """tifffile's default for five bands is a page a row."""
    array = np.full((30, 28, 5), 7, np.uint16)
    array[3:5] = 0
    tifffile.imwrite(tmp_path / "a.tif", array, extratags=[*GEO, (42113, "s", 0, "0", True)])
    windows: Any = pictures.open_windows(tmp_path / "a.tif")
    assert windows.channels == 5
    assert windows.ground is not None and windows.ground.missing(2, 0, 4, 28).all(1).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_many_classes_take_16_bits(tmp_path: Path) -> None:
    table = ClassTable(tuple(map(str, range(300))), ignore_index=65535)
    mask = np.arange(300 * 280).reshape(300, 280) % 300
    source = image(tmp_path / "a.tif", np.zeros((300, 280), np.uint16), "0")
    labels, tags = written(source, table, mask)
    assert labels.dtype == np.uint16 and tags[42113] == "65535"
    assert (labels == 65535).all()  # nothing but 0 in the image
    source = image(tmp_path / "b.tif", np.ones((300, 280), np.uint16))
    np.testing.assert_array_equal(written(source, table, mask)[0], mask)


def test_256_classes_leave_no_label_of_8_bits(tmp_path: Path) -> None:
    table = ClassTable(tuple(map(str, range(256))), ignore_index=300)
    array = np.ones((300, 280), np.uint16)
    array[0] = 0
    labels, tags = written(image(tmp_path / "a.tif", array, "0"), table)
    assert labels.dtype == np.uint16 and tags[42113] == "300" and (labels[0] == 300).all()


def test_a_file_without_a_place_has_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 28, 3), np.uint8), photometric="rgb")
    windows: Any = pictures.open_windows(tmp_path / "a.tif")
    assert windows.ground is None
    windows.close()
