"""DRAW: a window that is on no grid, what attention does to the bound, and what reading costs on larger images.

Networks learn digits of several typefaces on images of SIDE pixels a side, black or white by their intensities. The
two that are compared differ in attention alone, and are trained for as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from foveate.claims import Claim, cached
from foveate.claims.cost import multiply_adds, times_as_long
from foveate.claims.digits import FACES, SIDE, draw
from foveate.claims.exact import DIGITS, digits
from foveate.claims.fitting import fit
from foveate.models.spatial.draw import Config, Draw
from foveate.models.spatial.draw_reader import Config as ReaderConfig
from foveate.models.spatial.draw_reader import DrawReader
from foveate.registry import claim

SECTION = "Attending to Arbitrary Regions: DRAW"
TRAIN, TEST, STEPS, BATCH = 20_000, 1000, 1500, 64
SMALL = {"image_size": (SIDE, SIDE), "glimpses": 12, "hidden": 128, "latent": 12, "read": 5, "write": 5}
ON_GRID = 0.02  # pixels from a pixel's centre at which a window's centre counts as on it
SIDES = (100, 200)  # of the images that reading is counted on


@claim("window_is_on_no_grid")
def window_is_on_no_grid() -> Claim:
    """Measure how much the writing window of a trained network grows and shrinks, and how far it moves, in a drawing.

    The first figure is the deviation of delta over the steps of a drawing, in units of its mean; it is 0 where more
    than a tenth of the windows have their centre on that of a pixel, along either axis.
    """
    return Claim(
        section=SECTION,
        claim="A window that writes moves, grows and shrinks continuously; it is on no grid.",
        effect="its size deviates by {:.2f} of its mean within a drawing, and its centre moves by {:.1f} pixels a "
        "step; {:.1f} % of the centres are on that of a pixel along an axis",
        measure=_window_is_on_no_grid,
        holds=0.2,
        partly=0.1,
        long=True,
    )


def _window_is_on_no_grid(seed: int) -> tuple[float, ...]:
    model, _ = trained(seed, True)
    noise = model.noise(TEST, torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        windows = model.generate(noise).write
    assert windows is not None
    return movement(windows)


def movement(windows: Tensor) -> tuple[float, float, float]:
    """Return the relative deviation of delta in a drawing, pixels a step, and percent of centres on a pixel's.

    windows: (T, B, 5), as `DrawingOutput` has them. The first figure is 0 where more than a tenth are on a pixel.
    """
    centre, stride = windows[..., :2], windows[..., 2]
    change = float((stride.std(0, correction=0) / stride.mean(0)).mean())
    moved = float(centre.diff(dim=0).norm(dim=-1).mean())
    on_pixel = float(((centre - centre.round()).abs() < ON_GRID).float().mean())
    expected = 2 * ON_GRID  # of centres anywhere
    return change if on_pixel <= expected + 0.1 else 0.0, moved, 100 * on_pixel


@claim("attention_lowers_the_bound")
def attention_lowers_the_bound() -> Claim:
    """Compare the bounds of networks with and without attention that were trained for the same time.

    The network without attention makes as many more steps as its steps are shorter.
    """
    return Claim(
        section=SECTION,
        claim="Attention lowers the bound on the negative log-likelihood, after as long a training.",
        effect="{:+.2f} nats lower by attention: {:.2f} instead of {:.2f}, which has {:.2f} times the steps",
        measure=_attention_lowers_the_bound,
        holds=1.0,
        partly=0.2,
        long=True,
        timed=True,
    )


def _attention_lowers_the_bound(seed: int) -> tuple[float, ...]:
    ratio = times_as_long(_training_step(True), _training_step(False))
    (_, attending), (_, whole) = trained(seed, True), trained(seed, False, round(STEPS * ratio))
    return whole - attending, attending, whole, ratio


def _training_step(attention: bool) -> Callable[[], object]:
    model = Draw(Config(attention=attention, **SMALL))  # type: ignore[arg-type]
    images = draw(BATCH, FACES, 0).images

    def step() -> object:
        model.zero_grad()
        return model.loss({"image": images, "names": []})["loss"].backward()

    return step


@cached
def trained(seed: int, attention: bool, steps: int = STEPS) -> tuple[Draw, float]:
    """Train a network, and return it with the bound in nats on unseen digits; cached for the process."""
    images = draw(TRAIN, FACES, seed).images
    torch.manual_seed(seed)
    model = Draw(Config(attention=attention, **SMALL))  # type: ignore[arg-type]
    model.begin_from(images.mean(0))
    for _ in fit(model, lambda rows: _loss(model, images[rows]), TRAIN, steps, seed=seed, batch=BATCH):
        pass
    torch.manual_seed(seed)
    with torch.inference_mode():
        bounds = [_loss(model, some) for some in draw(TEST, FACES, seed + 1000).images.split(250)]
    return model, float(torch.stack(bounds).mean())


def _loss(model: Draw, images: Tensor) -> Tensor:
    return model.loss({"image": images, "names": []})["loss"]


@claim("reading_costs_two_products_more")
def reading_costs_two_products_more() -> Claim:
    """Count the multiply-adds of reading an image and one of twice the side, beside those of the filters' products."""
    return Claim(
        section=SECTION,
        claim="Reading through a window costs the same whatever the image's size, but for two products with its "
        "filters.",
        effect="{:.1f} digits of the added cost agree with the products; twice the side costs {:.2f} times as much, "
        "and {:.2f} times with a convolution over the image",
        measure=_reading_costs_two_products_more,
        holds=DIGITS,
        partly=DIGITS,
        law=True,
    )


def _reading_costs_two_products_more(seed: int) -> tuple[float, ...]:
    config = ReaderConfig()
    reader: Any = DrawReader(config).eval()
    convolution = torch.nn.Conv2d(1, 16, 5)
    read, convolved = (
        [multiply_adds(network, torch.zeros(1, 1, side, side)) for side in SIDES] for network in (reader, convolution)
    )
    # F_Y x is (N, H) times (H, W), and (F_Y x) F_X^T is (N, W) times (W, N), at every glimpse.
    products = [config.glimpses * (config.read * side * side + config.read**2 * side) for side in SIDES]
    added, expected = (torch.tensor([float(after - before)]) for before, after in (read, products))
    return digits(added, expected), read[1] / read[0], convolved[1] / convolved[0]
