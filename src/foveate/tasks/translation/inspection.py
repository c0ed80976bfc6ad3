"""Findings of `foveate datasets inspect` in parallel text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

from foveate.errors import counted
from foveate.tasks.findings import Findings, spread, spread_text
from foveate.text import split_words

NUM_WORDS = 15
FAR = 3.0  # times as many words on one side as on the other: seldom a translation
LONG = 3  # words of the longer side from which such a pair is reported
SIDES = (("source", "sentence"), ("target", "reference"))


@dataclass
class TranslationFindings(Findings):
    """Findings in a data set of pairs of sentences.

    lengths: side -> words of a sentence -> number of sentences. words: side -> word -> its number. same: pairs whose
    sides are equal. far: pairs of which one side has several times as many words. doubles: pairs that occur before.
    """

    noun: ClassVar[str] = "pairs"

    lengths: dict[str, Counter[int]] = field(default_factory=lambda: {side: Counter() for side, _ in SIDES})
    words: dict[str, Counter[str]] = field(default_factory=lambda: {side: Counter() for side, _ in SIDES})
    same: list[str] = field(default_factory=list)
    far: list[str] = field(default_factory=list)
    doubles: int = 0
    _seen: set[tuple[str, str]] = field(default_factory=set, repr=False)

    def add(self, split: str, sample: Any) -> None:
        """Count one pair."""
        super().add(split, sample)
        counts = []
        for side, key in SIDES:
            words = split_words(sample[key])
            counts.append(len(words))
            self.lengths[side][len(words)] += 1
            self.words[side].update(words)
        pair = (sample["sentence"], sample["reference"])
        if pair[0] == pair[1]:
            self.same.append(sample["name"])
        if max(counts) >= LONG and max(counts) > FAR * max(min(counts), 1):
            self.far.append(sample["name"])
        self.doubles += pair in self._seen
        self._seen.add(pair)

    def details_to_json(self) -> dict[str, Any]:
        """Words of each side, and pairs that may be none."""
        sides = {
            side: {
                "words_a_sentence": spread(self.lengths[side]),
                "different": len(self.words[side]),
                "once": sum(n == 1 for n in self.words[side].values()),
                "most_common": [{"word": w, "times": n} for w, n in self.words[side].most_common(NUM_WORDS)],
            }
            for side, _ in SIDES
        }
        return sides | {"same": self.same, "far_in_length": self.far, "doubles": self.doubles}

    def details(self) -> list[str]:
        """Words of each side, and pairs that may be none."""
        lines = []
        for side, _ in SIDES:
            words = self.words[side]
            common = ", ".join(word for word, _ in words.most_common(NUM_WORDS))
            lines.append(
                f"{side}: {spread_text(self.lengths[side])} words a sentence; {counted(len(words), 'word')}, "
                f"{sum(n == 1 for n in words.values())} of them once; most often {common}"
            )
        for names, what in (
            (self.same, "the same on both sides"),
            (self.far, f"of which one side has more than {FAR:g} times the words of the other"),
        ):
            if names:
                lines.append(f"pairs {what}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
        return lines + ([f"pairs that occur before: {self.doubles}"] if self.doubles else [])
