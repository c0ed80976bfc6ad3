"""Image pyramids and local normalisation.

Shapes: x (B, C, H, W). Level l of a pyramid is (B, C, ceil(H / 2^l), ceil(W / 2^l)).

Sources: Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code" (1983); Farabet, Couprie, Najman and LeCun,
"Learning Hierarchical Features for Scene Labeling" (2013), section 3.1 and the preprocessing of section 5.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError

# Burt and Adelson's w with a = 0.4: close to a Gaussian, and separable.
BURT = (0.05, 0.25, 0.4, 0.25, 0.05)
# Y, U and V of an RGB image (BT.601).
YUV = ((0.299, 0.587, 0.114), (-0.14713, -0.28886, 0.436), (0.615, -0.51499, -0.10001))


def rgb_to_yuv(x: Tensor) -> Tensor:
    """Convert RGB to luminance and two colour differences, (B, 3, H, W). Raises ConfigError for other channels."""
    if x.ndim != 4 or x.shape[1] != 3:
        raise ConfigError(f"images of shape {tuple(x.shape)} are not RGB; give (B, 3, H, W)")
    return torch.einsum("yc,bchw->byhw", x.new_tensor(YUV), x)


def shrink(x: Tensor) -> Tensor:
    """Blur and keep every second pixel (REDUCE): (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
    return _blur_half(F.pad(x, (2, 2, 2, 2), mode="replicate"))


def expand(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Insert zeros between the pixels and blur (EXPAND), back to size (H, W); a constant map stays constant."""
    upsampled = _spread(x)[..., : size[0], : size[1]]
    # At the border the filter covers fewer pixels than inside; dividing by their weight keeps constants.
    return upsampled / _spread(torch.ones_like(x[:1, :1]))[..., : size[0], : size[1]]


def laplacian(x: Tensor, levels: int) -> list[Tensor]:
    """Return `levels` maps, finest first: each level minus the expanded next one, then the coarsest itself.

    x = map 0 + expand(map 1 + expand(map 2 ...)), exactly. Raises ConfigError for less than one level.
    """
    if levels < 1:
        raise ConfigError(f"a pyramid of {levels} levels; expected 1 or more")
    maps = []
    for _ in range(levels - 1):
        smaller = shrink(x)
        maps.append(x - expand(smaller, (x.shape[-2], x.shape[-1])))
        x = smaller
    return [*maps, x]


def normalize_locally(x: Tensor, size: int = 15, floor: float = 1e-2) -> Tensor:
    """Normalise the size x size neighbourhood of every pixel to zero mean and unit deviation, each channel separately.

    size: side of the neighbourhood in pixels, odd. At the border only the pixels inside the image count.
    floor: smallest deviation that is divided by, so that noise in flat areas is not amplified.

    Raises ConfigError for an even size.
    """
    if size < 1 or size % 2 == 0:
        raise ConfigError(f"a neighbourhood of {size}x{size} pixels has no central pixel; give an odd size")
    mean = _box(x, size)
    centred = x - mean
    deviation = (_box(x * x, size) - mean * mean).clamp_min(0).sqrt()
    return centred / deviation.clamp_min(floor)


def _box(x: Tensor, size: int) -> Tensor:
    """Return the mean over each pixel's neighbourhood, columns first: 2 size terms instead of size^2."""
    down = F.avg_pool2d(x, (size, 1), 1, (size // 2, 0), count_include_pad=False)
    return F.avg_pool2d(down, (1, size), 1, (0, size // 2), count_include_pad=False)


def _blur_half(x: Tensor) -> Tensor:
    """Blur with BURT down and to the right at every second pixel, each channel separately."""
    down, right = _filters(x)
    x = F.conv2d(x, down, stride=(2, 1), groups=x.shape[1])
    return F.conv2d(x, right, stride=(1, 2), groups=x.shape[1])


def _spread(x: Tensor) -> Tensor:
    """Apply the transpose of `_blur_half`: (B, C, h, w) -> (B, C, 2 h, 2 w)."""
    down, right = _filters(x)
    x = F.conv_transpose2d(x, down, None, (2, 1), (2, 0), (1, 0), x.shape[1])
    return F.conv_transpose2d(x, right, None, (1, 2), (0, 2), (0, 1), x.shape[1])


def _filters(x: Tensor) -> tuple[Tensor, Tensor]:
    weights = x.new_tensor(BURT).expand(x.shape[1], 1, 1, 5)
    return weights.transpose(-1, -2), weights
