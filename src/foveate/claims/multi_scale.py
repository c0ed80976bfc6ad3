"""Multi-scale testing, superpixels and segmentation trees: do they improve a network's predictions?"""

from __future__ import annotations

from foveate.claims import GAIN, HINT, NEW_SEEDS, Claim
from foveate.claims.trained import gains, trained
from foveate.registry import claim
from foveate.tasks.semantic.inference import SemanticOptions

SECTION = "Multi-Scale Testing"
EPOCHS = 3
SCALES = (0.75, 1.0, 1.25)


@claim("scales_help_testing")
def scales_help_testing() -> Claim:
    """Compare FCN-8s tested at one scale and at three, on the synthetic Pasture data set."""
    return Claim(
        section=SECTION,
        claim="Looking at the picture at several sizes and averaging the answers improves them.",
        effect="{:+.2f} points of mean IoU with the scales 0.75, 1 and 1.25: {:.1f} with one scale, {:.1f} with three",
        measure=_scales_help_testing,
        holds=GAIN,
        partly=HINT,
    )


def _scales_help_testing(seed: int) -> tuple[float, float, float]:
    network = trained("fcn8s_pasture", seed, EPOCHS)
    one = 100 * network.score().mean_iou
    three = 100 * network.score(SemanticOptions(scales=SCALES)).mean_iou
    return three - one, one, three


@claim("scales_help_inside")
def scales_help_inside() -> Claim:
    """Compare Farabet's network trained with three levels of the pyramid and with one, on the Pasture data set."""
    return Claim(
        section=SECTION,
        claim="Running one network on every level of an image pyramid and bringing the results together improves them.",
        effect="{:+.1f} points of mean IoU with three levels: {:.1f} with one level, {:.1f} with three",
        measure=_scales_help_inside,
        holds=GAIN,
        partly=HINT,
        long=True,
    )


def _scales_help_inside(seed: int) -> tuple[float, float, float]:
    small = {"config__widths": (8, 16, 32), "config__hidden": 128}
    one, three = (
        100 * trained("multiscale_cnn_pasture", seed, 12, config__scales=scales, **small).score().mean_iou
        for scales in (1, 3)
    )
    return three - one, one, three


@claim("superpixels_refine_boundaries")
def superpixels_refine_boundaries() -> Claim:
    """Compare FCN-32s without refinement and with the majority label of each superpixel, on the Pasture data set."""
    return _refinement("superpixels", SemanticOptions(superpixels="felzenszwalb"), long=False)


@claim("segmentation_trees_refine_boundaries")
def segmentation_trees_refine_boundaries() -> Claim:
    """Compare FCN-32s without refinement and with the purest cover of a segmentation tree, on the Pasture data set."""
    return _refinement("a segmentation tree", SemanticOptions(superpixels="tree"), long=True)


def _refinement(name: str, options: SemanticOptions, *, long: bool) -> Claim:
    def measure(seed: int) -> tuple[float, ...]:
        network = trained("fcn32s_pasture", seed, EPOCHS)
        plain, refined = network.score(), network.score(options)
        least, boundary, mean = gains(plain, refined)
        return least, boundary, 100 * plain.boundary_iou, 100 * refined.boundary_iou, mean

    return Claim(
        section=SECTION,
        claim=f"The boundaries of a coarse output are refined with {name} of the picture.",
        effect="{:+.1f} points, the smaller of two gains: boundary IoU {:+.1f}, from {:.1f} to {:.1f}, and mean IoU "
        "{:+.1f}",
        measure=measure,
        holds=GAIN,
        partly=HINT,
        seeds=NEW_SEEDS,
        long=long,
    )
