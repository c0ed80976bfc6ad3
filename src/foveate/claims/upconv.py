"""Transposed convolution: equivalent definitions, and its difference from an inverse.

Shapes: x (1, C, H, W); weight (C, D, k, k) of a convolution from D to C channels and of its transpose from C to D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import Claim
from foveate.claims.exact import DIGITS, digits
from foveate.ops.upconv import UpConv, stamp
from foveate.registry import claim

SECTION = "Deconvolution"
STRIDE = 2


@claim("upconv_is_the_backward_pass")
def upconv_is_the_backward_pass() -> Claim:
    """Compare UpConv with random weights with autograd's gradient of a convolution with the same weights."""
    return Claim(
        section=SECTION,
        claim="The transposed convolution is the backward pass of a convolution.",
        effect="{:.1f} digits agree with the gradient of a convolution with the same weights",
        measure=_upconv_is_the_backward_pass,
        holds=DIGITS,
        partly=DIGITS,
        law=True,
    )


def _upconv(seed: int) -> UpConv:
    torch.manual_seed(seed)
    upconv = UpConv(3, STRIDE, mixing=True, cropped=False).double().requires_grad_(False)
    nn.init.normal_(upconv.weight)
    return upconv


def _upconv_is_the_backward_pass(seed: int) -> tuple[float]:
    upconv = _upconv(seed)
    x = torch.randn(1, 3, 7, 6, dtype=torch.float64)
    # y = conv(z): the gradient at z for a gradient x at y is d<y, x> / dz.
    z = torch.zeros_like(upconv(x), requires_grad=True)
    (gradient,) = torch.autograd.grad(F.conv2d(z, upconv.weight, stride=STRIDE), z, grad_outputs=x)
    return (digits(upconv(x), gradient),)


@claim("upconv_stamps_and_sums")
def upconv_stamps_and_sums() -> Claim:
    """Compare UpConv with random weights with a loop that adds the weighted filter to the output."""
    return Claim(
        section=SECTION,
        claim="Each input value weights a copy of the filter, which is stamped into the output a stride further; where "
        "copies overlap, they are summed.",
        effect="{:.1f} digits agree with a loop that does this, word for word",
        measure=_upconv_stamps_and_sums,
        holds=DIGITS,
        partly=DIGITS,
        law=True,
    )


def _upconv_stamps_and_sums(seed: int) -> tuple[float]:
    upconv = _upconv(seed)
    x = torch.randn(1, 3, 7, 6, dtype=torch.float64)
    return (digits(upconv(x), stamp(x, upconv.weight, STRIDE)),)


@claim("upconv_is_no_inverse")
def upconv_is_no_inverse() -> Claim:
    """Compare the transpose of an invertible convolution with its inverse, which is computed by least squares."""
    return Claim(
        section=SECTION,
        claim='"Deconvolution" is a bad name: it does not undo a convolution.',
        effect="{:.0f} % of the input is missed by the transpose, at its best scale; solving for the input misses "
        "{:.0e} %",
        measure=_upconv_is_no_inverse,
        holds=10.0,  # far above rounding, and above a blur that could be taken for an inverse
        partly=1.0,
        law=True,
    )


def _upconv_is_no_inverse(seed: int) -> tuple[float, float]:
    torch.manual_seed(seed)
    # Eight outputs for every four pixels: no information of the input is lost, so that an inverse exists.
    weight = torch.randn(8, 1, 4, 4, dtype=torch.float64)
    x = torch.randn(1, 1, 10, 10, dtype=torch.float64)

    def conv(z: Tensor) -> Tensor:
        return F.conv2d(z, weight, stride=STRIDE, padding=1)

    transposed = F.conv_transpose2d(conv(x), weight, stride=STRIDE, padding=1)
    scale = (x * transposed).sum() / transposed.square().sum()  # the optimal scale: argmin_s |x - s transposed|
    # The convolution as a matrix, whose columns are the responses to single pixels.
    matrix = conv(torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape[1:])).flatten(1).T
    solved = torch.linalg.lstsq(matrix, conv(x).flatten()[:, None]).solution.view_as(x)
    return _error(scale * transposed, x), _error(solved, x)


def _error(estimate: Tensor, x: Tensor) -> float:
    """Return the distance of an estimate from x, in percent of the norm of x."""
    return 100 * float((estimate - x).norm() / x.norm())
