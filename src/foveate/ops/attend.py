"""Attention in two parts: scores of queries against keys, and reads (soft, hard, local) of the values they weight.

Shapes: N rows, each with L positions; keys (N, L, E) and values (N, L, D). Queries are (N, Q, F), or (N, F) for one per
row, as in a recurrent decoder; then Q is missing from all results. Scores and weights are (N, Q, L). A feature map (N,
D, h, w) is passed as `grid.flatten(2).mT`, with L = h w.

    score = Additive(512, 1024, 512)
    keys = score.project(features)              # once per input
    read = soft_read(score(h, keys), features)  # each step: read.value (N, D), read.weights (N, L)

Masks are boolean, (N, L) or of the scores' shape, and True at valid positions, as in torch. A position outside the
mask, or with a score of -inf, has weight 0: its score and value have no influence and a gradient of 0 (a value must
still be finite: 0 times inf is nan). Where *no* position is valid, as in a padded row, all weights are 0, the value
read is 0, and so are the gradients. This is a defined result instead of an error, since checking for such rows would
make a device wait.

Weights are computed in float32 or better, from scores of any precision; a score that has overflowed to inf counts as
the largest finite number. Values are returned in their own precision.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError

CHUNK_ELEMENTS = 2**18  # of an intermediate tensor, 1 MiB in float32, so that it stays in the processor's cache


class Score(nn.Module):
    """Base class of attention scores: (N, Q, F) and projected keys -> (N, Q, L), before any softmax.

    query_size: F; None where it only has to equal the keys' size.
    key_size: size of the keys that `project` returns; None where it only has to equal the queries' size.
    """

    query_size: int | None = None
    key_size: int | None = None

    def project(self, keys: Tensor) -> Tensor:
        """Compute the part of the score of keys (N, L, E) that needs no query: once per input, reused at every step."""
        return keys

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return scores (N, Q, L) or (N, L) for a query (N, Q, F) or (N, F) and keys from `project`.

        Raises ConfigError if shapes do not fit.
        """
        self._check(query, keys)
        if query.ndim == 2:
            return self._score(query[:, None], keys)[:, 0]
        return self._score(query, keys)

    def _score(self, query: Tensor, keys: Tensor) -> Tensor:
        raise NotImplementedError

    def _check(self, query: Tensor, keys: Tensor) -> None:
        name = type(self).__name__
        if query.ndim not in (2, 3) or keys.ndim != 3 or query.shape[0] != keys.shape[0]:
            raise ConfigError(
                f"{name} got a query of shape {tuple(query.shape)} and keys of shape {tuple(keys.shape)}; "
                "give a query (N, F) or (N, Q, F) and keys (N, L, E) with the same N"
            )
        if self.query_size is None:
            if query.shape[-1] != keys.shape[-1]:
                raise ConfigError(
                    f"{name} got a query of size {query.shape[-1]} and keys of size {keys.shape[-1]}; "
                    "give both the same size, or score with Bilinear or Additive"
                )
        elif query.shape[-1] != self.query_size or keys.shape[-1] != self.key_size:
            raise ConfigError(
                f"{name} got a query of size {query.shape[-1]} and projected keys of size {keys.shape[-1]}, and is "
                f"built for {self.query_size} and {self.key_size}; give it what `project` returned"
            )


