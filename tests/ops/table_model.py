"""The model that searches and draws are tried on, and the check of what they say of a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from foveate.ops.search import Hypothesis

END, START = 0, 1
DEPTH = 8  # of the history that the table model sees, and shows as its attention


@dataclass
class Table:
    """A model whose next token depends on the input and on all that is written: random scores for each history.

    Its memory is the input's number, its state the history, newest last; its attention shows both.
    """

    inputs: int
    vocabulary: int
    seed: int = 0
    scale: float = 1.5
    change: Callable[[Tensor], Tensor] = field(default=lambda logits: logits)
    seen: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        random = torch.Generator().manual_seed(self.seed)
        self.table = self.scale * torch.randn(self.inputs, 4001, self.vocabulary, dtype=torch.float64, generator=random)

    def begin(self, *inputs: int) -> tuple[Tensor, Tensor]:
        which = torch.tensor(inputs or range(self.inputs))
        return which, torch.full((len(which), DEPTH), -1)

    def logits(self, which: Tensor, history: Tensor) -> Tensor:
        code = torch.zeros_like(which)
        for token in history.T:
            code = (31 * code + token + 2) % 4001
        return self.change(self.table[which, code].clone())

    def step(self, memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.seen.append((memory, tokens))
        state = torch.cat([state[:, 1:], tokens[:, None]], 1)
        return self.logits(memory, state), state, torch.cat([memory[:, None], state], 1)

    def histories(self, tokens: list[int]) -> list[list[int]]:
        """The histories that the model has seen when it chooses each of the tokens."""
        whole = [*[-1] * (DEPTH - 1), START, *tokens]
        return [whole[t : t + DEPTH] for t in range(len(tokens))]

    def log_probs(self, which: int, tokens: list[int]) -> list[float]:
        """Of each token, given those before it: what teacher forcing says."""
        if not tokens:
            return []
        history = torch.tensor(self.histories(tokens))
        log_p = self.logits(torch.full((len(tokens),), which), history).log_softmax(1)
        return log_p[range(len(tokens)), tokens].tolist()


def written(hypotheses: list[Hypothesis]) -> list[list[int]]:
    return [h.tokens.tolist() for h in hypotheses]


def repeats(tokens: list[int], size: int) -> bool:
    grams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return len(set(grams)) < len(grams)


def check(model: Table, which: int, found: Hypothesis, penalty: float = 1.0) -> None:
    """A hypothesis against teacher forcing: its log-probabilities, score and attention are its own."""
    tokens = found.tokens.tolist()
    log_probs = model.log_probs(which, tokens)
    assert found.log_probs.tolist() == pytest.approx(log_probs, abs=1e-12)
    assert found.score == pytest.approx(sum(log_probs) / max(len(tokens), 1) ** penalty, abs=1e-12)
    assert found.ended == (tokens[-1:] == [END])
    assert END not in tokens[:-1]
    assert found.attention is not None
    assert found.attention.tolist() == [[which, *history] for history in model.histories(tokens)]
