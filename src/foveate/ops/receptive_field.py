"""The effective receptive field: how much an output depends on each pixel, measured by gradients.

Shapes: an image (C, H, W); an output (K, h, w); a field (H, W).

The theoretical receptive field holds every pixel that reaches an output at all. Pixels in the middle reach it along
many paths and those at the rim along few, so that the output depends mostly on far fewer: on those with a large
gradient.

Source: Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks"
(2016), sections 1 and 3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foveate.errors import ConfigError

# Pixels above 1 - 95.45 % of the field's peak count: two deviations of a Gaussian, the paper's choice (section 3).
NOTEWORTHY = 1 - 0.9545


def receptive_field(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Return the influence of each pixel on the central output: R[y, x] = sum_c |da / dI[c, y, x]|, (H, W).

    network: (1, C, H, W) -> (1, K, h, w). a is the largest of the K values in row h // 2 and column w // 2.
    image: (1, C, H, W).

    Raises ConfigError for more than one image. Fields of several images may be averaged, as the paper does.
    """
    if image.ndim != 4 or len(image) != 1:
        raise ConfigError(f"the receptive field of a batch of shape {tuple(image.shape)}; give one image, (1, C, H, W)")
    pixels = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        output = network(pixels)
        height, width = output.shape[-2:]
        (gradient,) = torch.autograd.grad(output[0, :, height // 2, width // 2].max(), pixels)
    return gradient[0].abs().sum(0)


def field_side(field: Tensor) -> float:
    """Return the side, in pixels, of a square with as many pixels as a field (H, W) has above the threshold NOTEWORTHY.

    It is 0 where all pixels are 0.
    """
    return float((field > NOTEWORTHY * field.max()).sum()) ** 0.5
