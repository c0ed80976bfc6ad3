"""The options of speech: the rules of the search for a transcript, and of cutting long recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foveate.errors import ConfigError
from foveate.tasks.options import option
from foveate.tasks.searching import FORBIDDEN, MIN_TOKENS, SearchOptions

CUT = 20.0  # seconds
CHARACTERS_A_SECOND = 40  # that a transcript has at most, and so many more


@dataclass(frozen=True)
class SpeechOptions(SearchOptions):
    """The search for transcripts.

    beams: hypotheses that are kept at every step; 1 is greedy search, the paper has 32.
    n_best: transcripts that are returned, at most `beams`; 0 for as many. Of a recording that is cut, one.
    length_penalty: exponent of the length by which a transcript's log-probability is divided, 0 or more; 1, as in the
        paper, ranks by the mean of a character.
    language: a text file, one sentence a line, from which a language model of characters is estimated; "" for none. It
        need not be from the training data: names and terms that occur in the recordings help most.
    language_weight: lambda, by which the language model's log-probabilities are multiplied; usually 0.05 to 0.5.
    cut: seconds of a part that is read at once, 0 for no limit; longer recordings are cut where they are quietest.
        Attention works best at the lengths seen in training.
    """

    language: str = option(
        "", "text file, one sentence a line, from which a language model is estimated", "FILE", served=False
    )
    language_weight: float = option(0.2, "weight of the language model's log-probabilities (0.2)", "X", served=10)
    cut: float = option(
        CUT, f"longest part in seconds that is read at once ({CUT:g}, or as trained; 0: no limit)", "S", served=900
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_least(language_weight=0, cut=0)
        if 0 < self.cut < 1:
            raise ConfigError(f"cut is {self.cut:g} s; give parts of 1 s or more, or 0 for no limit")

    def changed_rules(self) -> list[str]:
        """See `SearchOptions.changed_rules`."""
        parts = super().changed_rules()
        parts += [f"language model of {self.language}, weight {self.language_weight:g}"] if self.language else []
        parts += [] if self.cut == CUT else [f"in parts of at most {self.cut:g} s" if self.cut else "uncut"]
        return parts

    @staticmethod
    def longest(seconds: float) -> int:
        """The most tokens of a transcript of so many seconds, its end included."""
        return MIN_TOKENS + int(CHARACTERS_A_SECOND * seconds)

    def search_to_json(self) -> dict[str, Any]:
        """All rules of the search, for the metadata of an exported file; tokens are numbers."""
        rules = {key: value for key, value in self.rules().items() if key != "n_best"}
        return rules | {"forbidden": list(FORBIDDEN), "tokens_a_second": CHARACTERS_A_SECOND}
