"""Depth of Inception-v4, counted in its graph."""

from __future__ import annotations

import torch

from foveate.claims import Claim
from foveate.claims.cost import depth
from foveate.registry import claim, create_model

CLAIMED_DEPTH = 75


@claim("inception_v4_is_75_layers_deep")
def inception_v4_is_75_layers_deep() -> Claim:
    """Count the largest number of convolutions and fully connected layers on any path from the image to the logits.

    Nothing is random: every seed gives the same result.
    """
    return Claim(
        section="Inception-v4",
        claim="Inception-v4 is about 75 layers deep.",
        effect="{:.0f} % of the larger count is the smaller: {:.0f} convolutions and the classifier lie on the longest "
        "path; {:.0f} and the classifier in the released Inception-ResNet-v2",
        measure=_inception_v4_is_75_layers_deep,
        holds=97.0,  # a difference of two layers, depending on how the ends are counted
        partly=90.0,  # a difference of a tenth is still "about"
        law=True,
    )


def _inception_v4_is_75_layers_deep(seed: int) -> tuple[float, float, float]:
    with torch.device("meta"):  # only shapes are needed
        plain, residual = (depth(create_model(name)) for name in ("inception_v4", "inception_resnet_v2"))
    return 100 * min(plain, CLAIMED_DEPTH) / max(plain, CLAIMED_DEPTH), plain - 1, residual - 1
