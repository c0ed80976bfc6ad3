"""The laws of the dense CRF, and parity with mean field over all pairs of pixels in float64."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.crf import CRF

# Both kernels reach over an image of 6x7: what is cut off is nothing.
WHOLE = CRF(appearance=10.0, smoothness=3.0, theta_alpha=3.0, theta_beta=60.0, theta_gamma=2.0, radius=6, dilation=1)


def random_probabilities(*size: int, seed: int = 0) -> Tensor:
    return (2 * torch.randn(*size, generator=torch.Generator().manual_seed(seed))).softmax(0)


def random_image(*size: int, seed: int = 1) -> Tensor:
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def borders(probabilities: Tensor) -> int:
    """How many pixels have a right neighbour of another class."""
    return int((probabilities.argmax(0).diff() != 0).sum())


def brute_force(crf: CRF, probabilities: Tensor, image: Tensor) -> np.ndarray:
    """Mean field from the paper, with an (N, N) matrix a kernel and the Potts model as a (K, K) matrix."""
    p = probabilities.double().numpy()
    classes, height, width = p.shape
    p = p.reshape(classes, -1).T  # (N, K)
    rows, columns = np.mgrid[:height, :width]
    where = np.stack([rows.ravel(), columns.ravel()], 1).astype(float)
    color = image.double().numpy().reshape(len(image), -1).T
    apart = ((where[:, None] - where[None]) ** 2).sum(2)
    unlike = 3 * ((color[:, None] - color[None]) ** 2).mean(2)
    appearance = np.exp(-apart / (2 * crf.theta_alpha**2) - unlike / (2 * crf.theta_beta**2))
    smoothness = np.exp(-apart / (2 * crf.theta_gamma**2))
    pairwise = np.zeros_like(apart)
    for weight, k in ((crf.appearance, appearance), (crf.smoothness, smoothness)):
        n = k.sum(1)
        pairwise += weight * k / np.sqrt(np.outer(n, n))
    np.fill_diagonal(pairwise, 0)
    potts = 1 - np.eye(classes)
    q = p
    for _ in range(crf.iterations):
        q = np.exp(np.log(p) - pairwise @ q @ potts)
        q = q / q.sum(1, keepdims=True)
    return q.T.reshape(classes, height, width)


# --- parity


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("iterations", [1, 2, 5, 10])
def test_it_is_mean_field_over_all_pairs(channels: int, iterations: int) -> None:
    crf = dataclasses.replace(WHOLE, iterations=iterations)
    probabilities, image = random_probabilities(4, 6, 7), random_image(channels, 6, 7)
    expected = brute_force(crf, probabilities, image)
    np.testing.assert_allclose(crf(probabilities, image).numpy(), expected, rtol=0, atol=2e-6)
    assert np.abs(expected - probabilities.numpy()).max() > 0.2  # there was something to compute


def test_one_iteration_by_hand() -> None:
    """Two pixels of the same colour: each kernel is k = [[1, g], [g, 1]], and so n = 1 + g for both."""
    crf = CRF(iterations=1, appearance=2.0, smoothness=0.5, theta_alpha=2.0, theta_gamma=1.0, radius=1, dilation=1)
    probabilities = torch.tensor([[[0.9, 0.4]], [[0.1, 0.6]]])
    near, same = math.exp(-1 / 8), math.exp(-1 / 2)
    pull = 2 * near / (1 + near) + 0.5 * same / (1 + same)
    left = 0.9 * math.exp(pull * 0.4), 0.1 * math.exp(pull * 0.6)
    right = 0.4 * math.exp(pull * 0.9), 0.6 * math.exp(pull * 0.1)
    expected = torch.tensor([[[left[0] / sum(left), right[0] / sum(right)]]])
    out = crf(probabilities, torch.full((3, 1, 2), 80, dtype=torch.uint8))
    torch.testing.assert_close(out[:1], expected)


# --- laws


def test_without_pairwise_weights_the_input_comes_back() -> None:
    probabilities = random_probabilities(4, 9, 8)
    out = CRF(appearance=0, smoothness=0)(probabilities, random_image(3, 9, 8))
    torch.testing.assert_close(out, probabilities)


def test_on_an_image_of_one_colour_appearance_is_smoothness() -> None:
    # The smoothness kernel is cut at 3 theta_gamma = 6 pixels, and so is this window.
    flat = torch.full((3, 20, 17), 0.3)
    probabilities = random_probabilities(4, 20, 17)
    by_appearance = CRF(appearance=20, smoothness=0, theta_alpha=2.0, radius=6, dilation=1)(probabilities, flat)
    by_smoothness = CRF(appearance=0, smoothness=20, theta_gamma=2.0)(probabilities, flat)
    torch.testing.assert_close(by_appearance, by_smoothness, rtol=0, atol=1e-5)
    assert borders(by_smoothness) < borders(probabilities) / 2


def test_colours_without_end_are_an_image_of_one_colour() -> None:
    probabilities = random_probabilities(3, 12, 10)
    blind = CRF(theta_beta=1e9)(probabilities, random_image(3, 12, 10))
    torch.testing.assert_close(blind, CRF()(probabilities, torch.zeros(3, 12, 10)))


def test_uniform_probabilities_stay_uniform() -> None:
    out = CRF()(torch.full((4, 12, 9), 0.25), random_image(3, 12, 9))
    torch.testing.assert_close(out, torch.full((4, 12, 9), 0.25))


@pytest.mark.parametrize("crf", [CRF(), WHOLE])
def test_noise_goes_and_the_edge_stays_on_the_colours_edge(crf: CRF) -> None:
    truth = torch.zeros(40, 50, dtype=torch.int64)
    truth[:, 23:] = 1
    generator = torch.Generator().manual_seed(3)
    colors = torch.tensor([[200.0, 60.0], [80.0, 120.0], [40.0, 180.0]])[:, truth]
    image = (colors + 2 * torch.randn(3, 40, 50, generator=generator)).clamp(0, 255).byte()
    # One pixel in ten is wrong, and the predicted edge is off by two columns.
    shifted = torch.zeros_like(truth)
    shifted[:, 25:] = 1
    predicted = shifted.clone()
    predicted[torch.rand(40, 50, generator=generator) < 0.1] ^= 1
    probabilities = torch.stack([1 - predicted, predicted]) * 0.4 + 0.3
    assert (predicted != truth).sum() > 200
    assert torch.equal(crf(probabilities, image).argmax(0), truth)
    # Where the image has no edge to hold on to, the predicted one stays about where it was.
    flat = crf(probabilities, torch.zeros(3, 40, 50)).argmax(0)
    assert (flat != shifted).float().mean() < 0.05


def test_a_network_that_is_sure_can_be_overruled() -> None:
    probabilities = torch.zeros(2, 15, 15)
    probabilities[0] = 1
    probabilities[:, 7, 7] = torch.tensor([0.0, 1.0])
    out = CRF(appearance=20, dilation=1)(probabilities, torch.zeros(3, 15, 15))
    assert (out.argmax(0) == 0).all()


def test_permuted_classes_give_permuted_answers() -> None:
    probabilities, image = random_probabilities(5, 11, 13), random_image(3, 11, 13)
    order = [3, 0, 4, 1, 2]
    torch.testing.assert_close(CRF()(probabilities[order], image), CRF()(probabilities, image)[order])


@pytest.mark.parametrize("axes", [[1], [2], [1, 2]])
def test_a_flipped_image_gives_the_flipped_answer(axes: list[int]) -> None:
    probabilities, image = random_probabilities(3, 24, 31), random_image(3, 24, 31)
    crf = CRF(dilation=2, theta_beta=60.0)
    torch.testing.assert_close(crf(probabilities.flip(axes), image.flip(axes)), crf(probabilities, image).flip(axes))


def test_a_turned_image_gives_the_turned_answer() -> None:
    probabilities, image = random_probabilities(3, 24, 31), random_image(3, 24, 31)
    crf = CRF(theta_beta=60.0)
    torch.testing.assert_close(crf(probabilities.mT, image.mT), crf(probabilities, image).mT)


def test_a_pixel_is_not_heard_beyond_the_window() -> None:
    crf = CRF(iterations=1, smoothness=0, radius=2, dilation=3)
    probabilities, image = random_probabilities(2, 21, 21), torch.zeros(1, 21, 21)
    changed = probabilities.clone()
    changed[:, 10, 10] = changed[:, 10, 10].flip(0)
    heard = ((crf(changed, image) - crf(probabilities, image)).abs().sum(0) > 1e-6).nonzero() - 10
    grid = {(dy, dx) for dy in (-6, -3, 0, 3, 6) for dx in (-6, -3, 0, 3, 6)}
    assert {tuple(offset) for offset in heard.tolist()} == grid


# --- what goes in and comes out


@pytest.mark.parametrize("classes", [1, 2, 11])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (3, 50), (21, 22)])
def test_any_size_sums_to_one(classes: int, channels: int, height: int, width: int) -> None:
    probabilities = random_probabilities(classes, height, width)
    out = CRF()(probabilities, random_image(channels, height, width))
    assert out.shape == probabilities.shape
    assert out.dtype == torch.float32
    assert (out >= 0).all()
    torch.testing.assert_close(out.sum(0), torch.ones(height, width))
    if height == width == 1:
        torch.testing.assert_close(out, probabilities)


def test_uint8_and_floating_point_are_the_same_image() -> None:
    probabilities, image = random_probabilities(3, 14, 15), random_image(3, 14, 15)
    torch.testing.assert_close(CRF()(probabilities, image), CRF()(probabilities, image / 255))
    half = CRF(theta_beta=60.0)(probabilities.half(), image)
    torch.testing.assert_close(half, CRF(theta_beta=60.0)(probabilities, image), rtol=0, atol=1e-2)


def test_grey_is_refined_as_its_rgb_copy() -> None:
    probabilities, image = random_probabilities(3, 14, 15), random_image(1, 14, 15)
    torch.testing.assert_close(CRF()(probabilities, image), CRF()(probabilities, image.expand(3, -1, -1)))


def test_the_answer_is_the_same_each_time_and_the_input_untouched() -> None:
    probabilities, image = random_probabilities(3, 30, 31).requires_grad_(), random_image(3, 30, 31)
    before = probabilities.detach().clone(), image.clone()
    first = CRF()(probabilities, image)
    assert torch.equal(first, CRF()(probabilities, image))
    assert torch.equal(probabilities, before[0])
    assert torch.equal(image, before[1])
    assert not first.requires_grad


# --- errors


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("iterations", 0, "a CRF with iterations=0; give a whole number of 1 or more"),
        ("iterations", 1.5, "a CRF with iterations=1.5; give a whole number of 1 or more"),
        ("radius", 0, "a CRF with radius=0; give a whole number of 1 or more"),
        ("dilation", -1, "a CRF with dilation=-1; give a whole number of 1 or more"),
        ("theta_alpha", 0.0, "a CRF with theta_alpha=0.0; give a deviation above 0"),
        ("theta_beta", -3.0, "a CRF with theta_beta=-3.0; give a deviation above 0"),
        ("theta_gamma", math.nan, "a CRF with theta_gamma=nan; give a deviation above 0"),
        ("theta_gamma", math.inf, "a CRF with theta_gamma=inf; give a deviation above 0"),
        ("appearance", -1.0, "a CRF with appearance=-1.0; give a weight of 0 or more"),
        ("smoothness", math.nan, "a CRF with smoothness=nan; give a weight of 0 or more"),
    ],
)
def test_fields_that_make_no_crf(field: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        CRF(**{field: value})
    assert str(error.value) == message


def test_shapes_that_do_not_fit() -> None:
    expected = r"give \(K, H, W\) and \(C, H, W\) of the same size, of 1 or more"
    with pytest.raises(ConfigError, match=r"shape \(2, 4, 5\) and an image of shape \(3, 4, 6\); " + expected):
        CRF()(random_probabilities(2, 4, 5), random_image(3, 4, 6))
    with pytest.raises(ConfigError, match=r"shape \(1, 2, 4, 5\) and an image of shape \(1, 3, 4, 5\); " + expected):
        CRF()(random_probabilities(1, 2, 4, 5), random_image(1, 3, 4, 5))
    with pytest.raises(ConfigError, match=r"shape \(2, 0, 5\) and an image of shape \(3, 0, 5\); " + expected):
        CRF()(random_probabilities(2, 0, 5), random_image(3, 0, 5))


def test_values_that_do_not_fit() -> None:
    probabilities, image = random_probabilities(2, 4, 5), random_image(3, 4, 5)
    for wrong in (probabilities.log(), 2 * probabilities, probabilities.where(probabilities > 0.1, math.nan)):
        with pytest.raises(ConfigError, match=r"do not sum to 1 in each pixel; give logits through softmax\(0\) first"):
            CRF()(wrong, image)
    with pytest.raises(ConfigError, match=r"an image of torch\.int64; give uint8, or floating point within 0\.\.1"):
        CRF()(probabilities, image.long())
    unit = image / 255
    for wrong, values in (
        (torch.full_like(unit, 80), "from 80 to 80"),
        (unit * 0 - 0.5, "from -0.5 to -0.5"),
        (unit * math.nan, "from nan to nan"),
    ):
        with pytest.raises(ConfigError, match=f"values {values}; give uint8, or .* before any normalisation"):
            CRF()(probabilities, wrong)
