"""One id a word: the vocabulary of the training captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from foveate.errors import ConfigError, DataError
from foveate.text.splitting import END, SPECIALS, UNKNOWN, check_id, check_specials, split_words


@dataclass(frozen=True)
class Vocabulary:
    """A table of whole words, as `split_words` finds them.

    names: id -> word, the four specials first. Raises ConfigError if they are not, or a word comes twice.
    """

    kind: ClassVar[str] = "words"

    names: tuple[str, ...] = field(repr=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_specials(self.names)
        # A special is no word: only `split_words` decides what is, and it lets no "<" through.
        object.__setattr__(self, "_ids", {name: i for i, name in enumerate(self.names)})

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's words, UNKNOWN for those that are not in the table; no START, no END."""
        return [self._ids.get(word, UNKNOWN) for word in split_words(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """The words before END, with blanks between; specials are left out.

        Raises ConfigError for an id of another table.
        """
        return " ".join(word for word, _ in self.words(ids))

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Each word of `decode(ids)` and the positions in `ids` that make it: here, always one.

        Raises ConfigError for an id of another table.
        """
        found = []
        for position, token in enumerate(ids):
            check_id(token, self.names)
            if token == END:
                break
            if token >= len(SPECIALS):
                found.append((self.names[token], [position]))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {"kind": self.kind, "names": list(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Vocabulary:
        """The inverse of `to_json`. Raises ConfigError for contents that make no vocabulary."""
        names = data.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"a vocabulary's 'names' are a list of words; got {str(names)[:40]}")
        return cls(tuple(names))


@dataclass(frozen=True)
class Words:
    """Whole words, the usual choice for captions.

    least: how often a word must be seen in training to be in the vocabulary; rarer ones are read as <unk>.
    size: the longest vocabulary, the four specials included; the commonest words stay.
    """

    least: int = 2
    size: int = 10000

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ConfigError(f"text.least is {self.least}; a word must be seen at least 1 time")
        if self.size <= len(SPECIALS):
            raise ConfigError(
                f"text.size is {self.size}, of which {len(SPECIALS)} are <pad> and its like; "
                f"give {len(SPECIALS) + 1} or more"
            )

    def learn(self, sentences: Iterable[str]) -> Vocabulary:
        """The vocabulary of the training captions: the commonest word first, equals by the alphabet.

        Raises DataError for no captions or only empty ones, ConfigError if no word is common enough.
        """
        captions, counts = 0, Counter[str]()
        for sentence in sentences:
            captions += 1
            counts.update(split_words(sentence))
        if not captions:
            raise DataError("no captions to learn a vocabulary from; give a training split with captions")
        if not counts:
            raise DataError(f"none of {captions} captions has a word in it; check the file that they come from")
        common = sorted((w for w, n in counts.items() if n >= self.least), key=lambda word: (-counts[word], word))
        if not common:
            raise ConfigError(
                f"no word is seen {self.least} times in {captions} captions (the commonest, "
                f"'{counts.most_common(1)[0][0]}', {max(counts.values())}); set text.least lower"
            )
        return Vocabulary(SPECIALS + tuple(common[: self.size - len(SPECIALS)]))
