"""Transposed convolution: learned upsampling, as FCN uses it.

Shapes: x (B, C, H, W); s the stride, the upsampling factor; k the side of the square kernel.

One operator has many names: transposed convolution, backwards convolution, fractionally strided convolution,
upconvolution, and, misleadingly, "deconvolution": it does not invert a convolution. It is the convolution's *adjoint*,
which is its backward pass. Computed forwards, every input value adds a copy of the filter, multiplied by that value, to
the output, s pixels further for each input pixel; where copies overlap they are summed. `stamp` does just that,
literally.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError


def bilinear_kernel(stride: int) -> Tensor:
    """Return the (k, k) filter with which `stride`-fold upsampling is bilinear interpolation; k = 2 s - s mod 2.

    It is a tent of height 1 that falls to 0 at s pixels from the centre, in either direction: w[i, j] = (1 - |i - c| /
    s) (1 - |j - c| / s) with c = (k - 1) / 2.

    Raises ConfigError if stride is less than 1.
    """
    if stride < 1:
        raise ConfigError(f"cannot upsample by a stride of {stride}; give a whole number of 1 or more")
    size = 2 * stride - stride % 2
    distance = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2).abs()
    tent = 1 - distance / stride
    return torch.outer(tent, tent).to(torch.get_default_dtype())


class UpConv(nn.Module):
    """Upsampling by a whole number: a transposed convolution that is initialised to bilinear interpolation.

    channels: C, of the input and the output.
    stride: s, the upsampling factor.
    mixing: True has a filter for each pair of channels, (C, C, k, k), of which the diagonal starts bilinear and the
        rest zero: the original's layout, and that of its checkpoints. False has one filter per channel, (C, 1, k, k):
        the same function at the start, with C times fewer weights.
    learned: False keeps the filters as initialised; they are in the state dict, but are no parameters.
    cropped: True returns exactly s H x s W; False returns every pixel that a filter reaches, s (H - 1) + k, as the
        original does before its own crop.

    In the interior it starts as F.interpolate(mode="bilinear", align_corners=False). In the outermost s // 2 pixels the
    two differ: there interpolation repeats the input's edge, while here nothing is added from beyond it, so the output
    fades as if the input were padded with zeros.

    There is no bias, as in the original. Source: Long, Shelhamer and Darrell, "Fully Convolutional Networks for
    Semantic Segmentation" (2015), sections 3.3 and 4.2. Raises ConfigError if channels or stride is less than 1.
    """

    weight: Tensor

    def __init__(
        self, channels: int, stride: int, *, mixing: bool = False, learned: bool = True, cropped: bool = True
    ) -> None:
        super().__init__()
        if channels < 1:
            raise ConfigError(f"cannot upsample {channels} channels; give 1 or more")
        kernel = bilinear_kernel(stride)
        weight = torch.eye(channels)[:, :, None, None] * kernel if mixing else kernel.repeat(channels, 1, 1, 1)
        if learned:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)
        self.channels = channels
        self.stride = stride
        self.groups = 1 if mixing else channels
        # s (H - 1) + k - 2 padding is s H for even and odd strides alike, as k - s is always even.
        self.padding = (kernel.shape[-1] - stride) // 2 if cropped else 0

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, s H, s W) for x (B, C, H, W), or s (H - 1) + k per side if not cropped.

        Raises ConfigError if C differs.
        """
        if x.shape[1] != self.channels:
            raise ConfigError(
                f"UpConv is built for {self.channels} channels, got {x.shape[1]} (input of shape {tuple(x.shape)}); "
                "build it with the input's number of channels"
            )
        return F.conv_transpose2d(x, self.weight, stride=self.stride, padding=self.padding, groups=self.groups)

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        learned = isinstance(self.weight, nn.Parameter)
        size = tuple(self.weight.shape)
        return f"{self.channels}, stride={self.stride}, weight={size}, padding={self.padding}, learned={learned}"


def stamp(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute the transposed convolution by its definition: a sum of shifted and weighted filters.

    x: (B, C, H, W).
    weight: (C, D, k, l), a filter for each pair of input and output channels.
    stride: s, the distance in output pixels between neighbouring filters.

    Returns (B, D, s (H - 1) + k, s (W - 1) + l). Slow, and meant to be read; `F.conv_transpose2d` is the same operator.

    Raises ConfigError if stride is less than 1 or the channels of x and weight differ.
    """
    if stride < 1:
        raise ConfigError(f"cannot stamp at a stride of {stride}; give a whole number of 1 or more")
    batch, channels, height, width = x.shape
    if weight.shape[0] != channels:
        raise ConfigError(
            f"filters for {weight.shape[0]} input channels, but the input has {channels}; give weight as (C, D, k, l)"
        )
    _, out_channels, tall, wide = weight.shape
    out = x.new_zeros(batch, out_channels, stride * (height - 1) + tall, stride * (width - 1) + wide)
    for i in range(height):
        for j in range(width):
            top, left = stride * i, stride * j
            filters = torch.einsum("bc,cdkl->bdkl", x[:, :, i, j], weight)
            out[:, :, top : top + tall, left : left + wide] += filters
    return out
