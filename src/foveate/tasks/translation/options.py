"""The options of translation: the rules of the search, which are stored with a model, and what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foveate.tasks.options import PREDICT, option
from foveate.tasks.searching import FORBIDDEN, SearchOptions, require_max_length
from foveate.text import UNKNOWN, TextTable

EXPANSION, SLACK = 3, 10  # a translation of S source tokens has at most EXPANSION S + SLACK tokens
MOST_TOKENS = 1_000  # of a translation, unless the model was trained on longer sentences


@dataclass(frozen=True)
class TranslationOptions(SearchOptions):
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

    n_best: int = option(1, "translations of each sentence, at most as many as beams (1)", "N", (PREDICT,))
    coverage_penalty: float = option(
        0.0, "weight of the penalty for source tokens without attention (0)", "X", served=10
    )
    max_length: int = option(0, "longest training sentence in tokens (0: what the tokens need)", "N", ())
    no_repeat_ngram: int = option(0, "let no N tokens in a row occur twice (0: no such rule)", "N")
    copy_unknown: bool = option(False, "write unknown words as the source words that they attend to")
    alignments: bool = option(False, "draw each alignment matrix as a PNG file", verbs=(PREDICT,), served=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_least(n_best=1, coverage_penalty=0, no_repeat_ngram=0)
        require_max_length(self.max_length)

    def changed_rules(self) -> list[str]:
        """See `SearchOptions.changed_rules`."""
        parts = super().changed_rules()
        parts += [f"coverage penalty {self.coverage_penalty:g}"] if self.coverage_penalty else []
        parts += [f"no {self.no_repeat_ngram} tokens in a row twice"] if self.no_repeat_ngram else []
        parts += ["unknown words copied"] if self.copy_unknown else []
        return parts

    def longest(self, table: TextTable) -> int:
        """The most tokens of a training sentence, its end included."""
        return self.max_length or table.max_tokens

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
        return tuple(token for token in FORBIDDEN if not (self.copy_unknown and token == UNKNOWN))

    def search(self, lengths: Sequence[int]) -> dict[str, Any]:
        """The arguments of `ops.search.beam_search` for sources of so many tokens, their end included."""
        return self.rules() | {
            "max_length": [min(EXPANSION * length + SLACK, self.most) for length in lengths],
            "coverage_penalty": self.coverage_penalty,
            "no_repeat_ngram": self.no_repeat_ngram,
            "forbidden": self.forbidden,
        }

    def search_to_json(self) -> dict[str, Any]:
        """All rules of the search, for the metadata of an exported file; tokens are numbers."""
        rules = {k: v for k, v in self.search([]).items() if k not in ("n_best", "max_length")}
        longest = {"times": EXPANSION, "plus": SLACK, "most": self.most}
        return rules | {"forbidden": list(self.forbidden), "max_length": longest}
