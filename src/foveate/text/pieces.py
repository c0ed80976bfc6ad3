"""Tokenization into words and punctuation marks, which can be joined again: for text that is written, as translations.

A piece is a word or a single mark, with a blank before it where the text has one: "A dog's bone." is " A", " dog's",
" bone" and ".". An apostrophe or a hyphen inside a word belongs to it. In scripts that are written without blanks each
character is a piece.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from foveate.errors import ConfigError, DataError
from foveate.text.characters import split_characters
from foveate.text.splitting import END, SPECIALS, UNKNOWN, check_id, check_specials, clean, is_unspaced

BLANK = " "
_WORD = re.compile("w+(?:jw+)*|.")  # over the kinds of a word's characters, as `_kind` gives them


def _kind(character: str) -> str:
    """Return w for a letter or digit of a spaced script, j for what joins two of them, o for any other character."""
    if is_unspaced(character):
        return "o"
    if unicodedata.category(character[0])[0] in "LMN":
        return "w"
    return "j" if character in "'’-" else "o"


def split_pieces(text: str) -> list[str]:
    """Split a text into words and marks, each with the blank before it; the first has one, too."""
    pieces = []
    for word in clean(text).split():
        characters = split_characters(word)
        spans = [match.span() for match in _WORD.finditer("".join(map(_kind, characters)))]
        own = ["".join(characters[start:end]) for start, end in spans]
        pieces += [BLANK + own[0], *own[1:]]
    return pieces


def _begins(piece: str, word: str) -> bool:
    """True if a piece after a word begins another one: at a blank, and in scripts without blanks at each character."""
    unspaced = word[:1] and is_unspaced(split_characters(word)[0])
    return piece.startswith(BLANK) or is_unspaced(piece) or bool(unspaced and _kind(piece) == "w")


@dataclass(frozen=True)
class PieceTable:
    """Vocabulary of words and marks, as `split_pieces` returns them.

    names: id -> piece, the four special tokens first.
    lower: the text is written in lower case.
    Raises ConfigError if the special tokens are not first, or a piece is repeated.
    """

    kind: ClassVar[str] = "words_and_marks"
    max_tokens: ClassVar[int] = 60  # of a sentence, unless the search is told otherwise

    names: tuple[str, ...] = field(repr=False)
    lower: bool = False
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_specials(self.names)
        object.__setattr__(self, "_ids", {name: i for i, name in enumerate(self.names) if i >= len(SPECIALS)})

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's pieces, UNKNOWN for those not in the table, without START and END.

        A piece that the table has only with, or only without, a blank before it is taken for that one.
        """
        return [self._id(piece) for piece in split_pieces(text.lower() if self.lower else text)]

    def _id(self, piece: str) -> int:
        other = piece.strip() if piece.startswith(BLANK) else BLANK + piece
        return self._ids.get(piece, self._ids.get(other, UNKNOWN))

    def segments(self, text: str) -> list[tuple[str, list[int]]]:
        """Return each word of a text as it is written, with its punctuation, and the ids that encode it."""
        segments: list[tuple[str, list[int]]] = []
        for piece in split_pieces(text):
            if not segments or _begins(piece, segments[-1][0]):
                segments.append(("", []))
            word, ids = segments[-1]
            segments[-1] = (word + piece.strip(), [*ids, self._id(piece.lower() if self.lower else piece)])
        return segments

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text before END; special tokens are left out. Raises ConfigError for an id not in the table."""
        return "".join(self.names[token] for _, token in self._written(ids)).strip()

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Return each word of `decode(ids)`, with its punctuation, and the positions in `ids` that encode it.

        Words are divided by blanks; a character of a script without blanks is a word of its own.
        Raises ConfigError for an id that is not in the table.
        """
        words: list[tuple[str, list[int]]] = []
        for position, token in self._written(ids):
            piece = self.names[token]
            if not words or _begins(piece, words[-1][0]):
                words.append(("", []))
            word, positions = words[-1]
            words[-1] = (word + piece.strip(), [*positions, position])
        return words

    def _written(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield (position, id) of the tokens before END that are written."""
        for position, token in enumerate(ids):
            check_id(token, self.names)
            if token == END:
                return
            if token >= len(SPECIALS):
                yield position, token

    def repeating(self, ids: Sequence[int]) -> list[int]:
        """Return the tokens that would repeat the last word or mark after the tokens `ids`, with a blank or without."""
        if not ids or ids[-1] < len(SPECIALS):
            return []
        piece = self.names[ids[-1]].strip()
        return [self._ids[name] for name in (piece, BLANK + piece) if name in self._ids]

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary as plain values, for JSON."""
        return {"kind": self.kind, "names": list(self.names), "lower": self.lower}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PieceTable:
        """Rebuild a vocabulary from the output of `to_json`. Raises ConfigError for invalid contents."""
        names = data.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"a vocabulary's 'names' are a list of words and marks; got {str(names)[:40]}")
        return cls(tuple(names), bool(data.get("lower", False)))


@dataclass(frozen=True)
class Pieces:
    """Recipe setting for a vocabulary of words and punctuation marks.

    least: smallest number of occurrences in the training sentences for a piece to be in the vocabulary, at least 1;
        usually 2 to 5; rarer ones become <unk>.
    size: largest number of tokens, including the four special tokens, at least 5; usually 10000 to 30000; the most
        frequent are kept.
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

    def learn(self, sentences: Iterable[str]) -> PieceTable:
        """Learn the vocabulary of the training sentences: most frequent piece first, ties in order of code points.

        Raises DataError for no sentences or only empty ones, ConfigError if no piece is frequent enough.
        """
        counts = Counter(
            piece for sentence in sentences for piece in split_pieces(sentence.lower() if self.lower else sentence)
        )
        if not counts:
            raise DataError("no sentences to learn words from; give a training split with sentences")
        frequent = sorted((p for p, n in counts.items() if n >= self.least), key=lambda p: (-counts[p], p))
        if not frequent:
            raise ConfigError(f"no word or mark occurs {self.least} times; set text.least lower")
        return PieceTable(SPECIALS + tuple(frequent[: self.size - len(SPECIALS)]), self.lower)
