"""Images at a size that a network takes: fitted to its own, cut out of a large one, or seen in tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from foveate.pictures.fitting import fit, seen_window
from foveate.pictures.given import read_all
from foveate.records import Preprocessing

# Above this many pixels an image is seen in tiles, unless the caller says otherwise.
AUTO_TILE_PIXELS = 1_500_000


def middle(image: Tensor, side: int) -> tuple[slice, slice]:
    """The rows and columns in the middle of an image (..., H, W), `side` of each at most."""
    top, left = (max(0, length - side) // 2 for length in image.shape[-2:])
    return slice(top, top + side), slice(left, left + side)


def fit_sample(sample: Any, preprocessing: Any) -> Any:
    """A sample with its image at the network's size, as 'fitted', unless it has that or features already.

    Its own (height, width) is kept as 'size'. Images are fitted one by one, since a batch of whole photographs would
    fill the memory.
    """
    if "fitted" in sample or "features" in sample:
        return sample
    image = read_all(sample["image"])
    rest = {key: value for key, value in sample.items() if key != "image"}
    return rest | {"fitted": fit(image, preprocessing), "size": (image.shape[-2], image.shape[-1])}


def place(points: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> Tensor:
    """Points in -1..1 over the network's input -> in pixels of the image, from its upper left corner.

    points: (..., 2 n), n pairs of x and y, so that a box has two. size: (height, width) of the image, which
    `pictures.fitting.fit` has brought to the network's.
    """
    rows, columns = seen_window(*size, preprocessing)
    corner = torch.tensor([columns.start, rows.start])
    extent = torch.tensor([columns.stop - columns.start, rows.stop - rows.start])
    pairs = (points.unflatten(-1, (-1, 2)) + 1) / 2 * extent + corner
    return pairs.flatten(-2)


def stack_images(fitted: Sequence[Any], preprocessing: Any) -> Tensor:
    """Fitted samples -> their images (B, C, H, W), normalised, in channels_last."""
    images: Tensor = preprocessing(torch.stack([sample["fitted"] for sample in fitted]))
    return images.contiguous(memory_format=torch.channels_last)


def distinct(samples: Sequence[Any], value: Callable[[Any], Any]) -> tuple[list[Any], Tensor]:
    """Samples of which no two share one value, the same object, and the row among them of each sample given, (B,)."""
    owners = {id(value(sample)): sample for sample in samples}
    rows = {key: row for row, key in enumerate(owners)}
    return list(owners.values()), torch.tensor([rows[id(value(sample))] for sample in samples])


def network_inputs(fitted: Sequence[Any], preprocessing: Any) -> dict[str, Tensor]:
    """Fitted samples -> 'features' (B, N, D), where they were computed before, or else 'image' (B, C, H, W)."""
    if "features" in fitted[0]:
        return {"features": torch.stack([sample["features"] for sample in fitted]).float()}
    return {"image": stack_images(fitted, preprocessing)}
