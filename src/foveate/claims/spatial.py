"""Spatial transformers: that gradients pass through every part, that they turn digits back, and what they are worth.

Shapes: maps (1, C, H, W); theta (1, P); pictures (N, 1, S, S); turns and angles (N,) in radians, clockwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from foveate.claims import GAIN, HINT, Claim
from foveate.claims.cost import multiply_adds, times_as_long, weights
from foveate.claims.digits import Digits, classifier, prepared, unseen
from foveate.claims.exact import digits as common_digits
from foveate.metrics.classification import ClassificationMetrics
from foveate.models.spatial.spatial_transformer import SpatialTransformer, regress
from foveate.ops.sample import Affine, Attention, Projective, ThinPlateSpline, Transform, lattice
from foveate.records import ClassificationOutput
from foveate.registry import claim

SECTION = "Spatial Transformer Networks"
# Central differences keep eight or nine digits of a float64's sixteen; a gradient of something else shares one or two.
NUMERIC, NUDGE = 6.0, 1e-6
AT_ONCE = 64
MAP, VIEW, HIDDEN = (1, 2, 4, 4), (4, 5), 4


@claim("transformer_passes_gradients")
def transformer_passes_gradients() -> Claim:
    """What autograd sends back through a spatial transformer, against moving one number at a time by a millionth.

    In float64, for each kind of transformation: to the map through the sampler, to the parameters through the grid, and
    to every weight of the localisation network through both. Where nothing arrives, no digit counts.
    """
    return Claim(
        section=SECTION,
        claim="Every single part of the spatial transformer is differentiable.",
        effect="{:.1f} digits of every gradient agree with finite differences: {:.1f} for the picture, {:.1f} for the "
        "transformation's parameters, {:.1f} for the localisation network's weights",
        measure=_transformer_passes_gradients,
        holds=NUMERIC,
        partly=NUMERIC,
    )


def _transformer_passes_gradients(seed: int) -> tuple[float, ...]:
    torch.manual_seed(seed)
    kinds = (Affine(), Attention(), Projective(), ThinPlateSpline(lattice(4)))
    found = [_digits_of_gradients(kind.double()) for kind in kinds]
    worst = [min(column) for column in zip(*found, strict=True)]
    return min(worst), *worst


def _digits_of_gradients(transform: Transform) -> tuple[float, float, float]:
    """For the map, for theta, and for the weights that say theta; random ones, near the identity."""
    x = torch.randn(MAP, dtype=torch.float64)
    weight = torch.randn(MAP[1], *VIEW, dtype=torch.float64)
    theta = (transform.identity().double() + 0.1 * torch.randn(transform.count, dtype=torch.float64))[None]
    given = SpatialTransformer(_Given(theta), transform, VIEW)
    last = regress(HIDDEN, transform)
    nn.init.normal_(last.weight, std=0.05)  # as after some training: at first it is 0, and lets nothing pass below it
    localise = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(MAP), HIDDEN), nn.Tanh(), last)
    learned = SpatialTransformer(localise, transform, VIEW).double()
    return (
        _agreement(lambda: (given(x).output * weight).sum(), [x]),
        _agreement(lambda: (given(x).output * weight).sum(), [theta]),
        _agreement(lambda: (learned(x).output * weight).sum(), localise.parameters()),
    )


class _Given(nn.Module):
    """A localisation network that says the same of every map."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = theta

    def forward(self, x: Tensor) -> Tensor:
        return self.theta


def _agreement(f: Callable[[], Tensor], inputs: Iterable[Tensor]) -> float:
    """The fewest digits, over the inputs, that autograd's gradient of f shares with central differences."""
    fewest = math.inf
    for x in inputs:
        x.requires_grad_()
        y = f()
        gradient = torch.autograd.grad(y, x, allow_unused=True)[0] if y.requires_grad else None
        x.requires_grad_(False)
        moved = torch.zeros_like(x)
        for i in range(x.numel()):
            kept = x.view(-1)[i].item()
            sides = []
            for nudge in (NUDGE, -NUDGE):
                x.view(-1)[i] = kept + nudge
                sides.append(f().item())
            x.view(-1)[i] = kept
            moved.view(-1)[i] = (sides[0] - sides[1]) / (2 * NUDGE)
        # Where nothing moves there is no gradient to agree on.
        agreed = 0.0 if gradient is None or not moved.any() else common_digits(gradient, moved)
        fewest = min(fewest, agreed)
    return fewest


