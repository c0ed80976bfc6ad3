"""Arrays in NumPy's .npz, checked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from foveate.errors import DataError


def holds_arrays(path: Path, names: Iterable[str]) -> bool:
    """True for an .npz with arrays of these names, which are not read."""
    try:
        with zipfile.ZipFile(path) as content:
            return {f"{name}.npy" for name in names} <= set(content.namelist())
    except Exception:  # as below
        return False


def read_arrays(path: Path, expected: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name; none of Python objects, and texts of characters alone.

    expected: the arrays that it should hold, for the message. Raises DataError.
    """
    try:
        with np.load(path) as content:
            found = {name: content[name] for name in content.files}
    except Exception as error:  # damaged archives make NumPy and zipfile raise nearly every type
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not an .npz that can be read ({reason}); expected the arrays {expected}") from None
    for name, values in found.items():
        if not isinstance(values, np.ndarray):  # NumPy gives the bytes of a member that is no array
            raise DataError(f"{path}: {name} is not an array; expected the arrays {expected}")
        codes = np.ascontiguousarray(values).reshape(-1).view(np.uint32) if values.dtype.kind == "U" else np.zeros(0)
        if values.dtype.byteorder == ">":
            codes = codes.byteswap()
        if codes.size and ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise DataError(f"{path}: the array {name} does not hold text; save it as an array of strings")
    return found
