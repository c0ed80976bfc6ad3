"""Pyramids: what is taken apart goes together again; scipy and float64 as references."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.color import rgb2yuv

from foveate.errors import ConfigError
from foveate.ops.pyramid import BURT, expand, laplacian, normalize_locally, rgb_to_yuv, shrink


@pytest.mark.parametrize("size", [(32, 48), (31, 45), (5, 4)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_laplacian_pyramid_goes_together_again(size, levels):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    maps = laplacian(x, levels)
    assert len(maps) == levels
    back = maps[-1]
    for finer in reversed(maps[:-1]):
        back = finer + expand(back, finer.shape[-2:])
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)


def test_shrinking_is_scipys_filter_at_every_second_pixel():
    torch.manual_seed(0)
    x = torch.randn(1, 1, 21, 16, dtype=torch.float64)
    blurred = ndimage.correlate1d(x[0, 0].numpy(), BURT, 0, mode="nearest")
    blurred = ndimage.correlate1d(blurred, BURT, 1, mode="nearest")
    np.testing.assert_allclose(shrink(x)[0, 0].numpy(), blurred[::2, ::2], atol=1e-12)


def test_a_constant_has_no_detail():
    fine, finer, coarse = laplacian(torch.full((1, 2, 19, 26), 3.0, dtype=torch.float64), 3)
    assert fine.abs().max() < 1e-12
    assert finer.abs().max() < 1e-12
    torch.testing.assert_close(coarse, torch.full_like(coarse, 3.0))


def test_local_normalisation_is_scipys_local_moments():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 40, 37, dtype=torch.float64)
    out = normalize_locally(x, 15)[0].numpy()
    for channel, plane in zip(out, x[0].numpy(), strict=True):
        mean = ndimage.uniform_filter(plane, 15, mode="constant")
        square = ndimage.uniform_filter(plane**2, 15, mode="constant")
        inside = (slice(7, -7), slice(7, -7))  # at the border ours shrinks the neighbourhood, scipy fills it
        expected = (plane - mean) / np.sqrt(square - mean**2)
        np.testing.assert_allclose(channel[inside], expected[inside], atol=1e-9)


def test_local_normalisation_does_not_see_brightness_or_contrast():
    torch.manual_seed(0)
    x = torch.rand(1, 1, 30, 30, dtype=torch.float64)
    torch.testing.assert_close(normalize_locally(7 * x + 3), normalize_locally(x))
    assert normalize_locally(torch.full((1, 1, 9, 9), 5.0)).abs().max() < 1e-3  # flat: nothing, not noise


def test_noise_below_the_floor_is_not_amplified():
    """The difference from the mean is divided by the floor where the deviation is less, by the deviation elsewhere."""
    torch.manual_seed(0)
    noise = torch.randn(1, 1, 40, 40, dtype=torch.float64)
    inside = (..., slice(2, -2), slice(2, -2))
    windows = noise.unfold(2, 5, 1).unfold(3, 5, 1).flatten(-2)
    centred, deviation = noise[inside] - windows.mean(-1), windows.std(-1, correction=0)
    for scale in (1e-4, 1e-2 / float(deviation.median()), 1.0):
        expected = scale * centred / (scale * deviation).clamp(min=1e-2)
        torch.testing.assert_close(normalize_locally(scale * noise + 3, 5)[inside], expected, rtol=1e-6, atol=1e-8)
    flat = normalize_locally(1e-4 * noise, 5)
    assert flat.abs().max() < 0.1  # not the unit deviation of noise
    torch.testing.assert_close(normalize_locally(1e-4 * noise, 5, floor=1e-3), 10 * flat)


def test_yuv_is_scikit_images():
    torch.manual_seed(0)
    x = torch.rand(1, 3, 4, 5, dtype=torch.float64)
    expected = rgb2yuv(x[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(rgb_to_yuv(x)[0].permute(1, 2, 0).numpy(), expected, atol=1e-4)


def test_gradients_are_right():
    torch.manual_seed(0)
    x = torch.randn(1, 1, 7, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: tuple(laplacian(v, 2)), x)
    assert torch.autograd.gradcheck(lambda v: normalize_locally(v, 3), x)


def test_no_level_is_refused():
    with pytest.raises(ConfigError, match="a pyramid of 0 levels; expected 1 or more"):
        laplacian(torch.zeros(1, 1, 4, 4), 0)


def test_channels_and_neighbourhoods_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"shape \(1, 1, 4, 4\) are not RGB; give \(B, 3, H, W\)"):
        rgb_to_yuv(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ConfigError, match="4x4 pixels has no central pixel; give an odd size"):
        normalize_locally(torch.zeros(1, 1, 9, 9), 4)
