"""How much of a picture an answer depends on: the effective receptive field, by gradients.

Shapes: a picture (C, H, W); an answer (K, h, w); a field (H, W).

The theoretical receptive field is every pixel that reaches an answer at all. Those in the middle reach it along many
paths and those at the rim along few, so that the answer depends on far fewer: on those where its gradient is large.

Source: Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks"
(2016), sections 1 and 3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foveate.errors import ConfigError

# A pixel counts above 1 - 95.45 % of the field's peak: two deviations of a Gaussian, the paper's choice (section 3).
NOTEWORTHY = 1 - 0.9545


def receptive_field(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """How much each pixel moves the answer in the middle: (1, C, H, W) -> (H, W), R[y, x] = sum_c |da / dI[c, y, x]|.

    network: (1, C, H, W) -> (1, K, h, w). a: the largest of the K values in row h // 2 and column w // 2.
    Raises ConfigError for more than one picture. Fields of several pictures may be averaged, as the paper does.
    """
    if image.ndim != 4 or len(image) != 1:
        raise ConfigError(
            f"the receptive field of a batch of shape {tuple(image.shape)}; give one picture, (1, C, H, W)"
        )
    pixels = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        answer = network(pixels)
        height, width = answer.shape[-2:]
        (gradient,) = torch.autograd.grad(answer[0, :, height // 2, width // 2].max(), pixels)
    return gradient[0].abs().sum(0)


def field_side(field: Tensor) -> float:
    """The side, in pixels, of a square with as many pixels as are noteworthy in a field (H, W); 0 where all are 0."""
    return float((field > NOTEWORTHY * field.max()).sum()) ** 0.5
