"""The transposed convolution: what it is, and what it is not.

Shapes: x (1, C, H, W); weight (C, D, k, k): a convolution's from D to C channels, and its transpose's from C to D.
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
    """UpConv with random weights, and what autograd sends back through a convolution with the same ones."""
    return Claim(
        section=SECTION,
        claim="The transposed convolution is the backward pass of a convolution.",
        effect="{:.1f} digits agree with the gradient of a convolution with the same weights",
        measure=_upconv_is_the_backward_pass,
        holds=DIGITS,
        partly=DIGITS,
    )


def _upconv(seed: int) -> UpConv:
    torch.manual_seed(seed)
    upconv = UpConv(3, STRIDE, mixing=True, cropped=False).double().requires_grad_(False)
    nn.init.normal_(upconv.weight)
    return upconv


def _upconv_is_the_backward_pass(seed: int) -> tuple[float]:
    upconv = _upconv(seed)
    x = torch.randn(1, 3, 7, 6, dtype=torch.float64)
    # y = conv(z): what arrives at z when x arrives at y, is d<y, x> / dz.
    z = torch.zeros_like(upconv(x), requires_grad=True)
    (back,) = torch.autograd.grad(F.conv2d(z, upconv.weight, stride=STRIDE), z, grad_outputs=x)
    return (digits(upconv(x), back),)


@claim("upconv_stamps_and_sums")
def upconv_stamps_and_sums() -> Claim:
    """UpConv with random weights, and a loop that stamps the weighted filter into the output."""
    return Claim(
        section=SECTION,
        claim="Each input value weights a copy of the filter, which is stamped into the output a stride further; where "
        "copies overlap, they are summed.",
        effect="{:.1f} digits agree with a loop that does this, word for word",
        measure=_upconv_stamps_and_sums,
        holds=DIGITS,
        partly=DIGITS,
    )


def _upconv_stamps_and_sums(seed: int) -> tuple[float]:
    upconv = _upconv(seed)
    x = torch.randn(1, 3, 7, 6, dtype=torch.float64)
    return (digits(upconv(x), stamp(x, upconv.weight, STRIDE)),)


@claim("upconv_is_no_inverse")
def upconv_is_no_inverse() -> Claim:
    """A convolution that can be undone, by least squares; and what its transpose makes of its output."""
    return Claim(
        section=SECTION,
        claim='"Deconvolution" is a bad name: it does not undo a convolution.',
        effect="{:.0f} % of the input is missed by the transpose, at its best scale; solving for the input misses "
        "{:.0e} %",
        measure=_upconv_is_no_inverse,
        holds=10.0,  # no rounding, and no blur that could pass for an inverse
        partly=1.0,
    )


def _upconv_is_no_inverse(seed: int) -> tuple[float, float]:
    torch.manual_seed(seed)
    # Eight answers for every four pixels: nothing of the input is lost, so that there is something to undo it with.
    weight = torch.randn(8, 1, 4, 4, dtype=torch.float64)
    x = torch.randn(1, 1, 10, 10, dtype=torch.float64)

    def conv(z: Tensor) -> Tensor:
        return F.conv2d(z, weight, stride=STRIDE, padding=1)

    transposed = F.conv_transpose2d(conv(x), weight, stride=STRIDE, padding=1)
    scale = (x * transposed).sum() / transposed.square().sum()  # the best there is: argmin_s |x - s transposed|
    # The convolution as a matrix: a column is its answer to one pixel.
    matrix = conv(torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape[1:])).flatten(1).T
    solved = torch.linalg.lstsq(matrix, conv(x).flatten()[:, None]).solution.view_as(x)
    return _missed(scale * transposed, x), _missed(solved, x)


def _missed(guess: Tensor, x: Tensor) -> float:
    """How far a guess of x is from it, in percent of x's length."""
    return 100 * float((guess - x).norm() / x.norm())
