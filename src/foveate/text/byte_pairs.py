"""Subword tokenization: byte-level byte-pair encoding, which can encode any text (Sennrich et al. 2016, section 3.2).

Hugging Face's `tokenizers` learns the merges and applies them. Text keeps its case and punctuation; runs of whitespace
become one space. A token is written as that library writes it, one character a byte: "Ġdog" is a space and "dog".
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from foveate.errors import ConfigError, DataError, counted
from foveate.text.splitting import END, SPECIALS, check_id, check_specials, clean, last_two

MIN_SIZE = len(SPECIALS) + 256  # every byte has a token of its own
BLANK = "\u0120"  # begins a word, in a token's name


def _byte_of_character() -> dict[str, int]:
    """Return character -> byte: printable Latin-1 maps to itself, U+0100 and on to the other 68 bytes, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_of_character()


@dataclass(frozen=True)
class BytePairs:
    """Subword vocabulary and merges. Any text can be encoded, so that `encode` never returns UNKNOWN.

    names: id -> token; the four special tokens first, then every byte.
    merges: pairs of tokens that are merged into one, in order.
    lower: the text is written in lower case.
    Raises ConfigError for special tokens that are missing or misplaced, bytes without a token, tokens that are not
    made of bytes, or merges of unknown tokens.
    """

    kind: ClassVar[str] = "bpe"
    max_tokens: ClassVar[int] = 80  # of a caption, by default

    names: tuple[str, ...] = field(repr=False)
    merges: tuple[tuple[str, str], ...] = field(repr=False)
    lower: bool = False
    _tokenizer: Tokenizer = field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_specials(self.names)
        missing = set(_BYTES) - set(self.names)
        invalid = [name for name in self.names[len(SPECIALS) :] if not name or set(name) - set(_BYTES)]
        if missing or invalid:
            what = f"{len(missing)} of 256 bytes have no token" if missing else f"'{invalid[0]}' does not encode bytes"
            raise ConfigError(f"not a table of byte pairs: {what}; use the one that was saved with the model")
        try:
            model = models.BPE(vocab={name: i for i, name in enumerate(self.names)}, merges=list(self.merges))
        except Exception as error:  # the library's own type: a merge of tokens that are not in the vocabulary
            raise ConfigError(
                f"not a table of byte pairs: {error}; use the one that was saved with the model"
            ) from error
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        object.__setattr__(self, "_tokenizer", tokenizer)
        object.__setattr__(self, "_ids", {name: i for i, name in enumerate(self.names)})

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without START and END."""
        text = clean(text.lower() if self.lower else text)
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def segments(self, text: str) -> list[tuple[str, list[int]]]:
        """Return each word of a text as it is written, with its punctuation, and the ids that encode it."""
        return [(word, self.encode(word)) for word in clean(text).split()]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text before END; special tokens are left out, and invalid UTF-8 bytes become U+FFFD.

        Raises ConfigError for an id that is not in the table.
        """
        return " ".join(word for word, _ in self.words(ids))

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Return each word of `decode(ids)`, with its punctuation, and the positions in `ids` that encode it.

        Raises ConfigError for an id that is not in the table.
        """
        words: list[tuple[str, list[int]]] = []
        inside = False
        for character, positions in self._characters(ids):
            if character.isspace():
                inside = False
                continue
            if not inside:
                words.append(("", []))
            word, word_positions = words[-1]
            words[-1] = (word + character, word_positions + [p for p in positions if p not in word_positions])
            inside = True
        return words

    def repeating(self, ids: Sequence[int]) -> list[int]:
        """Return the tokens that would spell the last whole word again, or complete that, after the tokens `ids`."""
        previous, current = last_two("".join(self.names[i] for i in ids if i >= len(SPECIALS)), BLANK)
        rest = previous.removeprefix(current) if previous.startswith(current) else ""
        again = {BLANK + (current or previous), rest} - {BLANK, ""}
        return [self._ids[name] for name in again if name in self._ids]

    def _characters(self, ids: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
        """Yield characters and the positions of their bytes: a character may be split over several tokens."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pending: list[int] = []  # positions of bytes that do not complete a character yet
        for position, token in enumerate(ids):
            check_id(token, self.names)
            if token == END:
                break
            if token < len(SPECIALS):
                continue
            characters = decoder.decode(bytes(_BYTES[character] for character in self.names[token]))
            for i, character in enumerate(characters):
                yield character, [*pending, position] if i == 0 else [position]
            if characters:
                pending = []
            if decoder.getstate()[0]:
                pending.append(position)
        for character in decoder.decode(b"", final=True):
            yield character, pending

    def to_json(self) -> dict[str, Any]:
        """Return the whole table as plain lists, for JSON."""
        return {"kind": self.kind, "names": list(self.names), "merges": [list(pair) for pair in self.merges]} | (
            {"lower": True} if self.lower else {}
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BytePairs:
        """Rebuild a table from the output of `to_json`. Raises ConfigError for invalid contents."""
        try:
            names = tuple(map(str, data["names"]))
            merges = tuple((str(left), str(right)) for left, right in data["merges"])
            return cls(names, merges, bool(data.get("lower", False)))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"a table of byte pairs has 'names' and 'merges', a list of pairs ({type(error).__name__}: {error}); "
                "use the one that was saved with the model"
            ) from error


@dataclass(frozen=True)
class Pairs:
    """Recipe setting for a subword vocabulary, for text whose spelling matters or with many rare words.

    size: largest number of tokens, including the four special tokens and 256 bytes; at least 260, usually 2000; a
        larger table gives shorter sequences and more parameters. The table is smaller if the sentences have fewer pairs
        that occur `least` times.
    least: smallest number of occurrences in the training sentences for a pair to be merged, at least 1; usually 2.
    lower: true to write the text in lower case first.
    """

    size: int = 2000
    least: int = 2
    lower: bool = False

    def __post_init__(self) -> None:
        if self.size < MIN_SIZE:
            raise ConfigError(
                f"text.size is {self.size}, but {len(SPECIALS)} special tokens such as <pad> and 256 bytes need a "
                f"token each; give {MIN_SIZE} or more"
            )
        if self.least < 1:
            raise ConfigError(f"text.least is {self.least}; give a number of occurrences of at least 1")

    def learn(self, sentences: Iterable[str]) -> BytePairs:
        """Learn the table of the training sentences. Raises DataError for no sentences, or only empty ones."""
        texts = [clean(sentence.lower() if self.lower else sentence) for sentence in sentences]
        if not texts:
            raise DataError("no sentences to learn byte pairs from; give a training split with sentences")
        if not any(texts):
            raise DataError(f"no text in {counted(len(texts), 'sentence')}; check the file that they come from")
        # Without this, older versions of the library warn when data-loading processes are forked after it used threads.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=self.size,
            min_frequency=self.least,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(_BYTES),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        # The table is built again from names and merges: the trained tokenizer would encode a typed "<end>" as END.
        learned = json.loads(tokenizer.to_str())["model"]
        names = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
        return BytePairs(tuple(names), tuple((left, right) for left, right in learned["merges"]), self.lower)
