"""Losses for classes of very different size, beside the cross-entropy: Dice, Tversky and focal.

Shapes: B images of H x W pixels, K classes; logits (B, K, H, W), before the softmax; mask (B, H, W) int64, a class in
0..K-1 or IGNORE. p is the softmax of the logits, g the one-hot truth; sums run over the valid pixels of the batch,
which is one set, of this process alone: unlike a sum over pixels, a ratio cannot be computed from those of the parts.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.ops.losses import check_pixels, pixel_cross_entropy, share_of_weight
from foveate.records import IGNORE

PixelLoss = Literal["cross_entropy", "dice", "tversky", "focal", "cross_entropy+dice"]
GAMMA = 2.0  # of the focal loss, the paper's value
FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7  # alpha and beta of the Tversky loss, the paper's best


def of_a_set(kind: PixelLoss) -> tuple[str, ...]:
    """Return the kind if it compares the pixels of a process with each other, rather than adding up over them."""
    return (kind,) if kind in ("dice", "tversky", "cross_entropy+dice") else ()


def pixel_loss(kind: PixelLoss, logits: Tensor, mask: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return the loss of a kind; a scalar. class_weights: (K,), of the cross-entropy and the focal loss alone.

    Raises ConfigError as `pixel_cross_entropy` does.
    """
    check_pixels(logits, mask)
    if kind == "cross_entropy":
        return pixel_cross_entropy(logits, mask, class_weights)
    if kind == "focal":
        return focal(logits, mask, class_weights)
    if kind == "tversky":
        return tversky(logits, mask)
    dice = soft_dice(logits, mask)
    return dice if kind == "dice" else dice + pixel_cross_entropy(logits, mask, class_weights)


def soft_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Return 1 - mean over classes of 2 sum(p g) / (sum(p) + sum(g)); the Tversky loss of equal weights.

    Source: Milletari, Navab and Ahmadi, "V-Net" (2016), section 3, with p in place of its square in the denominator, as
    Sudre et al., "Generalised Dice overlap" (2017), section 2.1.
    """
    return tversky(logits, mask, 0.5, 0.5)


def tversky(logits: Tensor, mask: Tensor, alpha: float = FALSE_POSITIVES, beta: float = FALSE_NEGATIVES) -> Tensor:
    """Return 1 - mean over classes of TP / (TP + alpha FP + beta FN); a scalar.

    TP = sum(p g), FP = sum(p (1 - g)), FN = sum((1 - p) g). The mean is over the classes in the batch's mask: of an
    absent one, TP is 0 whatever is predicted. Without any valid pixel the loss is 0 with gradients of 0. A larger beta
    punishes what is missed more than what is invented.
    Source: Salehi, Erdogmus and Gholipour, "Tversky loss function" (2017), equations 3 and 4.
    """
    valid = mask != IGNORE
    full = logits.to(torch.promote_types(logits.dtype, torch.float32))
    p = full.softmax(1).permute(0, 2, 3, 1)[valid]  # (N, K), of the N valid pixels
    labels = mask[valid]
    if not labels.numel():
        return full.sum() * 0
    truth = F.one_hot(labels, logits.shape[1]).to(p.dtype)
    hits, predicted, true = (p * truth).sum(0), p.sum(0), truth.sum(0)
    index = hits / (hits + alpha * (predicted - hits) + beta * (true - hits)).clamp_min(1e-12)
    return 1 - index[true > 0].mean()


def focal(logits: Tensor, mask: Tensor, class_weights: Tensor | None = None, gamma: float = GAMMA) -> Tensor:
    """Return the mean over valid pixels of -(1 - p)^gamma log p of the true class; gamma 0 is the cross-entropy.

    class_weights: (K,), the paper's alpha. The mean is over the pixels of all processes, as in `pixel_cross_entropy`.
    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), equations 4 and 5.
    """
    full = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_p = full.log_softmax(1).gather(1, mask.clamp_min(0)[:, None])[:, 0]  # (B, H, W)
    valid = mask != IGNORE
    weight = valid.to(full.dtype) if class_weights is None else class_weights.to(full)[mask.clamp_min(0)] * valid
    losses = -((1 - log_p.exp()) ** gamma) * log_p * weight
    return losses.sum() / share_of_weight(mask, class_weights).to(losses.dtype)
