"""The options of captioning: the rules of the search for a caption, which are stored with a model.

A recipe's `options` set them, `foveate predict` and `foveate evaluate` may change them for a call, and an exported file
holds them in its metadata, as `search_to_json` writes them, for those who search without Foveate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from foveate.errors import ConfigError, counted
from foveate.tasks.options import PREDICT, Options, option
from foveate.text import END, PAD, START, UNKNOWN, TextTable

BEAMS = 5
MIN_TOKENS = 2  # a word, and the end
FORBIDDEN = (PAD, START, UNKNOWN)  # tokens that are never written


@dataclass(frozen=True)
class CaptioningOptions(Options):
    """The search for captions.

    beams: hypotheses that are kept at every step; 1 is greedy search, 3 to 10 are usual.
    n_best: captions that are returned, at most `beams`; 0 for as many.
    length_penalty: exponent of the length by which a caption's log-probability is divided, 0 or more; 1 ranks by the
        mean of a token, 0 by the sum, which favours short captions.
    max_length: tokens of a caption, its end included; longer training captions are cut. 0 for what the tokens need: 40
        words, 80 byte pairs or 200 characters.
    repeat_words: true to let a word follow itself.
    no_repeat_ngram: n, so that no n tokens in a row occur twice in a caption; 0 for no such rule, 3 is usual.
    """

    stored: ClassVar[bool] = True
    earlier: ClassVar[Mapping[str, Any]] = {"repeat_words": True, "max_length": 40}

    beams: int = option(BEAMS, f"hypotheses kept at every step of the search ({BEAMS}, or as trained)", "N", served=100)
    n_best: int = option(0, "captions of each image, at most as many as beams (0: as many)", "N", (PREDICT,))
    length_penalty: float = option(
        1.0, "exponent of the length in a caption's score (1, or as trained)", "X", served=10
    )
    max_length: int = option(0, "longest caption in tokens (0: what the tokens need)", "N", served=1000)
    repeat_words: bool = option(False, "let a word follow itself")
    no_repeat_ngram: int = option(0, "let no N tokens in a row occur twice (0: no such rule)", "N")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("beams", 1), ("n_best", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more, or leave it out")
        for name in ("length_penalty", "no_repeat_ngram"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 0 or more")
        if self.max_length != 0 and self.max_length < MIN_TOKENS:
            raise ConfigError(
                f"max_length is {self.max_length}; give {MIN_TOKENS} or more, for a word and the end, or 0 for what "
                "the tokens need"
            )

    def describe(self) -> str:
        """The search in words, as far as it is not the default one; '' for the default."""
        parts = [] if self.beams == BEAMS else [counted(self.beams, "beam")]
        parts += [] if self.length_penalty == 1 else [f"length penalty {self.length_penalty:g}"]
        parts += [] if not self.max_length else [f"at most {counted(self.max_length, 'token')}"]
        parts += ["words that may follow themselves"] if self.repeat_words else []
        parts += [f"no {self.no_repeat_ngram} tokens in a row twice"] if self.no_repeat_ngram else []
        return ", ".join(parts)

    def longest(self, table: TextTable) -> int:
        """The most tokens of a caption, its end included."""
        return self.max_length or table.max_tokens

    def require(self, table: TextTable) -> None:
        """Raise ConfigError for more beams than the vocabulary has tokens, before memory is taken for each."""
        if self.beams > len(table):
            raise ConfigError(
                f"cannot search with {counted(self.beams, 'beam')} over a vocabulary of "
                f"{counted(len(table), 'token')}; give 1..{len(table)}"
            )

    def search(self, table: TextTable) -> dict[str, Any]:
        """The arguments of `ops.search.beam_search`."""
        return {
            "start": START,
            "end": END,
            "beams": self.beams,
            "n_best": self.n_best or self.beams,
            "max_length": self.longest(table),
            "min_length": MIN_TOKENS,
            "length_penalty": self.length_penalty,
            "no_repeat_ngram": self.no_repeat_ngram,
            "forbidden": FORBIDDEN,
            "banned_after": None if self.repeat_words else table.repeating,
        }

    def search_to_json(self, table: TextTable) -> dict[str, Any]:
        """All rules of the search, for the metadata of an exported file; tokens are numbers."""
        rules = {key: value for key, value in self.search(table).items() if key not in ("n_best", "banned_after")}
        return rules | {"forbidden": list(FORBIDDEN), "repeat_words": self.repeat_words}
