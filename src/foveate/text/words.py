"""Word-level tokenization: one id a word of the training sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from foveate.errors import ConfigError, DataError, counted
from foveate.text.splitting import END, SPECIALS, UNKNOWN, check_id, check_specials, split_words, stored_names


@dataclass(frozen=True)
class Vocabulary:
    """Vocabulary of whole words, as `split_words` returns them.

    names: id -> word, the four special tokens first.
    Raises ConfigError if the special tokens are not first, or a word is repeated.
    """

    kind: ClassVar[str] = "words"
    max_tokens: ClassVar[int] = 40  # of a sentence, by default
    lower: ClassVar[bool] = True  # `split_words` writes in lower case

    names: tuple[str, ...] = field(repr=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_specials(self.names)
        # A text never encodes to a special token's id, since `split_words` drops "<".
        object.__setattr__(self, "_ids", {name: i for i, name in enumerate(self.names)})

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's words, UNKNOWN for words that are not in the table, without START and END."""
        return [self._ids.get(word, UNKNOWN) for word in split_words(text)]

    def segments(self, text: str) -> list[tuple[str, list[int]]]:
        """Return each word of a text, in lower case and without punctuation, and its id."""
        return [(word, [self._ids.get(word, UNKNOWN)]) for word in split_words(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the words before END, joined by spaces; special tokens are left out.

        Raises ConfigError for an id that is not in the table.
        """
        return " ".join(word for word, _ in self.words(ids))

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Return each word of `decode(ids)` and its positions in `ids`, here always one.

        Raises ConfigError for an id that is not in the table.
        """
        words = []
        for position, token in enumerate(ids):
            check_id(token, self.names)
            if token == END:
                break
            if token >= len(SPECIALS):
                words.append((self.names[token], [position]))
        return words

    def repeating(self, ids: Sequence[int]) -> list[int]:
        """Return the tokens that would repeat the last word after the tokens `ids`: that word."""
        return [ids[-1]] if ids and ids[-1] >= len(SPECIALS) else []

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary as plain lists, for JSON."""
        return {"kind": self.kind, "names": list(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Vocabulary:
        """Rebuild a vocabulary from the output of `to_json`. Raises ConfigError for invalid contents."""
        return cls(stored_names(data, "words"))


@dataclass(frozen=True)
class Words:
    """Recipe setting for a vocabulary of whole words, the usual choice for captions.

    least: smallest number of occurrences in the training sentences for a word to be in the vocabulary, at least 1;
        usually 2 to 5; rarer words become <unk>.
    size: largest number of tokens, including the four special tokens, at least 5; usually 10000; the most frequent
        words are kept.
    """

    least: int = 2
    size: int = 10000

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ConfigError(f"text.least is {self.least}; give a number of occurrences of at least 1")
        if self.size <= len(SPECIALS):
            raise ConfigError(
                f"text.size is {self.size}, but {len(SPECIALS)} tokens are special ones such as <pad>; "
                f"give {len(SPECIALS) + 1} or more"
            )

    def learn(self, sentences: Iterable[str]) -> Vocabulary:
        """Learn the vocabulary of the training sentences: most frequent word first, ties in alphabetical order.

        Raises DataError for no sentences or only empty ones, ConfigError if no word is frequent enough.
        """
        number, counts = 0, Counter[str]()
        for sentence in sentences:
            number += 1
            counts.update(split_words(sentence))
        if not number:
            raise DataError("no sentences to learn a vocabulary from; give a training split with sentences")
        if not counts:
            raise DataError(
                f"none of {counted(number, 'sentence')} has a word in it; check the file that they come from"
            )
        frequent = sorted((w for w, n in counts.items() if n >= self.least), key=lambda word: (-counts[word], word))
        if not frequent:
            raise ConfigError(
                f"no word occurs {counted(self.least, 'time')} in {counted(number, 'sentence')} (the most frequent, "
                f"'{counts.most_common(1)[0][0]}', {counted(max(counts.values()), 'time')}); set text.least lower"
            )
        return Vocabulary(SPECIALS + tuple(frequent[: self.size - len(SPECIALS)]))
