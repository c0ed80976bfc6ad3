"""Masks of two values whose edges were smoothed, by resizing or by JPEG: shades lie between the two.

Of more values than two, shades cannot be told from labels, and are refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foveate.datasets.masks.evidence import shades
from foveate.datasets.masks.grey_values import GreyValues
from foveate.datasets.masks.layers import only_roughly
from foveate.datasets.masks.reader import MaskReader
from foveate.errors import DataError

_FAR = 0.15  # of the range between two main values: shades nearer to one of them are its own, as JPEG leaves them
_INNER = 0.02  # of all inner pixels, at most, lie in shades
_SOLID, _SPECK = 0.2, 0.001  # of a value's pixels are inner where it fills regions; of all pixels are specks
_RARE = 0.1  # of all pixels, at most, are such shades, if they are JPEG's
_BETWEEN = 0.5  # of a shade's pixels, at least, lie between their neighbours


def lossy(greys: GreyValues) -> MaskReader | None:
    """JPEG and lossy WebP: only two classes far apart can be told. Raises DataError for any other."""
    first = next((file for file in greys.found.files if file.lossy), None)
    if first is None:
        return None
    reader = _two_values(greys) if greys.is_plain(2) and len(greys.values) > 1 else None
    if reader is None:
        raise DataError(only_roughly(first.path))
    return reader


def smoothed(greys: GreyValues) -> MaskReader | None:
    """Two values with shades between them along the edges. Raises DataError for shades between more values."""
    if len(greys.values) < 4:
        return None
    reader = _two_values(greys) if greys.is_plain(2) else None
    if reader is None:
        on_edges = shades(greys.edges) & set(greys.unlisted)
        if len(on_edges) > 3 and 2 * len(on_edges) >= len(greys.unlisted):
            raise DataError(
                f"{greys.found.holding(on_edges)[0].path}: {len(on_edges)} values, such as {min(on_edges)}, lie "
                "only on the edges between others, so the masks were smoothed; resize masks without interpolation "
                "(nearest), and save them as PNG"
            )
    return reader


def _two_values(greys: GreyValues) -> MaskReader | None:
    found = greys.edges
    ends = (0, greys.top) if 0 in greys.values and greys.top else sorted(found.codes[np.argsort(found.pixels)[-2:]])
    low, high = (int(end) for end in ends)
    others = (found.codes != low) & (found.codes != high)
    far = (found.codes > low + _FAR * (high - low)) & (found.codes < high - _FAR * (high - low))
    solid = far & (found.inner > _SOLID * found.pixels) & (found.pixels > _SPECK * found.pixels.sum())
    beyond = found.pixels[np.abs(found.codes - (low + high) / 2) > (0.5 + _FAR) * (high - low)].sum()
    third = beyond > _SPECK * found.pixels.sum() or solid.any()
    if third or found.inner[others].sum() > _INNER * found.inner.sum():
        return None
    steps = far.sum() > 2 and found.between[far].sum() >= _BETWEEN * found.pixels[far].sum()
    ringing = (others & (found.codes > high - _FAR * (high - low))).sum() > 2  # JPEG's, around both values
    if not steps and not (ringing and found.pixels[far].sum() <= _RARE * found.pixels.sum()):
        return None
    middle = (low + high + 1) / 2
    remark = (
        f"{greys.binary_form(1)} of {low} and {high} with shades along the edges: "
        f"{int(np.ceil(middle))} and more is class '{greys.two_names[1]}'"
    )
    return replace(greys.reader("binary", greys.two_classes, {low: 0, high: 1}, remark), threshold=middle)
