"""Claims that two computations are one: how many digits of their results agree, in float64."""

from __future__ import annotations

import math

from torch import Tensor

DIGITS = 9.0  # rounding leaves a dozen or more; two different computations share one or two
MOST = 16.0  # of a float64


def digits(one: Tensor, other: Tensor) -> float:
    """-log10 of the largest difference, relative to the largest value; 0 if the shapes differ."""
    if one.shape != other.shape:
        return 0.0
    difference = float((one - other).abs().max() / other.abs().max())
    return min(MOST, -math.log10(max(difference, 10**-MOST)))
