"""Cost of asymmetric filters: a 1x7 and a 7x1 convolution compared with a 7x7 convolution.

Shapes: c input channels, d channels between the two, e output channels; maps (1, c, h, w).

    a pair: 7 c d + 7 d e weights, as many multiply-adds a pixel        a square: 49 c e
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch

from foveate.backbones.inception import Builder, Chain, Conv, Fork, InceptionPyramid, Layer, Pool, Residual
from foveate.backbones.inception_resnet import INCEPTION_RESNET_B
from foveate.backbones.inception_v4 import (
    INCEPTION_A,
    INCEPTION_B,
    INCEPTION_C,
    REDUCTION_A,
    REDUCTION_B,
    STEM,
    STEM_END,
)
from foveate.claims import Claim
from foveate.claims.cost import multiply_adds, weights
from foveate.ops.receptive_field import receptive_field
from foveate.registry import claim

# Inception-v4's trunk, and the only other module with such pairs: that of Inception-ResNet, as in the paper.
STAGES: tuple[Chain, Chain, Chain, Chain] = (
    STEM,
    (STEM_END, *[INCEPTION_A] * 4),
    (REDUCTION_A, *[INCEPTION_B] * 7),
    (REDUCTION_B, *[INCEPTION_C] * 3),
)
RESIDUAL: Chain = (Residual(INCEPTION_RESNET_B, 0.1),)
RESIDUAL_INSIDE = 1152
BUILDER = Builder(width=1.0, valid=True, momentum=0.1)


@claim("asymmetric_filters_cost_less")
def asymmetric_filters_cost_less() -> Claim:
    """Compare every consecutive 1x7 and 7x1 of the published modules with a 7x7 between the same channels.

    Both are built and run, and each multiply-add is counted; so are those of Inception-v4's whole trunk, with its pairs
    and with each pair replaced by a 7x7.
    """
    return Claim(
        section="Inception-v4",
        claim="Asymmetric filters, 1x7 then 7x1, reduce the cost of computing.",
        effect="{:.2f} times fewer multiply-adds than a 7x7 for the pair that saves least ({:.2f} for the one that "
        "saves most), {:.2f} times fewer weights; it sees {:.0f} x {:.0f} pixels as well; Inception-v4's trunk has "
        "{:.1f} billion multiply-adds, and would have {:.1f} with 7x7 filters",
        measure=_asymmetric_filters_cost_less,
        holds=2.0,  # a saving of half
        partly=1.1,
        law=True,
    )


def _asymmetric_filters_cost_less(seed: int) -> tuple[float, ...]:
    torch.manual_seed(seed)
    fewer_adds, fewer_weights, rows, columns = [], [], [], []
    for in_channels, pair in _every_pair():
        asymmetric, square = (BUILDER.chain(in_channels, layers)[0].eval() for layers in (pair, squared(pair)))
        image = torch.randn(1, in_channels, 9, 9)
        fewer_adds.append(multiply_adds(square, image) / multiply_adds(asymmetric, image))
        fewer_weights.append(weights(square) / weights(asymmetric))
        # Rows and columns of the centre's receptive field.
        field = receptive_field(asymmetric, image) > 0
        rows.append(int(field.any(1).sum()))
        columns.append(int(field.any(0).sum()))
    return min(fewer_adds), max(fewer_adds), min(fewer_weights), min(rows), min(columns), *_billions()


@cache
def _billions() -> tuple[float, float]:
    """Return multiply-adds, in billions, of Inception-v4's trunk on 299 x 299, as published and with 7x7 filters."""
    with torch.device("meta"):
        image = torch.zeros(1, 3, 299, 299)
        trunks = (InceptionPyramid(3, stages, BUILDER, (4, 7, 3)).eval() for stages in (STAGES, _all_squared()))
        asymmetric, square = (multiply_adds(trunk, image) / 1e9 for trunk in trunks)
    return asymmetric, square


def _every_pair() -> list[tuple[int, Chain]]:
    """Return (c, pair) for each different pair."""
    chain = tuple(layer for stage in STAGES for layer in stage)
    found = [*pairs(3, chain), *pairs(RESIDUAL_INSIDE, RESIDUAL)]
    return list(dict.fromkeys(found))


def pairs(in_channels: int, chain: Chain) -> Iterator[tuple[int, Chain]]:
    """Yield (c, pair) for each 1x7 and 7x1 that are consecutive in a chain or its forks."""
    for i, layer in enumerate(chain):
        if _is_pair(chain[i : i + 2]):
            yield in_channels, chain[i : i + 2]
        for inner in _chains(layer):
            yield from pairs(in_channels, inner)
        in_channels = _outside(in_channels, layer)


def squared(chain: Chain) -> Chain:
    """Replace each pair of a chain and its forks by a 7x7."""
    out: list[Layer] = []
    for layer in chain:
        if out and _is_pair((out[-1], layer)) and isinstance(layer, Conv):
            out[-1] = Conv(layer.channels, 7)
        else:
            out.append(Fork(tuple(squared(inner) for inner in layer.chains)) if isinstance(layer, Fork) else layer)
    return tuple(out)


def _all_squared() -> tuple[Chain, Chain, Chain, Chain]:
    stem, a, b, c = (squared(stage) for stage in STAGES)
    return stem, a, b, c


def _is_pair(layers: Chain) -> bool:
    return {layer.kernel for layer in layers if isinstance(layer, Conv)} == {(1, 7), (7, 1)}


def _chains(layer: Layer) -> tuple[Chain, ...]:
    if isinstance(layer, Residual):
        return layer.fork.chains
    return layer.chains if isinstance(layer, Fork) else ()


def _outside(in_channels: int, layer: Layer) -> int:
    """Return the number of output channels of a layer with `in_channels` input channels."""
    if isinstance(layer, Conv):
        return layer.channels
    if isinstance(layer, (Pool, Residual)):
        return in_channels
    total = 0
    for chain in layer.chains:
        channels = in_channels
        for inner in chain:
            channels = _outside(channels, inner)
        total += channels
    return total
