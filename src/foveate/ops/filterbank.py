"""Windows of Gaussian filters: a patch of N x N values that is read from an image, or written into it, anywhere.

    window = place_window(parameters, (H, W), N)        # (B, 5) -> centre, stride, variance, intensity
    banks = filterbank(window, (H, W), N)
    patch = read_window(image, banks)                   # (B, C, H, W) -> (B, C, N, N), without the intensity
    image = write_window(patch, banks)                  # and back: the transposed filters

Shapes: B images of C channels, H x W pixels; N filters along each axis.

Coordinates are those of pixel centres, counted from 0: the centre of an image of W columns is at (W - 1) / 2. The paper
counts from 1, so its g_X is `x + 1` here, and the filters are the same.

Source: Gregor, Danihelka, Graves, Rezende and Wierstra, "DRAW: A Recurrent Neural Network For Image Generation"
(2015), sections 3.2 and 3.3, equations 19 to 29.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from foveate.errors import ConfigError

# Parameters of a window: the numbers that a linear layer gives for it.
PARAMETERS = 5


class Window(NamedTuple):
    """A grid of N x N Gaussian filters on each image; every entry is (B,)."""

    x: Tensor  # of the grid's centre, in pixels from 0, to the right; g_X - 1
    y: Tensor  # downwards; g_Y - 1
    stride: Tensor  # delta, the distance of neighbouring filters in pixels, above 0
    variance: Tensor  # sigma^2 of each filter, in square pixels, above 0
    intensity: Tensor  # gamma, above 0: what is read is multiplied by it, what is written divided


class Filterbank(NamedTuple):
    """The filters of windows, each row of which sums to 1."""

    y: Tensor  # F_Y (B, N, H)
    x: Tensor  # F_X (B, N, W)


def place_window(parameters: Tensor, size: tuple[int, int], count: int, tied: bool = False) -> Window:
    """Turn the five numbers of a linear layer (B, 5) into windows on images of H x W pixels (equations 21 to 24).

    g_X = (W + 1) / 2 (g~_X + 1),  g_Y = (H + 1) / 2 (g~_Y + 1),  delta = (max(W, H) - 1) / (N - 1) delta~

    delta~, sigma^2 and gamma are exponentials. Zeros are a window over the whole image.

    size: (H, W). count: N; a single filter has no stride, and its delta is that of N = 2.
    tied: multiply sigma by delta / 2, so that filters touch each other at any stride; the paper's do not, and at a
        large stride each sees about one pixel.
    Raises ConfigError for parameters of another shape, or a count below 1.
    """
    if parameters.ndim != 2 or parameters.shape[1] != PARAMETERS or count < 1:
        raise ConfigError(
            f"parameters of shape {tuple(parameters.shape)} for windows of {count} filters a side; give (B, "
            f"{PARAMETERS}) and 1 filter or more"
        )
    height, width = size
    x, y, log_variance, log_stride, log_intensity = parameters.unbind(1)
    stride = (max(height, width) - 1) / max(count - 1, 1) * log_stride.exp()
    variance = log_variance.exp()
    return Window(
        (width + 1) / 2 * (x + 1) - 1,
        (height + 1) / 2 * (y + 1) - 1,
        stride,
        variance * stride.square() / 4 if tied else variance,
        log_intensity.exp(),
    )


def filter_centres(window: Window, count: int) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns (B, N) of the filters' centres, in pixels from 0 (equations 19 and 20)."""
    # mu_i = g + (i - N/2 - 0.5) delta,  i = 1..N
    offsets = torch.arange(1, count + 1, dtype=window.x.dtype, device=window.x.device) - count / 2 - 0.5
    steps = window.stride[:, None] * offsets
    return window.y[:, None] + steps, window.x[:, None] + steps


def filterbank(window: Window, size: tuple[int, int], count: int) -> Filterbank:
    """Build the filters of windows on images of H x W pixels (equations 25 and 26).

    F[i, a] = exp(-(a - mu_i)^2 / 2 sigma^2) / Z_i is computed as a softmax over the pixels a: a window far outside
    reads the pixels at the edge, where sums of exponentials would be 0 / 0.
    """
    rows, columns = filter_centres(window, count)
    scale = (-0.5 / window.variance)[:, None, None]
    banks = (
        (
            (torch.arange(pixels, dtype=centres.dtype, device=centres.device) - centres[..., None]).square() * scale
        ).softmax(-1)
        for centres, pixels in ((rows, size[0]), (columns, size[1]))
    )
    return Filterbank(*banks)


def read_window(image: Tensor, banks: Filterbank) -> Tensor:
    """Read F_Y x F_X^T of every channel: (B, C, H, W) -> (B, C, N, N) (equation 27, without gamma)."""
    batch, channels, height, width = image.shape
    # One product for all channels: (B, N, H) x (B, H, C W), then (B, C N, W) x (B, W, N).
    across = banks.y @ image.transpose(1, 2).reshape(batch, height, channels * width)
    count = across.shape[1]
    lines = across.view(batch, count, channels, width).transpose(1, 2).reshape(batch, channels * count, width)
    return (lines @ banks.x.mT).view(batch, channels, count, count)


def write_window(patch: Tensor, banks: Filterbank) -> Tensor:
    """Write F_Y^T w F_X into every channel: (B, C, N, N) -> (B, C, H, W) (equation 29, without 1 / gamma)."""
    batch, channels, count, _ = patch.shape
    lines = patch.reshape(batch, channels * count, count) @ banks.x
    width = lines.shape[2]
    stacked = lines.view(batch, channels, count, width).transpose(1, 2).reshape(batch, count, channels * width)
    return (banks.y.mT @ stacked).view(batch, -1, channels, width).transpose(1, 2)
