"""Beam search, all inputs and beams in one step. Shapes as in the folder: B inputs, K beams, N = B K rows, V, t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.search.rules import Rules
from foveate.ops.search.shared import (
    Found,
    Hypothesis,
    Step,
    check_step,
    count_inputs,
    finish,
    log_probabilities,
    repeat,
    select,
)


@torch.no_grad()
def beam_search(
    step: Step,
    memory: Any,
    state: Any,
    *,
    start: int,
    end: int,
    beams: int = 5,
    n_best: int = 1,
    max_length: int = 30,
    min_length: int = 0,
    length_penalty: float = 1.0,
    no_repeat_ngram: int = 0,
    forbidden: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """For each input up to `n_best` sentences, best first: those that ended by score, then those that did not.

    At each length an input keeps its `beams` likeliest continuations. Those that end leave for its pool; the others are
    continued at the next length, where `beams` are kept again. A sentence of T tokens, END included, scores

        score = sum_t log p(y_t | y_<t, x) / T^length_penalty

    so that 0 is the plain sum, which likes short sentences, and 1 the mean. An input is done when none of its living
    sentences can still get into the `n_best` of its pool: log-probabilities are at most 0, so a living sum s can come
    to s / max_length^length_penalty at best. This bound is exact for every length_penalty of 0 or more. (Xu et al.'s
    published code is done as soon as `beams` sentences have ended, and may miss a longer one that scores more.)

    start, end: the token fed first, and the one that ends a sentence.
    beams: K; 1 is greedy search. n_best: at most as many as beams.
    max_length, min_length: of a sentence, END included. If nothing has ended by then, what is written is returned.
    no_repeat_ngram: n, so that no n tokens in a row are written twice; 0 for no such rule.
    forbidden: tokens that are never written, e.g. those for padding, start and unknown words.

    An input's result does not depend on the others in the batch, but for rounding in the model itself.

    Raises ConfigError for settings that do not fit each other or the model, ModelError if the model's scores are nan.
    """
    rules = Rules(end, max_length, min_length, no_repeat_ngram, tuple(forbidden))
    rules.check()
    if beams < 1:
        raise ConfigError(f"cannot search with {beams} beams; give 1 or more")
    if not 1 <= n_best <= beams:
        raise ConfigError(f"cannot return {n_best} sentences of {beams} beams; give n_best in 1..{beams}")
    if not (length_penalty >= 0 and math.isfinite(length_penalty)):
        raise ConfigError(f"cannot divide by length^{length_penalty}; give a length_penalty of 0 or more")
    inputs, device = count_inputs(memory, state)
    memory, state = repeat(memory, beams), repeat(state, beams)
    pools: list[list[Found]] = [[] for _ in range(inputs)]
    looks: list[Tensor] = []
    first = torch.arange(inputs, device=device)[:, None] * beams  # (B, 1): an input's first row
    tokens = torch.full((inputs, beams), start, device=device)
    # Of the sentences being written, (B, K, t): tokens, their log-probabilities, the rows they stood in.
    written = rows = tokens[..., None][..., :0]
    log_probs = torch.zeros(inputs, beams, 0, device=device)
    # (B, K): the sum of a living sentence, else -inf. All start alike, so all but one start dead.
    sums = torch.full((inputs, beams), -math.inf, device=device).index_fill(1, first.new_zeros(1), 0.0)
    worst = sums.new_full((inputs,), -math.inf)  # (B,): the score that it takes to get into a full pool

    def keep(which: Tensor, ended: bool) -> None:
        """Sentences which (B, K) of those written go into their pools."""
        scores = sums[which] / max(written.shape[2], 1) ** length_penalty
        parts = (x[which].cpu() for x in (written, log_probs, rows))
        touched = which.nonzero()[:, 0].tolist()
        for b, score, *found in zip(touched, scores.tolist(), *parts, strict=True):
            pools[b].append(Found(ended, score, *found))
        for b in set(touched):
            pools[b] = sorted(pools[b], key=lambda f: (f.ended, f.score), reverse=True)[:n_best]
            if ended and len(pools[b]) == n_best:
                worst[b] = pools[b][-1].score

    for length in range(1, max_length + 1):
        logits, state, look = step(memory, state, tokens.flatten())
        check_step(logits, look, inputs * beams)
        vocabulary = logits.shape[1]
        if length == 1:
            rules.check_vocabulary(vocabulary)
            if beams > vocabulary:
                raise ConfigError(
                    f"cannot search with {beams} beams over a vocabulary of {vocabulary} tokens; give 1..{vocabulary}"
                )
        alive = sums > -math.inf
        log_p = log_probabilities(logits, alive.flatten(), length)
        worst = worst.to(log_p.dtype)
        # An input's best K have at most K of any row.
        log_p, likely = rules.bar(log_p, written.flatten(0, 1)).topk(beams, 1)  # (N, K)
        total = log_p.view(inputs, beams, beams) + sums[..., None]
        # A dead row's log-probabilities may be nan.
        top, index = total.masked_fill(~alive[..., None], -math.inf).flatten(1).topk(beams)  # (B, K)
        stuck = (top[:, :1] == -math.inf) & alive
        if bool(stuck.any()):
            keep(stuck, ended=False)
        if look is not None:
            looks.append(look)
        parent = index // beams
        token, chosen = (x.view(inputs, -1).gather(1, index) for x in (likely, log_p))
        row = first + parent
        written = torch.cat([_follow(written, parent), token[..., None]], 2)
        rows = torch.cat([_follow(rows, parent), row[..., None]], 2)
        log_probs = torch.cat([_follow(log_probs, parent), chosen[..., None]], 2)
        sums = top
        ended = (token == end) & (top > -math.inf)
        better = ended & (sums / length**length_penalty > worst[:, None])
        if bool(better.any()):
            keep(better, ended=True)
        sums = sums.masked_fill(ended, -math.inf)
        done = sums.amax(1) / max_length**length_penalty <= worst
        sums = sums.masked_fill(done[:, None], -math.inf)
        if bool(done.all()):
            break
        tokens = token.masked_fill(sums == -math.inf, end)
        state = select(state, row.flatten())
    keep(sums > -math.inf, ended=False)
    return finish(pools, looks)


def greedy(
    step: Step,
    memory: Any,
    state: Any,
    *,
    start: int,
    end: int,
    max_length: int = 30,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    forbidden: Sequence[int] = (),
) -> list[Hypothesis]:
    """For each input the sentence of which each token is the likeliest next one: `beam_search` with one beam.

    Raises ConfigError and ModelError as it does.
    """
    found = beam_search(
        step,
        memory,
        state,
        start=start,
        end=end,
        beams=1,
        max_length=max_length,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        forbidden=forbidden,
    )
    return [best for (best,) in found]


def _follow(x: Tensor, parent: Tensor) -> Tensor:
    """The rows (B, K, t) of the parents (B, K)."""
    return x.gather(1, parent[..., None].expand(-1, -1, x.shape[2]))
