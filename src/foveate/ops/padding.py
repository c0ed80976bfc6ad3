"""Sequences of unequal lengths in one batch: padding, masks, and reversal within each length.

Shapes: B sequences, L steps in the longest. Padding stands at the end. What is computed of a sequence must not depend
on it: attention takes `valid_mask`, and a recurrent network that reads backwards takes `reverse`, so that it starts at
the last step and not in the padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foveate.errors import ConfigError


def pad(sequences: Sequence[Tensor], value: float = 0) -> Tensor:
    """Return sequences (L_b, ...) as one tensor (B, L, ...), filled up with `value`.

    Raises ConfigError for no sequences, or sequences that differ in more than their length.
    """
    if not sequences or len({(x.shape[1:], x.dtype) for x in sequences}) > 1:
        kinds = sorted({f"{x.dtype} {tuple(x.shape[1:])}" for x in sequences})
        raise ConfigError(f"cannot pad sequences of {' and '.join(kinds) or 'no kind'}; give one or more of one kind")
    longest = max(len(x) for x in sequences)
    padded = sequences[0].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)
    for row, x in zip(padded, sequences, strict=True):
        row[: len(x)] = x
    return padded


def valid_mask(lengths: Tensor, longest: int) -> Tensor:
    """Return the mask (B, L) that is True within each length (B,) and False in the padding."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Return x (B, L, ...) with the first `lengths` (B,) steps of each row in reverse; padding stays where it is.

    It is its own inverse.
    """
    steps = torch.arange(x.shape[1], device=x.device)
    # i -> length - 1 - i within the length, i -> i in the padding
    index = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return x.gather(1, index.view(*index.shape, *(1 for _ in x.shape[2:])).expand(-1, -1, *x.shape[2:]))
