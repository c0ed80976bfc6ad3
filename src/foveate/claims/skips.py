"""Skip connections: receptive fields of the lower layers, and their effect on boundaries."""

from __future__ import annotations

import torch
from torch import Tensor

from foveate.claims import GAIN, NEW_SEEDS, Claim
from foveate.claims.trained import gains, trained
from foveate.datasets.pasture import Pasture
from foveate.ops.receptive_field import field_side, receptive_field
from foveate.registry import claim

SECTION = "Learnable Upsampling: skip connections"
EPOCHS = 3
SIGNIFICANT = 5.0  # points; a difference that is visible in an image


@claim("skips_improve_boundaries")
def skips_improve_boundaries() -> Claim:
    """Compare FCN-32s, 16s and 8s, which differ only in the skips, on the synthetic Pasture data set."""
    return Claim(
        section=SECTION,
        claim="Skip connections improve the details at boundaries significantly.",
        effect="{:+.1f} points, the smaller of two gains: boundary IoU {:+.1f} ({:.1f} for FCN-32s, {:.1f} for 16s, "
        "{:.1f} for 8s), and mean IoU {:+.1f}; mean IoU within 2 px of a contour {:+.1f}",
        measure=_skips_improve_boundaries,
        holds=SIGNIFICANT,
        partly=GAIN,
        seeds=NEW_SEEDS,
        long=True,
    )


def _skips_improve_boundaries(seed: int) -> tuple[float, ...]:
    coarse, middle, fine = (trained(f"fcn{stride}s_pasture", seed, EPOCHS).score() for stride in (32, 16, 8))
    least, boundary, mean = gains(coarse, fine)
    each = (100 * scores.boundary_iou for scores in (coarse, middle, fine))
    return least, boundary, *each, mean, 100 * (fine.trimap_iou[2] - coarse.trimap_iou[2])


@claim("lower_layers_see_less")
def lower_layers_see_less() -> Claim:
    """Measure the effective receptive fields of FCN-8s's three score layers' inputs, at strides 8, 16 and 32."""
    return Claim(
        section=SECTION,
        claim="The lower layers, from which the skips come, have smaller receptive fields.",
        effect="the effective field is {:.1f} times as wide at stride 32 as at stride 8: {:.0f}, {:.0f} and {:.0f} px "
        "at strides 8, 16 and 32 of a picture of 256",
        measure=_lower_layers_see_less,
        long=True,
        holds=2.0,  # half of the ratio of the strides
        partly=1.1,
    )


def _lower_layers_see_less(seed: int) -> tuple[float, ...]:
    network = trained("fcn8s_pasture", seed, EPOCHS)
    # Larger scenes than those of training, since the fields do not fit into those.
    larger = Pasture(height=256, width=256, test=8, seed=seed).open("test")
    images = [network.input(larger[i]) for i in range(len(larger))]
    sides = []
    for level in (1, 2, 3):

        def features(x: Tensor, level: int = level) -> Tensor:
            pyramid: list[Tensor] = network.model.backbone(x)  # type: ignore[operator]
            return pyramid[level]

        sides.append(field_side(torch.stack([receptive_field(features, x) for x in images]).mean(0)))
    return sides[2] / sides[0], *sides
