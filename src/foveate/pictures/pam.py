"""GDAL's file beside a raster, `NAME.tif.aux.xml`, which states what the raster's own format has no place for."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import unescape

_FIRST_BAND = re.compile(r"<PAMRasterBand\b[^>]*\bband\s*=\s*[\"']1[\"'][^>]*>(.*?)</PAMRasterBand>", re.DOTALL)
_CATEGORY = re.compile(r"<Category\b[^>]*>\s*([^<]*?)\s*</Category>")
_NODATA = re.compile(r"<NoDataValue\b[^>]*>\s*([^<]*?)\s*</NoDataValue>")


def stated_nodata(path: Path) -> float | None:
    """The value of the first band that the file beside a raster declares to be no data; None if it declares none."""
    found = _NODATA.search(_first_band(path))
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def stated_categories(path: Path) -> list[str]:
    """Names of the values 0, 1, ... of the first band, as the file beside a raster has them; [] if it has none."""
    return [unescape(name) for name in _CATEGORY.findall(_first_band(path))]


def _first_band(path: Path) -> str:
    beside = path.with_name(f"{path.name}.aux.xml")
    try:
        band = _FIRST_BAND.search(beside.read_text("utf-8", errors="replace")) if beside.is_file() else None
    except OSError:
        return ""
    return band[1] if band else ""
