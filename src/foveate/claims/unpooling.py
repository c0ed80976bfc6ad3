"""Unpooling: the benefit of keeping the positions of the maxima."""

from __future__ import annotations

from foveate.claims import GAIN, HINT, NEW_SEEDS, Claim
from foveate.claims.trained import gains, trained
from foveate.registry import claim

EPOCHS = 10
# One convolution a level, for training in seconds.
SMALL = {"config__widths": (16, 32, 64, 64, 64), "config__depths": (1, 1, 1, 1, 1), "config__head_channels": 128}


@claim("switches_bring_detail_back")
def switches_bring_detail_back() -> Claim:
    """Compare a small DeconvNet with switches and with values unpooled to window corners, on the Pasture data set."""
    return Claim(
        section="Deconvolution: DeconvNet",
        claim="A symmetric decoder unpools: with values put back to where the maxima stood, the detail that pooling "
        "took comes back.",
        effect="{:+.1f} points with switches, the smaller of two gains: boundary IoU {:+.1f} ({:.1f} without, {:.1f} "
        "with), and mean IoU {:+.1f}",
        measure=_switches_bring_detail_back,
        holds=GAIN,
        partly=HINT,
        seeds=NEW_SEEDS,
        long=True,
    )


def _switches_bring_detail_back(seed: int) -> tuple[float, ...]:
    without, with_switches = (
        trained("deconvnet_pasture", seed, EPOCHS, config__switches=switches, **SMALL).score()
        for switches in (False, True)
    )
    least, boundary, mean = gains(without, with_switches)
    return least, boundary, 100 * without.boundary_iou, 100 * with_switches.boundary_iou, mean
