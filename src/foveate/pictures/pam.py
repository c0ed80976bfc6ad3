"""GDAL's file beside a raster, `NAME.tif.aux.xml`, which states what the raster's own format has no place for."""

from __future__ import annotations

import re
from pathlib import Path

_FIRST_BAND = re.compile(r"<PAMRasterBand\b[^>]*\bband\s*=\s*[\"']1[\"'][^>]*>(.*?)</PAMRasterBand>", re.DOTALL)
_NODATA = re.compile(r"<NoDataValue\b[^>]*>\s*([^<]*?)\s*</NoDataValue>")


def stated_nodata(path: Path) -> float | None:
    """The value of the first band that the file beside a raster declares to be no data; None if it declares none."""
    beside = path.with_name(f"{path.name}.aux.xml")
    if not beside.is_file():
        return None
    try:
        band = _FIRST_BAND.search(beside.read_text("utf-8", errors="replace"))
        found = _NODATA.search(band[1]) if band else None
        return float(found[1]) if found else None
    except (OSError, ValueError):
        return None
