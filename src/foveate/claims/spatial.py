"""Spatial transformers: gradients through every part, rotation of digits to a common orientation, effect on errors.

Shapes: maps (1, C, H, W); theta (1, P); images (N, 1, S, S); turns and angles (N,) in radians, clockwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from foveate.claims import GAIN, HINT, Claim
from foveate.claims.cost import multiply_adds, weights
from foveate.claims.digits import Digits, classifier, prepared, unseen
from foveate.claims.exact import digits as common_digits
from foveate.metrics.classification import ClassificationMetrics
from foveate.models.spatial.spatial_transformer import SpatialTransformer, regress
from foveate.ops.sample import Affine, Attention, Projective, ThinPlateSpline, Transform, lattice
from foveate.records import ClassificationOutput
from foveate.registry import claim

SECTION = "Spatial Transformer Networks"
# Central differences keep eight or nine of a float64's sixteen digits; a wrong gradient has one or two in common.
NUMERIC, NUDGE = 6.0, 1e-6
BATCH_SIZE = 64
MAP, VIEW, HIDDEN = (1, 2, 4, 4), (4, 5), 4


@claim("transformer_passes_gradients")
def transformer_passes_gradients() -> Claim:
    """Compare autograd's gradients through a spatial transformer with finite differences of one millionth.

    In float64, for each kind of transformation: the gradient of the map through the sampler, of the parameters through
    the grid, and of every weight of the localisation network through both. A zero gradient counts as 0 digits.
    """
    return Claim(
        section=SECTION,
        claim="Every single part of the spatial transformer is differentiable.",
        effect="{:.1f} digits of every gradient agree with finite differences: {:.1f} for the picture, {:.1f} for the "
        "transformation's parameters, {:.1f} for the localisation network's weights",
        measure=_transformer_passes_gradients,
        holds=NUMERIC,
        partly=NUMERIC,
        law=True,
    )


def _transformer_passes_gradients(seed: int) -> tuple[float, ...]:
    torch.manual_seed(seed)
    kinds = (Affine(), Attention(), Projective(), ThinPlateSpline(lattice(4)))
    agreement = [_digits_of_gradients(kind.double()) for kind in kinds]
    worst = [min(column) for column in zip(*agreement, strict=True)]
    return min(worst), *worst


def _digits_of_gradients(transform: Transform) -> tuple[float, float, float]:
    """Return the digits for the map, for theta, and for the weights that predict theta; random, near the identity."""
    x = torch.randn(MAP, dtype=torch.float64)
    weight = torch.randn(MAP[1], *VIEW, dtype=torch.float64)
    theta = (transform.identity().double() + 0.1 * torch.randn(transform.count, dtype=torch.float64))[None]
    given = SpatialTransformer(_ConstantTheta(theta), transform, VIEW)
    last = regress(HIDDEN, transform)
    nn.init.normal_(last.weight, std=0.05)  # as after some training: its initial weights of 0 pass no gradient
    localise = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(MAP), HIDDEN), nn.Tanh(), last)
    learned = SpatialTransformer(localise, transform, VIEW).double()
    return (
        _agreement(lambda: (given(x).output * weight).sum(), [x]),
        _agreement(lambda: (given(x).output * weight).sum(), [theta]),
        _agreement(lambda: (learned(x).output * weight).sum(), localise.parameters()),
    )


class _ConstantTheta(nn.Module):
    """Localisation network that returns the same theta for every map."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = theta

    def forward(self, x: Tensor) -> Tensor:
        return self.theta


def _agreement(f: Callable[[], Tensor], inputs: Iterable[Tensor]) -> float:
    """Return the fewest digits, over the inputs, that autograd's gradient of f shares with central differences."""
    fewest = math.inf
    for x in inputs:
        x.requires_grad_()
        y = f()
        gradient = torch.autograd.grad(y, x, allow_unused=True)[0] if y.requires_grad else None
        x.requires_grad_(False)
        difference = torch.zeros_like(x)
        for i in range(x.numel()):
            original = x.view(-1)[i].item()
            values = []
            for nudge in (NUDGE, -NUDGE):
                x.view(-1)[i] = original + nudge
                values.append(f().item())
            x.view(-1)[i] = original
            difference.view(-1)[i] = (values[0] - values[1]) / (2 * NUDGE)
        # Without any difference there is no gradient to compare.
        agreed = 0.0 if gradient is None or not difference.any() else common_digits(gradient, difference)
        fewest = min(fewest, agreed)
    return fewest


