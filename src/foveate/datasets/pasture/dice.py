"""Random numbers and directions that are the same on every machine.

NumPy promises that the raw 64-bit stream of a bit generator never changes, and says nothing so strong about the
distributions on top of it; so those are written here. Everything else that decides a label is +, -, *, / and square
root, which IEEE 754 rounds in one way only; sines and cosines come from a table rounded to 1/4096.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 256
_TURNS = [
    (round(math.cos(math.radians(i)) * 4096) / 4096, round(math.sin(math.radians(i)) * 4096) / 4096) for i in range(360)
]


class Dice:
    """A stream of numbers from a tuple of non-negative integers below 2**32."""

    def __init__(self, *entropy: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))
        self._pool: list[int] = []

    def unit(self) -> float:
        """Uniform in [0, 1), a multiple of 2**-53."""
        if not self._pool:
            self._pool = (self._bits.random_raw(_BLOCK) >> np.uint64(11))[::-1].tolist()
        return self._pool.pop() * 2.0**-53

    def units(self, count: int) -> tuple[float, ...]:
        """`count` values of `unit`."""
        return tuple(self.unit() for _ in range(count))

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, low: int, high: int) -> int:
        """Uniform in low..high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.unit() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One item, each as likely as the others."""
        return items[int(self.unit() * len(items))]

    def weighted(self, weights: Sequence[float]) -> int:
        """An index, as likely as its share of the weights."""
        mark = self.unit() * sum(weights)
        for index, weight in enumerate(weights):
            mark -= weight
            if mark < 0:
                return index
        return len(weights) - 1


def heading(degrees: float) -> tuple[float, float]:
    """(cosine, sine) of an angle, to the whole degree: 0 points right, 90 points down the image."""
    return _TURNS[math.floor(degrees + 0.5) % 360]
