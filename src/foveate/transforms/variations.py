"""Further random changes of an image (C, H, W) and its mask (H, W), or its layers of object numbers (L, H, W).

Each draws from torch's global generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foveate.deferred import functional as F
from foveate.deferred import tv_tensors, v2

CELL = 32  # pixels between the points that an elastic deformation moves


def quarter_turn(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Turn both by 0, 90, 180 or 270 degrees, each as likely."""
    turns = int(torch.randint(4, ()))
    return image.rot90(turns, (-2, -1)), mask.rot90(turns, (-2, -1))


def upside_down(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror both top to bottom with probability 0.5."""
    return (image.flip(-2), mask.flip(-2)) if torch.rand(()) < 0.5 else (image, mask)


def elastic(image: Tensor, mask: Tensor, strength: float, outside: int) -> tuple[Tensor, Tensor]:
    """Deform both smoothly: points on a grid of CELL pixels move by up to `strength` pixels along each axis.

    What comes from outside is black, and `outside` in the mask. Ronneberger et al., "U-Net" (2015), section 3.1, draw
    displacements on a coarse grid and interpolate them bicubically, too.
    """
    height, width = mask.shape[-2:]
    coarse = torch.empty(1, 2, height // CELL + 2, width // CELL + 2).uniform_(-strength, strength)
    moved = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    displacement = moved.permute(0, 2, 3, 1) * 2 / torch.tensor([width, height])  # in -1..1 over the edges
    image = F.elastic(image.as_subclass(Tensor), displacement, v2.InterpolationMode.BILINEAR, fill=[0.0])
    planes = tv_tensors.Mask(mask.as_subclass(Tensor).reshape(-1, height, width))
    labels = F.elastic(planes, displacement, v2.InterpolationMode.NEAREST, fill=outside)
    return image, labels.as_subclass(Tensor).reshape(mask.shape)


def blurred(image: Tensor, largest: float) -> Tensor:
    """Blur an image by a Gaussian whose sigma is drawn from 0 to `largest` pixels."""
    sigma = float(torch.empty(()).uniform_(0, largest))
    if sigma < 0.1:
        return image
    side = 2 * math.ceil(3 * sigma) + 1
    if side // 2 >= min(image.shape[-2:]):  # it would reach beyond the reflected edges
        return image
    blurry: Tensor = F.gaussian_blur(image.as_subclass(Tensor), [side, side], [sigma, sigma])
    return blurry


def rescaled(image: Tensor, strength: float) -> Tensor:
    """Multiply all values by one factor from 1 - strength to 1 + strength; any number of channels, cut at the range."""
    factor = float(torch.empty(()).uniform_(1 - strength, 1 + strength))
    plain = image.as_subclass(Tensor)
    if plain.is_floating_point():
        return (plain * factor).clamp(0, 1)
    return (plain.float() * factor).round().clamp(0, 255).to(plain.dtype)


def toned(image: Tensor, strength: float) -> Tensor:
    """Raise all values, in 0..1, to one power drawn log-uniformly from 1 / (1 + strength) to 1 + strength.

    Darkens or lightens the middle tones as another exposure or hour of the day does; black and white stay.
    """
    exponent = (1 + strength) ** float(torch.empty(()).uniform_(-1, 1))
    plain = image.as_subclass(Tensor)
    if plain.is_floating_point():
        return plain.clamp(0, 1) ** exponent
    return ((plain.float() / 255) ** exponent * 255).round().to(plain.dtype)


def place_rare(mask: Tensor, size: tuple[int, int], ignore: int) -> tuple[int, int]:
    """Place a window over a pixel of a class that is drawn uniformly from those of a mask (H, W): its top and left.

    Rare classes are seen as often as common ones. Anywhere if no pixel is labelled.
    """
    plain = mask.as_subclass(Tensor)
    classes = [int(label) for label in plain.unique() if label != ignore]
    spare = [side - window for side, window in zip(plain.shape, size, strict=True)]
    if not classes:
        return int(torch.randint(spare[0] + 1, ())), int(torch.randint(spare[1] + 1, ()))
    pixels = (plain == classes[int(torch.randint(len(classes), ()))]).nonzero()
    pixel = pixels[int(torch.randint(len(pixels), ()))].tolist()
    corner = [at - int(torch.randint(window, ())) for at, window in zip(pixel, size, strict=True)]
    top, left = (min(max(0, at), room) for at, room in zip(corner, spare, strict=True))
    return top, left
