"""What an inspection finds in a set of captioned pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from foveate.datasets.inspect.findings import Findings
from foveate.records import CaptionSample
from foveate.text import split_words

_COMMON = 20


@dataclass
class CaptionInspection(Findings):
    """The findings in a set of pictures with captions.

    splits: split -> how many captions each of its pictures has (how many -> of how many pictures).
    lengths: words of a caption -> how many captions. words: word -> how often it is said, over all splits.
    left_out: pictures that captions speak of and that are not there. silent: how many pictures have no caption.
    samples: spread over the set, shrunk.
    """

    task = "captioning"

    splits: dict[str, Counter[int]] = field(default_factory=dict)
    lengths: Counter[int] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    silent: int = 0
    samples: list[CaptionSample] = field(default_factory=list)

    def begin(self, split: str) -> None:
        """Start counting a split."""
        self.splits[split] = Counter()

    def add(self, split: str, sample: CaptionSample) -> None:
        """Count a sample."""
        self.splits[split][len(sample["captions"])] += 1
        for caption in sample["captions"]:
            words = split_words(caption.text)
            self.lengths[len(words)] += 1
            self.words.update(words)
        self.see(sample)

    def pictures(self) -> dict[str, int]:
        """Split -> how many pictures were read without a problem."""
        return {split: counts.total() for split, counts in self.splits.items()}

    def captions(self) -> dict[str, int]:
        """Split -> how many captions these pictures have."""
        return {split: sum(many * n for many, n in counts.items()) for split, counts in self.splits.items()}

    def shares(self) -> dict[str, float]:
        """Empty: captions have no classes."""
        return {}

    def to_json(self) -> dict[str, Any]:
        """Everything but the samples, as plain JSON values."""
        return super().to_json() | {
            "captions": self.captions(),
            "captions_a_picture": _range(self._a_picture()),
            "words_a_caption": _range(self.lengths),
            "words": {
                "different": len(self.words),
                "once": self._once(),
                "most_common": [{"word": word, "times": n} for word, n in self.words.most_common(_COMMON)],
            },
            "left_out": self.left_out,
            "without_captions": self.silent,
        }

    def _details(self) -> list[str]:
        counts = ", ".join(f"{split} {count}" for split, count in self.captions().items())
        lines = [
            f"captions: {counts}",
            f"captions a picture: {_range_text(self._a_picture())}",
            f"words a caption: {_range_text(self.lengths)}",
            f"words: {len(self.words)} different, {self._once()} of them said once",
            f"most often: {', '.join(word for word, _ in self.words.most_common(_COMMON))}",
        ]
        if self.silent:
            lines.append(f"pictures without captions: {self.silent}, left out")
        if self.left_out:
            lines.append(f"captions left out, of pictures that are not there: {', '.join(self.left_out)}")
        return lines

    def _a_picture(self) -> Counter[int]:
        return sum(self.splits.values(), Counter())

    def _once(self) -> int:
        return sum(n == 1 for n in self.words.values())


def _range(counts: Counter[int]) -> dict[str, int]:
    """The least, the middle and the most of what was counted."""
    if not counts:
        return {}
    values = sorted(counts.elements())
    return {"least": values[0], "median": values[len(values) // 2], "most": values[-1]}


def _range_text(counts: Counter[int]) -> str:
    found = _range(counts)
    if not found or found["least"] == found["most"]:
        return str(found.get("least", "none"))
    return f"{found['least']}..{found['most']} (median {found['median']})"
