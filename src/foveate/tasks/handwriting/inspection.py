"""Findings of `foveate datasets inspect` in handwriting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

from PIL import Image

from foveate.tasks.findings import Findings, spread, spread_text
from foveate.tasks.handwriting.figures import draw
from foveate.visualize.sheets import PAPER

NUM_EXAMPLES, THUMB = 8, 500


@dataclass
class HandwritingFindings(Findings):
    """Findings in pieces of handwriting.

    points, strokes: number -> pieces with as many. characters: character -> how often it is written.
    examples: offsets of the first pieces.
    """

    noun: ClassVar[str] = "pieces"

    points: Counter[int] = field(default_factory=Counter)
    strokes: Counter[int] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    examples: list[Any] = field(default_factory=list)

    def add(self, split: str, sample: Any) -> None:
        """Count one piece."""
        super().add(split, sample)
        self.points[len(sample["strokes"])] += 1
        self.strokes[int(sample["strokes"][:, 2].sum())] += 1
        self.characters.update(sample["transcript"])
        if len(self.examples) < NUM_EXAMPLES:
            self.examples.append(sample["strokes"].numpy())

    def details(self) -> list[str]:
        """Points and strokes of a piece, and the characters."""
        seen = "".join(sorted(self.characters)) or "none"
        return [
            f"points a piece: {spread_text(self.points)}",
            f"strokes a piece: {spread_text(self.strokes)}",
            f"characters: {len(self.characters)} different, {seen}",
        ]

    def details_to_json(self) -> dict[str, Any]:
        """The same as numbers."""
        return {
            "points_a_piece": spread(self.points), "strokes_a_piece": spread(self.strokes),
            "characters": dict(sorted(self.characters.items())),
        }  # fmt: skip

    def sheet(self) -> Any:
        """The first pieces below each other; None if there are none."""
        if not self.examples:
            return None
        drawn = [draw(offsets, width=THUMB) for offsets in self.examples]
        sheet = Image.new("RGB", (max(d.width for d in drawn), sum(d.height for d in drawn)), PAPER)
        top = 0
        for one in drawn:
            sheet.paste(one, (0, top))
            top += one.height
        return sheet
