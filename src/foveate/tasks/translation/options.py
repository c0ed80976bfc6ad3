"""The options of translation: the rules of the search, which are stored with a model, and what is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from foveate.errors import ConfigError, counted
from foveate.tasks.options import PREDICT, Options, option
from foveate.text import END, PAD, START, UNKNOWN, TextTable

BEAMS = 5
MIN_TOKENS = 2  # a token, and the end
EXPANSION, SLACK = 3, 10  # a translation of S source tokens has at most EXPANSION S + SLACK tokens
MOST_TOKENS = 1_000  # of a translation, unless the model was trained on longer sentences


@dataclass(frozen=True)
class TranslationOptions(Options):
    """The search for translations.

    beams: hypotheses that are kept at every step; 1 is greedy search, 5 to 10 are usual.
    n_best: translations that are returned, at most `beams`.
    length_penalty: exponent of the length by which a translation's log-probability is divided, 0 or more; 1 ranks by
        the mean of a token, 0 by the sum, which favours short translations.
    coverage_penalty: weight of the penalty for source tokens that were hardly attended to, 0 or more; usually 0 to 0.4.
    max_length: tokens of a sentence, its end included; longer pairs are left out of training. 0 for what the tokens
        need: 40 words, 60 words and marks, 80 byte pairs or 200 characters.
    no_repeat_ngram: n, so that no n tokens in a row occur twice in a translation; 0 for no such rule.
    copy_unknown: true to let a word that is not in the vocabulary be written as the source word that it attends to
        most; else the next likely word is written.
    alignments: true to draw each alignment matrix as a PNG file.
    """

    stored: ClassVar[bool] = True

    beams: int = option(BEAMS, f"hypotheses kept at every step of the search ({BEAMS}, or as trained)", "N", served=100)
    n_best: int = option(1, "translations of each sentence, at most as many as beams (1)", "N", (PREDICT,))
    length_penalty: float = option(
        1.0, "exponent of the length in a translation's score (1, or as trained)", "X", served=10
    )
    coverage_penalty: float = option(
        0.0, "weight of the penalty for source tokens without attention (0)", "X", served=10
    )
    max_length: int = option(0, "longest training sentence in tokens (0: what the tokens need)", "N", ())
    no_repeat_ngram: int = option(0, "let no N tokens in a row occur twice (0: no such rule)", "N")
    copy_unknown: bool = option(False, "write unknown words as the source words that they attend to")
    alignments: bool = option(False, "draw each alignment matrix as a PNG file", verbs=(PREDICT,), served=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beams", "n_best"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.n_best > self.beams:
            raise ConfigError(f"n_best is {self.n_best}, but only {self.beams} beams are kept; give --beams as many")
        for name in ("length_penalty", "coverage_penalty", "no_repeat_ngram"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise ConfigError(f"{name} is {getattr(self, name)}; give 0 or more")
        if self.max_length != 0 and self.max_length < MIN_TOKENS:
            raise ConfigError(
                f"max_length is {self.max_length}; give {MIN_TOKENS} or more, for a token and the end, or 0 for what "
                "the tokens need"
            )

    def describe(self) -> str:
        """The search in words, as far as it is not the default one; '' for the default."""
        parts = [] if self.beams == BEAMS else [f"{self.beams} beam{'s' * (self.beams > 1)}"]
        parts += [] if self.length_penalty == 1 else [f"length penalty {self.length_penalty:g}"]
        parts += [f"coverage penalty {self.coverage_penalty:g}"] if self.coverage_penalty else []
        parts += [f"no {self.no_repeat_ngram} tokens in a row twice"] if self.no_repeat_ngram else []
        parts += ["unknown words copied"] if self.copy_unknown else []
        return ", ".join(parts)

    def longest(self, table: TextTable) -> int:
        """The most tokens of a training sentence, its end included."""
        return self.max_length or table.max_tokens

    def require(self, table: TextTable) -> None:
        """Raise ConfigError for more beams than the vocabulary has tokens, before memory is taken for each."""
        if self.beams > len(table):
            raise ConfigError(
                f"cannot search with {self.beams} beams over a vocabulary of {counted(len(table), 'token')}; give "
                f"1..{len(table)}"
            )

    @property
    def most(self) -> int:
        """The most tokens of a translation, however long the sentence is."""
        return max(MOST_TOKENS, EXPANSION * self.max_length + SLACK)

    @property
    def longest_whole(self) -> int:
        """The most tokens of a sentence, its end included, whose translation is not bounded by `most`."""
        return (self.most - SLACK) // EXPANSION

    @property
    def forbidden(self) -> tuple[int, ...]:
        """Tokens that are never written."""
        return (PAD, START) if self.copy_unknown else (PAD, START, UNKNOWN)

    def search(self, lengths: Sequence[int]) -> dict[str, Any]:
        """The arguments of `ops.search.beam_search` for sources of so many tokens, their end included."""
        return {
            "start": START,
            "end": END,
            "beams": self.beams,
            "n_best": self.n_best,
            "max_length": [min(EXPANSION * length + SLACK, self.most) for length in lengths],
            "min_length": MIN_TOKENS,
            "length_penalty": self.length_penalty,
            "coverage_penalty": self.coverage_penalty,
            "no_repeat_ngram": self.no_repeat_ngram,
            "forbidden": self.forbidden,
        }

    def search_to_json(self) -> dict[str, Any]:
        """All rules of the search, for the metadata of an exported file; tokens are numbers."""
        rules = {k: v for k, v in self.search([]).items() if k not in ("n_best", "max_length")}
        longest = {"times": EXPANSION, "plus": SLACK, "most": self.most}
        return rules | {"forbidden": list(self.forbidden), "max_length": longest}
