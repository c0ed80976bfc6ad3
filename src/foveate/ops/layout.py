"""Layout of a model's tensors in memory."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def channels_last(model: M) -> M:
    """The model, its tensors of four axes in channels-last order, in which 2-D convolutions on a CPU are fastest.

    `Module.to(memory_format=torch.channels_last)` refuses models with tensors of five axes, as of 3-D convolutions.
    """
    return model._apply(lambda x: x.to(memory_format=torch.channels_last) if x.ndim == 4 else x)
