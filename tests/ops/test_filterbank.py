"""Windows of Gaussian filters: laws, parity with loops, crops and gradients."""

import math

import pytest
import torch

from foveate.errors import ConfigError
from foveate.ops.filterbank import (
    Filterbank,
    Window,
    filter_centres,
    filterbank,
    place_window,
    read_window,
    write_window,
)
from foveate.ops.glimpse import glimpse

SIZE = (9, 13)  # H, W: not square, so that an exchange of the axes shows


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def random_window(generator, batch=3):
    return place_window(0.4 * torch.randn(batch, 5, generator=generator, dtype=torch.float64), SIZE, 4)


def window(x, y, stride, variance, intensity=1.0):
    return Window(*(torch.tensor([float(v)], dtype=torch.float64) for v in (x, y, stride, variance, intensity)))


def test_zeros_are_a_window_over_the_whole_image():
    found = place_window(torch.zeros(1, 5), SIZE, 4)
    assert (found.x.item(), found.y.item()) == (6.0, 4.0)  # the centres of 13 and of 9 pixels
    assert found.stride.item() == pytest.approx(12 / 3)
    assert found.variance.item() == found.intensity.item() == 1.0
    rows, columns = filter_centres(found, 4)
    assert columns.tolist()[0] == pytest.approx([0, 4, 8, 12])  # from edge to edge along the longer side
    assert rows.tolist()[0] == pytest.approx([-2, 2, 6, 10])


def test_the_five_numbers_are_those_of_the_paper():
    """Equations 21 to 24, computed by hand and counted from 1 as in the paper."""
    parameters = torch.tensor([[0.5, -0.25, 0.2, -0.7, 0.3]], dtype=torch.float64)
    found = place_window(parameters, SIZE, 3)
    assert found.x.item() + 1 == pytest.approx((13 + 1) / 2 * 1.5)
    assert found.y.item() + 1 == pytest.approx((9 + 1) / 2 * 0.75)
    assert found.stride.item() == pytest.approx((13 - 1) / (3 - 1) * math.exp(-0.7))
    assert found.variance.item() == pytest.approx(math.exp(0.2))
    assert found.intensity.item() == pytest.approx(math.exp(0.3))


def test_filters_equal_explicit_loops(generator):
    """F[i, a] = exp(-(a - mu_i)^2 / 2 sigma^2) / Z_i with 1-based pixels, as printed."""
    found = random_window(generator)
    banks = filterbank(found, SIZE, 4)
    for b in range(3):
        for bank, centre, pixels in ((banks.y, found.y, SIZE[0]), (banks.x, found.x, SIZE[1])):
            for i in range(1, 5):
                mu = centre[b].item() + 1 + (i - 4 / 2 - 0.5) * found.stride[b].item()
                row = [math.exp(-((a - mu) ** 2) / (2 * found.variance[b].item())) for a in range(1, pixels + 1)]
                for a in range(pixels):
                    assert bank[b, i - 1, a].item() == pytest.approx(row[a] / sum(row), abs=1e-12)


def test_reading_equals_explicit_sums(generator):
    image = torch.randn(3, 2, *SIZE, generator=generator, dtype=torch.float64)
    banks = filterbank(random_window(generator), SIZE, 4)
    expected = torch.einsum("bih,bchw,bjw->bcij", banks.y, image, banks.x)
    torch.testing.assert_close(read_window(image, banks), expected, rtol=0, atol=1e-12)
    patch = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64)
    expected = torch.einsum("bih,bcij,bjw->bchw", banks.y, patch, banks.x)
    torch.testing.assert_close(write_window(patch, banks), expected, rtol=0, atol=1e-12)


def test_writing_is_the_transpose_of_reading(generator):
    """<F_Y x F_X^T, w> = <x, F_Y^T w F_X>."""
    banks = filterbank(random_window(generator), SIZE, 4)
    image = torch.randn(3, 2, *SIZE, generator=generator, dtype=torch.float64)
    patch = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64)
    left, right = (read_window(image, banks) * patch).sum(), (image * write_window(patch, banks)).sum()
    assert left.item() == pytest.approx(right.item(), abs=1e-12)


