"""The mixture of bivariate Gaussians: parity with torch.distributions, its derivatives, and its laws."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.mixture import expectation, log_density, mixture_of, nll, sample


def output_of(components=4, rows=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 6 * components + 1, generator=generator, dtype=torch.float64)


def reference(output, bias=0.0):
    """The same by torch.distributions."""
    count = (output.shape[-1] - 1) // 6
    _, pi, x, y, sx, sy, r = output.split([1] + [count] * 6, -1)
    sx, sy, rho = (sx - bias).exp(), (sy - bias).exp(), r.tanh()
    covariance = torch.stack([sx * sx, rho * sx * sy, rho * sx * sy, sy * sy], -1).unflatten(-1, (2, 2))
    parts = MultivariateNormal(torch.stack([x, y], -1), covariance)
    return MixtureSameFamily(Categorical(logits=pi * (1 + bias)), parts)


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_the_density_is_that_of_torch(bias):
    output, point = output_of(), torch.randn(5, 2, dtype=torch.float64)
    found, expected = mixture_of(output, bias), reference(output, bias)
    torch.testing.assert_close(log_density(found, point), expected.log_prob(point), rtol=0, atol=1e-8)
    torch.testing.assert_close(expectation(found), expected.mean)


def test_the_pen_has_the_sign_of_the_paper():
    """e = 1 / (1 + exp(e^)): a large e^ means that the pen stays down; dL/de^ = x_3 - e."""
    output = output_of(rows=2).requires_grad_()
    stroke = torch.tensor([[0.1, 0.2, 1.0], [0.1, 0.2, 0.0]], dtype=torch.float64)
    losses = nll(mixture_of(output), stroke)
    e = 1 / (1 + output[:, 0].detach().exp())
    pen = losses.detach() + log_density(mixture_of(output.detach()), stroke[:, :2])
    torch.testing.assert_close(pen, torch.stack([-e[0].log(), -(1 - e[1]).log()]))
    losses.sum().backward()
    torch.testing.assert_close(output.grad[:, 0], stroke[:, 2] - e, rtol=0, atol=1e-14)


def test_the_derivative_by_the_weights_is_pi_minus_responsibility():
    output = output_of(rows=3).requires_grad_()
    point = torch.randn(3, 2, dtype=torch.float64)
    found = mixture_of(output)
    nll(found, F.pad(point, (0, 1))).sum().backward()
    joint = found.log_weight + reference(output.detach()).component_distribution.log_prob(point[:, None])
    responsibility = joint.softmax(-1).detach()
    torch.testing.assert_close(output.grad[:, 1:5], found.log_weight.exp().detach() - responsibility)


def test_the_density_integrates_to_one():
    output = output_of(rows=1) * 0.4
    axis = torch.linspace(-12, 12, 801, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    density = log_density(mixture_of(output.expand(len(points), -1)), points).exp()
    assert density.sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=1e-3)


def test_without_correlation_the_axes_are_apart():
    output = output_of(components=1, rows=1)
    output[:, 6] = 0
    point = torch.tensor([[0.3, -0.8]], dtype=torch.float64)
    _, _, x, y, sx, sy, _ = output[0].tolist()

    def normal(value, mean, log_std):
        return -0.5 * ((value - mean) / math.exp(log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)

    expected = normal(0.3, x, sx) + normal(-0.8, y, sy)
    assert log_density(mixture_of(output), point).item() == pytest.approx(expected, abs=1e-12)


def test_larger_units_add_the_log_of_their_size():
    """Data, means and deviations times s: 2 log s nats a point, exactly."""
    output, point, s = output_of(), torch.randn(5, 3, dtype=torch.float64), 3.7
    point[:, 2] = 1
    scaled = output.clone()
    scaled[:, 5:13] *= s
    scaled[:, 13:21] += math.log(s)
    larger = point * torch.tensor([s, s, 1.0], dtype=torch.float64)
    difference = nll(mixture_of(scaled), larger) - nll(mixture_of(output), point)
    torch.testing.assert_close(difference, torch.full((5,), 2 * math.log(s), dtype=torch.float64))


def test_samples_have_the_moments_of_the_mixture():
    output = output_of(components=3, rows=1).expand(200_000, -1)
    generator = torch.Generator().manual_seed(3)
    uniform = torch.rand(200_000, 2, generator=generator, dtype=torch.float64)
    normal = torch.randn(200_000, 2, generator=generator, dtype=torch.float64)
    found = sample(mixture_of(output), uniform, normal)
    expected = reference(output[:1])
    torch.testing.assert_close(found[:, :2].mean(0), expected.mean[0], rtol=0.02, atol=0.02)
    torch.testing.assert_close(found[:, :2].var(0), expected.variance[0], rtol=0.03, atol=0.02)
    inner = expected.component_distribution.covariance_matrix[0] + torch.einsum(
        "mi,mj->mij", expected.component_distribution.mean[0], expected.component_distribution.mean[0]
    )
    second = torch.einsum("m,mij->ij", expected.mixture_distribution.probs[0], inner)
    assert (found[:, 0] * found[:, 1]).mean().item() == pytest.approx(second[0, 1].item(), abs=0.05)
    assert found[:, 2].mean().item() == pytest.approx(torch.sigmoid(-output[0, 0]).item(), abs=0.01)


def test_a_large_bias_leaves_the_mean_of_the_likeliest_and_the_pen_as_it_was():
    output = output_of()
    output[:, 1:5] = torch.tensor([0.1, 0.9, -0.5, 0.3])
    found = mixture_of(output, 50.0)
    best = output[:, 1:5].argmax(1)
    drawn = sample(found, torch.rand(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64))
    rows = torch.arange(5)
    torch.testing.assert_close(drawn[:, 0], output[rows, 5 + best])
    torch.testing.assert_close(drawn[:, 1], output[rows, 9 + best])
    torch.testing.assert_close(found.lift_logit, mixture_of(output).lift_logit)


def test_a_correlation_of_nearly_one_keeps_a_finite_loss():
    output = torch.zeros(1, 7, dtype=torch.float32)
    output[:, 6] = 12.0  # tanh is 1 in float32
    output.requires_grad_()
    loss = nll(mixture_of(output), torch.tensor([[0.5, 0.5, 0.0]]))
    loss.backward()
    assert loss.isfinite() and output.grad.isfinite().all()


def test_gradients():
    output = output_of(components=2, rows=2).requires_grad_()
    stroke = torch.tensor([[0.1, -0.4, 1.0], [1.2, 0.3, 0.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda y: nll(mixture_of(y, 0.3), stroke), (output,))


@pytest.mark.parametrize(("length", "bias"), [(12, 0.0), (1, 0.0), (13, -0.1), (13, math.nan)])
def test_outputs_and_biases_that_do_not_fit_are_refused(length, bias):
    with pytest.raises(ConfigError, match="expected 6 M \\+ 1 numbers and a bias of 0 or more"):
        mixture_of(torch.zeros(1, length), bias)


def test_the_pen_is_drawn_by_a_number_of_its_own():
    output = output_of(components=2, rows=2)
    output[:, 0] = 0  # lifted or not, each half of the time
    uniform = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    assert sample(mixture_of(output), uniform, torch.zeros(2, 2, dtype=torch.float64))[:, 2].tolist() == [1, 0]


def test_weights_that_add_up_to_less_than_the_number_drawn_choose_the_last():
    """As rounding may leave them."""
    mixture = mixture_of(output_of(components=3, rows=1))
    rounded = mixture._replace(log_weight=torch.full((1, 3), math.log(0.33), dtype=torch.float64))
    drawn = sample(rounded, torch.tensor([[0.995, 0.5]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    torch.testing.assert_close(drawn[0, :2], mixture.mean[0, 2])
