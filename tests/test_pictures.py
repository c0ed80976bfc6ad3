from __future__ import annotations

import errno
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from foveate import pictures
from foveate.errors import ConfigError, DataError, OutputError

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (70, 90, 3), dtype=np.uint8)
RGB16 = RANDOM.integers(0, 65536, (70, 90, 3), dtype=np.uint16)
BANDS = RANDOM.integers(0, 256, (70, 90, 5), dtype=np.uint8)
RGBA = RANDOM.integers(0, 256, (70, 90, 4), dtype=np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def same(path: Path, expected: np.ndarray) -> None:
    """The image, its header and a window of it agree with `expected`."""
    array = pictures.read_picture(path)
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)
    bits = 16 if expected.dtype == np.uint16 else 8
    assert pictures.picture_info(path) == (*expected.shape, bits)
    assert pictures.picture_size(path) == expected.shape[:2]
    windows = pictures.open_windows(path)
    assert (windows.height, windows.width, windows.channels) == expected.shape
    np.testing.assert_array_equal(windows.read(10, 20, 30, 40), expected[10:40, 20:60])
    windows.close()


class TestKinds:
    @pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm", "a.tif"])
    def test_colour(self, tmp_path: Path, name: str) -> None:
        same(save(tmp_path / name, Image.fromarray(RGB)), RGB)

    def test_jpeg_is_what_pillow_decodes(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.jpg", Image.fromarray(RGB))
        same(path, np.array(Image.open(path)))

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
    def test_grey_has_three_equal_channels(self, tmp_path: Path, name: str) -> None:
        same(save(tmp_path / name, Image.fromarray(RGB[:, :, 0])), np.repeat(RGB[:, :, :1], 3, axis=2))

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_one_bit_is_black_and_white(self, tmp_path: Path, name: str) -> None:
        bits = RGB[:, :, 0] > 99
        same(save(tmp_path / name, Image.fromarray(bits)), np.repeat(bits[:, :, None] * np.uint8(255), 3, axis=2))

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.gif"])
    def test_palette(self, tmp_path: Path, name: str) -> None:
        image = Image.fromarray(RGB).quantize(16)
        same(save(tmp_path / name, image), np.array(image.convert("RGB")))

    @pytest.mark.parametrize("name", ["a.png", "a.webp"])
    def test_alpha_is_laid_on_white(self, tmp_path: Path, name: str) -> None:
        options = {"lossless": True, "exact": True} if name == "a.webp" else {}
        array = pictures.read_picture(save(tmp_path / name, Image.fromarray(RGBA), **options))
        alpha = RGBA[:, :, 3:] / 255
        np.testing.assert_allclose(array, RGBA[:, :, :3] * alpha + 255 * (1 - alpha), atol=0.51)

    def test_transparent_palette_entry_is_white(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
        image.putpalette([200, 0, 0, 0, 100, 0])
        array = pictures.read_picture(save(tmp_path / "a.png", image, transparency=0))
        assert array[:, :, :].tolist() == [
            [[255, 255, 255], [0, 100, 0]],
            [[0, 100, 0], [255, 255, 255]],
        ]

    @pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
    def test_cmyk(self, tmp_path: Path, name: str) -> None:
        flat = np.empty((16, 16, 3), np.uint8)
        flat[:] = (200, 100, 50)
        path = save(tmp_path / name, Image.fromarray(flat).convert("CMYK"))
        np.testing.assert_allclose(pictures.read_picture(path).astype(int), flat, atol=2)

    def test_16_bit_png_in_colour_grey_and_with_alpha(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(imagecodecs.png_encode(RGB16))
        same(path, RGB16)
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(RGB16[:, :, 0])))
        same(path, np.repeat(RGB16[:, :, :1], 3, axis=2))
        opaque = np.concatenate([RGB16, np.full_like(RGB16[:, :, :1], 65535)], axis=2)
        path.write_bytes(imagecodecs.png_encode(opaque))
        same(path, RGB16)

    @pytest.mark.parametrize(
        "options",
        [
            {"tile": (32, 32)},
            {"tile": (16, 32), "compression": "zlib", "predictor": True},
            {"rowsperstrip": 7},
            {"compression": "lzw"},
            {"bigtiff": True, "byteorder": ">"},
        ],
    )
    def test_16_bit_tiff(self, tmp_path: Path, options: dict) -> None:
        tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", **options)
        same(tmp_path / "a.tif", RGB16)

    @pytest.mark.parametrize(
        ("array", "options"),
        [
            (BANDS, {"photometric": "minisblack", "planarconfig": "contig", "tile": (16, 16)}),
            (BANDS.transpose(2, 0, 1), {"photometric": "minisblack", "planarconfig": "separate", "tile": (32, 16)}),
            (BANDS.transpose(2, 0, 1), {}),  # a page a band
            (BANDS.transpose(2, 0, 1), {"truncate": True}),  # one page for all bands
            (BANDS, {}),  # tifffile writes 70 pages of 90 x 5
        ],
        ids=["contig", "separate", "pages", "one-header", "default"],
    )
    def test_more_channels_are_kept(self, tmp_path: Path, array: np.ndarray, options: dict) -> None:
        tifffile.imwrite(tmp_path / "a.tif", array, **options)
        same(tmp_path / "a.tif", BANDS)

    def test_jpeg_in_tiff_agrees_with_pillow(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.tif", Image.fromarray(RGB), compression="jpeg")
        same(path, np.array(Image.open(path).convert("RGB")))

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg"])
    def test_exif_orientation(self, tmp_path: Path, name: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if name == "a.webp" else {}
        path = save(tmp_path / name, Image.fromarray(RGB), exif=exif, **options)
        with Image.open(path) as image:
            same(path, np.array(ImageOps.exif_transpose(image).convert("RGB")))


class TestRaw:
    def test_palette_file_gives_its_indices(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 255], [3, 1]], np.uint8), "P")
        image.putpalette([v for i in range(256) for v in (i, 0, 255 - i)])
        raw = pictures.read_raw(save(tmp_path / "a.png", image))
        assert raw.values.tolist() == [[0, 255], [3, 1]]
        assert raw.palette is not None
        assert raw.palette[3].tolist() == [3, 0, 252]

    def test_16_bit_values_stay(self, tmp_path: Path) -> None:
        for name in ("a.png", "a.tif"):
            values = np.array([[0, 300], [65535, 7]], np.uint16)
            raw = pictures.read_raw(save(tmp_path / name, Image.fromarray(values)))
            np.testing.assert_array_equal(raw.values, values)

    def test_alpha_is_left_out_and_colours_stay(self, tmp_path: Path) -> None:
        for name in ("a.png", "a.tif"):
            raw = pictures.read_raw(save(tmp_path / name, Image.fromarray(RGBA)))
            np.testing.assert_array_equal(raw.values, RGBA[:, :, :3])

    def test_jpeg_is_lossy(self, tmp_path: Path) -> None:
        image = Image.fromarray(RGB)
        for irreversible in (False, True):
            image.save(tmp_path / "a.jp2", irreversible=irreversible)
            assert pictures.read_raw(tmp_path / "a.jp2").lossy == irreversible
        assert pictures.read_raw(save(tmp_path / "a.jpg", Image.fromarray(RGB))).lossy
        assert not pictures.read_raw(save(tmp_path / "a.png", Image.fromarray(RGB))).lossy


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.png: no such file; check the path"):
            pictures.read_picture(tmp_path / "gone.png")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").touch()
        with pytest.raises(DataError, match=r"a\.png: the file is empty"):
            pictures.read_picture(tmp_path / "a.png")

    def test_text_is_no_picture(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_text("hello, I am not a picture at all")
        with pytest.raises(DataError, match=r"a\.jpg: not a picture in a known format"):
            pictures.read_picture(tmp_path / "a.jpg")

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
    @pytest.mark.parametrize("kind", ["a.png", "a.jpg", "16.png", "a.tif", "tiled.tif", "pages.tif"])
    def test_truncated_at_any_place(self, tmp_path: Path, kind: str, share: float) -> None:
        path = tmp_path / kind
        if kind == "16.png":
            path.write_bytes(imagecodecs.png_encode(RGB16))
        elif kind == "tiled.tif":
            tifffile.imwrite(path, RGB, tile=(16, 16), compression="zlib")
        elif kind == "pages.tif":
            tifffile.imwrite(path, BANDS.transpose(2, 0, 1))
        else:
            save(path, Image.fromarray(RGB))
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        if kind == "pages.tif" and share == 0.98:  # the pixels stand before the last page's header, which alone is cut
            np.testing.assert_array_equal(pictures.read_picture(path), BANDS)
            return
        with pytest.raises(DataError, match=rf"{kind}: .*; replace or remove the file") as caught:
            pictures.read_picture(path)
        assert "\n" not in str(caught.value)

    def test_complex_tiff(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", RGB.astype(np.complex64))
        with pytest.raises(DataError, match="type complex64; expected whole numbers or floats of up to 32 bits"):
            pictures.read_picture(tmp_path / "a.tif")

    def test_stack_of_pages(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.stack([RGB] * 4), photometric="rgb")
        with pytest.raises(DataError, match="a stack of 4 pages"):
            pictures.read_picture(tmp_path / "a.tif")

    def test_other_number_of_channels(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", BANDS, photometric="minisblack", planarconfig="contig")
        with pytest.raises(DataError, match=r"a\.tif: 5 channels, expected 3; convert the file"):
            pictures.read_picture(tmp_path / "a.tif", channels=3)


class TestSizeLimit:
    def test_message_names_size_limit_and_flag(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", Image.fromarray(RGB))
        with pytest.raises(DataError, match=r"90x70 is 6,300 pixels, above the limit of 6,299; .*--max-pixels 6300"):
            pictures.read_picture(path, max_pixels=6299)
        assert pictures.read_picture(path, max_pixels=6300).shape == RGB.shape

    def test_bomb_is_refused_by_its_header(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.png"
        header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
        row = b"IDAT" + zlib.compress(bytes(1000))
        chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, row, b"IEND"))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
        tracemalloc.start()
        with pytest.raises(DataError, match=r"bomb\.png: 40000x40000 .*--max-pixels"):
            pictures.read_picture(path)
        with pytest.raises(DataError, match="--max-pixels"):
            pictures.read_raw(path)
        with pytest.raises(DataError, match="--max-pixels"):
            pictures.open_windows(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4e6
        assert pictures.picture_size(path) == (40_000, 40_000)

    def test_process_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOVEATE_MAX_PIXELS", str(pictures.DEFAULT_MAX_PIXELS))
        path = save(tmp_path / "a.png", Image.fromarray(RGB))
        pictures.set_max_pixels(100)
        with pytest.raises(DataError, match="limit of 100"):
            pictures.read_picture(path)
        pictures.set_max_pixels(6300)
        assert pictures.read_picture(path).shape == RGB.shape
        with pytest.raises(ConfigError, match="--max-pixels must be 1 or more; got 0"):
            pictures.set_max_pixels(0)

    def test_pillows_own_limit_is_left_as_it_was(self, tmp_path: Path) -> None:
        before = Image.MAX_IMAGE_PIXELS
        pictures.read_picture(save(tmp_path / "a.png", Image.fromarray(RGB)))
        assert before == Image.MAX_IMAGE_PIXELS


class TestWindows:
    @pytest.mark.parametrize("planarconfig", ["contig", "separate"])
    @pytest.mark.parametrize("options", [{"tile": (32, 48)}, {"rowsperstrip": 11}], ids=["tiles", "strips"])
    def test_every_window_equals_the_slice(self, tmp_path: Path, planarconfig: str, options: dict) -> None:
        written = BANDS if planarconfig == "contig" else BANDS.transpose(2, 0, 1)
        tifffile.imwrite(
            tmp_path / "a.tif",
            written,
            photometric="minisblack",
            planarconfig=planarconfig,
            compression="zlib",
            **options,
        )
        windows = pictures.open_windows(tmp_path / "a.tif")
        for _ in range(60):
            top, left = int(RANDOM.integers(70)), int(RANDOM.integers(90))
            height, width = int(RANDOM.integers(1, 71 - top)), int(RANDOM.integers(1, 91 - left))
            np.testing.assert_array_equal(
                windows.read(top, left, height, width), BANDS[top : top + height, left : left + width]
            )
        windows.close()

    def test_only_touched_tiles_are_decoded(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", RGB, tile=(16, 16), compression="zlib")
        windows = pictures.open_windows(tmp_path / "a.tif")
        windows.read(20, 20, 20, 10)  # rows 20..39 touch tile rows 1 and 2, columns 20..29 tile column 1
        assert [index for _, index in windows._tiff._cache] == [1 * 6 + 1, 2 * 6 + 1]  # 90 columns are 6 tiles
        windows.close()

    def test_memory_is_bounded_and_the_pixel_limit_is_about_what_is_decoded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("foveate.pictures.tiff._CACHE_BYTES", 2**20)
        large = np.zeros((3000, 3000, 3), np.uint8)  # 27 MB
        large[1234, 2345] = 9
        tifffile.imwrite(tmp_path / "a.tif", large, tile=(256, 256), compression="zlib", photometric="rgb")
        tracemalloc.start()
        windows = pictures.open_windows(tmp_path / "a.tif", max_pixels=10**6)
        total = sum(int(windows.read(y, x, 300, 300).sum()) for y in range(0, 3000, 300) for x in range(0, 3000, 300))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        windows.close()
        assert total == 27
        assert peak < 6e6
        with pytest.raises(DataError, match="--max-pixels"):
            pictures.read_picture(tmp_path / "a.tif", max_pixels=10**6)

    def test_damaged_tile_names_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, RGB, tile=(16, 16), compression="zlib")
        with tifffile.TiffFile(path) as tiff:
            offset = tiff.pages[0].dataoffsets[7]
        data = bytearray(path.read_bytes())
        data[offset : offset + 8] = b"\0" * 8
        path.write_bytes(data)
        windows = pictures.open_windows(path)
        windows.read(0, 0, 16, 16)
        with pytest.raises(DataError, match=r"a\.tif: "):
            windows.read(16, 16, 16, 16)
        windows.close()


class TestTensors:
    def test_uint8_stays_and_uint16_becomes_0_to_1(self) -> None:
        assert torch.equal(pictures.to_tensor(RGB), torch.from_numpy(RGB).permute(2, 0, 1))
        tensor = pictures.to_tensor(np.array([[[0, 13107, 65535]]], np.uint16))
        assert tensor.dtype == torch.float32
        assert torch.allclose(tensor.flatten(), torch.tensor([0.0, 0.2, 1.0]))


class TestListing:
    def test_known_suffixes_sorted_without_hidden_files_and_folders(self, tmp_path: Path) -> None:
        for name in ("b.JPG", "a.png", ".c.png", "d.txt"):
            (tmp_path / name).touch()
        (tmp_path / "e.png").mkdir()
        assert [p.name for p in pictures.list_pictures(tmp_path)] == ["a.png", "b.JPG"]

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="gone: cannot be listed"):
            pictures.list_pictures(tmp_path / "gone")


class TestAtomicWrite:
    def test_appears_whole_and_makes_folders(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "a.txt"
        with pictures.atomic_write(path) as temporary:
            temporary.write_text("whole")
            assert not path.exists()
            assert temporary.suffix == ".txt"
        assert path.read_text() == "whole"
        assert list(path.parent.iterdir()) == [path]

    def test_failure_keeps_the_old_file_and_leaves_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("old")
        with pytest.raises(KeyError), pictures.atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyError("no")
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_full_disk_is_one_line_with_the_name(self, tmp_path: Path) -> None:
        with (
            pytest.raises(OutputError, match=r"cannot write .*a\.txt: No space left on device; free some space"),
            pictures.atomic_write(tmp_path / "a.txt") as temporary,
        ):
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert list(tmp_path.iterdir()) == []

    def test_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        with (
            pytest.raises(OutputError, match=r"cannot write .*a\.txt"),
            pictures.atomic_write(tmp_path / "f" / "a.txt"),
        ):
            pass
