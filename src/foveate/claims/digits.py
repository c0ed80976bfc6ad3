"""Digits of many typefaces, turned, scaled and put anywhere, and a classifier of them with and without a transformer.

Shapes: pictures (N, 1, SIDE, SIDE) in 0..1, black around the digit; labels (N,); turns (N,) in radians, clockwise;
places (N, 2) of a digit's middle, in -1..1.

The typefaces are those that come with matplotlib, so that nothing is downloaded; networks are tested on others than
they were trained on. A digit is inked into a square of 28 pixels as those of MNIST are, and distorted as the spatial
transformer paper's RTS (Jaderberg et al. 2015, section 4.1), but turned by up to 90 degrees, as in its R.
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

import foveate
from foveate.claims.fitting import fit

FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral", "cmr10",
    "cmtt10",
)  # fmt: skip
OTHER_FACES = ("DejaVuSansMono-Bold", "STIXGeneralBol", "cmss10", "cmb10")
GLYPH, INK, FINER = 28, 20, 8  # pixels of a digit's square, of its ink's longer side; how much finer it is drawn first
SIDE, TURN, SCALES, STRETCH = 42, math.pi / 2, (0.7, 1.2), 0.15
TRAIN, TEST, STEPS = 20_000, 3000, 1500
# A quarter of the multiply-adds of the recipes' networks; the classifier behind the transformer is the bare one.
SLIM = {
    "image_size": (SIDE, SIDE),
    "widths": (8, 16, 32),
    "hidden": 64,
    "localise_widths": (8, 16),
    "localise_hidden": 32,
}


@dataclass(frozen=True)
class Digits:
    """Pictures, what is on them, how far each was turned, and where it was put."""

    images: Tensor
    labels: Tensor
    turns: Tensor
    places: Tensor


def draw(count: int, faces: tuple[str, ...], seed: int) -> Digits:
    """Some digits in these typefaces, each a function of the seed and the count."""
    dice = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(*size, generator=dice)

    labels = torch.randint(10, (count,), generator=dice)
    glyphs = torch.stack([glyph_table(face) for face in faces])[
        torch.randint(len(faces), (count,), generator=dice), labels
    ]
    turns, scale = uniform(-TURN, TURN, count), uniform(*SCALES, count)
    stretch = 1 + uniform(-STRETCH, STRETCH, count, 2)
    # The circle around the ink, when it is largest, stays on the canvas.
    room = SIDE / 2 - INK / math.sqrt(2) * (1 + STRETCH) * scale
    place = uniform(-1, 1, count, 2) * room[:, None]
    # A pixel q of the canvas, from its middle, shows the glyph's point R(turn)' (q - place) / scale / stretch.
    cos, sin = turns.cos(), turns.sin()
    back = (
        torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
        / (scale[:, None] * stretch)[..., None]
    )
    shift = -(back @ place[..., None]) / (GLYPH / 2)
    theta = torch.cat([back * SIDE / GLYPH, shift], 2)
    images = [
        F.grid_sample(some, F.affine_grid(where, [len(some), 1, SIDE, SIDE], align_corners=False), align_corners=False)
        for some, where in zip(glyphs[:, None].split(1000), theta.split(1000), strict=True)
    ]
    return Digits(torch.cat(images), labels, turns, place / (SIDE / 2))


@cache
def glyph_table(face: str) -> Tensor:
    """The ten digits of a typeface, upright, (10, GLYPH, GLYPH)."""
    file = Path(matplotlib.get_data_path()) / "fonts/ttf" / f"{face}.ttf"
    font = ImageFont.truetype(str(file), 2 * INK * FINER)
    return torch.stack([_glyph(str(digit), font) for digit in range(10)])


def _glyph(text: str, font: ImageFont.FreeTypeFont) -> Tensor:
    """One digit, its ink's longer side INK pixels, in the middle."""
    left, top, right, bottom = font.getbbox(text)
    paper = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(paper).text((-left, -top), text, fill=255, font=font)
    ink = paper.crop(paper.getbbox())
    factor = INK / max(ink.size)
    small = ink.resize([max(1, round(side * factor)) for side in ink.size], Image.Resampling.BOX)
    square = Image.new("L", (GLYPH, GLYPH))
    square.paste(small, ((GLYPH - small.width) // 2, (GLYPH - small.height) // 2))
    return torch.from_numpy(np.array(square)).float() / 255


@cache
def classifier(transform: str, seed: int) -> nn.Module:
    """The bare classifier ("none") or one behind a transformer, trained on digits of FACES; once a process."""
    digits = draw(TRAIN, FACES, seed)
    torch.manual_seed(seed)
    model: nn.Module = foveate.create("spatial_transformer", transform=transform, **SLIM)
    loss: Callable[..., dict[str, Tensor]] = model.loss  # type: ignore[assignment]

    def of(batch: Tensor) -> Tensor:
        return loss({"image": prepared(model, digits.images[batch]), "label": digits.labels[batch]})["loss"]

    for _ in fit(model, of, TRAIN, STEPS, seed=seed):
        pass
    return model.eval()


def prepared(model: nn.Module, images: Tensor) -> Tensor:
    """Pictures as the network takes them."""
    x: Tensor = model.preprocessing(images)  # type: ignore[operator]
    return x


@cache
def unseen(seed: int) -> Digits:
    """Digits to test on, of other typefaces than were trained on."""
    return draw(TEST, OTHER_FACES, seed + 1_000_000)
