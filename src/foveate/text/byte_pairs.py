"""Pieces of words: byte-level byte-pair encoding, which can spell any text (Sennrich et al. 2016, section 3.2).

Hugging Face's `tokenizers` learns the merges and applies them. Text keeps its case and punctuation; only its blanks
are made single. A token is written as that library writes it, one letter a byte: "Ġdog" is a blank and "dog".
"""

from __future__ import annotations

import codecs
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from foveate.errors import ConfigError, DataError
from foveate.text.splitting import END, SPECIALS, check_id, check_specials

LEAST = len(SPECIALS) + 256  # every byte has a token of its own
_COMMON = 2  # a pair that was seen only once is one caption's spelling


def _byte_letters() -> dict[str, int]:
    """Letter -> byte. Printable Latin-1 stands for itself, the other 68 bytes for U+0100 and on, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_letters()


@dataclass(frozen=True)
class BytePairs:
    """A table of pieces of words. Any text can be encoded, so UNKNOWN never comes out.

    names: id -> token, the four specials first, then every byte. merges: which two tokens become one, in order.
    Raises ConfigError for a table that cannot be one.
    """

    kind: ClassVar[str] = "bpe"

    names: tuple[str, ...] = field(repr=False)
    merges: tuple[tuple[str, str], ...] = field(repr=False)
    _tokenizer: Tokenizer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_specials(self.names)
        missing = set(_BYTES) - set(self.names)
        strange = [name for name in self.names[len(SPECIALS) :] if not name or set(name) - set(_BYTES)]
        if missing or strange:
            what = f"{len(missing)} of 256 bytes have no token" if missing else f"'{strange[0]}' spells no bytes"
            raise ConfigError(f"not a table of byte pairs: {what}; take the one that was saved with the model")
        try:
            model = models.BPE(vocab={name: i for i, name in enumerate(self.names)}, merges=list(self.merges))
        except Exception as error:  # of the library's own: a merge of tokens that are not there
            raise ConfigError(
                f"not a table of byte pairs: {error}; take the one that was saved with the model"
            ) from error
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        object.__setattr__(self, "_tokenizer", tokenizer)

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens; no START, no END."""
        return list(self._tokenizer.encode(_tidy(text), add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text before END; specials are left out, and bytes that are no UTF-8 become U+FFFD.

        Raises ConfigError for an id of another table.
        """
        return " ".join(word for word, _ in self.words(ids))

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Each word of `decode(ids)`, punctuation attached, and the positions in `ids` that spell it.

        Raises ConfigError for an id of another table.
        """
        found: list[tuple[str, list[int]]] = []
        inside = False
        for letter, positions in self._letters(ids):
            if letter.isspace():
                inside = False
                continue
            if not inside:
                found.append(("", []))
            word, own = found[-1]
            found[-1] = (word + letter, own + [p for p in positions if p not in own])
            inside = True
        return found

    def _letters(self, ids: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
        """Letters and the positions whose bytes make them: a letter may be spread over several tokens."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        open_letter: list[int] = []  # positions of bytes that do not make a letter yet
        for position, token in enumerate(ids):
            check_id(token, self.names)
            if token == END:
                break
            if token < len(SPECIALS):
                continue
            letters = decoder.decode(bytes(_BYTES[letter] for letter in self.names[token]))
            for i, letter in enumerate(letters):
                yield letter, [*open_letter, position] if i == 0 else [position]
            if letters:
                open_letter = []
            if decoder.getstate()[0]:
                open_letter.append(position)
        for letter in decoder.decode(b"", final=True):
            yield letter, open_letter

    def to_json(self) -> dict[str, Any]:
        """The whole table as plain lists, for JSON."""
        return {"kind": self.kind, "names": list(self.names), "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BytePairs:
        """The inverse of `to_json`. Raises ConfigError for contents that make no table."""
        try:
            return cls(tuple(map(str, data["names"])), tuple((str(left), str(right)) for left, right in data["merges"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"a table of byte pairs has 'names' and 'merges', a list of pairs ({type(error).__name__}: {error}); "
                "take the one that was saved with the model"
            ) from error


@dataclass(frozen=True)
class Pairs:
    """Pieces of words, for text whose spelling matters or with many rare words.

    size: the longest table, the four specials and 256 bytes included; shorter where the captions have no more pairs
        that are seen twice.
    """

    size: int = 2000

    def __post_init__(self) -> None:
        if self.size < LEAST:
            raise ConfigError(
                f"text.size is {self.size}, but {len(SPECIALS)} are <pad> and its like and 256 are the bytes; "
                f"give {LEAST} or more"
            )

    def learn(self, sentences: Iterable[str]) -> BytePairs:
        """The table of the training captions. Raises DataError for no captions, or only empty ones."""
        captions = [_tidy(sentence) for sentence in sentences]
        if not captions:
            raise DataError("no captions to learn byte pairs from; give a training split with captions")
        if not any(captions):
            raise DataError(f"all of {len(captions)} captions are empty; check the file that they come from")
        # Without this, older versions of the library warn when loading processes are forked after it used threads.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=self.size,
            min_frequency=_COMMON,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(_BYTES),
            show_progress=False,
        )
        tokenizer.train_from_iterator(captions, trainer)
        # The table is built anew from names and merges: the trained tokenizer would read a typed "<end>" as END.
        learned = json.loads(tokenizer.to_str())["model"]
        names = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
        return BytePairs(tuple(names), tuple((left, right) for left, right in learned["merges"]))


def _tidy(text: str) -> str:
    whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair, which JSON can hold, is no character
    return " ".join(unicodedata.normalize("NFC", whole).split())
