"""Tokenization into words and punctuation marks, which can be joined again: for text that is written, as translations.

A piece is a word or a single mark, with a blank before it where the text has one: "A dog's bone." is " A", " dog's",
" bone" and ".". An apostrophe or a hyphen inside a word belongs to it. In scripts that are written without blanks each
character is a piece.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from foveate.text.characters import split_characters
from foveate.text.counted import CountedTable, CountedTokens
from foveate.text.splitting import SPECIALS, UNKNOWN, clean, is_unspaced

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
class PieceTable(CountedTable):
    """Vocabulary of words and marks, as `split_pieces` returns them; its arguments are those of `CountedTable`."""

    kind: ClassVar[str] = "words_and_marks"
    noun: ClassVar[str] = "words and marks"
    max_tokens: ClassVar[int] = 60  # of a sentence, by default

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
        return "".join(piece for piece, _ in self._written(ids)).strip()

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Return each word of `decode(ids)`, with its punctuation, and the positions in `ids` that encode it.

        Words are divided by blanks; a character of a script without blanks is a word of its own.
        Raises ConfigError for an id that is not in the table.
        """
        words: list[tuple[str, list[int]]] = []
        for piece, position in self._written(ids):
            if not words or _begins(piece, words[-1][0]):
                words.append(("", []))
            word, positions = words[-1]
            words[-1] = (word + piece.strip(), [*positions, position])
        return words

    def repeating(self, ids: Sequence[int]) -> list[int]:
        """Return the tokens that would repeat the last word or mark after the tokens `ids`, with a blank or without."""
        if not ids or ids[-1] < len(SPECIALS):
            return []
        piece = self.names[ids[-1]].strip()
        return [self._ids[name] for name in (piece, BLANK + piece) if name in self._ids]


@dataclass(frozen=True)
class Pieces(CountedTokens):
    """Recipe setting for a vocabulary of words and punctuation marks; its arguments are those of `CountedTokens`."""

    def learn(self, sentences: Iterable[str]) -> PieceTable:
        """Learn the vocabulary of the training sentences: most frequent piece first, ties in order of code points.

        Raises DataError for no sentences or only empty ones, ConfigError if no piece is frequent enough.
        """
        counts = Counter(
            piece for sentence in sentences for piece in split_pieces(sentence.lower() if self.lower else sentence)
        )
        return PieceTable(self._choose(counts, PieceTable.noun), self.lower)
