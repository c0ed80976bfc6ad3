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
        score, value = self.key(best)[0], best[self.monitor]
        if len(rows) == 1:
            only = "the only one" if len(history) == 1 else "the only one that was validated"
            return f"{which}, {only} ({self.monitor} {value:.4f})"
        tied = [row for row in rows if self.key(row)[0] == score]
        level = [row for row in tied if self.key(row) == self.key(best)]
        steps = []
        if len(tied) < len(rows):
            shared = f" (also that of {_listed(tied, best)})" if len(tied) > 1 else ""
            steps.append(f"by {self.monitor}: {value:.4f}{shared}")
        if len(level) < len(tied):
            steps.append(f"by validation loss: {best[LOSS]:.4f}")
        if len(level) > 1:
            steps.append("the last one" if len(level) == len(rows) else "the last of these")
        if len(tied) == len(rows):
            values = sorted({f"{row[self.monitor]:.4f}" for row in rows})
            steps[-1] += f" ({self.monitor} is {' or '.join(values)} in every epoch and cannot rank them)"
        return f"{which}, {', then '.join(steps)}"


def _listed(rows: Sequence[Row], besides: Row) -> str:
    """The epochs of some rows but one, in words: 'epochs 1, 2 and 4'."""
    epochs = [f"{row['epoch']:.0f}" for row in rows if row is not besides]
    return f"epochs {', '.join(epochs[:-1])} and {epochs[-1]}" if len(epochs) > 1 else f"epoch {epochs[0]}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -math.inf
