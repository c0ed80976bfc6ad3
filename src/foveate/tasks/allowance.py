"""The loss of a score that a family allows its files in INT8."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """The loss of a family's monitored score that an INT8 file may cost.

    drop: the usual one. relative: in percent of the score in float32; else in points, hundredths of a score in 0..1.
    """

    drop: float
    relative: bool = False

    @property
    def unit(self) -> str:
        """The unit of `drop`, in words."""
        return "percent" if self.relative else "points"

    def lost(self, float32: float, int8: float, greater_is_better: bool = True) -> float:
        """The loss between two scores, in `unit`; below 0 where INT8 is the better one.

        Rounded to nine digits, so that a loss that is as large as the one allowed is not above it: 0.8 - 0.795 > 0.005.
        """
        lost = 100 * (float32 - int8 if greater_is_better else int8 - float32)
        return round(lost / max(abs(float32), 1e-12) if self.relative else lost, 9)
