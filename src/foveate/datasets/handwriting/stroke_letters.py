"""Words that the package writes itself, from a seed: its own letters in several hands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from foveate.datasets.handwriting.ink import Ink, InkDataset, ink_of
from foveate.datasets.handwriting.letters import Hand, write
from foveate.errors import ConfigError, unknown
from foveate.records import DataSource
from foveate.registry import dataset

VOWELS, CONSONANTS, DIGITS, MARKS = "aeiouy", "bcdfghjklmnpqrstvwxz", "0123456789", ".,!?"
SPLITS = ("train", "val", "test")


@dataset("stroke_letters")
@dataclass(frozen=True)
class StrokeLetters(DataSource):
    """Generated handwriting: invented words of small letters, digits and marks, in hands of several slants and sizes.

    train, val, test: number of pieces of each split.
    seed: of words and hands.
    hands: number of hands, the same in all splits.
    words: largest number of words of a piece, with blanks between them.
    """

    train: int = 2000
    val: int = 200
    test: int = 200
    seed: int = 0
    hands: int = 6
    words: int = 2
    tasks: ClassVar[tuple[str, ...]] = ("handwriting",)

    def __post_init__(self) -> None:
        if min(self.train, self.val, self.test, self.seed) < 0 or min(self.hands, self.words) < 1:
            raise ConfigError(
                f"train {self.train}, val {self.val}, test {self.test} and seed {self.seed} must be 0 or more, hands "
                f"{self.hands} and words {self.words} 1 or more"
            )

    @cached_property
    def own_hands(self) -> list[Hand]:
        """The hands."""
        generator = np.random.default_rng((self.seed, 99))
        return [Hand.drawn(generator) for _ in range(self.hands)]

    def splits(self) -> tuple[str, ...]:
        """Those that have pieces."""
        return tuple(split for split in SPLITS if getattr(self, split))

    def open(self, split: str, task: str = "") -> InkDataset:
        """One split. Raises ConfigError."""
        self.serve(task)
        if split not in self.splits():
            raise ConfigError(unknown("split", split, self.splits()))
        return InkDataset([self._ink(split, index) for index in range(getattr(self, split))])

    def _ink(self, split: str, index: int) -> Ink:
        generator = np.random.default_rng((self.seed, SPLITS.index(split), index))
        count = generator.integers(1, self.words + 1)
        text = " ".join(_word(generator) for _ in range(count))
        hand = self.own_hands[generator.integers(self.hands)]
        return ink_of(write(text, hand, generator), text, f"{split}/{index:05d}")

    def describe(self, task: str = "") -> str:
        """The counts, in one line."""
        counts = ", ".join(f"{getattr(self, split)} {split}" for split in self.splits())
        return f"generated letters: {counts} pieces of handwriting, {self.hands} hands"


def _word(generator: np.random.Generator) -> str:
    """An invented word, or now and then a number; some end in a mark."""
    if generator.random() < 0.12:
        return "".join(generator.choice(list(DIGITS)) for _ in range(generator.integers(1, 5)))
    first = generator.integers(2)
    letters = [
        generator.choice(list(CONSONANTS if (i + first) % 2 else VOWELS)) for i in range(generator.integers(2, 7))
    ]
    return "".join(letters) + (generator.choice(list(MARKS)) if generator.random() < 0.1 else "")
