"""Tables of the tokens that occur most often in training sentences, and the setting of how many: what two kinds share.

`CharacterTable` and `PieceTable` split text in their own ways; ids, storage and the choice of tokens are here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from foveate.errors import ConfigError, DataError, counted
from foveate.text.splitting import END, SPECIALS, check_id, check_specials, stored_names


@dataclass(frozen=True)
class CountedTable:
    """Vocabulary whose tokens were counted in training sentences.

    names: id -> token, the four special tokens first.
    lower: the text is written in lower case.
    Raises ConfigError if the special tokens are not first, or a token is repeated.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]  # of its tokens, in errors

    names: tuple[str, ...] = field(repr=False)
    lower: bool = False
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_specials(self.names)
        object.__setattr__(self, "_ids", {name: i for i, name in enumerate(self.names) if i >= len(SPECIALS)})

    def __len__(self) -> int:
        return len(self.names)

    def _written(self, ids: Sequence[int]) -> Iterator[tuple[str, int]]:
        """Yield the tokens before END that are written, and their positions in `ids`."""
        for position, token in enumerate(ids):
            check_id(token, self.names)
            if token == END:
                return
            if token >= len(SPECIALS):
                yield self.names[token], position

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary as plain values, for JSON."""
        return {"kind": self.kind, "names": list(self.names)} | ({"lower": True} if self.lower else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a vocabulary from the output of `to_json`. Raises ConfigError for invalid contents."""
        return cls(stored_names(data, cls.noun), bool(data.get("lower", False)))


@dataclass(frozen=True)
class CountedTokens:
    """Recipe setting for a vocabulary of the most frequent tokens.

    least: smallest number of occurrences in the training sentences for a token to be in the vocabulary, at least 1;
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

    def _choose(self, counts: Counter[str], noun: str) -> tuple[str, ...]:
        """The names of a table: most frequent token first, ties in order of code points.

        Raises DataError where nothing but blanks was counted, ConfigError if no token is frequent enough.
        """
        if not any(map(str.strip, counts)):
            raise DataError(f"no sentences to learn {noun} from; give a training split with sentences")
        frequent = sorted((t for t, n in counts.items() if n >= self.least), key=lambda t: (-counts[t], t))
        if not any(map(str.strip, frequent)):
            raise ConfigError(
                f"none of the {noun} occurs {counted(self.least, 'time')} in the sentences; set text.least lower"
            )
        return SPECIALS + tuple(frequent[: self.size - len(SPECIALS)])
