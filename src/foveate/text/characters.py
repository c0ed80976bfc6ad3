"""Character-level tokenization: one id a character, for text that is written without blanks, and for small sets.

A character is what a reader takes for one: a letter with its marks, an emoji with its modifiers. Text keeps its case
and punctuation; runs of whitespace become one space, which is a token like the others.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from foveate.text.counted import CountedTable, CountedTokens
from foveate.text.splitting import (
    SPECIALS,
    UNKNOWN,
    clean,
    is_unspaced,
    last_two,
)

BLANK = " "
_JOINER = "\u200d"  # joins two emojis into one


def split_characters(text: str) -> list[str]:
    """Split a text into characters, each with its marks; runs of whitespace are one blank."""
    characters: list[str] = []
    for character in clean(text):
        joins = (
            unicodedata.category(character)[0] == "M" or character == _JOINER or 0x1F3FB <= ord(character) <= 0x1F3FF
        )
        if characters and characters[-1] != BLANK and (joins or characters[-1][-1] == _JOINER):
            characters[-1] += character
        else:
            characters.append(character)
    return characters


def _words(spelled: Iterable[tuple[str, int]]) -> list[tuple[str, list[int]]]:
    """Join characters with their positions to words; a character of a script without blanks is a word of its own."""
    words: list[tuple[str, list[int]]] = []
    inside = False
    for character, position in spelled:
        if character == BLANK:
            inside = False
            continue
        begins = not inside or is_unspaced(character)
        if not begins and is_unspaced(words[-1][0][0]):
            begins = unicodedata.category(character[0])[0] in "LN"
        if begins:
            words.append(("", []))
        word, positions = words[-1]
        words[-1] = (word + character, [*positions, position])
        inside = True
    return words


@dataclass(frozen=True)
class CharacterTable(CountedTable):
    """Vocabulary of characters, as `split_characters` returns them; its arguments are those of `CountedTable`."""

    kind: ClassVar[str] = "characters"
    noun: ClassVar[str] = "characters"
    max_tokens: ClassVar[int] = 200  # of a caption, by default

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's characters, UNKNOWN for those not in the table, without START and END."""
        characters = split_characters(text.lower() if self.lower else text)
        return [self._ids.get(character, UNKNOWN) for character in characters]

    def segments(self, text: str) -> list[tuple[str, list[int]]]:
        """Return each word of a text as it is written, with its punctuation, and the ids that encode it.

        The blank before a word belongs to it.
        """
        characters = split_characters(text)
        segments, start = [], 0
        for word, places in _words(zip(characters, range(len(characters)), strict=True)):
            own = characters[start : places[-1] + 1]
            start = places[-1] + 1
            segments.append((word, [self._ids.get(one.lower() if self.lower else one, UNKNOWN) for one in own]))
        return segments

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text before END; special tokens are left out.

        Raises ConfigError for an id that is not in the table.
        """
        return " ".join("".join(character for character, _ in self._written(ids)).split())

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Return each word of `decode(ids)`, with its punctuation, and the positions in `ids` that spell it.

        Words are divided by blanks; a character of a script without blanks is a word of its own. Raises ConfigError
        for an id that is not in the table.
        """
        return _words(self._written(ids))

    def repeating(self, ids: Sequence[int]) -> list[int]:
        """Return the tokens that would complete the last whole word a second time after the tokens `ids`.

        After a word of one letter none that begins with that letter is written. Text without blanks is one word.
        """
        previous, current = last_two("".join(self.names[i] for i in ids if i >= len(SPECIALS)), BLANK)
        rest = previous.removeprefix(current) if previous.startswith(current) else ""
        return [self._ids[rest]] if rest in self._ids else []


@dataclass(frozen=True)
class Characters(CountedTokens):
    """Recipe setting for a vocabulary of characters; its arguments are those of `CountedTokens`."""

    def learn(self, sentences: Iterable[str]) -> CharacterTable:
        """Learn the vocabulary of the training sentences: most frequent character first, ties in order of code points.

        Raises DataError for no sentences or only empty ones, ConfigError if no character is frequent enough.
        """
        counts = Counter(
            character
            for sentence in sentences
            for character in split_characters(sentence.lower() if self.lower else sentence)
        )
        return CharacterTable(self._choose(counts, CharacterTable.noun), self.lower)