@claim("transformer_turns_digits_back")
def transformer_turns_digits_back() -> Claim:
    """Compare the spread of orientations within each class of digits in the images and in the transformer's views.

    The orientation of an image is the rotation of its digit; that of its view is this rotation less the angle of theta.
    The classifier is trained with the digits' labels alone. The spread of positions is reported, too, but does not
    decide.
    """
    return Claim(
        section=SECTION,
        claim="A transformer learns to un-rotate digits without being told to.",
        effect="orientations spread {:.2f} times less in the views than in the pictures: by {:.0f} degrees of circular "
        "standard deviation instead of {:.0f}; places spread {:.2f} times less; {:.1f} % of digits in other typefaces "
        "are missed",
        measure=_transformer_turns_digits_back,
        holds=2.0,  # half of the rotation is removed
        partly=1.25,
        long=True,
    )


def _transformer_turns_digits_back(seed: int) -> tuple[float, ...]:
    network, digits = classifier("affine", seed), unseen(seed)
    _, theta, error = _evaluate(network, digits)
    before, after = (
        math.degrees(spread(turns, digits.labels)) for turns in (digits.turns, digits.turns - angle(theta))
    )
    positions = position_in_view(theta, digits.places)
    return before / after, after, before, float(digits.places.std(0).mean() / positions.std(0).mean()), error


def angle(theta: Tensor) -> Tensor:
    """Return the angle (N,) of the rotation nearest to the linear part of affine parameters (N, 6)."""
    return torch.atan2(theta[:, 3] - theta[:, 1], theta[:, 0] + theta[:, 4])


def position_in_view(theta: Tensor, places: Tensor) -> Tensor:
    """Map points (N, 2) of the images to the views of affine parameters (N, 6); returns (N, 2)."""
    matrix = theta.unflatten(1, (2, 3))
    points: Tensor = torch.linalg.solve(matrix[:, :, :2], places[..., None] - matrix[:, :, 2:])
    return points[..., 0]


def spread(turns: Tensor, labels: Tensor) -> float:
    """Compute the circular standard deviation of angles, in radians, averaged over the classes.

    sigma = sqrt(-2 ln |mean of exp(i turn)|)   (Mardia and Jupp, "Directional Statistics", 2000, section 2.3)
    """
    deviations = []
    for label in labels.unique():
        angles = turns[labels == label].double()
        length = torch.hypot(angles.cos().mean(), angles.sin().mean()).clamp(1e-12, 1 - 1e-12)
        deviations.append(math.sqrt(-2 * math.log(length)))
    return sum(deviations) / len(deviations)


@claim("transformer_helps_a_classifier")
def transformer_helps_a_classifier() -> Claim:
    """Compare one small classifier of distorted digits, trained without and with an affine transformer before it."""
    return Claim(
        section=SECTION,
        claim="Inserted into an existing network, a transformer lets it attend, and helps on distorted pictures.",
        effect="{:+.1f} points of error that a transformer takes away, on digits in other typefaces: {:.1f} % are "
        "missed without, {:.1f} % with one; that costs {:.2f} times the multiply-adds and {:.2f} times the weights",
        measure=_transformer_helps_a_classifier,
        holds=GAIN,
        partly=HINT,
        long=True,
    )


def _transformer_helps_a_classifier(seed: int) -> tuple[float, ...]:
    plain, transformer = classifier("none", seed), classifier("affine", seed)
    digits = unseen(seed)
    plain_error, transformer_error = (_evaluate(network, digits)[2] for network in (plain, transformer))
    batch = prepared(plain, digits.images[:BATCH_SIZE])
    costs = (lambda network: multiply_adds(network, batch[:1]), weights)
    adds, learned = (cost(transformer) / cost(plain) for cost in costs)
    return plain_error - transformer_error, plain_error, transformer_error, adds, learned


def _evaluate(network: nn.Module, digits: Digits) -> tuple[Tensor, Tensor, float]:
    """Return probabilities (N, K), the first transformer's theta (N, P; P = 0 without one), and error in percent."""
    probabilities, thetas = [], []
    with torch.inference_mode():
        for batch in digits.images.split(500):
            output: ClassificationOutput = network(prepared(network, batch))
            probabilities.append(output.logits.softmax(1))
            thetas.append(output.transforms[0].theta if output.transforms else batch.new_zeros(len(batch), 0))
    metrics = ClassificationMetrics(probabilities[0].shape[1])
    metrics.update(torch.cat(probabilities), digits.labels)
    return torch.cat(probabilities), torch.cat(thetas), metrics.compute().error_percent
