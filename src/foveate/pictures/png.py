"""PNG of 16 bits, which Pillow reduces to 8 bits in colour, and of 2 and 4, whose greys it stretches."""

from __future__ import annotations

from typing import BinaryIO

import imagecodecs
import numpy as np

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def is_png16(head: bytes) -> bool:
    """True for the first bytes of a PNG file of 16 bits a channel."""
    return head.startswith(_PNG_MAGIC) and head[24] == 16  # IHDR: width, height (4 bytes each), then the bit depth


def grey_step(head: bytes) -> int:
    """The number by which Pillow multiplies the stored greys of a PNG file of 2 or 4 bits, 85 or 17; 1 for others."""
    if not head.startswith(_PNG_MAGIC) or head[25] != 0:  # IHDR: the bit depth, then the colour type, 0 for grey
        return 1
    return {2: 85, 4: 17}.get(head[24], 1)


def decode_png16(file: BinaryIO) -> np.ndarray:
    """Decode a 16-bit PNG as (H, W) or (H, W, 1..4) uint16."""
    file.seek(0)
    data = file.read()
    if b"IEND" not in data[-64:]:
        raise OSError("the end-of-image marker is missing")
    return np.asarray(imagecodecs.png_decode(data))
