"""Mixtures of bivariate Gaussians with a pen bit: the distribution of the next pen movement.

Shapes: ... any leading axes; M components; a network's output has 6 M + 1 numbers.

    e = 1 / (1 + exp(e^)),  pi = softmax(pi^),  mu = mu^,  sigma = exp(sigma^),  rho = tanh(rho^)  (equations 18 to 22)
    Pr(x | y) = sum_j pi_j N(x | mu_j, sigma_j, rho_j)  (e if the pen is lifted after the point, else 1 - e)      (23)

The sign in e is the paper's, so that the derivative of the loss by e^ is x_3 - e. With a bias b, sigma is
exp(sigma^ - b) and pi the softmax of pi^ (1 + b) (equations 61 and 62): more probable, neater points.

Source: Graves, "Generating Sequences With Recurrent Neural Networks" (2013), sections 4.1 and 5.4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError


class Mixture(NamedTuple):
    """A mixture a point."""

    log_weight: Tensor  # (..., M): log pi
    mean: Tensor  # (..., M, 2)
    log_std: Tensor  # (..., M, 2)
    rho: Tensor  # (..., M), -1..1
    log_rest: Tensor  # (..., M): log(1 - rho^2), which keeps its digits where rho is near 1
    lift_logit: Tensor  # (...): log e - log(1 - e)


def mixture_of(output: Tensor, bias: float = 0.0) -> Mixture:
    """The mixture that a network's output (..., 6 M + 1) stands for: e^, then M each of pi, mu_x, mu_y, sigma_x, ...

    bias: b, 0 or more. Raises ConfigError for an output of another length, or a negative bias.
    """
    count, rest = divmod(output.shape[-1] - 1, 6)
    if rest or count < 1 or not bias >= 0:
        raise ConfigError(
            f"an output of {output.shape[-1]} numbers and a bias of {bias:g}; expected 6 M + 1 numbers and a bias of 0 "
            "or more"
        )
    end, weight, x, y, std_x, std_y, rho = output.split([1, *[count] * 6], -1)
    return Mixture(
        (weight * (1 + bias)).log_softmax(-1),
        torch.stack([x, y], -1),
        torch.stack([std_x, std_y], -1) - bias,
        rho.tanh(),
        # 1 - tanh^2 = 4 / (exp(r) + exp(-r))^2
        2 * (math.log(2) - rho - F.softplus(-2 * rho)),
        -end[..., 0],
    )


def log_density(mixture: Mixture, point: Tensor) -> Tensor:
    """The log-density (...) of points (..., 2) (equations 24 and 25)."""
    scaled = (point[..., None, :] - mixture.mean) * (-mixture.log_std).exp()
    x, y = scaled.unbind(-1)
    # Z = x^2 + y^2 - 2 rho x y,  N = exp(-Z / 2 (1 - rho^2)) / 2 pi sigma_x sigma_y sqrt(1 - rho^2)
    z = x.square() + y.square() - 2 * mixture.rho * x * y
    component = (
        -0.5 * z * (-mixture.log_rest).exp() - mixture.log_std.sum(-1) - 0.5 * mixture.log_rest - math.log(2 * math.pi)
    )
    return torch.logsumexp(mixture.log_weight + component, -1)


def nll(mixture: Mixture, stroke: Tensor) -> Tensor:
    """The negative log-likelihood (...) of points (..., 3): x, y, and 1 where the pen is lifted after (equation 26)."""
    pen = F.binary_cross_entropy_with_logits(mixture.lift_logit, stroke[..., 2], reduction="none")
    return pen - log_density(mixture, stroke[..., :2])


def expectation(mixture: Mixture) -> Tensor:
    """The mean (..., 2) of the mixture."""
    return (mixture.log_weight.exp()[..., None] * mixture.mean).sum(-2)


def sample(mixture: Mixture, uniform: Tensor, normal: Tensor) -> Tensor:
    """Sample points (..., 3) with a pen bit.

    uniform: (..., 2), uniform in 0..1, of the component and of the pen. normal: (..., 2), standard normal.
    """
    last = mixture.log_weight.shape[-1] - 1
    chosen = (mixture.log_weight.exp().cumsum(-1) < uniform[..., :1]).sum(-1, keepdim=True).clamp(max=last)
    mean, std = (
        part.gather(-2, chosen[..., None].expand(*chosen.shape, 2))[..., 0, :]
        for part in (mixture.mean, mixture.log_std.exp())
    )
    rho = mixture.rho.gather(-1, chosen)[..., 0]
    rest = mixture.log_rest.gather(-1, chosen)[..., 0]
    x, noise = normal.unbind(-1)
    y = rho * x + (0.5 * rest).exp() * noise
    lifted = (uniform[..., 1] < mixture.lift_logit.sigmoid()).to(mean)
    return torch.cat([mean + std * torch.stack([x, y], -1), lifted[..., None]], -1)
