"""Images at a size that a network takes: fitted to its own, cut out of a large one, or seen in tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from foveate.pictures.fitting import fit
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

    Images are fitted one by one, since a batch of whole photographs would fill the memory.
    """
    if "fitted" in sample or "features" in sample:
        return sample
    rest = {key: value for key, value in sample.items() if key != "image"}
    return rest | {"fitted": fit(read_all(sample["image"]), preprocessing)}


def place(windows: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> Tensor:
    """Windows (..., 4) in -1..1 over the network's input -> in pixels of the image, whose (height, width) is `size`.

    The input is the middle of the image, as `pictures.fitting.fit` crops it.
    """
    height, width = size
    down, across = height, width
    if preprocessing.size and not preprocessing.stretch:
        factor = min(height / preprocessing.size[0], width / preprocessing.size[1]) * preprocessing.crop
        down, across = (max(1, round(side * factor)) for side in preprocessing.size)
    # Where torchvision's centre crop begins.
    corner = torch.tensor([round((width - across) / 2), round((height - down) / 2)]).repeat(2)
    extent = torch.tensor([across, down]).repeat(2)
    return (windows + 1) / 2 * extent + corner


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
