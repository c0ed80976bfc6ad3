"""Tiny IDX files for tests, written by hand."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(values: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(np.uint8).tobytes()


def put(folder: Path, part: str, images: np.ndarray, labels: np.ndarray, end: str = "") -> None:
    """A part's two files; `end` may be '.gz'."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in ((f"{part}-images-idx{images.ndim}-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
        data = idx_bytes(values)
        (folder / f"{name}{end}").write_bytes(gzip.compress(data) if end else data)
