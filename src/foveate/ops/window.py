"""The soft window over a text: a mixture of Gaussians whose centres only move forwards.

Shapes: B texts of at most U characters, A different ones; K Gaussians.

    kappa_t = kappa_(t-1) + exp(kappa^_t)                                    the centres     (equation 51)
    phi(t, u) = sum_k alpha_k exp(-beta_k (kappa_k - u)^2),  u = 1..U        the weights     (equation 46)
    w_t = sum_u phi(t, u) c_u                                                what is read    (equation 47)

The weights are not normalised. A text is written when phi(t, U + 1), one beyond its end, exceeds all others (section
5.3); so `weights` goes one further than the text.

Source: Graves, "Generating Sequences With Recurrent Neural Networks" (2013), section 5.1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def weights(alpha: Tensor, beta: Tensor, kappa: Tensor, count: int) -> Tensor:
    """phi (B, U + 1) of Gaussians (B, K) each: their importance, precision and centre. count: U."""
    u = torch.arange(1, count + 2, dtype=kappa.dtype, device=kappa.device)
    distance = kappa[..., None] - u
    return (alpha[..., None] * (-beta[..., None] * distance.square()).exp()).sum(-2)


def read_text(phi: Tensor, text: Tensor, lengths: Tensor, characters: int) -> Tensor:
    """w (B, A): the weights (B, U + 1) added up by character; what lies beyond a text's length adds nothing.

    text: (B, U) int64 characters in 0..A - 1, anything in the padding. lengths: (B,). characters: A.
    """
    inside = torch.arange(text.shape[1], device=text.device) < lengths[:, None]
    read = phi[:, :-1].masked_fill(~inside, 0)
    # The product with one-hot characters, without building them.
    return phi.new_zeros(len(phi), characters).scatter_add(1, text.masked_fill(~inside, 0), read)


def is_written(phi: Tensor, lengths: Tensor) -> Tensor:
    """(B,) bool: the weight one beyond the text (B, U + 1) exceeds those of all its characters."""
    places = torch.arange(phi.shape[1], device=phi.device)
    inside = places < lengths[:, None]
    beyond = phi.gather(1, lengths[:, None])[:, 0]
    return beyond > phi.masked_fill(~inside, -torch.inf).amax(1)