class Additive(Score):
    """Additive score, a network with one hidden layer: a(q, k) = v^T tanh(W q + U k + b).

    query_size: F, the size of a query.
    key_size: E, the size of a key before `project`, which returns U k + b, (N, L, A).
    hidden: A, the size of the hidden layer.
    bias: True adds b as in Xu et al.'s published code; Bahdanau et al. have none. The constant that this code adds to
        each score is left out, as the softmax is invariant to it.
    layers: 1 as in the papers; 2 passes U k + b through a second layer, tanh(V (U k + b) + b'), before it is added to
        W q, as the "deep" attention of Xu et al.'s published code.

    The hidden layer is (N, Q, L, A): for many queries at once the other scores are far cheaper.

    Source: Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate" (2014),
    appendix A.1.2; Xu et al., "Show, Attend and Tell" (2015), equation 4. Raises ConfigError for a size below 1, or
    other numbers of layers.
    """

    def __init__(self, query_size: int, key_size: int, hidden: int, *, bias: bool = True, layers: int = 1) -> None:
        super().__init__()
        _check_sizes(query_size, key_size, hidden)
        if layers not in (1, 2):
            raise ConfigError(f"an additive score of {layers} layers for the keys; give 1 or 2")
        self.query_size, self.key_size = query_size, hidden
        self.W = nn.Linear(query_size, hidden, bias=False)
        self.U = nn.Linear(key_size, hidden, bias=bias)
        self.V = nn.Linear(hidden, hidden) if layers == 2 else None
        self.v = nn.Linear(hidden, 1, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        """Return U k + b, (N, L, A), for keys (N, L, E), after the second layer if there is one.

        Raises ConfigError for another E.
        """
        _check_keys(keys, self.U.in_features)
        projected: Tensor = self.U(keys)
        return projected if self.V is None else torch.tanh(self.V(projected))

    def _score(self, query: Tensor, keys: Tensor) -> Tensor:
        # a = v^T tanh(W q + U k + b), in place: the sum is the largest tensor here, and not needed again
        projected = self.W(query)
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or keys.device.type != "cpu":
            return self.v((projected[:, :, None] + keys[:, None]).tanh_()).squeeze(-1)
        return self._search_score(projected, keys)

    def _search_score(self, projected: Tensor, keys: Tensor) -> Tensor:
        """Return the same on a CPU without gradients, where a search spends most of its time.

        A few rows are computed at a time, so that their sum stays in the processor's cache; and tanh x =
        2 sigmoid(2 x) - 1, since torch's sigmoid takes a quarter of the time of its tanh. In half precision it would
        round more, and is not used.
        """
        quick = keys.dtype in (torch.float32, torch.float64)
        rows = max(1, CHUNK_ELEMENTS // max(1, math.prod(keys.shape[1:]) * projected.shape[1]))
        found = []
        for q, k in zip(projected.split(rows), keys.split(rows), strict=True):
            if quick:
                # v^T tanh x = 2 v^T sigmoid(2 x) - sum_i v_i
                half = self.v(torch.add(2 * q[:, :, None], k[:, None], alpha=2).sigmoid_())
                found.append((2 * half - self.v.weight.sum()).squeeze(-1))
            else:
                found.append(self.v((q[:, :, None] + k[:, None]).tanh_()).squeeze(-1))
        return torch.cat(found)


class Dot(Score):
    """Dot product score: a(q, k) = q^T k, or q^T k / sqrt(F) if scaled, which keeps its variance from growing with F.

    Source: Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation" (2015),
    equation 8; scaled: Vaswani et al., "Attention Is All You Need" (2017), equation 1.
    """

    def __init__(self, *, scaled: bool = False) -> None:
        super().__init__()
        self.scaled = scaled

    def _score(self, query: Tensor, keys: Tensor) -> Tensor:
        # The query is scaled, not the score, which may overflow in half precision.
        return (query / math.sqrt(query.shape[-1]) if self.scaled else query) @ keys.mT

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"scaled={self.scaled}"


class Bilinear(Score):
    """Bilinear score: a(q, k) = q^T W k; `project` returns W k, (N, L, F).

    query_size: F, the size of a query.
    key_size: E, the size of a key before `project`.

    Source: Luong, Pham and Manning (2015), equation 8, "general". Raises ConfigError for a size below 1.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        _check_sizes(query_size, key_size)
        self.query_size = self.key_size = query_size
        self.W = nn.Linear(key_size, query_size, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        """Return W k, (N, L, F), for keys (N, L, E). Raises ConfigError for another E."""
        _check_keys(keys, self.W.in_features)
        return self.W(keys)

    def _score(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.mT


class SoftRead(NamedTuple):
    """Result of soft and local attention."""

    value: Tensor  # z, (N, Q, D), in the values' precision
    weights: Tensor  # alpha, (N, Q, L), float32 or better


class HardRead(NamedTuple):
    """Result of hard attention. `log_prob` and `entropy` have gradients towards the scores, the value has none."""

    value: Tensor  # (N, Q, D): the value at the chosen position
    weights: Tensor  # alpha, (N, Q, L): the distribution that the position was chosen from
    choice: Tensor  # (N, Q) int64; 0, with a value of 0, where no position is valid
    log_prob: Tensor  # (N, Q): log alpha at the chosen position; 0 where none is valid
    entropy: Tensor  # (N, Q): -sum alpha log alpha, in nats


def attention_weights(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the softmax over the valid positions: scores (N, Q, L) or (N, L) -> alpha of the same shape.

    Each row sums to 1, or is 0 where no position is valid. Raises ConfigError if the mask does not fit.
    """
    return _softmax(scores, mask)[0]


def soft_read(scores: Tensor, values: Tensor, mask: Tensor | None = None) -> SoftRead:
    """Return the mean of the values (N, L, D), weighted by the softmax of the scores: z = sum_i alpha_i a_i.

    mask: valid positions; None for all.

    Source: Bahdanau, Cho and Bengio (2014), equations 5 and 6. Raises ConfigError if shapes do not fit.
    """
    _check_values(scores, values)
    weights = attention_weights(scores, mask)
    return SoftRead(_mean(weights, values), weights)


def hard_read(
    scores: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    *,
    sample: bool,
    generator: torch.Generator | None = None,
) -> HardRead:
    """Return the value at one position: sampled from the softmax of the scores if `sample`, else the most probable one.

    mask: valid positions; None for all.
    generator: random generator for `sample`, on the scores' device.

    The gradient of an expected reward R over such samples is E[(R - b) d log_prob], for any b that does not depend on
    the sample (REINFORCE). The value that soft attention would read is `weights @ values`, the expectation of `value`.

    Source: Xu et al. (2015), section 4.1. Raises ConfigError if shapes do not fit.
    """
    _check_values(scores, values)
    weights, log_weights = _softmax(scores, mask)
    p = weights.detach()
    if sample:
        # The exponential race: of independent exponential variables with rates alpha_i, the i-th is the smallest with
        # probability alpha_i. Unlike torch.multinomial it accepts a row of zeros.
        tiny = torch.finfo(p.dtype).tiny
        p = p / torch.empty_like(p).exponential_(generator=generator).clamp(min=tiny)
    choice = p.argmax(-1)
    log_prob = log_weights.gather(-1, choice[..., None]).squeeze(-1)
    # H = -sum_i alpha_i log alpha_i
    entropy = -(weights * log_weights).sum(-1)
    rows = choice if scores.ndim == 3 else choice[:, None]
    value = values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))
    empty = (weights.detach().amax(-1) == 0)[..., None]
    value = (value if scores.ndim == 3 else value[:, 0]).masked_fill(empty, 0.0)
    return HardRead(value, weights, choice, log_prob, entropy)


