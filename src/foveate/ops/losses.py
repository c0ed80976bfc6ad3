"""Losses over label maps and sentences.

Shapes: logits (B, K, H, W), before the softmax; mask (B, H, W) int64, a class in 0..K-1 or IGNORE. For whole images:
logits (B, K), label (B,).
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.records import IGNORE


def pixel_cross_entropy(
    logits: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy over the pixels that are not ignored, weighted by class; a scalar.

    logits: (B, K, H, W).
    mask: (B, H, W) int64.
    class_weights: (K,); None is one for each.
    reduction: "sum" adds the pixels of this process. "mean" divides by the weight of the valid pixels of *all*
        processes and multiplies by their number: processes hold different numbers of valid pixels, so the average of
        their own means is not the mean. Averaging the gradients, as DistributedDataParallel does, then gives exactly
        the gradient of one process with the whole batch. Every process must call it, as it sums over them.
    label_smoothing: eps, the share of each label that is spread over all classes: q(k) = (1 - eps) [k = y] + eps / K.

    Without any valid pixel the loss is 0 with gradients of 0, never nan.

    Raises ConfigError if shapes do not fit. Labels of K and above raise it on the CPU only: the check would synchronise
    any other device, and there torch itself stops at them.
    """
    check_pixels(logits, mask)
    if class_weights is not None and tuple(class_weights.shape) != (logits.shape[1],):
        raise ConfigError(
            f"class weights of shape {tuple(class_weights.shape)} for {logits.shape[1]} classes; "
            "give one weight per class"
        )
    total = F.cross_entropy(
        exact_logits(logits),
        mask,
        weight=class_weights,
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    if reduction == "sum":
        return total
    return total / share_of_weight(mask, class_weights).to(total.dtype)


def label_cross_entropy(
    logits: Tensor, label: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Return `pixel_cross_entropy` of whole images, each of which counts as one pixel. Raises ConfigError."""
    maps, labels = logits[:, :, None, None], label[:, None, None]
    return pixel_cross_entropy(maps, labels, class_weights, label_smoothing=label_smoothing)


_single = contextvars.ContextVar("single", default=False)


def token_targets(tokens: Tensor, *untaught: int) -> Tensor:
    """Return the targets of a loss over sentences: tokens (B, L) with IGNORE in place of those that do not count.

    untaught: tokens that a model reads, but does not learn to write, such as <pad> and <unk>. If it learned to write
    <unk>, it would give it the share of all rare words, and a search that never writes it would be left with words that
    belong elsewhere.
    """
    return tokens.masked_fill(torch.isin(tokens, tokens.new_tensor(untaught)), IGNORE)


@contextlib.contextmanager
def single_process() -> Iterator[None]:
    """Let losses in this block be those of one process, also in a training of several, for validation."""
    token = _single.set(True)
    try:
        yield
    finally:
        _single.reset(token)


@torch.no_grad()
def share_of_weight(mask: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return the weight of all processes' valid pixels (or words) over the number of processes; 1 for none.

    A sum over this process's pixels divided by it has the right gradient once processes average theirs. Every process
    must call it, as it sums over them.
    """
    valid = mask != IGNORE
    # In float64 where supported: float32 counts exactly up to 2^24, which is a batch of 64 images of 512x512.
    exact = torch.float32 if mask.device.type == "mps" else torch.float64
    weight = valid.sum().to(exact) if class_weights is None else class_weights.to(exact)[mask[valid]].sum()
    processes = 1
    if dist.is_available() and dist.is_initialized() and not _single.get():
        processes = dist.get_world_size()
        dist.all_reduce(weight)
    return torch.where(weight > 0, weight / processes, 1.0)


def lovasz_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the Lovász-softmax loss, a smooth 1 - mean IoU; a scalar.

    It is the Lovász extension of each class's Jaccard loss, averaged over classes: those in the batch's mask, where the
    batch is one set of pixels (of this process alone: unlike a sum over pixels, an IoU cannot be computed from those of
    the parts). Without any valid pixel the loss is 0 with gradients of 0.

    Source: Berman, Triki and Blaschko, "The Lovász-Softmax loss" (2018), equations 8, 9 and 11 and algorithm 1. Raises
    ConfigError as `pixel_cross_entropy` does.
    """
    check_pixels(logits, mask)
    valid = mask != IGNORE
    scores = exact_logits(logits).permute(0, 2, 3, 1)[valid]  # (N, K), of the N valid pixels
    labels = mask[valid]  # (N,)
    if labels.numel() == 0:
        return scores.sum()
    present = labels.unique()  # (P,)
    truth = labels == present[:, None]  # (P, N)
    probability = scores.softmax(1).T[present]
    # m_i(c) of equation 11: the pixel's error for class c.
    error = torch.where(truth, 1 - probability, probability)
    error, order = error.sort(dim=1, descending=True)
    return (error * _jaccard_steps(truth.gather(1, order), error.dtype)).sum(1).mean()


def _jaccard_steps(truth: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the increase of the Jaccard loss as pixels become wrong one after the other: (P, N) bool -> (P, N).

    The g(m) of equation 9. With the first i pixels wrong, the class keeps its other pixels as the intersection, and the
    union has grown by the wrong pixels that are not of the class.
    """
    total = truth.sum(1, keepdim=True)
    intersection = total - truth.cumsum(1)
    union = total + (~truth).cumsum(1)
    loss = 1 - intersection.to(dtype) / union.to(dtype)
    return torch.cat([loss[:, :1], loss.diff(dim=1)], dim=1)


def exact_logits(logits: Tensor) -> Tensor:
    """Convert to float32 or better: a half-precision sum over pixels overflows, or stagnates, after a few thousand."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_pixels(logits: Tensor, mask: Tensor) -> None:
    """Raise ConfigError for shapes that do not fit, and on the CPU for labels that are no class."""
    expected = (logits.shape[0], *logits.shape[2:])
    if logits.ndim != 4 or tuple(mask.shape) != expected or mask.dtype != torch.int64:
        raise ConfigError(
            f"logits of shape {tuple(logits.shape)} with a mask of {mask.dtype} and shape {tuple(mask.shape)}; "
            "give logits (B, K, H, W) and an int64 mask (B, H, W) of the same size"
        )
    if mask.device.type != "cpu" or mask.numel() == 0:
        return
    low, high = (int(value) for value in mask.aminmax())
    if high >= logits.shape[1] or (low < 0 and low != IGNORE):
        wrong = high if high >= logits.shape[1] else low
        raise ConfigError(
            f"the mask holds label {wrong}, but the logits have {logits.shape[1]} classes; "
            f"build the model with as many classes as the data has (ignored pixels are {IGNORE})"
        )
