"""The options of captioning: the rules of the search for a caption, which are stored with a model.

A recipe's `options` set them, `foveate predict` and `foveate evaluate` may change them for a call, and an exported file
holds them in its metadata, as `search_to_json` writes them, for those who search without Foveate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from foveate.errors import counted
from foveate.tasks.options import option
from foveate.tasks.searching import FORBIDDEN, SearchOptions, require_max_length
from foveate.text import TextTable


@dataclass(frozen=True)
class CaptioningOptions(SearchOptions):
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

    earlier: ClassVar[Mapping[str, Any]] = {"repeat_words": True, "max_length": 40}

    max_length: int = option(0, "longest caption in tokens (0: what the tokens need)", "N", served=1000)
    repeat_words: bool = option(False, "let a word follow itself")
    no_repeat_ngram: int = option(0, "let no N tokens in a row occur twice (0: no such rule)", "N")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_least(no_repeat_ngram=0)
        require_max_length(self.max_length)

    def changed_rules(self) -> list[str]:
        """See `SearchOptions.changed_rules`."""
        parts = super().changed_rules()
        parts += [] if not self.max_length else [f"at most {counted(self.max_length, 'token')}"]
        parts += ["words that may follow themselves"] if self.repeat_words else []
        parts += [f"no {self.no_repeat_ngram} tokens in a row twice"] if self.no_repeat_ngram else []
        return parts

    def longest(self, table: TextTable) -> int:
        """The most tokens of a caption, its end included."""
        return self.max_length or table.max_tokens

    def search(self, table: TextTable) -> dict[str, Any]:
        """The arguments of `ops.search.beam_search`."""
        return self.rules() | {
            "max_length": self.longest(table),
            "no_repeat_ngram": self.no_repeat_ngram,
            "banned_after": None if self.repeat_words else table.repeating,
        }

    def search_to_json(self, table: TextTable) -> dict[str, Any]:
        """All rules of the search, for the metadata of an exported file; tokens are numbers."""
        rules = {key: value for key, value in self.search(table).items() if key not in ("n_best", "banned_after")}
        return rules | {"forbidden": list(FORBIDDEN), "repeat_words": self.repeat_words}
