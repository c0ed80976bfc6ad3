"""Ranking of epochs: by the family's score, by the validation loss where that cannot rank, else the last epoch.

An epoch replaces the best one so far if its monitored score is better; a score that is not a number is worse than any
number. Of two equal scores (or two that are not numbers) the lower validation loss wins, and of two equal losses the
later epoch. So a score that cannot tell epochs apart, such as CIDEr-D over a single image, never holds on to an early
epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LOSS = "val_loss"
Row = Mapping[str, float]


@dataclass(frozen=True)
class Ranking:
    """The order of a family's epochs. monitor: its score; greater_is_better: the score's direction."""

    monitor: str
    greater_is_better: bool = True

    def key(self, row: Row) -> tuple[float, float]:
        """A row of metrics.csv as a pair that is larger for a better epoch."""
        score, loss = row.get(self.monitor, math.nan), row.get(LOSS, math.nan)
        return _finite(score if self.greater_is_better else -score), _finite(-loss)

    def improves(self, row: Row, best: Row | None) -> bool:
        """True if a validated epoch replaces the best one so far."""
        return best is None or self.key(row) >= self.key(best)

    def describe(self, history: Sequence[Row], best_epoch: int) -> str:
        """The epoch that was kept, by what, and its score, in one line."""
        rows = [row for row in history if self.monitor in row]
        best = next(row for row in history if row["epoch"] == best_epoch)
        which = f"epoch {best_epoch} of {len(history)}"
        if len({self.key(row)[0] for row in rows}) > 1 or len(rows) == 1:
            return f"{which}, by {self.monitor}: {best[self.monitor]:.4f}"
        same = f"{self.monitor} is {best[self.monitor]:.4f} in every epoch and cannot rank them"
        if len({row[LOSS] for row in rows if math.isfinite(row.get(LOSS, math.nan))}) > 1:
            return f"{which}, by validation loss: {best[LOSS]:.4f} ({same})"
        return f"{which}, the last one ({same})"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -math.inf
