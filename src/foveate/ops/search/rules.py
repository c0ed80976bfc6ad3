"""Constraints on decoded sequences: their length, and the tokens that may follow.

Shapes: N rows, V tokens, t decoded so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from foveate.errors import ConfigError

# The tokens of one row that are decoded so far -> those that may not follow them.
BannedAfter = Callable[[list[int]], Iterable[int]]


class Rules(NamedTuple):
    """Constraints on decoded sequences.

    end: the token that ends a sequence.
    max_length: largest number of tokens of each input, the end token included; 1 or more.
    min_length: smallest number of tokens of each input, the end token included; 0 for no such rule.
    no_repeat_ngram: n, so that no n consecutive tokens occur twice; 0 for no such rule.
    forbidden: tokens that are never decoded.
    banned_after: returns the tokens that may not follow those of one row; None for no such rule.
    """

    end: int
    max_length: tuple[int, ...]
    min_length: tuple[int, ...]
    no_repeat_ngram: int
    forbidden: tuple[int, ...]
    banned_after: BannedAfter | None = None

    def check(self) -> None:
        """Raise ConfigError for rules that contradict each other."""
        for longest, shortest in zip(self.max_length, self.min_length, strict=True):
            if longest < 1:
                raise ConfigError(
                    f"cannot decode sentences of at most {longest} tokens; give a max_length of 1 or more"
                )
            if shortest < 0:
                raise ConfigError(f"min_length is {shortest}; give 1 or more, or 0 for no such rule")
            if shortest > longest:
                raise ConfigError(
                    f"min_length {shortest} is above max_length {longest}; "
                    "give a min_length that is not above max_length"
                )
        if self.no_repeat_ngram < 0:
            raise ConfigError(f"no_repeat_ngram is {self.no_repeat_ngram}; give 1 or more, or 0 for no such rule")
        if self.end in self.forbidden:
            raise ConfigError(f"token {self.end} is the end token and is forbidden, too; leave it out of `forbidden`")

    def check_vocabulary(self, vocabulary: int) -> None:
        """Raise ConfigError for tokens outside of the model's vocabulary of V tokens."""
        for name, token in [("end", self.end), *(("forbidden", token) for token in self.forbidden)]:
            if not 0 <= token < vocabulary:
                raise ConfigError(
                    f"token {token} ({name}) is not in the model's vocabulary of {vocabulary}; "
                    f"give one of 0..{vocabulary - 1}, from the vocabulary that the model was trained with"
                )

    def mask_forbidden(self, log_p: Tensor, written: Tensor) -> Tensor:
        """Return log-probabilities (N, V) with -inf for tokens that may not follow decoded (N, t).

        The rows of one input follow each other.
        """
        length = written.shape[1] + 1
        log_p = log_p.clone()
        if self.forbidden:
            log_p.index_fill_(1, torch.tensor(self.forbidden, device=log_p.device), -math.inf)
        if length < max(self.min_length, default=0):
            early = torch.tensor([length < least for least in self.min_length], device=log_p.device)
            log_p[early.repeat_interleave(len(log_p) // len(early)), self.end] = -math.inf
        size = self.no_repeat_ngram
        if 0 < size < length:
            log_p.masked_fill_(_repeating(written, size, log_p.shape[1]), -math.inf)
        if self.banned_after is not None:
            for row, tokens in enumerate(written.tolist()):
                if banned := list(self.banned_after(tokens)):
                    log_p[row, banned] = -math.inf
        return log_p


def _repeating(written: Tensor, size: int, vocabulary: int) -> Tensor:
    """Return the tokens (N, V) that would repeat an earlier n-gram of `size`, for decoded tokens (N, t)."""
    grams = written.unfold(1, size, 1)  # (N, t - size + 1, size)
    last = written[:, written.shape[1] - size + 1 :]  # (N, size - 1)
    matches = (grams[..., :-1] == last[:, None]).all(2)
    # A token may follow several grams of which only some match: the others point one past the vocabulary.
    token = torch.where(matches, grams[..., -1], vocabulary)
    return torch.zeros_like(written[:, :1], dtype=torch.bool).repeat(1, vocabulary + 1).scatter(1, token, True)[:, :-1]
