"""The recipe settings that choose how sentences become tokens, of one text or of a source and its target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from foveate.errors import ConfigError
from foveate.text.byte_pairs import BytePairs, Pairs
from foveate.text.characters import Characters, CharacterTable
from foveate.text.pieces import Pieces, PieceTable
from foveate.text.splitting import mostly_unspaced, split_words
from foveate.text.words import Vocabulary, Words
from foveate.values import require_choices

TextTable: TypeAlias = Vocabulary | CharacterTable | BytePairs | PieceTable


@dataclass(frozen=True)
class Tokens:
    """Recipe setting for how sentences become tokens.

    tokens: words, in lower case and without punctuation; words_and_marks, which keeps both; characters, for text that
        is written without blanks, or a small set; byte_pairs, for text whose spelling matters, or with many rare
        words; auto: characters if most of the training sentences are written in a script without blanks (Chinese,
        Japanese, Thai, ...), else words.
    least: smallest number of occurrences in the training sentences for a word or a character to be in the vocabulary
        (rarer ones become <unk>), or for a pair of bytes to be merged; at least 1, usually 2 to 5.
    size: largest number of tokens, including the four special ones; usually 10000 for words, 2000 for byte pairs, which
        need 260 or more. The most frequent are kept.
    lower: true to write the text in lower case first.
    """

    tokens: Literal["auto", "words", "words_and_marks", "characters", "byte_pairs"] = "auto"
    least: int = 2
    size: int = 10000
    lower: bool = False

    def __post_init__(self) -> None:
        require_choices(self)
        self._setting(self.tokens)

    def learn(self, sentences: Iterable[str]) -> TextTable:
        """Learn the table of the training sentences. Raises DataError, ConfigError."""
        texts, tokens = list(sentences), self.tokens
        if tokens == "auto":
            unspaced = mostly_unspaced(word for text in texts for word in split_words(text))
            tokens = "characters" if unspaced else "words"
        return self._setting(tokens).learn(texts)

    def _setting(self, tokens: str) -> Words | Characters | Pairs | Pieces:
        """The setting of one kind. Raises ConfigError for values that do not fit it."""
        if tokens == "byte_pairs":
            return Pairs(self.size, self.least, self.lower)
        if tokens == "words_and_marks":
            return Pieces(self.least, self.size, self.lower)
        if tokens == "characters":
            return Characters(self.least, self.size, self.lower)
        return Words(self.least, self.size)


@dataclass(frozen=True)
class TokenPair:
    """Recipe setting for how the sentences of a source and of its target become tokens.

    joint: true for one table, learned from both sides; good for languages that share letters, names and numbers.
    source, target: how each side becomes tokens; the same where the table is joint.
    Raises ConfigError for sides that differ although the table is joint.
    """

    joint: bool = False
    source: Tokens = field(default_factory=Tokens)
    target: Tokens = field(default_factory=Tokens)

    def __post_init__(self) -> None:
        if self.joint and self.source != self.target:
            raise ConfigError(
                "text.joint is true, for one table of both sides, but text.source and text.target differ; give both "
                "the same, or --text.joint false"
            )

    def learn(self, source: Iterable[str], target: Iterable[str]) -> dict[str, TextTable]:
        """Learn the tables 'source' and 'target'. Raises DataError, ConfigError."""
        if self.joint:
            table = self.source.learn([*source, *target])
            return {"source": table, "target": table}
        return {"source": self.source.learn(source), "target": self.target.learn(target)}
