"""Measure for claims that two computations are equal: the number of common digits of their results, in float64."""

from __future__ import annotations

import math

from torch import Tensor

DIGITS = 9.0  # threshold: rounding leaves a dozen digits or more, different computations have one or two in common
MAX_DIGITS = 16.0  # of a float64


def digits(one: Tensor, other: Tensor) -> float:
    """Return -log10 of the largest difference, relative to the largest value; 0 if the shapes differ."""
    if one.shape != other.shape:
        return 0.0
    difference = float((one - other).abs().max() / other.abs().max())
    return min(MAX_DIGITS, -math.log10(max(difference, 10**-MAX_DIGITS)))
