"""From pixels to the ground: the affine map and the coordinate system that GeoTIFF's tags state.

OGC GeoTIFF Standard 1.1 (2019), annexes B and C; requirements 7.1 to 7.5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveate.pictures.windows import Ground

_SCALE, _TIES, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_RASTER, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072  # keys: type of raster, codes of the coordinate systems
_POINT = 2  # type of raster whose coordinates are those of the middles of pixels
_USER_DEFINED = 32767
WGS84 = 4326


class Placement(NamedTuple):
    """Affine map of an image to the ground: place = matrix @ (x, y, 1), and the code of the coordinate system.

    x, y: in pixels, (0, 0) the outer corner of the first. matrix: (2, 3) float64. epsg: None where the file names no
    system by its code.
    """

    matrix: np.ndarray
    epsg: int | None

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the places (n, 2) of points (n, 2): x or longitude first."""
        placed: np.ndarray = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return placed


def placement(ground: Ground) -> Placement | None:
    """Return the map of an image's tags; None where they hold no affine map, such as control points alone."""
    tags = {code: value for code, _, _, value in ground.tags}
    ties = np.array(tags.get(_TIES, ()), np.float64).reshape(-1, 6)
    if _MATRIX in tags:
        matrix = np.array(tags[_MATRIX], np.float64).reshape(4, 4)[:2][:, [0, 1, 3]]
    elif _SCALE in tags and len(ties):
        across, down = np.array(tags[_SCALE], np.float64)[:2]
        column, row, _, x, y, _ = ties[0]
        matrix = np.array([[across, 0, x - across * column], [0, -down, y + down * row]])
    else:
        return None
    keys = _short_keys(tags.get(_KEYS, ()))
    if keys.get(_RASTER) == _POINT:  # from the middle of the first pixel to its corner
        matrix[:, 2] -= matrix[:, :2] @ (0.5, 0.5)
    code = keys.get(_PROJECTED, keys.get(_GEOGRAPHIC))
    return Placement(matrix, code if code and code != _USER_DEFINED else None)


def _short_keys(directory: tuple[int, ...]) -> dict[int, int]:
    """The keys of a GeoKeyDirectory whose value is one number: a header of four, then (key, tag, count, value) each."""
    entries = np.array(directory[4:], np.int64)
    entries = entries[: len(entries) // 4 * 4].reshape(-1, 4)
    return {int(key): int(value) for key, tag, count, value in entries if tag == 0 and count == 1}
