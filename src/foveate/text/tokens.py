"""The recipe setting that chooses how sentences become tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from foveate.text.byte_pairs import BytePairs, Pairs
from foveate.text.characters import Characters, CharacterTable
from foveate.text.splitting import mostly_unspaced, split_words
from foveate.text.words import Vocabulary, Words
from foveate.values import require_choices


@dataclass(frozen=True)
class Tokens:
    """Recipe setting for how sentences become tokens.

    tokens: words; characters, for text that is written without blanks, or a small set; byte_pairs, for text whose
        spelling matters, or with many rare words; auto: characters if most of the training captions are written in a
        script without blanks (Chinese, Japanese, Thai, ...), else words.
    least: smallest number of occurrences in the training captions for a word or a character to be in the vocabulary
        (rarer ones become <unk>), or for a pair of bytes to be merged; at least 1, usually 2 to 5.
    size: largest number of tokens, including the four special ones; usually 10000 for words, 2000 for byte pairs, which
        need 260 or more. The most frequent are kept.
    """

    tokens: Literal["auto", "words", "characters", "byte_pairs"] = "auto"
    least: int = 2
    size: int = 10000

    def __post_init__(self) -> None:
        require_choices(self)
        self._setting(self.tokens)

    def learn(self, sentences: Iterable[str]) -> Vocabulary | CharacterTable | BytePairs:
        """Learn the table of the training captions. Raises DataError, ConfigError."""
        captions, tokens = list(sentences), self.tokens
        if tokens == "auto":
            unspaced = mostly_unspaced(word for caption in captions for word in split_words(caption))
            tokens = "characters" if unspaced else "words"
        return self._setting(tokens).learn(captions)

    def _setting(self, tokens: str) -> Words | Characters | Pairs:
        """The setting of one kind. Raises ConfigError for values that do not fit it."""
        if tokens == "byte_pairs":
            return Pairs(self.size, self.least)
        return Characters(self.least, self.size) if tokens == "characters" else Words(self.least, self.size)