def local_read(
    scores: Tensor,
    values: Tensor,
    position: Tensor,
    window: int,
    mask: Tensor | None = None,
) -> SoftRead:
    """Return the weighted mean of the values at most `window` positions from `position`, in 0..L-1 (local-p).

    position: p, (N, Q), or (N,) for one query per row, in positions, not necessarily whole; see `PredictedPosition`.
    window: D, in positions.
    mask: valid positions; None for all.

    The weights are the softmax within the window times exp(-(s - p)^2 / (2 sigma^2)) with sigma = D / 2, through which
    p learns. As in the paper they are not normalised again, and sum to at most 1.

    Positions of the window beyond the ends, or outside the mask, are ignored; where that leaves none, the value is 0.
    All L scores are computed first, so the cost is that of soft attention.

    Source: Luong, Pham and Manning (2015), section 3.2. Raises ConfigError if shapes do not fit or window is below 1.
    """
    _check_values(scores, values)
    if window < 1:
        raise ConfigError(f"cannot read within {window} positions of another; give a window of 1 or more")
    if position.shape != scores.shape[:-1]:
        raise ConfigError(
            f"scores of shape {tuple(scores.shape)} with positions of shape {tuple(position.shape)}; "
            "give one position per query"
        )
    # Half precision cannot represent all positions of a long input.
    exact = position.to(torch.promote_types(position.dtype, torch.float32))[..., None]
    distance = torch.arange(scores.shape[-1], device=scores.device) - exact
    inside = distance.abs() <= window
    weights = attention_weights(scores, inside if mask is None else inside & _full_mask(scores, mask))
    # a(s) = align(s) exp(-(s - p)^2 / (2 sigma^2)), sigma = D / 2
    weights = weights * torch.exp(-2 * (distance / window) ** 2).to(weights.dtype)
    return SoftRead(_mean(weights, values), weights)


