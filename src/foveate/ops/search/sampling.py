"""Sampling: sentences drawn from a model's distribution.

Shapes as in the folder: B inputs, K samples of each, N = B K rows, V tokens, t decoded so far.
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
)


@torch.no_grad()
def sample(
    step: Step,
    memory: Any,
    state: Any,
    *,
    start: int,
    end: int,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    max_length: int = 30,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    forbidden: Sequence[int] = (),
    banned_after: BannedAfter | None = None,
    generator: torch.Generator | None = None,
) -> list[list[Hypothesis]]:
    """Draw `samples` sentences for each input, in the order in which they are drawn.

    start: the token fed first.
    end: the token that ends a sentence.
    samples: K, the number of sentences per input.
    temperature: tokens are drawn with probability proportional to p^(1 / temperature); above 0, 1 is the model's own
        distribution, less is closer to greedy search.
    top_k: draw only from the k most probable tokens of those that the rules allow; 0 for all.
    top_p: of these, draw only from the fewest whose probabilities add up to top_p or more; above 0, at most 1.
    max_length: largest number of tokens, the end token included.
    min_length: smallest number of tokens, the end token included.
    no_repeat_ngram: n, so that no n consecutive tokens occur twice; 0 for no such rule.
    forbidden: tokens that are never decoded.
    banned_after: a function from the tokens of one sentence, drawn so far, to those that may not follow them; None for
        no such rule.
    generator: random generator on the model's device. What an input draws depends on the others in its batch.

    Scores are mean log-probabilities, and these the model's own, before all of these settings.

    Source of top_p: Holtzman et al., "The Curious Case of Neural Text Degeneration" (2019), section 3.1. Raises
    ConfigError for settings that do not fit each other or the model, ModelError if the model's scores are nan.
    """
    inputs, device = count_inputs(memory, state)
    lengths_of_inputs = ((max_length,) * inputs, (min_length,) * inputs)
    rules = Rules(end, *lengths_of_inputs, no_repeat_ngram, tuple(forbidden), banned_after)
    rules.check()
    if samples < 1:
        raise ConfigError(f"cannot draw {samples} sentences; give 1 or more samples")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ConfigError(f"cannot draw at a temperature of {temperature}; give one above 0, or search greedily")
    if top_k < 0:
        raise ConfigError(f"cannot draw from the {top_k} most probable tokens; give a top_k of 1 or more, or 0 for all")
    if not 0 < top_p <= 1:
        raise ConfigError(f"cannot draw from a share of {top_p}; give a top_p above 0 and at most 1")
    memory, state = repeat(memory, samples), repeat(state, samples)
    attentions: list[Tensor] = []
    tokens = torch.full((inputs * samples,), start, device=device)
    decoded, log_probs = tokens[:, None][:, :0], torch.zeros(inputs * samples, 0, device=device)  # (N, t)
    alive = torch.ones_like(tokens, dtype=torch.bool)
    ended, lengths = ~alive, torch.zeros_like(tokens)
    for length in range(1, max_length + 1):
        logits, state, attention = step(memory, state, tokens)
        check_step(logits, attention, inputs * samples)
        if length == 1:
            rules.check_vocabulary(logits.shape[1])
        log_p = log_probabilities(logits, alive, length)
        allowed = rules.mask_forbidden(log_p, decoded)
        alive = alive & (allowed.amax(1) > -math.inf)
        # Relative to the most probable token, so that no temperature is low enough to underflow everywhere.
        relative = (allowed - allowed.amax(1, keepdim=True)).masked_fill(~alive[:, None], 0.0)
        probabilities = _shortlist(relative / temperature, top_k, top_p).softmax(1)
        # The exponential race, as in `ops.attend.hard_read`.
        exponential = torch.empty_like(probabilities).exponential_(generator=generator)
        token = (probabilities / exponential.clamp(min=torch.finfo(exponential.dtype).tiny)).argmax(1)
        if attention is not None:
            attentions.append(attention)
        decoded = torch.cat([decoded, token[:, None]], 1)
        log_probs = torch.cat([log_probs, log_p.gather(1, token[:, None])], 1)
        lengths += alive
        ended = ended | (alive & (token == end))
        alive = alive & ~ended
        if not bool(alive.any()):
            break
        tokens = token.masked_fill(~alive, end)
    pools: list[list[Found]] = [[] for _ in range(inputs)]
    decoded, log_probs = decoded.cpu(), log_probs.cpu()
    for n, (count, has_ended) in enumerate(zip(lengths.tolist(), ended.tolist(), strict=True)):
        score = float(log_probs[n, :count].sum()) / max(count, 1)
        found = Found(has_ended, score, decoded[n, :count], log_probs[n, :count], torch.full((count,), n))
        pools[n // samples].append(found)
    return finish(pools, attentions)


def _shortlist(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Return scores (N, V) with -inf at all but the most probable tokens; at least one stays."""
    if 0 < top_k < scores.shape[1]:
        top, index = scores.topk(top_k, 1)
        scores = torch.full_like(scores, -math.inf).scatter(1, index, top)
    if top_p < 1:
        ordered, index = scores.sort(dim=1, descending=True)
        share = ordered.softmax(1)
        before = share.cumsum(1) - share
        # The most probable token stays even where rounding leaves nothing below top_p.
        drop = (before >= top_p).index_fill(1, index.new_zeros(1), False)
        scores = scores.scatter(1, index, ordered.masked_fill(drop, -math.inf))
    return scores
