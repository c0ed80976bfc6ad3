"""Sums of metrics as one flat tensor, so that those of several processes can be added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError


def flatten(parts: Sequence[np.ndarray]) -> Tensor:
    """Return a copy of all values of `parts` as one flat tensor; the sum of several goes to `add`."""
    return torch.from_numpy(np.concatenate([part.ravel() for part in parts]))


def add(parts: Sequence[np.ndarray], state: Tensor, same: str) -> None:
    """Add `state`, as `flatten` made it, to `parts` in place.

    same: in words, what the metrics must have in common, for the error. Raises ConfigError if the length differs.
    """
    expected = sum(part.size for part in parts)
    if tuple(state.shape) != (expected,):
        raise ConfigError(
            f"cannot merge sums of shape {tuple(state.shape)} into metrics that hold ({expected},); merge metrics of "
            f"the same {same}"
        )
    values, start = state.cpu().numpy(), 0
    for part in parts:
        part += values[start : start + part.size].reshape(part.shape)
        start += part.size
