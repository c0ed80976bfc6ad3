"""Reading of TIFF images of any number of channels by windows: only the tiles or strips that a window touches.

The tag ExtraSamples does not tell a mask of transparency from a band: GDAL tags the fourth band of a file as alpha
unless it is told otherwise, be it near infrared. The values tell: a mask is 0 or the largest value nearly everywhere,
a band is not.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from functools import cached_property
from types import TracebackType
from typing import Any, BinaryIO, Literal

import numpy as np
import tifffile

from foveate.pictures.pixels import cmyk_to_rgb, orient, over_white, three_channels

_CACHE_BYTES = 64 * 2**20  # neighbouring windows share strips and tiles, so that each is decoded about once
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_LOSSY = {6, 7, 34892, 33007}  # the JPEG compressions
_ALPHA = (1, 2)  # ExtraSamples: premultiplied, straight
_SOFT_EDGES = 0.05  # of a mask's pixels at most are neither transparent nor opaque
_PROBE = 256  # pixels: side of each of the 3x3 windows at which a large image's mask is looked at
_GEO = (33550, 33922, 34264, 34735, 34736, 34737)  # pixel scale, tie points, transformation, and the three geo keys
_NODATA = 42113
# The type of a file's values -> that of the array which is read.
_TYPES = {
    "bool": "uint8",
    "int8": "int16",
    "float16": "float32",
    "float64": "float32",
    **{name: name for name in ("uint8", "uint16", "uint32", "int16", "int32", "float32")},
}


# tifffile logs the errors that it also raises; the null handler keeps them from stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffPicture:
    """The first image of a TIFF file.

    Pages of one size that the writer declared as one array (a band a page) are read as channels.

    wanted: the number of channels that the reader needs, if it is known: a last sample that is tagged as alpha is then
        kept if it makes up that number.
    any_type: accept whole numbers of 64 bits, too, which `raw` gives: labels are stored so.
    Raises ValueError if the file is not one image of such values, OSError for a truncated file.
    """

    def __init__(self, file: BinaryIO, wanted: int | None = None, any_type: bool = False) -> None:
        try:
            self._tiff = tifffile.TiffFile(file)
        except tifffile.TiffFileError as error:
            raise OSError(str(error)) from error
        series = self._tiff.series[0]
        page = self._page = series.keyframe
        self._pages: list[Any] = [p for p in series.pages if p is not None]
        if page.dtype is None or not (page.dtype.name in _TYPES or (any_type and page.dtype.kind in "iu")):
            raise ValueError(f"values of type {page.dtype}; expected whole numbers or floats of up to 32 bits")
        self.dtype = np.dtype(_TYPES.get(page.dtype.name, page.dtype.name))  # of the values that `read` returns
        self._wanted = wanted
        self._channel_axis = self._axis_of_scattered_channels(series)
        if len(self._pages) > 1 and self._channel_axis is None and not self._is_bands(series):
            raise ValueError(f"a stack of {len(self._pages)} pages ({series.axes}); expected one picture a file")
        tag = page.tags.get(274)
        orientation = tag.value if tag is not None else 1
        self._orientation = int(orientation) if orientation in range(1, 9) else 1
        self.orientation = self._orientation
        self.bits = 8 * self.dtype.itemsize
        self.lossy = int(page.compression) in _LOSSY
        self.by_windows = self._orientation == 1 and self._channel_axis is None
        self._height, self._width = int(page.imagelength), int(page.imagewidth)
        self._samples = int(page.samplesperpixel) * len(self._pages)
        if self._channel_axis is not None:
            shape = list(series.shape)
            self._samples = int(shape.pop(self._channel_axis))
            self._height, self._width = shape
        transposed = self._orientation >= 5
        self.height, self.width = (self._width, self._height) if transposed else (self._height, self._width)
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._cached = 0  # bytes
        if min(self._height, self._width, self._samples) < 1:
            raise ValueError(f"{self._width}x{self._height} pixels of {self._samples} values; expected at least one")
        self._check_complete()

    def __enter__(self) -> TiffPicture:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the TIFF reader; the file itself is closed by whoever opened it."""
        self._tiff.close()

    @cached_property
    def channels(self) -> int:
        """Number of channels that `read` returns."""
        return int(self._finish(np.zeros((1, 1, self._samples), self._page.dtype)).shape[2])

    @property
    def channels_by_alpha(self) -> tuple[int, int]:
        """Number of channels without and with a last sample that is tagged as alpha; equal where none is in doubt."""
        if not self._alpha() or int(self._page.photometric) not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            return self.channels, self.channels
        return 3 if self._samples == 2 else self._samples - 1, self._samples

    @property
    def geo_tags(self) -> list[tuple[int, int, int, Any]]:
        """Tags of the place on the ground, as (code, type, count, value); [] for a file without, or a turned one."""
        tags = [self._page.tags.get(code) for code in _GEO] if self._orientation == 1 else []
        return [(int(t.code), int(t.dtype), int(t.count), t.value) for t in tags if t is not None]

    @property
    def unread_pages(self) -> int:
        """Number of further pages of the image's size that are not read; overviews and masks do not count."""
        size = self._height, self._width
        pages = (page.aspage() for page in self._tiff.pages)
        same = [p for p in pages if (int(p.imagelength), int(p.imagewidth)) == size]
        return max(0, sum(not (p.is_reduced or p.is_mask) for p in same) - len(self._pages))

    @cached_property
    def nodata(self) -> float | None:
        """The value of pixels without data (GDAL's tag); None for a file without."""
        tag = self._page.tags.get(_NODATA)
        try:
            return None if tag is None else float(str(tag.value).strip("\0 "))
        except ValueError:
            return None

    def missing(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Pixels of a window (height, width) of an upright file whose channels all hold `nodata`, as booleans."""
        values = self._raw_window(top, left, height, width)
        empty = np.isnan(values) if self.nodata != self.nodata else values == self.nodata
        return np.asarray(empty.all(axis=2))

    @property
    def palette(self) -> np.ndarray | None:
        """The palette (N, 3) uint8 of a palette file; None for other files."""
        if int(self._page.photometric) != _PALETTE or self._page.colormap is None:
            return None
        return (np.asarray(self._page.colormap).T >> 8).astype(np.uint8)

    @property
    def segment_pixels(self) -> int:
        """Number of pixels of the largest piece that has to be decoded at once: a tile or a strip."""
        page = self._page
        return int(page.tilelength * page.tilewidth) if page.is_tiled else int(page.rowsperstrip * page.imagewidth)

    def raw(self) -> np.ndarray:
        """Return the file's stored values without alpha, upright: (H, W), or (H, W, C) where C > 1.

        Values are the same whether or not the file says that white is zero, which is about display alone: ImageJ
        writes an object as 255 also under its inverting lookup table.
        """
        values = self._upright()
        if self._alpha():
            values = values[:, :, :-1]
        return values[:, :, 0] if values.shape[2] == 1 else values

    @property
    def white_is_zero(self) -> bool:
        """True if the file's values are displayed inverted, 0 as white."""
        return int(self._page.photometric) == _WHITE_IS_ZERO

    def raw_alpha(self) -> np.ndarray | None:
        """Return the alpha channel (H, W), upright; None without one."""
        return self._upright()[:, :, -1] if self._alpha() else None

    def _upright(self) -> np.ndarray:
        values = self._raw_window(0, 0, self._height, self._width)
        return orient(values.astype(np.uint8) if values.dtype == np.bool_ else values, self._orientation)

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return a window (height, width, C) of the upright image, of the type `dtype`.

        Where 16 bits or more hold GDAL's value for no data, it is read as 0, or as NaN where the file holds floats.
        """
        if self._orientation == 1:
            return self._finish(self._raw_window(top, left, height, width))
        upright = orient(self._finish(self._raw_window(0, 0, self._height, self._width)), self._orientation)
        return upright[top : top + height, left : left + width]

    # Values -> colours

    def _alpha(self) -> int:
        """Return the kind of the alpha channel: 1 premultiplied, 2 straight; 0 for none, and where it is alone."""
        extra = tuple(int(e) for e in self._page.extrasamples)
        return extra[-1] if len(extra) == 1 and extra[0] in _ALPHA and self._samples > 1 else 0

    @property
    def transparent(self) -> bool:
        """True if a mask of transparency hides a pixel; the whole mask is read."""
        values = self._raw_window(0, 0, self._height, self._width)[:, :, -1]
        return bool((values < np.iinfo(values.dtype).max).any())

    @cached_property
    def alpha(self) -> Literal["", "mask", "constant", "band"]:
        """The content of a sample that is tagged as alpha beside grey or RGB; '' if there is none.

        mask: of transparency. band: further data. constant: one value that is not opaque, which may be either.
        """
        if not self._alpha():
            return ""
        if int(self._page.photometric) not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            return "mask"
        if self.dtype not in (np.uint8, np.uint16):
            return "band"
        places = [(0, 0, self._height, self._width)]
        if self._height * self._width > (4 * _PROBE) ** 2:
            tall, wide = min(_PROBE, self._height), min(_PROBE, self._width)
            tops = (0, (self._height - tall) // 2, self._height - tall)
            lefts = (0, (self._width - wide) // 2, self._width - wide)
            places = [(top, left, tall, wide) for top in tops for left in lefts]
        values = np.concatenate([self._raw_window(*place)[:, :, -1].ravel() for place in places])
        opaque = np.iinfo(values.dtype).max
        if values.min() == values.max():
            return "mask" if values[0] == opaque else "constant"
        return "mask" if ((values != 0) & (values != opaque)).mean() <= _SOFT_EDGES else "band"

    def _blend(self, values: np.ndarray) -> np.ndarray:
        """Values without a last sample that is no band: of a mask blended with white, of a constant left out."""
        if not self._alpha() or self._samples == self._wanted or self.alpha == "band":
            return values
        return values[:, :, :-1] if self.alpha == "constant" else over_white(values, premultiplied=self._alpha() == 1)

    def _without_nodata(self, values: np.ndarray) -> np.ndarray:
        """Values of 16 bits or more, with 0 or NaN in place of `nodata`; 8 bits stay."""
        if self.nodata is None or values.dtype.itemsize == 1:
            return values
        if values.dtype.kind == "f":
            return np.where(values == self.nodata, np.array(np.nan, values.dtype), values)
        return np.where(values == self.nodata, np.array(0, values.dtype), values)

    def _finish(self, values: np.ndarray) -> np.ndarray:
        photometric = int(self._page.photometric)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8) * 255
        if photometric == _PALETTE and self.palette is not None:
            palette = self.palette
            return palette[np.minimum(values[:, :, 0], len(palette) - 1)]
        if values.dtype == np.uint8 and self._page.bitspersample in (2, 4):  # 0..3 and 0..15
            values = values * np.uint8(255 // (2**self._page.bitspersample - 1))
        values = self._without_nodata(values).astype(self.dtype, copy=False)
        if self.white_is_zero and values.dtype.kind == "u":
            values = np.iinfo(values.dtype).max - values
        values = self._blend(values)
        if photometric == _SEPARATED and values.shape[2] == 4:
            values = cmyk_to_rgb(values)
        return three_channels(values) if values.shape[2] == 1 else values

    # Segments -> values

    def _is_bands(self, series: Any) -> bool:
        """Return True if the file holds one array with an axis for channels (or of no stated meaning)."""
        return self._page.samplesperpixel == 1 and len(series.shape) == 3 and series.axes[0] in "CSQI"

    def _axis_of_scattered_channels(self, series: Any) -> int | None:
        """Return the channel axis of the file's one array if its pages are not the channels; else None.

        Either tifffile wrote (H, W, C) as H pages of (W, C), which is its default, or one page's header describes a
        whole (C, H, W) array. Such a file is decoded at once.
        """
        if not self._is_bands(series):
            return None
        if series.shape[2] < min(series.shape[:2]):
            return 2
        return 0 if len(self._pages) < series.shape[0] else None

    @cached_property
    def _whole(self) -> np.ndarray:
        """The whole array (H, W, C) of a file whose channels are not its pages."""
        return np.moveaxis(self._tiff.series[0].asarray(), self._channel_axis or 0, 2)

    def _check_complete(self) -> None:
        size = self._tiff.filehandle.size
        metadata: tuple[dict[str, Any], ...] = self._tiff.shaped_metadata or ()
        declared = metadata[0].get("shape") if metadata else None
        if declared is not None and int(np.prod(declared)) != self._tiff.series[0].size:
            raise OSError(f"its first pages hold {self._tiff.series[0].shape} of {tuple(declared)} values")
        for page in self._pages:
            end = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
            if end > size:
                raise OSError(f"the file ends at byte {size:,}, its data at {end:,}")

    def _raw_window(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        if self._channel_axis is not None:
            return self._whole[top : top + height, left : left + width]
        planes = [self._page_window(n, top, left, height, width) for n in range(len(self._pages))]
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)

    def _page_window(self, number: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        page = self._page
        segment_height, segment_width = (
            (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        )
        segment_height = min(segment_height, page.imagelength)  # one strip may claim 2**32 - 1 rows
        down, across = -(-page.imagelength // segment_height), -(-page.imagewidth // segment_width)
        planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
        window = np.zeros((height, width, page.samplesperpixel), page.dtype)
        for plane in range(planes):
            channels = slice(plane, plane + 1) if planes > 1 else slice(None)
            for row in range(top // segment_height, -(-(top + height) // segment_height)):
                for column in range(left // segment_width, -(-(left + width) // segment_width)):
                    segment = self._segment(number, (plane * down + row) * across + column)
                    if segment is None:  # a sparse file's hole
                        continue
                    y, x = row * segment_height, column * segment_width
                    y0, x0 = max(y, top), max(x, left)
                    y1 = min(y + segment.shape[0], top + height)
                    x1 = min(x + segment.shape[1], left + width)
                    part = segment[y0 - y : y1 - y, x0 - x : x1 - x]
                    window[y0 - top : y1 - top, x0 - left : x1 - left, channels] = part
        return window

    def _segment(self, number: int, index: int) -> np.ndarray | None:
        """Return one decoded tile or strip (h, w, C), cached up to a total size; None for a hole of a sparse file."""
        key = (number, index)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        page, keyframe = self._pages[number], self._page
        offset, size = page.dataoffsets[index], page.databytecounts[index]
        if size == 0:
            return None
        # tifffile builds these on first use and reads the file to do so: ask before seeking.
        decode, tables, header = keyframe.decode, keyframe.jpegtables, keyframe.jpegheader
        handle = self._tiff.filehandle
        handle.seek(offset)
        data = decode(handle.read(size), index, jpegtables=tables, jpegheader=header)[0]
        if data is None:
            return None
        segment = np.asarray(data)[0]  # (depth 1, h, w, C)
        self._cache[key] = segment
        self._cached += segment.nbytes
        while len(self._cache) > 1 and self._cached > _CACHE_BYTES:
            self._cached -= self._cache.popitem(last=False)[1].nbytes
        return segment
