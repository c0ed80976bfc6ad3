"""Character-level tokenization: one id a character, for text that is written without blanks, and for small sets.

A character is what a reader takes for one: a letter with its marks, an emoji with its modifiers. Text keeps its case
and punctuation; runs of whitespace become one space, which is a token like the others.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from foveate.errors import ConfigError, DataError, counted
from foveate.text.splitting import (
    END,
    SPECIALS,
    UNKNOWN,
    check_id,
    check_specials,
    clean,
    is_unspaced,
    last_two,
    stored_names,
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
class CharacterTable:
    """Vocabulary of characters, as `split_characters` returns them.

    names: id -> character, the four special tokens first.
    lower: the text is written in lower case.
    Raises ConfigError if the special tokens are not first, or a character is repeated.
    """

    kind: ClassVar[str] = "characters"
    max_tokens: ClassVar[int] = 200  # of a caption, unless the search is told otherwise

    names: tuple[str, ...] = field(repr=False)
    lower: bool = False
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_specials(self.names)
        object.__setattr__(self, "_ids", {name: i for i, name in enumerate(self.names) if i >= len(SPECIALS)})

    def __len__(self) -> int:
        return len(self.names)

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
        return " ".join("".join(character for character, _ in self._spelled(ids)).split())

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Return each word of `decode(ids)`, with its punctuation, and the positions in `ids` that spell it.

        Words are divided by blanks; a character of a script without blanks is a word of its own. Raises ConfigError
        for an id that is not in the table.
        """
        return _words(self._spelled(ids))

    def _spelled(self, ids: Sequence[int]) -> list[tuple[str, int]]:
        """The characters before END, and their positions in `ids`."""
        spelled = []
        for position, token in enumerate(ids):
            check_id(token, self.names)
            if token == END:
                break
            if token >= len(SPECIALS):
                spelled.append((self.names[token], position))
        return spelled

    def repeating(self, ids: Sequence[int]) -> list[int]:
        """Return the tokens that would complete the last whole word a second time after the tokens `ids`.

        After a word of one letter none that begins with that letter is written. Text without blanks is one word.
        """
        previous, current = last_two("".join(self.names[i] for i in ids if i >= len(SPECIALS)), BLANK)
        rest = previous.removeprefix(current) if previous.startswith(current) else ""
        return [self._ids[rest]] if rest in self._ids else []

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary as plain lists, for JSON."""
        return {"kind": self.kind, "names": list(self.names)} | ({"lower": True} if self.lower else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CharacterTable:
        """Rebuild a vocabulary from the output of `to_json`. Raises ConfigError for invalid contents."""
        return cls(stored_names(data, "characters"), bool(data.get("lower", False)))


@dataclass(frozen=True)
class Characters:
    """Recipe setting for a vocabulary of characters.

    least: smallest number of occurrences in the training sentences for a character to be in the vocabulary, at least 1;
        usually 2; rarer ones become <unk>.
    size: largest number of tokens, including the four special tokens, at least 5; the most frequent are kept.
    lower: true to write the text in lower case first.
    """

    least: int = 2
    size: int = 10000
    lower: bool = False

    def __post_init__(self) -> None:
        if self.least < 1 or self.size <= len(SPECIALS):
            raise ConfigError(
                f"text.least is {self.least} and text.size {self.size}; give a least of 1 or more, and a size of "
                f"{len(SPECIALS) + 1} or more, since {len(SPECIALS)} tokens are special ones such as <pad>"
            )

    def learn(self, sentences: Iterable[str]) -> CharacterTable:
        """Learn the vocabulary of the training sentences: most frequent character first, ties in order of code points.

        Raises DataError for no sentences or only empty ones, ConfigError if no character is frequent enough.
        """
        counts = Counter(
            character
            for sentence in sentences
            for character in split_characters(sentence.lower() if self.lower else sentence)
        )
        if not set(counts) - {BLANK}:
            raise DataError("no sentences to learn characters from; give a training split with sentences")
        frequent = sorted((c for c, n in counts.items() if n >= self.least), key=lambda c: (-counts[c], c))
        if not set(frequent) - {BLANK}:
            raise ConfigError(
                f"no character occurs {counted(self.least, 'time')} in the sentences; set text.least lower"
            )
        return CharacterTable(SPECIALS + tuple(frequent[: self.size - len(SPECIALS)]), self.lower)
