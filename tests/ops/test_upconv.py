"""The laws of the transposed convolution, in float64 where they are exact."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.upconv import UpConv, bilinear_kernel, stamp

STRIDES = [1, 2, 3, 4, 5, 8]


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def kernel(stride: int) -> Tensor:
    return bilinear_kernel(stride).double()


def equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# --- the filter


@pytest.mark.parametrize(
    ("stride", "tent"),
    [
        (1, [1.0]),
        (2, [1 / 4, 3 / 4, 3 / 4, 1 / 4]),
        (3, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
        (4, [1 / 8, 3 / 8, 5 / 8, 7 / 8, 7 / 8, 5 / 8, 3 / 8, 1 / 8]),
    ],
)
def test_bilinear_kernel_by_hand(stride: int, tent: list[float]) -> None:
    expected = torch.tensor([[a * b for b in tent] for a in tent])
    torch.testing.assert_close(bilinear_kernel(stride), expected)


@pytest.mark.parametrize("stride", [*STRIDES, 16, 32])
def test_bilinear_kernel_shares_out_every_output_pixel(stride: int) -> None:
    weight = kernel(stride)
    assert weight.shape == (2 * stride - stride % 2,) * 2
    equal(weight, weight.T)
    equal(weight, weight.flip(0, 1))
    # The stamps that meet in one output pixel are `stride` apart in the filter: their weights sum to 1.
    for phase in range(stride):
        assert weight[phase::stride, ::stride].sum() == pytest.approx(1, abs=1e-6)


# --- what it does


def test_stamping_by_hand() -> None:
    x = torch.tensor([[[[1.0, 10.0]]]])
    weight = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    # 1 2 3 . .        stride 2: the second stamp lands two pixels on,
    # . . 10 20 30     and the third pixel belongs to both.
    assert stamp(x, weight, 2).tolist() == [[[[1, 2, 13, 20, 30]]]]
    assert stamp(x, weight, 1).tolist() == [[[[1, 12, 23, 30]]]]
    assert stamp(x, weight, 4).tolist() == [[[[1, 2, 3, 0, 10, 20, 30]]]]  # stride > filter leaves a gap


def test_stamping_adds_over_input_channels() -> None:
    x = torch.tensor([[[[1.0]], [[10.0]]]])
    weight = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]], [[[3.0, 4.0]], [[5.0, 0.0]]]])
    assert stamp(x, weight, 1).tolist() == [[[[31, 42]], [[50, 1]]]]


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [(3, 3), (4, 4), (2, 5)])
def test_the_transposed_convolution_is_stamping(stride: int, size: tuple[int, int]) -> None:
    x, weight = random(2, 3, 4, 5), random(3, 2, *size, seed=1)
    equal(stamp(x, weight, stride), F.conv_transpose2d(x, weight, stride=stride))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("mixing", [False, True])
@pytest.mark.parametrize("cropped", [False, True])
def test_upconv_is_stamping_then_cropping(stride: int, mixing: bool, cropped: bool) -> None:
    up = UpConv(3, stride, mixing=mixing, cropped=cropped).double()
    with torch.no_grad():
        up.weight.copy_(random(*up.weight.shape, seed=2))
    x = random(2, 3, 4, 5)
    dense = up.weight if mixing else torch.eye(3).double()[:, :, None, None] * up.weight
    expected = stamp(x, dense, stride)
    if cropped:
        margin = (dense.shape[-1] - stride) // 2
        expected = expected[:, :, margin : margin + 4 * stride, margin : margin + 5 * stride]
    equal(up(x), expected)


# --- what it is: the adjoint of a convolution


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("padding", [0, 1])
def test_it_is_the_backward_pass_of_the_convolution(stride: int, padding: int) -> None:
    weight = random(2, 3, 4, 4)  # a convolution from 3 to 2 channels; upwards, from 2 to 3
    y = random(1, 2, 3, 5, seed=1)
    size = [stride * (n - 1) + 4 - 2 * padding for n in (3, 5)]
    _, backward = torch.func.vjp(
        lambda x: F.conv2d(x, weight, stride=stride, padding=padding), random(1, 3, *size, seed=2)
    )
    equal(F.conv_transpose2d(y, weight, stride=stride, padding=padding), backward(y)[0])
    if padding == 0:
        equal(stamp(y, weight, stride), backward(y)[0])


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("mixing", [False, True])
def test_upconv_is_adjoint_to_the_convolution(stride: int, mixing: bool) -> None:
    up = UpConv(2, stride, mixing=mixing).double()
    with torch.no_grad():
        up.weight.copy_(random(*up.weight.shape, seed=3))
    x, y = random(1, 2, 4 * stride, 3 * stride), random(1, 2, 4, 3, seed=1)
    down = F.conv2d(x, up.weight, stride=stride, padding=up.padding, groups=up.groups)
    assert down.shape == y.shape
    assert (down * y).sum().item() == pytest.approx((x * up(y)).sum().item(), rel=1e-12)
    # ... which makes it the convolution's backward pass, and the convolution the backward pass of it.
    y.requires_grad_()
    up(y).backward(x)
    equal(y.grad, down.detach())


def test_it_is_not_the_inverse_of_the_convolution() -> None:
    weight = kernel(2)[None, None]
    x = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    there = F.conv_transpose2d(x, weight, stride=2, padding=1)
    back = F.conv2d(there, weight, stride=2, padding=1)
    # In the middle the output is 1 everywhere, and the filter sums to 4.
    assert back[0, 0, 1, 1] == 4
    assert not torch.allclose(back, x)
    # Nor up to a factor: a single pixel comes back smeared over its neighbours. Along one axis the tent
    # (1 3 3 1) / 4 meets itself with 20/16, and itself two pixels on with 6/16.
    point = torch.zeros_like(x)
    point[0, 0, 1, 1] = 1
    smeared = F.conv2d(F.conv_transpose2d(point, weight, stride=2, padding=1), weight, stride=2, padding=1)
    axis = torch.tensor([6, 20, 6], dtype=torch.float64) / 16
    equal(smeared[0, 0], torch.outer(axis, axis))


# --- how it starts: bilinear interpolation


@pytest.mark.parametrize("stride", [*STRIDES, 16])
@pytest.mark.parametrize("mixing", [False, True])
def test_the_start_is_bilinear_interpolation(stride: int, mixing: bool) -> None:
    up = UpConv(3, stride, mixing=mixing).double()
    x = random(2, 3, 5, 6)
    ours = up(x)
    theirs = F.interpolate(x, scale_factor=stride, mode="bilinear", align_corners=False)
    assert ours.shape == theirs.shape
    edge = stride // 2
    inside = (..., slice(edge, 5 * stride - edge), slice(edge, 6 * stride - edge))
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=1e-6)
    # All of it, edges included, is the interpolation of the input with zeros around it.
    around = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=stride, mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, around[..., stride:-stride, stride:-stride], rtol=0, atol=1e-6)


@pytest.mark.parametrize("stride", [2, 3, 4, 8])
def test_the_start_fades_at_the_edge_where_interpolation_repeats_it(stride: int) -> None:
    flat = torch.ones(1, 1, 4, 4)
    out = UpConv(1, stride)(flat)[0, 0]
    edge = stride // 2
    torch.testing.assert_close(out[edge:-edge, edge:-edge], torch.ones_like(out[edge:-edge, edge:-edge]))
    # The outermost pixel lies (s - 1) / 2 before the first input pixel's centre, of s to the zeros beyond.
    assert out[0, 2 * stride].item() == pytest.approx(1 - (stride - 1) / 2 / stride)
    assert out[0, 0].item() == pytest.approx((1 - (stride - 1) / 2 / stride) ** 2)


def test_values_by_hand() -> None:
    x = torch.tensor([[[[4.0, 8.0]]]])
    # One row: its values at 1/4 and 3/4 between neighbours (4, 8, and 0 beyond), times the column's fade of 3/4.
    row = [3.0, 5.0, 7.0, 6.0]
    torch.testing.assert_close(UpConv(1, 2)(x), torch.tensor([[[[0.75 * v for v in row]] * 2]]).view(1, 1, 2, 4))
    whole = UpConv(1, 2, cropped=False)(x)[0, 0]
    torch.testing.assert_close(whole[1], torch.tensor([1.0, 3.0, 5.0, 7.0, 6.0, 2.0]) * 0.75)


# --- the module


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (4, 3)])
def test_sizes(stride: int, height: int, width: int) -> None:
    x = torch.zeros(2, 3, height, width)
    assert UpConv(3, stride)(x).shape == (2, 3, stride * height, stride * width)
    size = 2 * stride - stride % 2
    uncropped = UpConv(3, stride, cropped=False)(x)
    assert uncropped.shape == (2, 3, stride * (height - 1) + size, stride * (width - 1) + size)


def test_layouts_start_as_the_same_function_and_then_differ() -> None:
    x = torch.rand(1, 4, 3, 5)
    each, full = UpConv(4, 2), UpConv(4, 2, mixing=True)
    assert each.weight.shape == (4, 1, 4, 4)
    assert full.weight.shape == (4, 4, 4, 4)
    torch.testing.assert_close(each(x), full(x))
    assert not full.weight[~torch.eye(4, dtype=torch.bool)].any()
    full(x).square().sum().backward()
    assert full.weight.grad is not None
    assert (full.weight.grad[0, 1] != 0).any()  # channels may learn to mix


def test_fixed_filters_are_saved_but_not_learned() -> None:
    fixed = UpConv(2, 4, learned=False)
    assert list(fixed.parameters()) == []
    assert list(fixed.state_dict()) == ["weight"]
    learned = UpConv(2, 4)
    learned.load_state_dict(fixed.state_dict())
    assert [name for name, _ in learned.named_parameters()] == ["weight"]
    assert "learned=False" in repr(fixed)
    assert "(2, 1, 8, 8)" in repr(learned)


@pytest.mark.parametrize("mixing", [False, True])
@pytest.mark.parametrize("stride", [2, 3])
def test_gradients(mixing: bool, stride: int) -> None:
    up = UpConv(2, stride, mixing=mixing).double()
    weight = random(*up.weight.shape).requires_grad_()
    x = random(1, 2, 2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, w: torch.func.functional_call(up, {"weight": w}, (v,)), (x, weight))
    dense = random(2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, w: stamp(v, w, stride), (x, dense))


def test_errors() -> None:
    for stride in (0, -2):
        with pytest.raises(ConfigError, match=f"cannot upsample by a stride of {stride}; give a whole number of 1"):
            bilinear_kernel(stride)
        with pytest.raises(ConfigError, match="cannot upsample by a stride"):
            UpConv(3, stride)
        with pytest.raises(ConfigError, match="cannot stamp at a stride"):
            stamp(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), stride)
    with pytest.raises(ConfigError, match="cannot upsample 0 channels"):
        UpConv(0, 2)
    with pytest.raises(ConfigError, match=r"UpConv is built for 3 channels, got 2 \(input of shape \(1, 2, 4, 4\)\)"):
        UpConv(3, 2)(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ConfigError, match="filters for 2 input channels, but the input has 1"):
        stamp(torch.zeros(1, 1, 2, 2), torch.zeros(2, 1, 2, 2), 1)


def test_the_default_type_is_the_users() -> None:
    assert bilinear_kernel(3).dtype == torch.float32
    assert math.isclose(bilinear_kernel(3).sum().item(), 9, rel_tol=1e-6)
