"""Bringing an image to the size that a network takes, or to one that is small enough to draw.

Shapes: an image (C, H, W) as a tensor, (H, W, C) as an array.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from foveate.deferred import functional as F
from foveate.deferred import v2
from foveate.pictures import Windows
from foveate.records import Preprocessing


def seen_window(height: int, width: int, preprocessing: Preprocessing) -> tuple[slice, slice]:
    """Rows and columns of an image of H x W pixels that a network is given, as `Preprocessing` describes them."""
    size = preprocessing.size
    if not size or preprocessing.stretch:
        return slice(0, height), slice(0, width)
    # The largest window of this shape that the image holds, then `crop` of its sides.
    factor = min(height / size[0], width / size[1]) * preprocessing.crop
    down, across = (max(1, round(side * factor)) for side in size)
    top, left = round((height - down) / 2), round((width - across) / 2)
    return slice(top, top + down), slice(left, left + across)


def fit(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Bring an image (C, H, W) to the network's size (C, h, w), as `Preprocessing` describes; its dtype stays."""
    if not preprocessing.size:
        return image
    size = list(preprocessing.size)
    height, width = image.shape[-2:]
    if [height, width] == size and preprocessing.crop == 1:
        return image
    rows, columns = seen_window(height, width, preprocessing)
    return F.resize(image[..., rows, columns], size, v2.InterpolationMode.BILINEAR, antialias=True)


def shrink_factor(windows: Windows, longest: int) -> int:
    """The whole number by which an image is shrunk until its longest side is at most `longest` pixels."""
    return min(-(-max(windows.height, windows.width) // longest), windows.height, windows.width)


def shrink(windows: Windows, longest: int) -> np.ndarray:
    """The image (H, W, C), each pixel the mean of factor x factor (`shrink_factor`); it is read in strips."""
    height, width = windows.height, windows.width
    factor = shrink_factor(windows, longest)
    if factor == 1:
        return windows.read(0, 0, height, width)
    rows, columns = height // factor, width // factor
    small = np.empty((rows, columns, windows.channels), windows.read(0, 0, 1, 1).dtype)
    step = max(1, 2**21 // (width * factor))
    for top in range(0, rows, step):
        count = min(step, rows - top)
        strip = windows.read(top * factor, 0, count * factor, columns * factor)
        blocks = strip.reshape(count, factor, columns, factor, -1)
        mean = blocks.mean((1, 3), dtype=np.float32)
        small[top : top + count] = mean if small.dtype.kind == "f" else mean.round()
    return small
