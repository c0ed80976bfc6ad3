"""Findings of `foveate datasets inspect`, for any family; those of a family stand in its `inspection.py`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from foveate.records import Problem


@dataclass
class Findings:
    """What an inspection finds in a data set.

    path: the folder, '' for drawn data. recognised: the format in one line.
    counts: split -> samples that were read without a problem. problems: files that cannot be used.
    """

    path: str
    recognised: str
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def begin(self, split: str, dataset: Any) -> None:
        """Start counting a split."""
        self.counts[split] += 0

    def add(self, split: str, sample: Any) -> None:
        """Count one sample."""
        self.counts[split] += 1

    def to_json(self) -> dict[str, Any]:
        """Everything that was found, as plain JSON values."""
        return {
            "path": self.path,
            "recognised": self.recognised,
            "samples": dict(self.counts),
            "problems": [{"file": str(p.file), "problem": p.what} for p in self.problems],
        }

    def text(self) -> str:
        """The findings as plain lines for a terminal."""
        counts = ", ".join(f"{split} {count}" for split, count in self.counts.items())
        lines = [self.recognised, *([f"samples: {counts}"] if self.counts else []), *self.details()]
        if not self.problems:
            return "\n".join([*lines, "problems: none"])
        return "\n".join([*lines, f"problems: {len(self.problems)}", *(f"  {p}" for p in self.problems)])

    def details(self) -> list[str]:
        """The family's lines of `text`."""
        return []

    def sheet(self) -> Any:
        """A contact sheet of some samples, a PIL image; None if there is nothing to draw."""
        return None
