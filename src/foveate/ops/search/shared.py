"""Parts shared by beam search and sampling: hypotheses, trees of tensors, and checks of a step's results."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError, ModelError

Step = Callable[[Any, Any, Tensor], tuple[Tensor, Any, Tensor | None]]


@dataclass(frozen=True)
class Hypothesis:
    """A decoded sentence, T tokens long, on the CPU.

    tokens: (T,) int64, without the start token, with the end token if it ended.
    log_probs: (T,), the model's log-probability of each token, without that of a second model.
    score: the score that it is ranked by.
    ended: False if it was cut off at the maximal length, or where the rules left no token.
    attention: (T, ...), the step's attention for each token; None for a model without attention.
    """

    tokens: Tensor
    log_probs: Tensor
    score: float
    ended: bool
    attention: Tensor | None = None


@dataclass(frozen=True)
class Fusion:
    """A second model, such as a language model, whose log-probabilities are added to those of the first.

    step, memory, state: as the search takes them of the first model; both write the same V tokens.
    weight: lambda, by which they are multiplied, above 0; usually 0.1 to 0.5.
    """

    step: Step
    memory: Any
    state: Any
    weight: float

    def repeated(self, inputs: int, times: int) -> Fusion:
        """Return it with each row repeated. Raises ConfigError for other rows than the first model's, or the weight."""
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ConfigError(f"the second model has a weight of {self.weight}; give one above 0, or no second model")
        if (rows := count_inputs(self.memory, self.state)[0]) != inputs:
            raise ConfigError(f"the second model has {rows} rows, but the first one {inputs}; give one row per input")
        return replace(self, memory=repeat(self.memory, times), state=repeat(self.state, times))

    def selected(self, rows: Tensor) -> Fusion:
        """Return it with the state of these rows (N,), in this order."""
        return replace(self, state=select(self.state, rows))

    def advance(self, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Fusion]:
        """Return the second model's logits (N, V) after the tokens (N,), and itself with the state after them.

        Raises ConfigError if they do not have the shape of the first model's logits.
        """
        own, state, _ = self.step(self.memory, self.state, tokens)
        if own.shape != logits.shape:
            raise ConfigError(
                f"the second model gave logits of shape {tuple(own.shape)}, the first one {tuple(logits.shape)}; give "
                "two models with one vocabulary"
            )
        return own, replace(self, state=state)


class Found(NamedTuple):
    """A hypothesis whose attention is not yet gathered.

    ended, score, tokens, log_probs: as in `Hypothesis`.
    rows: (T,), the row of each step that held the sentence.
    """

    ended: bool
    score: float
    tokens: Tensor
    log_probs: Tensor
    rows: Tensor


def log_probabilities(logits: Tensor, alive: Tensor, length: int) -> Tensor:
    """Return log-probabilities (N, V), in float32 or better.

    Raises ModelError if a row that is still decoded, alive (N,), is nan.
    """
    log_p = F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), 1)
    # One nan, or no finite score at all, makes the whole row nan.
    if bool((log_p[:, 0].isnan() & alive).any()):
        raise ModelError(
            f"the model's scores for token {length} are nan or infinite; its weights are damaged or its training "
            "diverged: load an earlier checkpoint, or train with a lower learning rate"
        )
    return log_p


def finish(pools: list[list[Found]], attentions: list[Tensor]) -> list[list[Hypothesis]]:
    """Return each input's hypotheses with their attention, gathered from that of each step, (N, ...)."""
    stacked = torch.stack(attentions) if attentions else None  # (length, N, ...)

    def with_attention(found: Found) -> Hypothesis:
        attention = None
        if stacked is not None:
            rows = found.rows.to(stacked.device)
            attention = stacked[torch.arange(len(rows), device=stacked.device), rows].cpu()
        return Hypothesis(found.tokens, found.log_probs, found.score, found.ended, attention)

    return [[with_attention(found) for found in pool] for pool in pools]


def each(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply `change` to each tensor of a tree. Raises ConfigError for what is not a tree of tensors."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: each(value, change) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        parts = [each(part, change) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    raise ConfigError(
        f"the memory or state of a search holds a {type(tree).__name__}; "
        "give tensors, None, and tuples, lists or dicts of them"
    )


def repeat(tree: Any, times: int) -> Any:
    """Repeat each row of a tree's tensors `times` times, one after the other."""
    return each(tree, lambda x: x.repeat_interleave(times, 0))


def select(tree: Any, rows: Tensor) -> Any:
    """Return the tree with rows (N,), in this order."""
    return each(tree, lambda x: x.index_select(0, rows))


def count_inputs(memory: Any, state: Any) -> tuple[int, torch.device]:
    """Return B, and the device. Raises ConfigError if tensors disagree about B, or there are none."""
    tensors: list[Tensor] = []
    each((memory, state), lambda x: tensors.append(x) or x)  # type: ignore[func-returns-value]
    sizes = {x.shape[0] if x.ndim else 0 for x in tensors}
    if len(sizes) != 1:
        raise ConfigError(
            f"the memory and state of a search have {sorted(sizes) or 'no'} rows; give tensors with one row per input"
        )
    return sizes.pop(), tensors[0].device


def check_step(logits: Tensor, attention: Tensor | None, rows: int) -> None:
    """Raise ConfigError for logits or attention that do not have N rows."""
    if logits.ndim != 2 or logits.shape[0] != rows:
        raise ConfigError(f"the step gave logits of shape {tuple(logits.shape)} for {rows} tokens; give ({rows}, V)")
    if attention is not None and (attention.ndim < 1 or attention.shape[0] != rows):
        raise ConfigError(
            f"the step gave attention of shape {tuple(attention.shape)} for {rows} tokens; give ({rows}, ...)"
        )
