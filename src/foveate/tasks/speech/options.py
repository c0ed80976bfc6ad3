"""The options of speech: the rules of the search for a transcript, and of cutting long recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from foveate.errors import ConfigError, counted
from foveate.tasks.options import PREDICT, Options, option
from foveate.text import END, PAD, START, UNKNOWN, TextTable

BEAMS = 5
MIN_TOKENS = 2  # a character, and the end
FORBIDDEN = (PAD, START, UNKNOWN)  # tokens that are never written
CHARACTERS_A_SECOND = 40  # that a transcript has at most, and so many more


@dataclass(frozen=True)
class SpeechOptions(Options):
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

    stored: ClassVar[bool] = True

    beams: int = option(BEAMS, f"hypotheses kept at every step of the search ({BEAMS}, or as trained)", "N", served=100)
    n_best: int = option(0, "transcripts of each recording, at most as many as beams (0: as many)", "N", (PREDICT,))
    length_penalty: float = option(
        1.0, "exponent of the length in a transcript's score (1, or as trained)", "X", served=10
    )
    language: str = option(
        "", "text file, one sentence a line, from which a language model is estimated", "FILE", served=False
    )
    language_weight: float = option(0.2, "weight of the language model's log-probabilities (0.2)", "X", served=10)
    cut: float = option(
        20.0, "longest part in seconds that is read at once (20, or as trained; 0: no limit)", "S", served=900
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("beams", 1), ("n_best", 0), ("length_penalty", 0), ("language_weight", 0), ("cut", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; give {least} or more")
        if 0 < self.cut < 1:
            raise ConfigError(f"cut is {self.cut:g} s; give parts of 1 s or more, or 0 for no limit")

    def describe(self) -> str:
        """The search in words, as far as it is not the default one; '' for the default."""
        parts = [] if self.beams == BEAMS else [f"{self.beams} beam{'s' * (self.beams > 1)}"]
        parts += [] if self.length_penalty == 1 else [f"length penalty {self.length_penalty:g}"]
        parts += [f"language model of {self.language}, weight {self.language_weight:g}"] if self.language else []
        return ", ".join(parts)

    def require(self, table: TextTable) -> None:
        """Raise ConfigError for more beams than there are characters."""
        if self.beams > len(table):
            raise ConfigError(
                f"cannot search with {self.beams} beams over {counted(len(table), 'character')}; give 1..{len(table)}"
            )

    @staticmethod
    def longest(seconds: float) -> int:
        """The most tokens of a transcript of so many seconds, its end included."""
        return MIN_TOKENS + int(CHARACTERS_A_SECOND * seconds)

    def search(self) -> dict[str, Any]:
        """The arguments of `ops.search.beam_search`, but for the lengths."""
        return {
            "start": START,
            "end": END,
            "beams": self.beams,
            "n_best": self.n_best or self.beams,
            "min_length": MIN_TOKENS,
            "length_penalty": self.length_penalty,
            "forbidden": FORBIDDEN,
        }

    def search_to_json(self) -> dict[str, Any]:
        """All rules of the search, for the metadata of an exported file; tokens are numbers."""
        rules = {key: value for key, value in self.search().items() if key != "n_best"}
        return rules | {"forbidden": list(FORBIDDEN), "tokens_a_second": CHARACTERS_A_SECOND}
