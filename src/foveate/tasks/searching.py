"""Beam search in the families that write text: the options that they share, and the step of the search.

Shapes: N rows of sentences, V in the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from foveate.errors import ConfigError, ModelError, counted
from foveate.tasks.options import PREDICT, Options, option
from foveate.text import END, PAD, START, UNKNOWN, TextTable

if TYPE_CHECKING:
    from torch import Tensor

    from foveate.ops.search import Step

BEAMS = 5
MIN_TOKENS = 2  # a token, and the end
FORBIDDEN = (PAD, START, UNKNOWN)  # tokens that are never written


@dataclass(frozen=True)
class SearchOptions(Options):
    """The search for the text of an input, whose rules are stored with a model.

    beams: hypotheses that are kept at every step; 1 is greedy search, 3 to 10 are usual.
    n_best: results that are returned, at most `beams`; 0 for as many.
    length_penalty: exponent of the length by which a result's log-probability is divided, 0 or more; 1 ranks by the
        mean of a token, 0 by the sum, which favours short results.
    """

    stored: ClassVar[bool] = True

    beams: int = option(BEAMS, f"hypotheses kept at every step of the search ({BEAMS}, or as trained)", "N", served=100)
    n_best: int = option(0, "results for each input, at most as many as beams (0: as many)", "N", (PREDICT,))
    length_penalty: float = option(1.0, "exponent of the length in the score (1, or as trained)", "X", served=10)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_least(beams=1, n_best=0, length_penalty=0)
        if self.n_best > self.beams:
            raise ConfigError(f"n_best is {self.n_best}, but only {self.beams} beams are kept; give --beams as many")

    def require_least(self, **limits: int) -> None:
        """Raise ConfigError for a field below its limit, and for one that is not a finite number."""
        for name, least in limits.items():
            value = getattr(self, name)
            if not least <= value < math.inf:
                raise ConfigError(f"{name} is {value}; give {least} or more")

    def require(self, table: TextTable) -> None:
        """Raise ConfigError for more beams than the vocabulary has tokens, before memory is taken for each."""
        if self.beams > len(table):
            raise ConfigError(
                f"cannot search with {counted(self.beams, 'beam')} over a vocabulary of "
                f"{counted(len(table), 'token')}; give 1..{len(table)}"
            )

    def changed_rules(self) -> list[str]:
        """The rules that are not the default ones, in words; the number of beams is not among them."""
        return [] if self.length_penalty == 1 else [f"length penalty {self.length_penalty:g}"]

    def describe(self) -> str:
        """The search in words, as far as it is not the default one; '' for the default."""
        return ", ".join([*([] if self.beams == BEAMS else [counted(self.beams, "beam")]), *self.changed_rules()])

    def search_in_words(self, unit: str) -> str:
        """The whole search for a report: 'by beam search with 5 beams (length penalty 0.5)'. unit: what a token is."""
        search = f"by beam search with {self.beams} beams" if self.beams > 1 else f"greedily, a {unit} at a time"
        rules = ", ".join(self.changed_rules())
        return f"{search} ({rules})" if rules else search

    def rules(self) -> dict[str, Any]:
        """The arguments of `ops.search.beam_search` that all families give."""
        return {
            "start": START,
            "end": END,
            "beams": self.beams,
            "n_best": self.n_best or self.beams,
            "min_length": MIN_TOKENS,
            "length_penalty": self.length_penalty,
            "forbidden": FORBIDDEN,
        }


def require_max_length(max_length: int) -> None:
    """Raise ConfigError for a longest sentence without room for a token and the end; 0 stands for the usual one."""
    if max_length != 0 and max_length < MIN_TOKENS:
        raise ConfigError(
            f"max_length is {max_length}; give {MIN_TOKENS} or more, for a token and the end, or 0 for what the tokens "
            "need"
        )


def checked_step(model: Any, table: TextTable) -> Step:
    """The model's step, which raises ModelError if its logits (N, V) are not those of the table's tokens."""

    def step(memory: Any, state: Any, tokens: Tensor) -> tuple[Tensor, Any, Tensor | None]:
        logits, state, attention = model.step(memory, state, tokens)
        if logits.shape[1] != len(table):
            raise ModelError(
                f"the model writes {logits.shape[1]} different tokens, but its vocabulary has {len(table)}; take both "
                "from the folder of one training"
            )
        return logits, state, attention

    return step