def test_rows_sum_to_one_and_a_constant_is_read_as_itself(generator):
    banks = filterbank(random_window(generator), SIZE, 4)
    for bank in banks:
        torch.testing.assert_close(bank.sum(-1), torch.ones_like(bank[..., 0]))
    image = torch.full((3, 1, *SIZE), 0.7, dtype=torch.float64)
    torch.testing.assert_close(read_window(image, banks), torch.full((3, 1, 4, 4), 0.7, dtype=torch.float64))


def test_a_window_far_outside_reads_the_pixels_at_the_edge():
    image = torch.arange(9 * 13, dtype=torch.float64).view(1, 1, *SIZE)
    banks = filterbank(window(1e4, -1e4, 1, 0.5), SIZE, 2)
    assert read_window(image, banks).flatten().tolist() == pytest.approx([12.0] * 4)  # the upper right corner


def test_sharp_filters_at_whole_pixels_are_a_crop(generator):
    """Parity with `ops.glimpse`: a 3x3 window of stride 1 around pixel (4, 7)."""
    image = torch.randn(1, 2, *SIZE, generator=generator, dtype=torch.float64)
    banks = filterbank(window(7, 4, 1, 1e-4), SIZE, 3)
    crop = glimpse(image, torch.tensor([4 * 13 + 7]), SIZE, 3)
    torch.testing.assert_close(read_window(image, banks), crop, rtol=0, atol=1e-12)


def test_moving_image_and_window_together_changes_nothing(generator):
    image = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    image[..., 15:22, 14:24] = torch.randn(7, 10, generator=generator, dtype=torch.float64)
    there = read_window(image, filterbank(window(18.3, 17.6, 1.7, 0.8), (40, 40), 4))
    moved = image.roll((3, -2), (2, 3))
    here = read_window(moved, filterbank(window(16.3, 20.6, 1.7, 0.8), (40, 40), 4))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-12)


def test_one_wide_filter_reads_the_mean(generator):
    """N = 1 has an offset of 0 and no division by N - 1."""
    image = torch.randn(1, 1, *SIZE, generator=generator, dtype=torch.float64)
    parameters = torch.tensor([[0.0, 0.0, 30.0, 0.0, 0.0]], dtype=torch.float64)
    found = place_window(parameters, SIZE, 1)
    assert all(torch.isfinite(entry).all() for entry in found)
    value = read_window(image, filterbank(found, SIZE, 1))
    assert value.item() == pytest.approx(image.mean().item(), abs=1e-9)


def test_tied_filters_are_half_a_stride_wide():
    parameters = torch.tensor([[0.0, 0.0, 0.6, -0.4, 0.0]], dtype=torch.float64)
    free, tied = (place_window(parameters, SIZE, 4, tied=tied) for tied in (False, True))
    assert tied.variance.sqrt().item() == pytest.approx(free.variance.sqrt().item() * free.stride.item() / 2)
    assert tied.stride.item() == free.stride.item()


def test_gradients_of_reading_and_writing(generator):
    parameters = (0.3 * torch.randn(2, 5, generator=generator, dtype=torch.float64)).requires_grad_()
    image = torch.randn(2, 2, *SIZE, generator=generator, dtype=torch.float64, requires_grad=True)
    patch = torch.randn(2, 2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    def read(image, parameters):
        found = place_window(parameters, SIZE, 3)
        return read_window(image, filterbank(found, SIZE, 3)) * found.intensity[:, None, None, None]

    def write(patch, parameters):
        found = place_window(parameters, SIZE, 3, tied=True)
        return write_window(patch, filterbank(found, SIZE, 3)) / found.intensity[:, None, None, None]

    assert torch.autograd.gradcheck(read, (image, parameters))
    assert torch.autograd.gradcheck(write, (patch, parameters))


def test_parameters_of_another_shape_are_refused():
    with pytest.raises(ConfigError, match=r"parameters of shape \(2, 4\) for windows of 3 filters"):
        place_window(torch.zeros(2, 4), SIZE, 3)
    with pytest.raises(ConfigError, match="windows of 0 filters a side; give"):
        place_window(torch.zeros(2, 5), SIZE, 0)


def test_a_filterbank_is_rows_then_columns(generator):
    banks = filterbank(random_window(generator), SIZE, 4)
    assert isinstance(banks, Filterbank)
    assert (banks.y.shape, banks.x.shape) == ((3, 4, 9), (3, 4, 13))