class PredictedPosition(nn.Module):
    """Predict the position that a query attends to in an input of S positions: p = S sigmoid(v^T tanh(W q)).

    query_size: F, the size of a query.
    hidden: size of the hidden layer.

    Positions count from 0 here, from 1 in the paper.

    Source: Luong, Pham and Manning (2015), equation 9. Raises ConfigError for a size below 1.
    """

    def __init__(self, query_size: int, hidden: int) -> None:
        super().__init__()
        _check_sizes(query_size, hidden)
        self.W = nn.Linear(query_size, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)

    def forward(self, query: Tensor, lengths: Tensor) -> Tensor:
        """Return p (N, Q) or (N,), float32 or better, for a query (N, Q, F) or (N, F) and lengths S (N,).

        Raises ConfigError if shapes do not fit.
        """
        if query.ndim not in (2, 3) or query.shape[-1] != self.W.in_features or lengths.shape != query.shape[:1]:
            raise ConfigError(
                f"PredictedPosition got a query of shape {tuple(query.shape)} and lengths of shape "
                f"{tuple(lengths.shape)}; give a query (N, {self.W.in_features}) or (N, Q, {self.W.in_features}) and "
                "one length per row"
            )
        raw = self.v(torch.tanh(self.W(query))).squeeze(-1)
        share = torch.sigmoid(raw.to(torch.promote_types(raw.dtype, torch.float32)))
        return (lengths if query.ndim == 2 else lengths[:, None]) * share


def _softmax(scores: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return (alpha, log alpha), each of the scores' shape, and both 0 at positions that are not valid."""
    if not scores.is_floating_point() or scores.ndim not in (2, 3):
        raise ConfigError(
            f"scores of {scores.dtype} and shape {tuple(scores.shape)}; give floating-point scores (N, Q, L) or (N, L)"
        )
    full = scores.to(torch.promote_types(scores.dtype, torch.float32))
    valid = full != -math.inf
    if mask is not None:
        valid = valid & _full_mask(scores, mask)
    full = full.clamp(max=torch.finfo(full.dtype).max).masked_fill(~valid, -math.inf)
    # A row of -inf alone has neither a softmax nor a gradient: compute that of zeros, and mask it afterwards.
    full = full.masked_fill(~valid.any(-1, keepdim=True), 0.0)
    log_weights = F.log_softmax(full, -1).masked_fill(~valid, 0.0)
    return F.softmax(full, -1).masked_fill(~valid, 0.0), log_weights


def _mean(weights: Tensor, values: Tensor) -> Tensor:
    """Return sum_i alpha_i a_i: (N, Q, L) or (N, L) and (N, L, D) -> (N, Q, D) or (N, D)."""
    weights = weights.to(values.dtype)
    return weights @ values if weights.ndim == 3 else (weights[:, None] @ values)[:, 0]


def _full_mask(scores: Tensor, mask: Tensor) -> Tensor:
    """Return a mask that broadcasts against the scores. Raises ConfigError if it does not fit."""
    rows = (scores.shape[0], scores.shape[-1])
    if mask.dtype != torch.bool or (mask.shape != scores.shape and mask.shape != rows):
        raise ConfigError(
            f"scores of shape {tuple(scores.shape)} with a mask of {mask.dtype} and shape {tuple(mask.shape)}; "
            f"give a boolean mask {rows} or of the scores' shape, True at valid positions"
        )
    return mask[:, None] if mask.ndim < scores.ndim else mask


def _check_values(scores: Tensor, values: Tensor) -> None:
    if (
        scores.ndim not in (2, 3)
        or values.ndim != 3
        or scores.shape[0] != values.shape[0]
        or scores.shape[-1] != values.shape[1]
    ):
        raise ConfigError(
            f"scores of shape {tuple(scores.shape)} with values of shape {tuple(values.shape)}; "
            "give scores (N, Q, L) or (N, L) and values (N, L, D)"
        )


def _check_keys(keys: Tensor, size: int) -> None:
    if keys.ndim != 3 or keys.shape[-1] != size:
        raise ConfigError(f"keys of shape {tuple(keys.shape)}; give keys (N, L, {size}), as the score is built for")


def _check_sizes(*sizes: int) -> None:
    if min(sizes) < 1:
        raise ConfigError(f"cannot build attention of size {min(sizes)}; give sizes of 1 or more")
