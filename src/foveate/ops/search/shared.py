"""What beam search and sampling share: hypotheses, trees of tensors, and the checks of what a step returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError, ModelError

Step = Callable[[Any, Any, Tensor], tuple[Tensor, Any, Tensor | None]]


@dataclass(frozen=True)
class Hypothesis:
    """A sentence that was found, T tokens long, on the CPU.

    tokens: (T,) int64, without the start, with END if it ended.
    log_probs: (T,), the model's log-probability of each token.
    score: what it was ranked by.
    ended: False if it was cut off at the greatest length, or where the rules left no token.
    attention: (T, ...), the step's attention as each token was chosen; None of a model without.
    """

    tokens: Tensor
    log_probs: Tensor
    score: float
    ended: bool
    attention: Tensor | None = None


class Found(NamedTuple):
    """A hypothesis before its attention is looked up: `rows` (T,) says in which row of each step it stood."""

    ended: bool
    score: float
    tokens: Tensor
    log_probs: Tensor
    rows: Tensor


def log_probabilities(logits: Tensor, alive: Tensor, length: int) -> Tensor:
    """(N, V), in float32 or better. Raises ModelError if a living row (N,) is not made of numbers."""
    log_p = F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), 1)
    # One nan, or no finite score at all, makes the whole row nan.
    if bool((log_p[:, 0].isnan() & alive).any()):
        raise ModelError(
            f"the model's scores for token {length} are nan or infinite; its weights are damaged or its training "
            "diverged: load an earlier checkpoint, or train with a lower learning rate"
        )
    return log_p


def finish(pools: list[list[Found]], looks: list[Tensor]) -> list[list[Hypothesis]]:
    """Each input's hypotheses with their attention, from that of each step, (N, ...)."""
    seen = torch.stack(looks) if looks else None  # (length, N, ...)

    def with_attention(found: Found) -> Hypothesis:
        attention = None
        if seen is not None:
            rows = found.rows.to(seen.device)
            attention = seen[torch.arange(len(rows), device=seen.device), rows].cpu()
        return Hypothesis(found.tokens, found.log_probs, found.score, found.ended, attention)

    return [[with_attention(found) for found in pool] for pool in pools]


def each(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The tree with each tensor changed. Raises ConfigError for what is not a tree of tensors."""
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
        f"a {type(tree).__name__} in the memory or state of a search; "
        "give tensors, None, and tuples, lists or dicts of them"
    )


def repeat(tree: Any, times: int) -> Any:
    """The tree with each row `times` times, one after the other."""
    return each(tree, lambda x: x.repeat_interleave(times, 0))


def select(tree: Any, rows: Tensor) -> Any:
    """The tree's rows (N,), in this order."""
    return each(tree, lambda x: x.index_select(0, rows))


def count_inputs(memory: Any, state: Any) -> tuple[int, torch.device]:
    """B, and the device. Raises ConfigError if tensors disagree about B, or there are none."""
    tensors: list[Tensor] = []
    each((memory, state), lambda x: tensors.append(x) or x)  # type: ignore[func-returns-value]
    sizes = {x.shape[0] if x.ndim else 0 for x in tensors}
    if len(sizes) != 1:
        raise ConfigError(
            f"the memory and state of a search have {sorted(sizes) or 'no'} rows; give tensors with one row an input"
        )
    return sizes.pop(), tensors[0].device


def check_step(logits: Tensor, look: Tensor | None, rows: int) -> None:
    """Raises ConfigError for logits or attention that are not of N rows."""
    if logits.ndim != 2 or logits.shape[0] != rows:
        raise ConfigError(f"the step gave logits of shape {tuple(logits.shape)} for {rows} tokens; give ({rows}, V)")
    if look is not None and (look.ndim < 1 or look.shape[0] != rows):
        raise ConfigError(f"the step gave attention of shape {tuple(look.shape)} for {rows} tokens; give ({rows}, ...)")
