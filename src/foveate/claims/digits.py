"""Digits of several typefaces, rotated, scaled and translated, and a classifier of them with or without a transformer.

Shapes: images (N, 1, SIDE, SIDE) in 0..1, black around the digit; labels (N,); turns (N,), rotations in radians,
clockwise; places (N, 2), positions of the digits' centres, in -1..1.

The typefaces are those that ship with matplotlib, so that nothing is downloaded; networks are tested on other typefaces
than they were trained on. A digit is drawn into a square of 28 pixels, as in MNIST, and distorted as in RTS of the
spatial transformer paper (Jaderberg et al. 2015, section 4.1), but rotated by up to 90 degrees, as in its R.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import cached
from foveate.claims.fitting import fit
from foveate.registry import create_model

FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral", "cmr10",
    "cmtt10",
)  # fmt: skip
OTHER_FACES = ("DejaVuSansMono-Bold", "STIXGeneralBol", "cmss10", "cmb10")
GLYPH, INK = 28, 20  # side of a digit's square, and longer side of the digit in it, in pixels
SUPERSAMPLING = 8  # factor by which a digit is drawn larger before it is reduced
SIDE, TURN, SCALES, STRETCH = 42, math.pi / 2, (0.7, 1.2), 0.15
TRAIN, TEST, STEPS = 20_000, 3000, 1500
# A quarter of the multiply-adds of the recipes' networks; the classifier is the same with and without a transformer.
SLIM = {
    "image_size": (SIDE, SIDE),
    "widths": (8, 16, 32),
    "hidden": 64,
    "localise_widths": (8, 16),
    "localise_hidden": 32,
}


@dataclass(frozen=True)
class Digits:
    """Images of digits with their labels, rotations and positions."""

    images: Tensor
    labels: Tensor
    turns: Tensor
    places: Tensor


def draw(count: int, faces: tuple[str, ...], seed: int) -> Digits:
    """Draw `count` random digits in these typefaces; the result is determined by the arguments."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(*size, generator=generator)

    labels = torch.randint(10, (count,), generator=generator)
    glyphs = torch.stack([glyph_table(face) for face in faces])[
        torch.randint(len(faces), (count,), generator=generator), labels
    ]
    turns, scale = uniform(-TURN, TURN, count), uniform(*SCALES, count)
    stretch = 1 + uniform(-STRETCH, STRETCH, count, 2)
    # The largest circle around a digit stays inside the image.
    margin = SIDE / 2 - INK / math.sqrt(2) * (1 + STRETCH) * scale
    place = uniform(-1, 1, count, 2) * margin[:, None]
    # A pixel q of the image, relative to its centre, shows the glyph's point R(turn)' (q - place) / scale / stretch.
    cos, sin = turns.cos(), turns.sin()
    inverse = (
        torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
        / (scale[:, None] * stretch)[..., None]
    )
    shift = -(inverse @ place[..., None]) / (GLYPH / 2)
    theta = torch.cat([inverse * SIDE / GLYPH, shift], 2)
    images = [
        F.grid_sample(
            batch, F.affine_grid(batch_theta, [len(batch), 1, SIDE, SIDE], align_corners=False), align_corners=False
        )
        for batch, batch_theta in zip(glyphs[:, None].split(1000), theta.split(1000), strict=True)
    ]
    return Digits(torch.cat(images), labels, turns, place / (SIDE / 2))


@cache
def glyph_table(face: str) -> Tensor:
    """Draw the ten digits of a typeface, upright, (10, GLYPH, GLYPH)."""
    file = Path(matplotlib.get_data_path()) / "fonts/ttf" / f"{face}.ttf"
    font = ImageFont.truetype(str(file), 2 * INK * SUPERSAMPLING)
    return torch.stack([_glyph(str(digit), font) for digit in range(10)])


def _glyph(text: str, font: ImageFont.FreeTypeFont) -> Tensor:
    """Draw one digit in the centre of a square, its longer side of INK pixels."""
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=font)
    digit = canvas.crop(canvas.getbbox())
    factor = INK / max(digit.size)
    reduced = digit.resize([max(1, round(side * factor)) for side in digit.size], Image.Resampling.BOX)
    glyph = Image.new("L", (GLYPH, GLYPH))
    glyph.paste(reduced, ((GLYPH - reduced.width) // 2, (GLYPH - reduced.height) // 2))
    return torch.from_numpy(np.array(glyph)).float() / 255


@cached
def classifier(transform: str, seed: int) -> nn.Module:
    """Train the classifier on digits of FACES, without ("none") or with a transformer; cached for the process."""
    digits = draw(TRAIN, FACES, seed)
    torch.manual_seed(seed)
    model: nn.Module = create_model("spatial_transformer", transform=transform, **SLIM)
    loss: Callable[..., dict[str, Tensor]] = model.loss  # type: ignore[assignment]

    def batch_loss(batch: Tensor) -> Tensor:
        return loss({"image": prepared(model, digits.images[batch]), "label": digits.labels[batch]})["loss"]

    for _ in fit(model, batch_loss, TRAIN, STEPS, seed=seed):
        pass
    return model.eval()


def prepared(model: nn.Module, images: Tensor) -> Tensor:
    """Preprocess images for the network."""
    x: Tensor = model.preprocessing(images)  # type: ignore[operator]
    return x


@cache
def unseen(seed: int) -> Digits:
    """Draw test digits, of other typefaces than those of training; cached for the process."""
    return draw(TEST, OTHER_FACES, seed + 1_000_000)
