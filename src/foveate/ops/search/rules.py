"""What a sentence may be: how long, and which tokens may follow. Shapes: N rows, V tokens, t written so far."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from foveate.errors import ConfigError


class Rules(NamedTuple):
    """What may be written."""

    end: int
    max_length: int
    min_length: int
    no_repeat_ngram: int
    forbidden: tuple[int, ...]

    def check(self) -> None:
        """Raises ConfigError for rules that do not fit each other."""
        if self.max_length < 1:
            raise ConfigError(
                f"cannot write sentences of at most {self.max_length} tokens; give a max_length of 1 or more"
            )
        if self.min_length < 0 or self.no_repeat_ngram < 0:
            name = "min_length" if self.min_length < 0 else "no_repeat_ngram"
            raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more, or 0 for no such rule")
        if self.min_length > self.max_length:
            raise ConfigError(
                f"sentences of at least {self.min_length} and at most {self.max_length} tokens do not exist; "
                "give a min_length that is not above max_length"
            )
        if self.end in self.forbidden:
            raise ConfigError(f"token {self.end} ends a sentence and is forbidden too; leave it out of `forbidden`")

    def check_vocabulary(self, vocabulary: int) -> None:
        """Raises ConfigError for tokens that are not among the V of the model."""
        for name, token in [("end", self.end), *(("forbidden", token) for token in self.forbidden)]:
            if not 0 <= token < vocabulary:
                raise ConfigError(
                    f"token {token} ({name}) is not in the model's vocabulary of {vocabulary}; "
                    f"give one of 0..{vocabulary - 1}, from the vocabulary that the model was trained with"
                )

    def bar(self, log_p: Tensor, written: Tensor) -> Tensor:
        """Log-probabilities (N, V) with -inf, in place, at each token that may not follow what is written, (N, t)."""
        length = written.shape[1] + 1
        barred = [*self.forbidden, *([self.end] if length < self.min_length else [])]
        if barred:
            log_p.index_fill_(1, torch.tensor(barred, device=log_p.device), -math.inf)
        size = self.no_repeat_ngram
        if 0 < size < length:
            log_p.masked_fill_(_repeating(written, size, log_p.shape[1]), -math.inf)
        return log_p


def _repeating(written: Tensor, size: int, vocabulary: int) -> Tensor:
    """(N, t) -> (N, V): which tokens would make the last `size` tokens a repetition of earlier ones."""
    grams = written.unfold(1, size, 1)  # (N, t - size + 1, size)
    last = written[:, written.shape[1] - size + 1 :]  # (N, size - 1)
    again = (grams[..., :-1] == last[:, None]).all(2)
    # A token stands after several grams, and only some match: the others point one past the vocabulary.
    token = torch.where(again, grams[..., -1], vocabulary)
    return torch.zeros_like(written[:, :1], dtype=torch.bool).repeat(1, vocabulary + 1).scatter(1, token, True)[:, :-1]
