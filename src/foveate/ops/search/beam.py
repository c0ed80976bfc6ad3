"""Beam search, all inputs and beams in one step.

Shapes as in the folder: B inputs, K beams, N = B K rows, V tokens, t decoded so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.ops.search.rules import BannedAfter, Rules
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
    banned_after: BannedAfter | None = None,
) -> list[list[Hypothesis]]:
    """Return for each input up to `n_best` sentences, best first: those that ended by score, then those that did not.

    start: the token fed first.
    end: the token that ends a sentence.
    beams: K, the number of sentences that are continued per input; 1 is greedy search. More search wider and cost more.
    n_best: number of sentences to return per input, at most as many as beams.
    max_length: largest number of tokens, the end token included. If nothing has ended by then, unfinished sentences are
        returned.
    min_length: smallest number of tokens, the end token included.
    length_penalty: exponent of the length in the score, 0 or more; see below.
    no_repeat_ngram: n, so that no n consecutive tokens occur twice; 0 for no such rule.
    forbidden: tokens that are never decoded, e.g. those for padding, start and unknown words.
    banned_after: a function from the tokens of one sentence, decoded so far, to those that may not follow them; None
        for no such rule.

    At each length an input keeps its `beams` most probable continuations. Those that end move to its pool; the others
    are continued at the next length, where `beams` are kept again. A sentence of T tokens, the end token included,
    scores

        score = sum_t log p(y_t | y_<t, x) / T^length_penalty

    so that 0 is the plain sum, which favours short sentences, and 1 the mean. An input is done when none of its live
    sentences can still get into the `n_best` of its pool: log-probabilities are at most 0, so a live sum s can reach s
    / max_length^length_penalty at best. This bound is exact for every length_penalty of 0 or more. (Xu et al.'s
    published code is done as soon as `beams` sentences have ended, and may miss a longer one that scores more.)

    An input's result does not depend on the others in the batch, except for rounding in the model itself.

    Raises ConfigError for settings that do not fit each other or the model, ModelError if the model's scores are nan.
    """
    rules = Rules(end, max_length, min_length, no_repeat_ngram, tuple(forbidden), banned_after)
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
    attentions: list[Tensor] = []
    first = torch.arange(inputs, device=device)[:, None] * beams  # (B, 1): an input's first row
    tokens = torch.full((inputs, beams), start, device=device)
    # For the live sentences, (B, K, t): tokens, the rows that held them, and log-probabilities.
    decoded = rows = tokens[..., None][..., :0]
    log_probs = torch.zeros(inputs, beams, 0, device=device)
    # (B, K): the sum of a live sentence, else -inf. All start equal, so all but one start dead.
    sums = torch.full((inputs, beams), -math.inf, device=device).index_fill(1, first.new_zeros(1), 0.0)
    worst = sums.new_full((inputs,), -math.inf)  # (B,): the score to exceed for a full pool

    def keep(mask: Tensor, ended: bool) -> None:
        """Move the decoded sentences of the mask (B, K) to their inputs' pools."""
        scores = sums[mask] / max(decoded.shape[2], 1) ** length_penalty
        parts = (x[mask].cpu() for x in (decoded, log_probs, rows))
        owners = mask.nonzero()[:, 0].tolist()
        for b, score, *found in zip(owners, scores.tolist(), *parts, strict=True):
            pools[b].append(Found(ended, score, *found))
        for b in set(owners):
            pools[b] = sorted(pools[b], key=lambda f: (f.ended, f.score), reverse=True)[:n_best]
            if ended and len(pools[b]) == n_best:
                worst[b] = pools[b][-1].score

    for length in range(1, max_length + 1):
        logits, state, attention = step(memory, state, tokens.flatten())
        check_step(logits, attention, inputs * beams)
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
        # The best K of an input have at most K in any row.
        log_p, candidates = rules.mask_forbidden(log_p, decoded.flatten(0, 1)).topk(beams, 1)  # (N, K)
        total = log_p.view(inputs, beams, beams) + sums[..., None]
        # A dead row's log-probabilities may be nan.
        top, index = total.masked_fill(~alive[..., None], -math.inf).flatten(1).topk(beams)  # (B, K)
        exhausted = (top[:, :1] == -math.inf) & alive
        if bool(exhausted.any()):
            keep(exhausted, ended=False)
        if attention is not None:
            attentions.append(attention)
        parent = index // beams
        token, token_log_p = (x.view(inputs, -1).gather(1, index) for x in (candidates, log_p))
        row = first + parent
        decoded = torch.cat([_follow(decoded, parent), token[..., None]], 2)
        rows = torch.cat([_follow(rows, parent), row[..., None]], 2)
        log_probs = torch.cat([_follow(log_probs, parent), token_log_p[..., None]], 2)
        sums = top
        ended = (token == end) & (top > -math.inf)
        accepted = ended & (sums / length**length_penalty > worst[:, None])
        if bool(accepted.any()):
            keep(accepted, ended=True)
        sums = sums.masked_fill(ended, -math.inf)
        done = sums.amax(1) / max_length**length_penalty <= worst
        sums = sums.masked_fill(done[:, None], -math.inf)
        if bool(done.all()):
            break
        tokens = token.masked_fill(sums == -math.inf, end)
        state = select(state, row.flatten())
    keep(sums > -math.inf, ended=False)
    return finish(pools, attentions)


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
    banned_after: BannedAfter | None = None,
) -> list[Hypothesis]:
    """Return for each input the sentence whose every token is the most probable next one: `beam_search` with one beam.

    Raises ConfigError and ModelError as it does.
    """
    hypotheses = beam_search(
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
        banned_after=banned_after,
    )
    return [best for (best,) in hypotheses]


def _follow(x: Tensor, parent: Tensor) -> Tensor:
    """Return the rows (B, K, t) of the parents (B, K)."""
    return x.gather(1, parent[..., None].expand(-1, -1, x.shape[2]))