@claim("transformer_turns_digits_back")
def transformer_turns_digits_back() -> Claim:
    """How far digits lie apart in orientation, within each of the ten, in the pictures and in what is made of them.

    A picture's orientation is how far its digit was turned; its view's, that less the angle of theta. The classifier is
    told which digit it is, and nothing else. What it makes of their places is shown beside, and decides nothing.
    """
    return Claim(
        section=SECTION,
        claim="A transformer learns to un-rotate digits without being told to.",
        effect="orientations spread {:.2f} times less in the views than in the pictures: by {:.0f} degrees of circular "
        "standard deviation instead of {:.0f}; places spread {:.2f} times less; {:.1f} % of digits in other typefaces "
        "are missed",
        measure=_transformer_turns_digits_back,
        holds=2.0,  # half of the turning is gone
        partly=1.25,
        long=True,
    )


def _transformer_turns_digits_back(seed: int) -> tuple[float, ...]:
    network, digits = classifier("affine", seed), unseen(seed)
    _, theta, error = _answers(network, digits)
    before, after = (
        math.degrees(spread(turns, digits.labels)) for turns in (digits.turns, digits.turns - angle(theta))
    )
    moved = seen_at(theta, digits.places)
    return before / after, after, before, float(digits.places.std(0).mean() / moved.std(0).mean()), error


def angle(theta: Tensor) -> Tensor:
    """How far affine parameters (N, 6) turn, (N,): of the rotation nearest to the linear part."""
    return torch.atan2(theta[:, 3] - theta[:, 1], theta[:, 0] + theta[:, 4])


def seen_at(theta: Tensor, places: Tensor) -> Tensor:
    """Where points (N, 2) of the pictures lie in the views of affine parameters (N, 6), (N, 2)."""
    matrix = theta.unflatten(1, (2, 3))
    points: Tensor = torch.linalg.solve(matrix[:, :, :2], places[..., None] - matrix[:, :, 2:])
    return points[..., 0]


def spread(turns: Tensor, labels: Tensor) -> float:
    """The circular standard deviation of angles, in radians, a mean over the classes.

    sigma = sqrt(-2 ln |mean of exp(i turn)|)   (Mardia and Jupp, "Directional Statistics", 2000, section 2.3)
    """
    deviations = []
    for label in labels.unique():
        own = turns[labels == label].double()
        length = torch.hypot(own.cos().mean(), own.sin().mean()).clamp(1e-12, 1 - 1e-12)
        deviations.append(math.sqrt(-2 * math.log(length)))
    return sum(deviations) / len(deviations)


@claim("transformer_helps_a_classifier")
def transformer_helps_a_classifier() -> Claim:
    """One small classifier, trained twice on distorted digits: by itself, and behind an affine transformer."""
    return Claim(
        section=SECTION,
        claim="Inserted into an existing network, a transformer lets it attend, and helps on distorted pictures.",
        effect="{:+.1f} points of error that a transformer takes away, on digits in other typefaces: {:.1f} % are "
        "missed without, {:.1f} % with one; that costs {:.2f} times the multiply-adds, {:.2f} times the time and "
        "{:.2f} times the weights",
        measure=_transformer_helps_a_classifier,
        holds=GAIN,
        partly=HINT,
        long=True,
    )


def _transformer_helps_a_classifier(seed: int) -> tuple[float, ...]:
    bare, behind = classifier("none", seed), classifier("affine", seed)
    digits = unseen(seed)
    without, with_one = (_answers(network, digits)[2] for network in (bare, behind))
    some = prepared(bare, digits.images[:AT_ONCE])
    with torch.inference_mode():
        slower = times_as_long(lambda: behind(some), lambda: bare(some))
    adds, learned = (cost(behind) / cost(bare) for cost in (lambda network: multiply_adds(network, some[:1]), weights))
    return without - with_one, without, with_one, adds, slower, learned


def _answers(network: nn.Module, digits: Digits) -> tuple[Tensor, Tensor, float]:
    """Probabilities (N, K), the first transformer's theta (N, P; P = 0 without one), and the error in percent."""
    probabilities, thetas = [], []
    with torch.inference_mode():
        for some in digits.images.split(500):
            output: ClassificationOutput = network(prepared(network, some))
            probabilities.append(output.logits.softmax(1))
            thetas.append(output.transforms[0].theta if output.transforms else some.new_zeros(len(some), 0))
    metrics = ClassificationMetrics(probabilities[0].shape[1])
    metrics.update(torch.cat(probabilities), digits.labels)
    return torch.cat(probabilities), torch.cat(thetas), metrics.compute().error_percent
